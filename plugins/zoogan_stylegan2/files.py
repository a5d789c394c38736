"""Finds the official files of StyleGAN2, and the networks in them."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from torch import Tensor

from zoogan import ConfigError
from zoogan.importing import find_newest_files
from zoogan_stylegan2.layouts import identify_layout

NAMES = {
    "g_ema": "generator", "G_ema": "generator", "g": "generator", "G": "generator",
    "d": "discriminator", "D": "discriminator",
}  # fmt: skip
"""Official name of a network -> our slot. Of two names of one slot the first is taken: the averaged network."""


def find_weight_files(path: Path) -> list[Path]:
    """Find the files to read: the file itself, or the newest one of a folder.

    Raises:
        ConfigError: A pickle.
    """
    if path.suffix == ".pkl":
        export = (
            f"import pickle, torch; n = pickle.load(open('{path.name}', 'rb')); "
            f"torch.save({{k: n[k].state_dict() for k in ('G_ema', 'D')}}, '{path.stem}.pt')"
        )
        raise ConfigError(
            f"{path}: reading a pickle executes the code in it, so zoogan reads none: export its weights at "
            f'your own risk, inside the official repository, by  python -c "{export}"  (pickles of the TensorFlow code '
            "by convert_weight.py of rosinality/stylegan2-pytorch)"
        )
    return find_newest_files(path, ".pt") if path.is_dir() else [path]


def identify_network(state: Mapping[str, Tensor]) -> str | None:
    """Return the official name of the network of a bare state_dict; None = neither network."""
    layout = identify_layout(state)
    return None if layout is None else "d" if layout.is_discriminator(state) else "g_ema"


def identify_file(content: Mapping[str, Any]) -> str | None:
    """Return which network the content of a file is, `generator` for a file of both; None = no file of StyleGAN2."""
    slots = [slot for name, slot in NAMES.items() if name in content]
    if slots:
        return "generator" if "generator" in slots else slots[0]
    name = identify_network(content) if all(isinstance(value, Tensor) for value in content.values()) else None
    return None if name is None else NAMES[name]
