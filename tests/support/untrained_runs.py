"""Runs of untrained, tiny networks of every method, without a folder and without training."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cache
from types import MappingProxyType
from typing import Any

import torch

from zoogan.composition.build import compose
from zoogan.config import merge
from zoogan.editors import Direction, SynthesisEditor
from zoogan.facts import Facts
from zoogan.plugins.host import get_zoo
from zoogan.runs.loaded import LoadedRun
from zoogan.testing.conformance import make_tiny_config, make_tiny_facts


@cache
def make_untrained_run(method: str, direction: str | None = None) -> LoadedRun:
    """Make a run of a method's smallest networks, once.

    Args:
        method: A registered method.
        direction: The attribute of a direction that the run gets, which must make faces then.
    """
    return build_untrained_run(method, direction)


def build_untrained_run(
    method: str, direction: str | None = None, settings: Mapping[str, Any] = MappingProxyType({})
) -> LoadedRun:
    """Make a run of a method's smallest networks.

    Args:
        method: A registered method.
        direction: See `make_untrained_run`.
        settings: Settings laid over the smallest ones.
    """
    registry = get_zoo().registry
    data = {"data": {"faces": 40, "held_out": 20, "workers": 0}}
    config = make_tiny_config(method, registry, merge(data, settings))
    facts: Facts = make_tiny_facts(config)
    torch.manual_seed(0)
    composition = compose(config, facts, registry)
    networks = composition.networks.eval().requires_grad_(False)
    editor = composition.game.make_editor(networks, attributes=facts.attributes)
    if direction is not None:
        assert isinstance(editor, SynthesisEditor)
        normal = torch.zeros(editor.generator.style_dim, dtype=torch.float64)
        normal[0] = 1.0
        editor.set_directions({direction: Direction(normal, 0.0, normal, (-1.0, 1.0))})
    return LoadedRun(config, facts, editor, iteration=0)


def make_all_runs(methods: Sequence[str]) -> list[LoadedRun]:
    """Make a run of each method; StyleGAN2's gets a direction of `Smiling`."""
    return [make_untrained_run(method, "Smiling" if method == "stylegan2" else None) for method in methods]
