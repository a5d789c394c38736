"""The attribute-editing game: what the way back must restore."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoogan.composition import compose
from zoogan.plugins import zoo
from zoogan.testing.conformance import tiny_config, tiny_facts, trained
from zoogan.testing.tensors import noise

REGISTRY = zoo().registry
LABELS = st.lists(st.tuples(*[st.sampled_from([0.0, 1.0])] * 4), min_size=1, max_size=4)


def game_with(**weights: float) -> Any:
    config = tiny_config("sagan", REGISTRY, {"weights": weights, "data": {"attributes": ["Male", "Smiling"]}})
    return compose(config, tiny_facts(config), REGISTRY).game


@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@given(labels=LABELS)
def test_what_an_edit_took_away_counts_less(share: float, labels: list[tuple[float, ...]]) -> None:
    own, target = torch.tensor(labels).split(2, dim=1)
    image, cycled = noise(0, len(labels), 3, 4, 4), noise(1, len(labels), 3, 4, 4).requires_grad_()
    cost = game_with(cycle_lost=share).restored(cycled, image, own, target)
    lost = [any(wanted < had for wanted, had in zip(t, o)) for t, o in zip(target.tolist(), own.tolist())]
    by_hand = sum((share if gone else 1.0) * (cycled[k] - image[k]).abs().mean() for k, gone in enumerate(lost))
    torch.testing.assert_close(cost, torch.as_tensor(by_hand) / len(lost))
    cost.backward()
    assert cycled.grad is not None
    for gradient, gone in zip(cycled.grad, lost):
        assert bool(gradient.any()) is not (gone and share == 0)


def test_the_game_plays_it() -> None:
    """With no cycle for what is lost, a batch whose every face loses something has none."""
    sets: dict[str, Any] = {"weights": {"cycle": 10.0, "cycle_lost": 0.0}}
    trainer = trained(tiny_config("sagan", REGISTRY, sets), REGISTRY, 0)
    game: Any = trainer.game
    seen = []
    restored = game.restored
    game.restored = lambda *given: seen.append((given, restored(*given))) or seen[-1][1]  # type: ignore[func-returns-value]
    for _ in range(2):
        trainer.iterate()
    assert seen
    for (_, _, own, target), cost in seen:
        assert (cost == 0) == bool((target < own).any(1).all())
