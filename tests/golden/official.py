"""From a golden case to our networks: fill the official layout, import it, build what that describes."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from types import SimpleNamespace
from typing import Any, TypeVar

import fill
import layouts
import numpy as np
import torch
from torch import Tensor, nn

import zoogan_sagan.weights
import zoogan_stargan.weights
from zoogan.config.registry import Registry
from zoogan.importing.official import Imported

CONVERT = {"sagan": zoogan_sagan.weights.convert_sagan, "stargan": zoogan_stargan.weights.convert_stargan}
NETWORKS = ("generator", "discriminator")
ROLES = {"generator": "image_editor", "discriminator": "attribute_discriminator"}

METHODS = tuple(CONVERT)

Placed = TypeVar("Placed", Tensor, nn.Module)
_device = torch.device("cpu")


def compute_on(device: torch.device) -> None:
    """Where networks and losses of all cases compute from now on: `--device`."""
    global _device
    _device = device


def placed(what: Placed) -> Placed:
    """An input or a network, there. Outputs come back before they are compared."""
    return what.to(_device)


def accelerator() -> Any:
    """As much of accelerate's as a trainer asks for, with that device and no autocast."""
    return SimpleNamespace(device=_device, autocast=nullcontext)


@dataclass(frozen=True)
class Case:
    """A golden case: what its json says, the arrays beside it, and the folder of both."""

    name: str
    says: dict[str, Any]
    arrays: dict[str, np.ndarray]
    folder: Path = Path(__file__).parent


def load_cases(folders: list[Path]) -> list[Case]:
    cases = []
    for path in sorted(path for folder in folders for path in folder.glob("*.json")):
        says = json.loads(path.read_text())
        if not isinstance(says, dict) or says.get("method") not in METHODS:
            continue  # other methods' cases live in the same folders
        beside = path.with_suffix(".npz")
        arrays = dict(np.load(beside)) if beside.exists() else {}
        cases.append(Case(path.stem, says, arrays))
    return cases


def filled(method: str, network: str, config: Mapping[str, Any], table: Any = None) -> dict[str, Tensor]:
    """The official state_dict with the cases' values."""
    return fill.fill_state_dict(layouts.from_table(table) if table else layouts.empty_state(method, network, config))


def names(count: int) -> list[str]:
    """Attribute names; the cases have none."""
    return [f"Attribute_{k}" for k in range(count)]


def imported(method: str, states: Mapping[str, Mapping[str, Tensor]], config: Mapping[str, Any]) -> Imported:
    """Official weights through the importer, with what the case's config knows of training."""
    return CONVERT[method](states, {**config, "attributes": names(config["c_dim"])})


def component(registry: Registry, network: str, layer: Mapping[str, Any]) -> Any:
    """The component config of an imported layer."""
    return registry.components[ROLES[network], layer[network]["use"]].config.model_validate(layer[network])


def given(case: Case, name: str) -> Tensor:
    """An input of a case, float32 unless it is integers: of its npz as `input_<name>`, or else of its json, which lists
    the values or describes them.

    Raises:
        ValueError: in neither.
    """
    says = case.says["inputs"][name]
    if not isinstance(says, Mapping):
        says = {"made": says} if isinstance(says, str) else {"values": says}
    stored, values = case.arrays.get(f"input_{name}"), says.get("values")
    if stored is None and values is None:
        return placed(made(says["made"], says.get("shape")))
    tensor = torch.as_tensor(values if stored is None else stored)
    return placed(tensor.float() if tensor.is_floating_point() else tensor)


def made(recipe: str, shape: Any = None) -> Tensor:
    """The tensor that a case describes as `fill.named_tensor('x', (2, 3, 8, 8))`, also as `(...+1)/2`.

    Raises:
        ValueError: another description.
    """
    found = re.match(r"(\()?fill\.(named_tensor|wave_tensor)\('([^']+)', (\([\d, ]*\)|shape)\)(\+1\)/2)?", recipe)
    if found is None or bool(found[1]) != bool(found[5]):
        raise ValueError(f"no rule for the input {recipe!r}")
    size = shape if found[4] == "shape" else tuple(int(n) for n in found[4].strip("()").split(",") if n.strip())
    tensor = getattr(fill, found[2])(found[3], tuple(size))
    return (tensor + 1) / 2 if found[1] else tensor


def official_names(official: Mapping[str, Tensor], ours: Mapping[str, Tensor]) -> dict[str, str]:
    """Official key -> ours, for every tensor that the importer passed through as it was."""
    by_identity = {id(tensor): key for key, tensor in ours.items()}
    return {key: by_identity[id(tensor)] for key, tensor in official.items() if id(tensor) in by_identity}


def check_summary(what: str, got: Tensor, want: Mapping[str, Any], atol: float) -> None:
    """Shape, mean, std, extremes and checksum of a whole tensor."""
    assert list(got.shape) == list(want["shape"]), what
    value = got.detach().cpu().double()
    found = {"mean": value.mean(), "std": value.std(unbiased=False), "min": value.min(), "max": value.max()}
    for name, number in found.items():
        assert abs(float(number) - want[name]) <= atol, f"{what}: {name} is {float(number)}, official {want[name]}"
    checksum = float((value * fill.wave_tensor("checksum", value.shape).double()).sum())
    # Differences of single elements are rounding: independent, so their sum grows with the root of their
    # number.
    assert abs(checksum - want["checksum"]) <= atol * value.numel() ** 0.5, f"{what}: checksum {checksum}"


def check_output(name: str, got: Tensor, says: Mapping[str, Any], arrays: Mapping[str, Any]) -> None:
    """An output against its stored elements and the summary of the whole."""
    atol, got = says["atol"], got.cpu()
    views = {name: got, f"{name}__sub": got[..., 1::4, 1::4], f"{name}__corner": got[..., :12, :12]}
    stored = {key: view for key, view in views.items() if key in arrays}
    assert stored, f"the case stores nothing of {name}"
    for key, view in stored.items():
        want = torch.from_numpy(arrays[key])
        assert view.shape == want.shape, key
        worst = float((view - want).abs().max())
        assert worst <= atol, f"{key}: differs from the official output by {worst}, allowed {atol}"
    check_summary(name, got, says["outputs"][name], atol)
