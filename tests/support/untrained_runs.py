"""Runs of untrained, tiny networks of every method, without a folder and without training."""

from __future__ import annotations

from functools import cache

import torch

from zoogan.composition.build import compose
from zoogan.editors import Direction, SynthesisEditor
from zoogan.facts import Facts
from zoogan.plugins.host import get_zoo
from zoogan.runs.loaded import LoadedRun
from zoogan.testing.conformance import make_tiny_config, make_tiny_facts


@cache
def make_untrained_run(method: str) -> LoadedRun:
    """Make a run of a method's smallest networks."""
    registry = get_zoo().registry
    config = make_tiny_config(method, registry, {"data": {"faces": 40, "held_out": 20, "workers": 0}})
    facts: Facts = make_tiny_facts(config)
    torch.manual_seed(0)
    composition = compose(config, facts, registry)
    networks = composition.networks.eval().requires_grad_(False)
    editor = composition.game.make_editor(networks, attributes=facts.attributes)
    return LoadedRun(config, facts, editor, iteration=0)


def set_direction(run: LoadedRun, name: str = "Smiling") -> None:
    """Give a run that makes faces a direction of an attribute."""
    assert isinstance(run.editor, SynthesisEditor)
    normal = torch.zeros(run.editor.generator.style_dim, dtype=torch.float64)
    normal[0] = 1.0
    run.editor.set_directions({name: Direction(normal, 0.0, normal, (-1.0, 1.0))})
