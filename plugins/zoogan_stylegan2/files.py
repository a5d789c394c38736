"""What official files of StyleGAN2 hold: which networks, under which names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from torch import Tensor

from zoogan.config import ConfigError
from zoogan.importing.official import newest_numbered
from zoogan_stylegan2.layouts import layout_of

NAMES = {
    "g_ema": "generator", "G_ema": "generator", "g": "generator", "G": "generator",
    "d": "discriminator", "D": "discriminator",
}  # fmt: skip
"""Official name of a network -> what it is; of two that are the same the first is taken, so averaged ones are."""


def files_of(path: Path) -> list[Path]:
    """A file, or the newest one of a folder.

    Raises:
        ConfigError: a pickle.
    """
    if path.suffix == ".pkl":
        export = (
            f"import pickle, torch; n = pickle.load(open('{path.name}', 'rb')); "
            f"torch.save({{k: n[k].state_dict() for k in ('G_ema', 'D')}}, '{path.stem}.pt')"
        )
        raise ConfigError(
            f"{path}: reading a pickle executes whatever code is in it, so the zoo reads none: export its weights at "
            f'your own risk, inside the official repository, by  python -c "{export}"  (pickles of the TensorFlow code '
            "by convert_weight.py of rosinality/stylegan2-pytorch)"
        )
    return newest_numbered(path, ".pt") if path.is_dir() else [path]


def recognised(state: Mapping[str, Tensor]) -> str | None:
    """The official name of a bare state_dict; None = neither network."""
    layout = layout_of(state)
    return None if layout is None else "d" if layout.holds_discriminator(state) else "g_ema"
