"""The attribute-editing game: what the way back must restore."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoogan.composition.build import compose
from zoogan.errors import ConfigError
from zoogan.games.config import EditingWeights
from zoogan.interfaces import Clock, Draws, World
from zoogan.plugins.host import get_zoo
from zoogan.testing.conformance import make_tiny_config, make_tiny_facts, train_on_random_batches
from zoogan.testing.tensors import make_noise

REGISTRY = get_zoo().registry
LABELS = st.lists(st.tuples(*[st.sampled_from([0.0, 1.0])] * 4), min_size=1, max_size=4)


def game_with(**weights: Any) -> Any:
    config = make_tiny_config("sagan", REGISTRY, {"weights": weights, "data": {"attributes": ["Male", "Smiling"]}})
    return compose(config, make_tiny_facts(config), REGISTRY).game


@pytest.mark.slow
@pytest.mark.parametrize("share", [0.0, 0.3, 1.0])
@given(labels=LABELS)
def test_cycle_loss_weighs_lost_attributes_less(share: float, labels: list[tuple[float, ...]]) -> None:
    own, target = torch.tensor(labels).split(2, dim=1)
    image, cycled = make_noise(0, len(labels), 3, 4, 4), make_noise(1, len(labels), 3, 4, 4).requires_grad_()
    cost = game_with(cycle_lost=share).cycle_loss(cycled, image, own, target)
    lost = [any(wanted < had for wanted, had in zip(t, o)) for t, o in zip(target.tolist(), own.tolist())]
    by_hand = sum((share if gone else 1.0) * (cycled[k] - image[k]).abs().mean() for k, gone in enumerate(lost))
    torch.testing.assert_close(cost, torch.as_tensor(by_hand) / len(lost))
    cost.backward()
    assert cycled.grad is not None
    for gradient, gone in zip(cycled.grad, lost):
        assert bool(gradient.any()) is not (gone and share == 0)


WEIGHT = st.sampled_from([0.0, 0.05, 0.3, 1.0, 20.0])


@given(first=st.tuples(WEIGHT, WEIGHT, WEIGHT), last=st.tuples(WEIGHT, WEIGHT, WEIGHT), share=st.floats(0.0, 1.0))
def test_term_weights_move_linearly_to_final_values(
    first: tuple[float, ...], last: tuple[float, ...], share: float
) -> None:
    names = ("attribute", "cycle", "identity")
    starts, ends = dict(zip(names, first)), dict(zip(names, last))
    weights = EditingWeights(**starts, final=ends)  # type: ignore[arg-type]
    assert weights.compute_at(0.0) == {name: starts[name] for name in names if starts[name] or ends[name]}
    assert weights.compute_at(1.0) == pytest.approx({name: ends[name] for name in weights.compute_at(0.0)})
    for name, value in weights.compute_at(share).items():
        assert value == pytest.approx((1 - share) * starts[name] + share * ends[name])
    assert EditingWeights(**starts).compute_at(share) == {name: w for name, w in starts.items() if w}  # type: ignore[arg-type]


def test_training_ends_with_final_weights() -> None:
    game = game_with(attribute=0.5, final={"attribute": 0.0, "identity": 3.0})
    first, middle, last, after = (game.get_generator_weights(Clock(k, 11)) for k in (0, 5, 10, 12))
    assert (first["attribute"], middle["attribute"], last["attribute"]) == (0.5, 0.25, 0.0) and after == last
    assert last["identity"] == 3.0
    with pytest.raises(ConfigError, match=r"weights\.final\.cycles: no such setting, did you mean 'cycle'"):
        game_with(final={"cycles": 1.0})


def test_stuck_mask_is_reported_once() -> None:
    game = game_with()
    assert [game.suggest_remedy({"mask": 0.001, "change": 0.001}, n, n) for n in (1000, 3000, 5999)] == [None] * 3
    assert "lower weights.identity" in game.suggest_remedy({"mask": 0.001, "change": 0.001}, 6000, 6000)
    assert (
        game.suggest_remedy({"mask": 0.5, "change": 0.001}, 6100, 6100) is None
    )  # it moved, and the count begins anew
    assert [game.suggest_remedy({"mask": 0.99}, n, n) for n in (6200, 11_199)] == [None] * 2
    assert game.suggest_remedy({}, 11_200, 11_200) is None  # the generator did not play
    assert "raise weights.identity" in game.suggest_remedy({"mask": 0.99}, 11_300, 11_300)
    assert game.suggest_remedy({"mask": 0.001}, 11_400, 11_400) is None  # from one extreme to the other


def test_faint_edits_are_reported_after_warm_up() -> None:
    game = game_with()
    assert game.suggest_remedy({"change": 0.001}, 80_000, 4999) is None
    assert "change almost nothing" in game.suggest_remedy({"change": 0.001}, 80_000, 5000)
    assert game.suggest_remedy({"change": 0.02}, 80_000, 5000) is None and game.suggest_remedy({}, 80_000, 5000) is None


@pytest.mark.parametrize(
    ("draw", "batch", "accumulate", "told"),
    [("permute", 1, 1, True), ("permute", 2, 1, False), ("permute", 1, 2, False), ("flip", 1, 1, False)],
)
def test_permute_with_batch_of_one_warns(draw: str, batch: int, accumulate: int, told: bool) -> None:
    sets = {"data": {"batch": batch}, "training": {"accumulate": accumulate}, "condition": {"draw": draw}}
    config = make_tiny_config("stargan", REGISTRY, sets)
    notes = compose(config, make_tiny_facts(config), REGISTRY).game.list_warnings()
    assert bool(notes) is told and all("condition.draw=flip" in note and "data.batch" in note for note in notes)


@pytest.mark.parametrize(
    ("sees", "names", "captions"),
    [
        (False, ["Male"], ["Male=1", "Male=0", "mask"]),
        (False, ["Male", "Smiling"], ["Male", "Smiling", "mask"]),
        (True, ["Male", "Smiling"], ["Male", "Smiling", "mask Male", "mask Smiling"]),
    ],
)
def test_sheet_shows_each_mask_once(sees: bool, names: list[str], captions: list[str]) -> None:
    config = make_tiny_config(
        "sagan", REGISTRY, {"generator": {"mask_sees_label": sees}, "data": {"attributes": names}}
    )
    composition = compose(config, make_tiny_facts(config), REGISTRY)
    editor = composition.game.make_editor(composition.networks.eval(), attributes=tuple(names))
    image = make_noise(0, 2, 3, 16, 16).clamp(-1, 1)
    columns = editor.make_columns(image, torch.tensor([[0.0] * len(names), [1.0] * len(names)]))
    assert [column.caption for column in columns] == captions
    for column in columns:
        assert column.images.shape == image.shape and column.images.abs().max() <= 1


def test_training_uses_weighted_cycle_loss() -> None:
    """With no cycle for what is lost, a batch whose every face loses something has none."""
    sets: dict[str, Any] = {"weights": {"cycle": 10.0, "cycle_lost": 0.0}}
    trainer = train_on_random_batches(make_tiny_config("sagan", REGISTRY, sets), REGISTRY, 0)
    game: Any = trainer.game
    seen = []
    restored = game.cycle_loss
    game.cycle_loss = lambda *given: seen.append((given, restored(*given))) or seen[-1][1]  # type: ignore[func-returns-value]
    for _ in range(2):
        trainer.iterate()
    assert seen
    for (_, _, own, target), cost in seen:
        assert (cost == 0) == bool((target < own).any(1).all())


def test_softmax_target_is_never_empty() -> None:
    sets: dict[str, Any] = {"classification": {"use": "softmax"}, "condition": {"draw": "flip"}}
    config = make_tiny_config("stargan", REGISTRY, sets | {"data": {"attributes": ["Male", "Smiling", "Bangs"]}})
    game: Any = compose(config, make_tiny_facts(config), REGISTRY).game
    own = torch.eye(3).repeat(20, 1)
    target = game.draw_targets({"source": {"attributes": own}}, Draws(0, World.make_single(), 60, slice(None)))[
        "attributes"
    ]
    assert (target.sum(1) == 1).all() and not (target * own).any()
    with pytest.raises(ConfigError, match=r"classification.use=softmax .* \(got Male alone\): name two or more"):
        alone = make_tiny_config("stargan", REGISTRY, sets | {"data": {"attributes": ["Male"]}})
        compose(alone, make_tiny_facts(alone), REGISTRY)
