"""Laws of domains: which ones attributes make, which one a face shows, and a person's words about them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoogan.conditions.domain import DomainCondition
from zoogan.config import use_component
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Draws, World
from zoogan.interfaces.source import find_domains, make_domain_names

pytestmark = pytest.mark.without_onednn

HAIR = ("Black_Hair", "Blond_Hair", "Brown_Hair")


def condition(attributes: tuple[str, ...] = HAIR, exclusive: tuple[tuple[str, ...], ...] | None = None) -> Any:
    groups = (attributes,) * (len(attributes) > 1) if exclusive is None else exclusive
    domains = make_domain_names(attributes, groups)
    return DomainCondition(
        use_component("condition", "domain"),
        Facts(image_size=32, attributes=attributes, exclusive=groups, domains=domains),
    )


def refused(words: Mapping[str, Any], attributes: tuple[str, ...] = HAIR, **options: Any) -> list[str]:
    with pytest.raises(ValueError) as caught:
        condition(attributes, **options).parse(words)
    return str(caught.value).splitlines()


# ---- domains of attributes ----

names = st.lists(st.text("abcde", min_size=1, max_size=4), min_size=1, max_size=5, unique=True).map(tuple)


@given(names, st.data())
def test_domains_follow_requested_attribute_order(group: tuple[str, ...], data: st.DataObject) -> None:
    asked = tuple(data.draw(st.permutations(group)))[: data.draw(st.integers(1, len(group)))]
    assert make_domain_names(asked, [("x", "y"), group]) == asked


@given(names)
def test_independent_attributes_make_no_domains(free: tuple[str, ...]) -> None:
    found = make_domain_names(free, ())
    assert found == ((f"no_{free[0]}", free[0]) if len(free) == 1 else ())


def test_negated_attributes_name_their_absence() -> None:
    assert make_domain_names(("Male",), ()) == ("Female", "Male")
    assert make_domain_names(("Eyeglasses",), (HAIR,)) == ("no_Eyeglasses", "Eyeglasses")
    assert make_domain_names(("Black_Hair", "Male"), (HAIR,)) == () == make_domain_names((), ())
    assert make_domain_names(("face",), (("face",),)) == ("face",), "a group of one is one domain, not two"


# ---- the domain of a face ----


@given(st.lists(st.integers(0, 4), min_size=1, max_size=9), st.integers(1, 5))
def test_one_hot_labels_map_to_their_domain(shown: list[int], k: int) -> None:
    index = torch.tensor(shown) % k
    labels = torch.nn.functional.one_hot(index, k).float()
    if k > 1:
        assert torch.equal(find_domains(labels, k), index)
    else:
        assert find_domains(labels, 1).tolist() == [0] * len(index)


@given(st.lists(st.integers(0, 1), min_size=1, max_size=9))
def test_single_attribute_makes_two_domains(values: list[int]) -> None:
    assert find_domains(torch.tensor(values).float()[:, None], 2).tolist() == values


@given(st.lists(st.lists(st.integers(0, 1), min_size=3, max_size=3), min_size=1, max_size=9))
def test_faces_with_no_or_several_labels_have_no_domain(rows: list[list[int]]) -> None:
    wanted = [row.index(1) if sum(row) == 1 else -1 for row in rows]
    assert find_domains(torch.tensor(rows).float(), 3).tolist() == wanted


def test_face_outside_single_domain_has_no_domain() -> None:
    assert find_domains(torch.tensor([[1.0], [0.0]]), 1).tolist() == [0, -1]


# ---- targets ----


def test_targets_are_reference_domains() -> None:
    own = torch.tensor([2, 0, 1])
    assert torch.equal(
        condition().draw_targets({"domain": own}, Draws(0, World.make_single(), 3, slice(None)))["domain"], own
    )


def test_attributes_without_domains_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"name one attribute .* or several that exclude .*; got Male, Bangs"):
        condition(("Male", "Bangs"), ())


# ---- words ----


@given(st.sampled_from(range(3)))
def test_domain_is_given_by_name_or_attribute(k: int) -> None:
    asked = [{"domain": HAIR[k]}, {HAIR[k]: 1}, {HAIR[k]: "on"}, {"domain": HAIR[k], HAIR[k]: "1"}]
    assert [condition().parse(words).domain for words in asked] == [k] * 4


def test_single_attribute_request_accepts_both_values() -> None:
    for words, domain in (
        ({"Male": 0}, 0), ({"Male": "off"}, 0), ({"domain": "Female"}, 0),
        ({"Male": True}, 1), ({"Male": " Yes "}, 1), ({"domain": "Male"}, 1),
    ):  # fmt: skip
        assert condition(("Male",)).parse(words).domain == domain
        assert condition(("Male",)).parse(words).reference is None


def test_domain_names_may_be_any_folder_name() -> None:
    folders = ("Katze 1", "größe", "日本")
    assert [condition(folders).parse({"domain": name}).domain for name in folders] == [0, 1, 2]
    assert condition(("Katze 1",), (("Katze 1",),)).parse({"Katze 1": 1}).domain == 0


def test_unknown_names_suggest_the_nearest() -> None:
    assert refused({"domain": "Blond_Hare"}) == [
        "domain: no domain is called 'Blond_Hare', did you mean 'Blond_Hair'?; known: " + ", ".join(HAIR)
    ]
    assert refused({"Blond_Hare": 1}) == [
        "Blond_Hare: this model does not know that attribute, did you mean 'Blond_Hair'?; it knows domain, "
        + ", ".join(HAIR)
    ]


@pytest.mark.parametrize("word", [0.5, "0.5", 2, "nan", "perhaps", None])
def test_domain_values_must_be_zero_or_one(word: Any) -> None:
    assert refused({"Blond_Hair": word}) == [
        f"Blond_Hair: a face shows it or not: expected 0 or 1, got {word!r} (strength makes an edit weaker)"
    ]


def test_leaving_a_domain_needs_a_target_domain() -> None:
    assert refused({"Blond_Hair": 0}) == [
        "Blond_Hair: say which of Black_Hair, Blond_Hair, Brown_Hair to show instead, not which to leave"
    ]
    assert refused({"face": 0}, ("face",), exclusive=(("face",),)) == [
        "face: it is the one domain of this model, so every edit shows it"
    ]


def test_request_needs_exactly_one_domain() -> None:
    assert refused({}) == ["expected one domain out of Black_Hair, Blond_Hair, Brown_Hair"]
    assert refused({"domain": "Black_Hair", "Brown_Hair": 1}) == [
        "expected one domain out of Black_Hair, Blond_Hair, Brown_Hair; Black_Hair and Brown_Hair are asked for"
    ]


def test_all_problems_are_reported_at_once() -> None:
    lines = refused({"domain": "Gold", "Beard": 1, "Black_Hair": "x", "Brown_Hair": 0})
    assert [line.split(":")[0] for line in lines] == ["domain", "Beard", "Black_Hair", "Brown_Hair"]
