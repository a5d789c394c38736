"""Golden cases of SMILE's image stage: from what a case says to our layers and networks."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fill
import layout_cases
import numpy as np
import torch
from official import Case, placed
from torch import Tensor, nn

KINDS = {"layer": "sac", "encoder": "encoder", "generator": "generator", "discriminator": "discriminator"}
"""What a fixture asks for -> how a case's name begins after the stage."""


def image_cases(folders: list[Path], kind: str) -> list[Case]:
    """The cases of the image stage of a kind of `KINDS`."""
    cases = []
    for path in sorted(path for folder in folders for path in folder.glob("smile-syn-*.json")):
        says = json.loads(path.read_text())
        if says["case"].removeprefix("smile-syn-").startswith(KINDS[kind]):
            cases.append(Case(path.stem, says, dict(np.load(path.with_suffix(".npz")))))
    return cases


def fill_official(says: Mapping[str, Any]) -> dict[str, Tensor]:
    """The official state_dict with a case's values; what is kept are its filters, and noise that nothing reads."""
    kept = [row[0] for row in says["table"] if row[2] == "kept"]
    assert all(key.endswith("kernel") or key.startswith("noises.") for key in kept), kept
    taps = torch.tensor([1.0, 3.0, 3.0, 1.0])
    state = {
        row[0]: torch.outer(taps, taps) / 64 if row[0].endswith("kernel") else torch.zeros(row[1])
        for row in says["table"]
    }
    return fill.fill_from_table(state, says["table"])


def read_layout(recipe: str) -> Tensor:
    """The one-hot maps of `onehot_sem(2,64,64) K=19, nearest-resized inside to x size`."""
    return layout_cases.layout(recipe.partition(", nearest")[0])


def read_tensor(recipe: str) -> Tensor:
    """The tensor of `named_tensor('w',(2,304)) used for every layer`, in float64."""
    return layout_cases.tensor(recipe)


def read_noise(recipe: str) -> list[Tensor]:
    """The maps of `list of 7 tensors; entry i = named_tensor('noise'+str(i)+'', ...), r = [8, 16, ...]`, in float64.

    Raises:
        ValueError: another description.
    """
    found = re.fullmatch(
        r"list of (\d+) tensors; entry i = named_tensor\('noise'\+str\(i\)\+'', \(1,1,r_i,r_i\)\), r = \[([\d, ]+)\], "
        "same noise for each sample",
        recipe,
    )
    if found is None:
        raise ValueError(f"no rule for the noise {recipe!r}")
    sides = layout_cases.sizes(found[2])
    assert len(sides) == int(found[1])
    return [placed(fill.named_tensor(f"noise{k}", (1, 1, side, side)).double()) for k, side in enumerate(sides)]


def load(network: nn.Module, state: Mapping[str, Tensor]) -> Any:
    """Our network with a state_dict, in float64."""
    network.load_state_dict(dict(state), strict=True)
    return placed(network.eval().double())
