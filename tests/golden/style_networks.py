"""Golden cases of StarGAN v2's networks: from what a case says to our network, through the importer."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import Any

import fill
import heat_maps
import numpy as np
import torch
from official import Case, placed
from torch import Tensor, nn

from zoogan.config.registry import Registry
from zoogan.facts import Facts
from zoogan.importing.official import Imported
from zoogan_stargan_v2.weights import SLOTS, convert_stargan_v2

METHOD = "stargan-v2"
ROLES = {
    "generator": "style_translator",
    "mapping": "style_mapping",
    "style_encoder": "style_encoder",
    "discriminator": "style_discriminator",
}
ELSEWHERE = (heat_maps.NETWORK, heat_maps.MASKS, "losses", "train-iterations")
"""What other tests take of this method's cases."""

# The reference's own float32 differs by its stated distance from float64; ours sums in another order.
# A case's distance is a maximum over as few as two numbers, so that it may be small by luck.
ROUNDINGS, LEAST, MOST = 20, 1e-5, 1e-4


def style_network_cases(folders: list[Path]) -> list[Case]:
    """Every case of this method that no other test takes, known or not."""
    return [case for case in cases_in(folders) if not str(case.says.get("network")).startswith(ELSEWHERE)]


def style_game_cases(folders: list[Path], kind: str) -> list[Case]:
    """The cases of this method's game: `losses` or `train-iterations`."""
    return [case for case in cases_in(folders) if case.says.get("network") == kind]


def cases_in(folders: list[Path]) -> list[Case]:
    """Every case of this method."""
    cases = []
    for path in sorted(path for folder in folders for path in folder.glob("*.json")):
        says = json.loads(path.read_text())
        if isinstance(says, dict) and says.get("method") == METHOD:
            beside = path.with_suffix(".npz")
            cases.append(Case(path.stem, says, dict(np.load(beside)) if beside.exists() else {}))
    return cases


def check_fill(says: dict[str, Any]) -> None:
    """The fill is the one that the case was made with."""
    want = says["fill_check"]
    assert fill.named_tensor("x", (4,)).tolist() == want["x"]
    filled = fill.fill_state_dict({"from_rgb.weight": torch.zeros(2, 3)})["from_rgb.weight"]
    assert filled.flatten().tolist() == want["w"]


def slot_of(says: dict[str, Any]) -> str:
    """Our slot of the case's network.

    Raises:
        KeyError: a network that we do not know.
    """
    return SLOTS[says["network"]]


def official_state(says: dict[str, Any], how: str = "hash") -> dict[str, Tensor]:
    """The official state_dict with the case's values, in float32.

    Raises:
        ValueError: another way of filling than `hash`, or a kept tensor that is not the filter.
    """
    if how != "hash":
        raise ValueError(f"no rule for the fill {how!r}")
    state = {key: torch.zeros(shape, dtype=getattr(torch, dtype)) for key, shape, dtype in says["keys"]}
    for key in says["kept"]:
        if key != "hpf.filter":
            raise ValueError(f"no rule for the kept tensor {key!r}")
        kernel = -torch.ones(3, 3)
        kernel[1, 1] = 8
        state[key] = kernel / says["config"]["w_hpf"]
    return fill.fill_state_dict(state, says["kept"])


def names(count: int) -> list[str]:
    """Domain names; the cases have none."""
    return [f"domain {k}" for k in range(count)]


def imported(says: dict[str, Any], how: str = "hash") -> Imported:
    """The case's weights through the importer."""
    domains = names(says["config"].get("num_domains", 2))
    return convert_stargan_v2({slot_of(says): official_state(says, how)}, {"domains": domains})


def built(result: Imported, slot: str, registry: Registry, image_size: int) -> nn.Module:
    """Our network as the importer describes it, with the imported weights."""
    layer = result.config[slot]
    config = registry.components[ROLES[slot], layer["use"]].config.model_validate(layer)
    size = result.config.get("data", {}).get("image_size", image_size)
    network: nn.Module = registry.build(ROLES[slot], config, Facts(image_size=size, **result.facts))
    network.load_state_dict(result.networks[slot], strict=True)
    return placed(network.eval())


def given(recipe: Any) -> Any:
    """What a case's input describes: `tensor('x', (2,3))`, `abs(tensor(...))`, a list of those, indices, or null."""
    if recipe is None:
        return None
    if isinstance(recipe, list):
        return placed(torch.tensor(recipe)) if all(isinstance(k, int) for k in recipe) else tuple(map(given, recipe))
    inside = re.fullmatch(r"abs\((.+)\)", recipe)
    return heat_maps.named_input(inside[1]).abs() if inside else heat_maps.named_input(recipe)


def check_output(name: str, got: Tensor, case: Case) -> None:
    """Elements, and mean and deviation of the whole."""
    want, got = case.says["outputs"][name], got.cpu()
    scale = abs(want["mean"]) + want["std"]
    atol = min(max(ROUNDINGS * want["max_abs_diff_vs_float64"], LEAST), MOST * max(1.0, scale))
    step, stored = want["stride_hw"], torch.from_numpy(case.arrays[name])
    view = got[..., ::step, ::step] if step > 1 else got
    assert list(got.shape) == want["shape"] and view.shape == stored.shape, name
    worst = float((view - stored).abs().max())
    print(f"{case.name} {name}: worst {worst:.2e}, reference's own {want['max_abs_diff_vs_float64']:.2e}")
    assert worst <= atol, f"{name}: differs from the official output by {worst}, allowed {atol}"
    value = got.double()
    found = {"mean": value.mean(), "std": value.std(unbiased=False)}
    for kind, number in found.items():
        assert abs(float(number) - want[kind]) <= atol, f"{name}: {kind} is {float(number)}, official {want[kind]}"
    for kind, number in {"sum": value.sum(), "abs_sum": value.abs().sum()}.items():
        assert abs(float(number) - want[kind]) <= atol * value.numel(), f"{name}: {kind}"


def check_trace(network: nn.Module, trace: list[list[Any]], run: Any) -> None:
    """Shape, mean and deviation of what every block gives, before any detail is added."""
    seen: dict[str, Tensor] = {}
    hooks = [
        block.register_forward_hook(lambda module, args, output, key=f"{part}.{k}": seen.__setitem__(key, output))
        for part, blocks in (("encode", network.encoder.blocks), ("decode", network.decoder.blocks))  # type: ignore
        for k, block in enumerate(blocks)
    ]
    run()
    for hook in hooks:
        hook.remove()
    assert list(seen) == [row[0] for row in trace]
    for name, shape, mean, std in trace:
        assert list(seen[name].shape) == shape, name
        assert abs(float(seen[name].mean()) - mean) < 2e-6 + 1e-5, name
        assert abs(float(seen[name].std(unbiased=False)) - std) < 2e-6 + 1e-5 * std, name
