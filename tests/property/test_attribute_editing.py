"""The attribute-editing game: what the way back must restore."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoogan.composition import compose
from zoogan.config import ConfigError
from zoogan.games.config import EditingWeights
from zoogan.interfaces import Clock
from zoogan.plugins import zoo
from zoogan.testing.conformance import tiny_config, tiny_facts, trained
from zoogan.testing.tensors import noise

REGISTRY = zoo().registry
LABELS = st.lists(st.tuples(*[st.sampled_from([0.0, 1.0])] * 4), min_size=1, max_size=4)


def game_with(**weights: Any) -> Any:
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


WEIGHT = st.sampled_from([0.0, 0.05, 0.3, 1.0, 20.0])


@given(first=st.tuples(WEIGHT, WEIGHT, WEIGHT), last=st.tuples(WEIGHT, WEIGHT, WEIGHT), share=st.floats(0.0, 1.0))
def test_weights_move_in_equal_steps_to_their_ends(
    first: tuple[float, ...], last: tuple[float, ...], share: float
) -> None:
    names = ("attribute", "cycle", "identity")
    starts, ends = dict(zip(names, first)), dict(zip(names, last))
    weights = EditingWeights(**starts, final=ends)  # type: ignore[arg-type]
    assert weights.at(0.0) == {name: starts[name] for name in names if starts[name] or ends[name]}
    assert weights.at(1.0) == pytest.approx({name: ends[name] for name in weights.at(0.0)})
    for name, value in weights.at(share).items():
        assert value == pytest.approx((1 - share) * starts[name] + share * ends[name])
    assert EditingWeights(**starts).at(share) == {name: w for name, w in starts.items() if w}  # type: ignore[arg-type]


def test_a_training_ends_with_the_final_weights() -> None:
    game = game_with(attribute=0.5, final={"attribute": 0.0, "identity": 3.0})
    first, middle, last, after = (game.generator_weights(Clock(k, 11)) for k in (0, 5, 10, 12))
    assert (first["attribute"], middle["attribute"], last["attribute"]) == (0.5, 0.25, 0.0) and after == last
    assert last["identity"] == 3.0
    with pytest.raises(ConfigError, match=r"weights\.final\.cycles: no such setting, did you mean 'cycle'"):
        game_with(final={"cycles": 1.0})


def test_the_cycle_of_a_training_is_that() -> None:
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
