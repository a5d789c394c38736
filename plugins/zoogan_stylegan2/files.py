"""What official files of StyleGAN2 hold: which networks, under which names."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoogan.config import ConfigError
from zoogan.importing import StateDict, bare_state_dict, newest_numbered
from zoogan_stylegan2.layouts import layout_of

NAMES = {
    "g_ema": "generator", "G_ema": "generator", "g": "generator", "G": "generator",
    "d": "discriminator", "D": "discriminator",
}  # fmt: skip
"""Official name of a network -> what it is; of two that are the same the first is taken, so averaged ones are."""
AVERAGED = ("g_ema", "G_ema")
SLOTS = ("generator", "discriminator")
MEAN = "latent_avg"


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
    return [newest_numbered(path, ".pt")] if path.is_dir() else [path]


def networks_of(content: Any, path: Path) -> dict[str, StateDict]:
    """One generator and one critic of a file, by official name: nested, with prefixed keys, or one of them bare.

    Raises:
        ConfigError: none of these.
    """
    if not isinstance(content, Mapping):
        raise ConfigError(f"{path}: expected networks (names, and a state_dict for each)")
    found = {name: bare_state_dict(content[name], path) for name in NAMES if isinstance(content.get(name), Mapping)}
    if not found:
        flat = bare_state_dict({key: value for key, value in content.items() if key != MEAN}, path)
        for name in NAMES:
            state = {key[len(name) + 1 :]: value for key, value in flat.items() if key.startswith(f"{name}.")}
            found |= {name: state} if state else {}
        if not found:
            layout = layout_of(flat)
            if layout is None:
                raise ConfigError(f"{path}: neither a generator nor a discriminator of StyleGAN2")
            found = {"d" if layout.holds_critic(flat) else "g_ema": flat}
    first = {slot: next((name for name in NAMES if name in found and NAMES[name] == slot), None) for slot in SLOTS}
    return {name: found[name] for name in first.values() if name is not None}
