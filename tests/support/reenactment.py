"""Tiny untrained runs of re-enactment: of layouts alone, and of photos."""

from __future__ import annotations

from copy import copy
from pathlib import Path
from typing import Any

import torch

from support.runs import REGISTRY
from zoogan.composition.build import compose, expect_facts
from zoogan.config import GameConfig, compose_config, merge
from zoogan.config.registry import Registry
from zoogan.runs.loaded import LoadedRun

RECIPE = "reenactment-drawn-32"
NARROW: dict[str, dict[str, Any]] = {
    "smile-layout": {
        "generator": {"width": 4, "max_width": 8},
        "style_encoder": {"width": 4, "max_width": 8},
        "discriminator": {"width": 4, "max_width": 8},
        "mapping": {"width": 8},
    },
    "smile": {"generator": {"widths": [8, 8, 8], "hidden": 8, "stem_width": 8}, "region_encoder": {"width": 8}},
}


def isolate_recipe(method: str, folder: Path) -> Registry:
    """Make a registry whose method has the recipe of re-enactment alone, so that it is the default."""
    from dataclasses import replace

    spec = REGISTRY.methods[method]
    (folder / f"{RECIPE}.yaml").write_text(f"extends: {spec.recipes / RECIPE}.yaml\n")
    registry = copy(REGISTRY)
    registry.methods = {**REGISTRY.methods, method: replace(spec, recipes=folder)}
    return registry


def compose_tiny(method: str) -> GameConfig:
    """Compose the config of a method with narrow networks."""
    sets = merge(NARROW[method], {"data": {"workers": 0, "batch": 4}})
    if method == "smile":
        sets = merge(sets, {"stages": {"layout": {"set": NARROW["smile-layout"]}}})
    return compose_config(REGISTRY.methods[method], REGISTRY, recipe=RECIPE, sets=sets)


def make_run(method: str, path: Path | None = None) -> LoadedRun:
    """Make an untrained run whose weights are large enough that every input matters."""
    config = compose_tiny(method)
    facts = expect_facts(config)
    torch.manual_seed(3)
    composition = compose(config, facts, REGISTRY)
    layouts = composition.stages["layout"].networks if method == "smile" else composition.networks
    for weight in layouts.parameters():
        torch.nn.init.normal_(weight, std=0.3)
    if method == "smile":
        for name, weight in composition.networks["generator"].named_parameters():
            if name.endswith("rgb.conv.weight"):
                weight.data *= 30  # colours that a GIF can tell apart
    networks = composition.networks.eval().requires_grad_(False)
    editor = composition.game.make_editor(networks, attributes=facts.attributes)
    return LoadedRun(config, facts, editor, 3, path=path, stages=composition.stages)
