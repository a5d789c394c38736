"""Reads directions that were fitted elsewhere: displacements in w, as JSON or npy."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.names import suggest_name

SUFFIXES = (".json", ".npy")


def read_displacements(path: Path, style_dim: int) -> Float[Tensor, "n s"]:
    """Read a direction (s,), or the displacements of several faces (n, s).

    Args:
        path: A JSON file of a list of numbers, or of a list of such lists; or an npy file of such an array.
        style_dim: Length s of the run's latents.

    Returns:
        The displacements (n, s) in float64; one for a direction.

    Raises:
        ConfigError: No such file, another kind of file, another shape, or values that are not finite or all 0.
    """
    if path.suffix not in SUFFIXES:
        raise ConfigError(
            f"--file {path}: expected a file that ends in {' or '.join(SUFFIXES)}{suggest_name(path.suffix, SUFFIXES)}"
        )
    if not path.is_file():
        neighbours = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ConfigError(f"--file {path}: no such file{suggest_name(path.name, neighbours)}")
    array = read_array(path)
    expected = f"expected ({style_dim},), a direction, or (N, {style_dim}), displacements of N faces"
    if array.ndim not in (1, 2) or array.shape[-1] != style_dim or not array.size:
        shape = f"({array.shape[0]},)" if array.ndim == 1 else str(array.shape)
        raise ConfigError(f"--file {path}: got an array of shape {shape}; {expected}, as this run's latents have")
    displacements = torch.from_numpy(array.reshape(-1, style_dim))
    wrong = (~displacements.isfinite()).nonzero()
    if len(wrong):
        row, column = wrong[0].tolist()
        raise ConfigError(f"--file {path}: {len(wrong)} values are not finite, the first at [{row}, {column}]")
    if not bool(displacements.any()):
        raise ConfigError(f"--file {path}: all values are 0, so there is no direction")
    return displacements


def read_array(path: Path) -> np.ndarray[Any, np.dtype[np.float64]]:
    """Read an array of numbers as float64.

    Raises:
        ConfigError: The file cannot be read, or holds something else than numbers in rows of one length.
    """
    try:
        content = json.loads(path.read_text()) if path.suffix == ".json" else np.load(path, allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise ConfigError(f"--file {path}: cannot be read as {path.suffix[1:]} ({error})") from error
    try:
        array = np.asarray(content)
        is_numeric = array.dtype.kind in "fiu"
    except ValueError:  # rows of several lengths
        is_numeric = False
    if not is_numeric:
        kind = f"a {type(content).__name__}" if path.suffix == ".json" else f"values of type {content.dtype}"
        raise ConfigError(
            f"--file {path}: got {kind}; expected a list of numbers, or a list of lists of numbers of one length"
        )
    return np.array(array, dtype=np.float64)
