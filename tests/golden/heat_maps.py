"""Golden cases of the landmark network and of the masks made of its maps."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import fill
import numpy as np
import torch
from official import Case, placed
from torch import Tensor

NETWORK, MASKS = "fan (", "heatmap-to-mask"
BUMPS = (
    r"\(n=(\d+),98,256,256\): channel c of sample b = exp\(-\(\(col-cx\)\^2\+\(row-cy\)\^2\)/\(2\*([\d.]+)\^2\)\), "
    r"cx=128\+\((\d+)\+(\d+)b\)\*cos\(2\*pi\*c/98\), cy=128\+\(\3\+\4b\)\*sin\(2\*pi\*c/98\), computed in float64"
)


def heat_map_cases(folders: list[Path], kind: str) -> list[Case]:
    """The cases whose network is of this kind."""
    cases = []
    for path in sorted(path for folder in folders for path in folder.glob("*.json")):
        says = json.loads(path.read_text())
        if isinstance(says, dict) and str(says.get("network")).startswith(kind):
            cases.append(Case(path.stem, says, dict(np.load(path.with_suffix(".npz")))))
    return cases


def landmark_state(says: dict[str, Any]) -> dict[str, Tensor]:
    """The published state_dict with the case's values."""
    empty = {key: torch.zeros(shape, dtype=getattr(torch, dtype)) for key, shape, dtype in says["keys"]}
    return fill.fill_state_dict(empty, says["kept"])


def named_input(recipe: str) -> Tensor:
    """What `tensor('x', (1,3,256,256))` describes.

    Raises:
        ValueError: another description.
    """
    found = re.fullmatch(r"tensor\('([^']+)', \(([\d, ]+)\)\)", recipe)
    if found is None:
        raise ValueError(f"no rule for the input {recipe!r}")
    return placed(fill.named_tensor(found[1], tuple(int(number) for number in found[2].split(","))))


def bumps(recipe: str) -> Tensor:
    """The heat maps that a case describes: a bump a landmark, the landmarks on a circle.

    Raises:
        ValueError: another description.
    """
    found = re.fullmatch(BUMPS, recipe)
    if found is None:
        raise ValueError(f"no rule for the input {recipe!r}")
    place = torch.arange(256, dtype=torch.float64)
    angle = 2 * torch.pi * torch.arange(98, dtype=torch.float64) / 98
    radius = int(found[3]) + int(found[4]) * torch.arange(int(found[1]), dtype=torch.float64)[:, None]
    x, y = 128 + radius * angle.cos(), 128 + radius * angle.sin()
    along, down = (place - x[..., None]).square(), (place - y[..., None]).square()
    return placed(torch.exp(-(along[:, :, None, :] + down[:, :, :, None]) / (2 * float(found[2]) ** 2)).float())


def check_strided(name: str, got: Tensor, case: Case, atol: float) -> None:
    """An output against its stored elements and the mean and deviation of the whole. atol: at the output's scale."""
    want, got = case.says["outputs"][name], got.cpu()
    assert list(got.shape) == want["shape"], name
    step = want["stride_hw"]
    worst = float((got[..., ::step, ::step] - torch.from_numpy(case.arrays[name])).abs().max())
    assert worst <= atol, f"{name}: differs from the official output by {worst}, allowed {atol}"
    value = got.double()
    for kind, number in (("mean", value.mean()), ("std", value.std(unbiased=False))):
        assert abs(float(number) - want[kind]) <= atol, f"{name}: {kind} is {float(number)}, official {want[kind]}"
    assert abs(float(value.abs().sum()) - want["abs_sum"]) <= atol * value.numel(), name
