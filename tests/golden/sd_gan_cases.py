"""Golden cases of SD-GAN: from what a case says to our networks, through the importers.

Networks compute in float64: in float32 two CPUs differ by more than the tolerance of a case where normals magnify the
last digit of depths, or where features reach 60 times their weights. So the official rounding is the only difference.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fill
import numpy as np
import synthesis_cases
import torch
from official import Case, placed
from torch import Tensor

from zoogan.plugins import Facts
from zoogan_sd_gan.fusion_config import SdGanOfficialOffsetConfig
from zoogan_sd_gan.official import SdGanOfficialOffset
from zoogan_sd_gan.unsup3d import Unsup3dNetworks
from zoogan_sd_gan.weights import UNSUP3D_NETWORKS, convert_fusion, make_unsup3d

KINDS = ("fusion", "unsup3d", "pipeline")
FOLDER = Path(__file__).parent
RECIPE = re.compile(r"named_tensor\('([^']+)', ?\(([\d, ]+)\)\)")


def sd_gan_cases(folders: list[Path], kind: str) -> list[Case]:
    """The cases of a kind of `KINDS`."""
    cases = []
    for path in sorted(path for folder in folders for path in folder.glob(f"sd-gan-{kind}*.json")):
        arrays = dict(np.load(path.with_suffix(".npz")))
        cases.append(Case(path.stem, json.loads(path.read_text()), arrays, path.parent))
    return cases


def read_input(recipe: str) -> Tensor:
    """The tensor of `named_tensor('x', (1,3,64,64)) = ...`, in float64.

    Raises:
        ValueError: another description.
    """
    found = RECIPE.match(recipe)
    if found is None:
        raise ValueError(f"no rule for the input {recipe!r}")
    return placed(fill.named_tensor(found[1], tuple(int(n) for n in found[2].split(","))).double())


def fill_official(table: Mapping[str, Any]) -> dict[str, Tensor]:
    """The official state_dict with a case's values; tensor by tensor, as one has 67 million numbers."""
    state: dict[str, Tensor] = {}
    for key, shape in table["state_dict"]:
        dtype = torch.int64 if key.endswith("num_batches_tracked") else torch.float32
        state |= fill.fill_state_dict({key: torch.empty(shape, dtype=dtype)}, table["kept"])
        if key in table["gains"]:
            state[key].mul_(table["gains"][key])
    return state


def make_fusion(case: Case) -> tuple[SdGanOfficialOffset, dict[str, int]]:
    """Our fusion network with a case's weights, through the importer; and parameters of the official file by name."""
    table = case.says["networks"]["fusion"]
    official = fill_official(table)
    sizes = {key: tensor.numel() for key, tensor in official.items() if key not in table["buffers"]}
    config, image_size, state = convert_fusion(official)
    official.clear()
    with torch.device("meta"):
        network = SdGanOfficialOffset(SdGanOfficialOffsetConfig(**config), Facts(image_size=image_size))
    network.load_state_dict(state, assign=True)
    return placed(network.double().eval()), sizes


def make_geometry(case: Case) -> Unsup3dNetworks:
    """Our networks of Unsup3D with a case's weights, through the importer."""
    state = {
        f"{ours}.{key}": tensor
        for name, ours in UNSUP3D_NETWORKS.items()
        for key, tensor in fill_official(case.says["networks"][name]).items()
    }
    return placed(make_unsup3d(state, case.name).double().eval())


def find_offset(recipe: str, folder: Path) -> Tensor:
    """The stored output of `output 'offset' of case sd-gan-fusion-a`, in the folder of a case or in this one.

    Raises:
        ValueError: another description.
    """
    found = re.fullmatch(r"output '(\w+)' of case ([\w-]+)", recipe)
    if found is None:
        raise ValueError(f"no rule for the offset {recipe!r}")
    path = next(path for path in (folder / f"{found[2]}.npz", FOLDER / f"{found[2]}.npz") if path.exists())
    return placed(torch.from_numpy(np.load(path)[found[1]]).double())


def check(case: Case, outputs: Mapping[str, Tensor], names: Any = None) -> None:
    """Every named output of a case (by default all) against ours."""
    wanted = set(case.says["outputs"]) if names is None else set(names)
    assert wanted == set(outputs)
    for name in sorted(wanted):
        synthesis_cases.check_output(name, outputs[name], case)
