"""Golden cases of StyleGAN2: from what a case says to our networks, through the importer."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import fill
import numpy as np
import torch
from official import Case, placed
from torch import Tensor, nn

from zoogan.config.registry import Registry
from zoogan.facts import Facts
from zoogan.importing.official import Imported
from zoogan.interfaces import LatentMapping
from zoogan_stylegan2.weights import convert_stylegan2

PARTS = {"G": "generator", "D": "discriminator"}
ROLES = {"generator": "latent_generator", "mapping": "latent_mapping", "discriminator": "image_discriminator"}
TOLERANCE = re.compile(r"rtol (\S+), atol (\S+) \* std of the tensor")


class Known(LatentMapping):
    """A mapping whose latents are known."""

    def __init__(self, latent: Tensor) -> None:
        super().__init__()
        self.latent = nn.Parameter(latent, requires_grad=False)
        self.latent_dim = self.style_dim = latent.shape[1]

    def forward(self, latent: Tensor) -> Tensor:
        return self.latent


def synthesis_cases(folders: list[Path], kind: str) -> list[Case]:
    """The cases of StyleGAN2's `generator`, `discriminator` or `losses`."""
    cases = []
    for path in sorted(path for folder in folders for path in folder.glob("stylegan2-*.json")):
        says = json.loads(path.read_text())
        if says["name"].split("-")[1] == kind:
            beside = path.with_suffix(".npz")
            cases.append(Case(path.stem, says, dict(np.load(beside)) if beside.exists() else {}))
    return cases


def official_state(says: Mapping[str, Any], network: str) -> dict[str, Tensor]:
    """The official state_dict of `G` or `D` with the case's values, in float32."""
    table = says["networks"][network]
    state = {key: torch.zeros(shape) for key, shape in table["state_dict"]}
    taps = torch.tensor(says["config"].get("blur_kernel", [1.0, 3.0, 3.0, 1.0]))
    for key in table["kept"]:  # filters; those that follow zeros between the pixels have their gain
        state[key] = torch.outer(taps, taps) / taps.sum() ** 2 * (4 if network == "G" else 1)
    state = fill.fill_state_dict(state, table["kept"])
    return {key: tensor * table["gains"].get(key, 1.0) for key, tensor in state.items()}


def arguments(config: Mapping[str, Any]) -> dict[str, Any]:
    """What a case's config says in the official code's arguments; weights must agree with it."""
    return {"latent" if name == "style_dim" else name: value for name, value in config.items()}


def imported(says: Mapping[str, Any], mean: Tensor | None = None) -> Imported:
    """The case's weights through the importer."""
    states = {PARTS[network]: official_state(says, network) for network in says["networks"]}
    return convert_stylegan2(states, arguments(says["config"]), mean)


def built(says: Mapping[str, Any], registry: Registry, mean: Tensor | None = None) -> tuple[nn.ModuleDict, Imported]:
    """Our networks as the importer describes them, with the imported weights."""
    result = imported(says, mean)
    return networks_of(result, registry), result


def networks_of(result: Imported, registry: Registry) -> nn.ModuleDict:
    """Our networks as an importer describes them, with the imported weights."""
    networks = nn.ModuleDict()
    facts = Facts(image_size=result.config["data"]["image_size"], **result.facts)
    for slot, state in result.networks.items():
        layer = result.config[slot]
        config = registry.components[ROLES[slot], layer["use"]].config.model_validate(layer)
        networks[slot] = registry.build(ROLES[slot], config, facts)
        networks[slot].load_state_dict(state, strict=True)
    return placed(networks.eval())


def check_parameters(says: Mapping[str, Any], networks: Mapping[str, nn.Module]) -> None:
    """As many parameters as the official networks have; their generator holds the mapping."""
    counts = {slot: sum(p.numel() for p in networks[slot].parameters()) for slot in networks}
    for network, table in says["networks"].items():
        found = counts[PARTS[network]] + (counts["mapping"] if network == "G" else 0)
        assert found == table["params"], network


def given(recipe: str, shape: tuple[int, ...] = ()) -> Tensor:
    """What a case's input describes: `named_tensor('z', (2,512))`; `shape` stands for `image shape`.

    Raises:
        ValueError: another description.
    """
    found = re.match(r"named_tensor\('([^']+)', (\([\d, ]+\)|image shape)\)", recipe)
    if found is None:
        raise ValueError(f"no rule for the input {recipe!r}")
    size = shape if found[2] == "image shape" else tuple(int(n) for n in found[2].strip("()").split(","))
    return placed(fill.named_tensor(found[1], size))


def tolerances(says: Mapping[str, Any]) -> tuple[float, float]:
    """The case's relative tolerance, and the absolute one in units of the tensor's deviation."""
    found = TOLERANCE.match(says["tolerance"])
    assert found is not None, says["tolerance"]
    return float(found[1]), float(found[2])


def check_output(name: str, got: Tensor, case: Case) -> float:
    """Elements against the stored ones, and the summary of the whole. Returns the worst share of the tolerance."""
    want, got = case.says["outputs"][name], got.cpu()
    rtol, atol = tolerances(case.says)
    atol *= want["std"]
    stored = torch.from_numpy(case.arrays[name]).double()
    assert list(got.shape) == want["shape"], name
    view = got.double() if want["stride"] == 1 else got.double().flatten()[:: want["stride"]]
    assert view.shape == stored.shape, name
    worst = float(((view - stored).abs() / (atol + rtol * stored.abs())).max())
    assert worst <= 1, f"{name}: differs by {worst} times what is allowed from the official output"
    value = got.double()
    found = {"mean": value.mean(), "std": value.std(unbiased=False), "min": value.min(), "max": value.max()}
    for kind, number in found.items():
        assert abs(float(number) - want[kind]) <= atol + rtol * abs(want[kind]), f"{name}: {kind} is {float(number)}"
    total = float(value.abs().sum())
    assert abs(total - want["abs_sum"]) <= rtol * want["abs_sum"], f"{name}: abs_sum is {total}"
    print(f"{case.name} {name}: worst |ours - official| {float((view - stored).abs().max()):.2e}, {worst:.3f} allowed")
    return worst
