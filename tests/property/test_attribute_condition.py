"""Laws of attribute targets and of a person's words about them."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from zoogan.conditions.attributes import AttributeCondition
from zoogan.conditions.config import AttributesConfig
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Draws, Request, World

pytestmark = pytest.mark.without_onednn

NAMES = ("Male", "Black_Hair", "Blond_Hair", "Brown_Hair", "Bald", "Bangs", "Eyeglasses")
GROUPS = (("Black_Hair", "Blond_Hair", "Brown_Hair", "Bald"), ("Bald", "Bangs"))
FACTS = Facts(image_size=64, attributes=NAMES, exclusive=GROUPS)
MEMBERS = [[NAMES.index(name) for name in group] for group in GROUPS]


def condition(draw: str = "flip", facts: Facts = FACTS) -> AttributeCondition:
    return AttributeCondition(AttributesConfig(draw=draw), facts)


def draws(seed: int, rows: int, rank: int = 0, size: int = 1) -> Draws:
    world = World()
    world.rank, world.size = rank, size
    return Draws(seed, world, rows, slice(None))


def lawful(target: Tensor) -> bool:
    return all(int(target[:, group].sum(1).max()) <= 1 for group in MEMBERS)


@st.composite
def faces(draw: st.DrawFn) -> Tensor:
    """Own labels (n, 7) with at most one of each group, as a source that knows its groups gives them."""
    rows = []
    for _ in range(draw(st.integers(1, 6))):
        row = [draw(st.integers(0, 1)) for _ in NAMES]
        for group in MEMBERS:
            kept = [i for i in group if row[i]][:1]
            for i in group:
                row[i] = int(i in kept)
        rows.append(row)
    return torch.tensor(rows, dtype=torch.float32)


seeds = st.integers(0, 2**32)


@given(faces(), seeds)
def test_flip_changes_one_attribute_and_its_exclusive_group(own: Tensor, seed: int) -> None:
    assume(lawful(own))
    target = condition("flip").draw_targets({"attributes": own}, draws(seed, len(own)))["attributes"]
    assert lawful(target)
    for before, after in zip(own, target):
        changed = (before != after).nonzero().flatten().tolist()
        risen = [i for i in changed if after[i] == 1]
        assert changed and len(risen) <= 1
        rivals = {j for group in MEMBERS for i in risen if i in group for j in group}
        assert len(changed) == 1 or set(changed) <= rivals


def test_flip_chooses_attributes_uniformly() -> None:
    own = torch.zeros(7000, len(NAMES))
    target = condition("flip").draw_targets({"attributes": own}, draws(0, len(own)))["attributes"]
    assert (target.sum(1) == 1).all() and (target.mean(0) - 1 / len(NAMES)).abs().max() < 0.02


@given(st.lists(st.integers(0, 1), min_size=1, max_size=9), seeds)
def test_flip_of_single_attribute_is_its_opposite(values: list[int], seed: int) -> None:
    own = torch.tensor(values, dtype=torch.float32)[:, None]
    single = condition("flip", Facts(image_size=64, attributes=("Eyeglasses",)))
    assert torch.equal(single.draw_targets({"attributes": own}, draws(seed, len(own)))["attributes"], 1 - own)


@given(faces(), seeds)
def test_permute_reorders_existing_labels(own: Tensor, seed: int) -> None:
    target = condition("permute").draw_targets({"attributes": own}, draws(seed, len(own)))["attributes"]
    assert sorted(target.tolist()) == sorted(own.tolist())


def test_uniform_targets_respect_exclusive_groups() -> None:
    own = torch.zeros(8000, len(NAMES))
    target = condition("uniform").draw_targets({"attributes": own}, draws(0, len(own)))["attributes"]
    assert lawful(target)
    shares = dict(zip(NAMES, target.mean(0).tolist()))
    assert abs(shares["Male"] - 0.5) < 0.03 and abs(shares["Eyeglasses"] - 0.5) < 0.03
    hair = [shares[name] for name in GROUPS[0][:3]]
    assert max(hair) - min(hair) < 0.03 and min(hair) > 0.15


def test_exclusive_group_tie_keeps_one_attribute() -> None:
    chosen = draws(0, 1)
    chosen.injected = {"attributes": torch.zeros(1, len(NAMES)), "rank": torch.full((1, len(NAMES)), 0.5)}
    target = condition("uniform").draw_targets({"attributes": torch.zeros(1, len(NAMES))}, chosen)["attributes"]
    assert lawful(target) and target[0, 0] == 1


@pytest.mark.parametrize("draw", ["flip", "uniform"])
def test_targets_of_processes_equal_joint_batch(draw: str) -> None:
    own = (torch.arange(8 * len(NAMES)).view(8, -1) % 3 == 0).float() * torch.tensor([1.0, 1, 0, 0, 0, 1, 1])
    joint = condition(draw).draw_targets({"attributes": own}, draws(5, 8))["attributes"]
    parts = [condition(draw).draw_targets({"attributes": own[r * 4 : r * 4 + 4]}, draws(5, 4, r, 2)) for r in range(2)]
    assert torch.equal(torch.cat([part["attributes"] for part in parts]), joint)


@pytest.mark.parametrize("draw", ["flip", "permute", "uniform"])
def test_targets_on_meta_device_have_shapes(draw: str) -> None:
    own = torch.empty(4, len(NAMES), device="meta")
    one = condition(draw)
    for show_one in (False, True):
        if show_one:
            one.require_exactly_one()
        target = one.draw_targets({"attributes": own}, draws(0, 4))["attributes"]
        assert target.is_meta and target.shape == own.shape and target.dtype == own.dtype


@given(st.dictionaries(st.sampled_from(("Male", "Eyeglasses", "Bangs")), st.floats(0, 1)))
def test_attribute_values_accept_numbers_and_words(values: dict[str, float]) -> None:
    spoken = {name: repr(value) for name, value in values.items()}
    assert dict(condition().parse(values).attributes) == values == dict(condition().parse(spoken).attributes)


def test_attribute_value_words_are_parsed() -> None:
    words = {"Male": "on", "Eyeglasses": " Yes ", "Bald": True, "Bangs": "FALSE", "Black_Hair": "no"}
    assert dict(condition().parse(words).attributes) == {
        "Male": 1, "Eyeglasses": 1, "Bald": 1, "Bangs": 0, "Black_Hair": 0,
    }  # fmt: skip


def test_request_problems_are_all_reported_at_once() -> None:
    words = {"Eyeglases": 1, "Male": 2, "Bald": "nan", "Bangs": -0.1, "Black_Hair": 1, "Brown_Hair": "on"}
    with pytest.raises(ValueError) as caught:
        condition().parse(words)
    lines = str(caught.value).splitlines()
    assert [line.split(":")[0] for line in lines[:4]] == ["Eyeglases", "Male", "Bald", "Bangs"]
    assert "did you mean 'Eyeglasses'" in lines[0] and "got 2" in lines[1] and "got 'nan'" in lines[2]
    assert "got -0.1" in lines[3]
    assert lines[4:] == ["Black_Hair and Brown_Hair exclude each other; set one of them"]


@given(faces(), st.dictionaries(st.sampled_from(NAMES), st.sampled_from([0.0, 0.3, 1.0])))
def test_request_sets_attributes_and_clears_exclusive_ones(own: Tensor, values: dict[str, float]) -> None:
    assume(lawful(own))
    try:
        request = condition().parse(values)
    except ValueError:
        assume(False)
    before = own.clone()
    target = condition().apply_request(own, request)["attributes"]
    assert torch.equal(own, before)
    cleared = {j for g in MEMBERS for i in g if values.get(NAMES[i], 0) == 1 for j in g}
    for i, name in enumerate(NAMES):
        expected = values.get(name, 0.0 if i in cleared else None)
        assert torch.equal(target[:, i], own[:, i] if expected is None else torch.full_like(own[:, i], expected))


@given(faces())
def test_sweep_equals_stargan_test_mode(own: Tensor) -> None:
    """Hair colours are set, the other selected ones cleared; all else is flipped (solver.py)."""
    hair = [1, 2, 3]
    facts = Facts(image_size=64, attributes=NAMES[:4], exclusive=(NAMES[1:4],))
    edits = condition("permute", facts).list_single_edits(own[:, :4])
    assert [caption for caption, _ in edits] == list(NAMES[:4])
    for i, (_, targets) in enumerate(edits):
        expected = own[:, :4].clone()
        if i in hair:
            expected[:, i] = 1
            for j in hair:
                if j != i:
                    expected[:, j] = 0
        else:
            expected[:, i] = 1 - expected[:, i]
        assert torch.equal(targets["attributes"], expected)


HAPPY = ("angry", "happy", "sad", "Eyeglasses")


def declared(*groups: tuple[str, ...], known: tuple[tuple[str, ...], ...] = ()) -> AttributeCondition:
    facts = Facts(image_size=64, attributes=HAPPY, exclusive=known)
    return AttributeCondition(AttributesConfig(exclusive=groups), facts)


def test_declared_groups_exclude_like_source_groups() -> None:
    own = torch.tensor([[1.0, 0.0, 0.0, 1.0]])
    told = declared(HAPPY[:3], known=(("angry", "happy"),))
    assert told.groups == (HAPPY[:3],)  # the source's pair says nothing more
    assert told.apply_request(own, told.parse({"sad": 1}))["attributes"].tolist() == [[0, 0, 1, 1]]
    assert [targets["attributes"][0].tolist() for _, targets in told.list_single_edits(own)] == [
        [1, 0, 0, 1], [0, 1, 0, 1], [0, 0, 1, 1], [1, 0, 0, 0],
    ]  # fmt: skip
    with pytest.raises(ValueError, match="happy and sad exclude each other"):
        told.parse({"happy": 1, "sad": 1})
    both = declared(HAPPY[1:3], known=(("angry", "happy"),))  # groups may share a member
    assert both.apply_request(own, both.parse({"happy": 1}))["attributes"].tolist() == [[0, 1, 0, 1]]
    assert both.apply_request(own, both.parse({"sad": 1}))["attributes"].tolist() == [[1, 0, 1, 1]]


@given(st.integers(2, 5).flatmap(lambda a: st.lists(st.tuples(*[st.integers(0, 1)] * a), min_size=1)), seeds)
def test_softmax_flip_targets_another_label(labels: list[tuple[int, ...]], seed: int) -> None:
    own = torch.tensor(labels, dtype=torch.float32)
    facts = Facts(image_size=64, attributes=NAMES[: own.shape[1]])
    for draw in ("flip", "uniform"):
        one = condition(draw, facts)
        one.require_exactly_one()
        assert one.groups == (facts.attributes,)
        target = one.draw_targets({"attributes": own}, draws(seed, len(own)))["attributes"]
        assert target.dtype == own.dtype and set(target.flatten().tolist()) <= {0, 1} and (target.sum(1) == 1).all()
        shows_all = own.all(1)
        assert draw == "uniform" or not ((target * own).sum(1) > 0)[~shows_all].any()


@pytest.mark.parametrize("draw", ["flip", "uniform"])
def test_softmax_targets_are_uniform(draw: str) -> None:
    one = condition(draw, Facts(image_size=64, attributes=NAMES[:4]))
    one.require_exactly_one()
    own = torch.eye(4)[torch.arange(8000) % 4]
    target = one.draw_targets({"attributes": own}, draws(0, len(own)))["attributes"]
    assert (target.mean(0) - 1 / 4).abs().max() < 0.02
    of_first = target[::4].mean(0)
    assert (of_first - (torch.tensor([0, 1, 1, 1]) / 3 if draw == "flip" else 1 / 4)).abs().max() < 0.04


def test_exclusive_names_form_one_group_or_are_reported() -> None:
    assert AttributesConfig.model_validate({"exclusive": ["a", "b"]}).exclusive == (("a", "b"),)
    assert AttributesConfig.model_validate({"exclusive": [["a", "b"], ["c", "d"]]}).exclusive == (
        ("a", "b"),
        ("c", "d"),
    )
    with pytest.raises(ValueError, match="at least 2"):
        AttributesConfig.model_validate({"exclusive": ["a"]})
    with pytest.raises(ConfigError) as caught:
        declared(("angry", "hapy"), ("sad", "cross"))
    first, second = str(caught.value).splitlines()
    assert "condition.exclusive: 'hapy'" in first and "did you mean 'happy'" in first and "'cross'" in second


def test_empty_request_keeps_labels() -> None:
    own = torch.eye(len(NAMES))
    assert torch.equal(condition().apply_request(own, Request())["attributes"], own)
