"""Requests of latent decomposition: attributes, how much of the offset, steps that refine it, and a template."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from zoogan.conditions.decomposition import DecompositionCondition

pytestmark = pytest.mark.without_onednn


def make_condition(templates: int = 8) -> DecompositionCondition:
    """Make a condition that knows masks and glasses."""
    condition = DecompositionCondition()
    condition.names, condition.templates = ("Face_Mask", "Eyeglasses"), templates
    return condition


@given(st.floats(0, 1), st.floats(0, 5), st.integers(0, 7), st.integers(0, 10_000))
def test_request_words_are_read_as_typed(value, offset, template, refine):
    words = {"Face_Mask": str(value), "offset": str(offset), "template": str(template), "refine": str(refine)}
    request = make_condition().parse(words)
    assert request.attributes == {"Face_Mask": value}
    assert (request.offset, request.template, request.refine) == (offset, template, refine)


def test_request_without_words_takes_all_of_the_offset():
    request = make_condition().parse({"Eyeglasses": 1})
    assert request.offset == 1 and request.template is None and request.refine == 0


@given(st.one_of(st.floats(max_value=-1e-9), st.just(float("nan")), st.just(float("inf")), st.just("much")))
def test_offset_out_of_range_is_refused(offset):
    with pytest.raises(ValueError, match="offset: expected a number from 0"):
        make_condition().parse({"Face_Mask": 1, "offset": offset})


def test_all_mistakes_are_told_at_once():
    with pytest.raises(ValueError) as error:
        make_condition().parse({"Face_Maks": 1, "offset": -1, "refine": -1, "template": 8})
    message = str(error.value)
    assert "did you mean 'Face_Mask'" in message
    assert "refine: expected a number of steps from 0 to 10000, got -1" in message
    assert "offset: expected" in message and "template: expected a whole number from 0 to 7, got 8" in message


def test_template_without_templates_is_refused():
    with pytest.raises(ValueError, match="no templates: leave it out"):
        make_condition(0).parse({"Face_Mask": 1, "template": 0})
    with pytest.raises(ValueError, match="no templates to descend towards"):
        make_condition(0).parse({"Face_Mask": 1, "refine": 5})
