"""What latent decomposition compares, and the faces that it starts from."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, cast

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from zoogan.editors import Direction, make_basis
from zoogan.editors.decomposition import Decomposition, compare_with_composite, widen_mask
from zoogan.interfaces import Composite, GeometryReading

SEEDS = st.integers(0, 2**16)


def draw(seed: int, *shape: int) -> Tensor:
    """Draw normal numbers."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def make_composite(seed: int) -> tuple[Tensor, Composite]:
    """Make faces, and composites that differ from them inside a square."""
    face, mask = draw(seed, 2, 3, 16, 16), torch.zeros(2, 1, 16, 16)
    mask[:, :, 4:9, 5:11] = 1
    return face, Composite(face * (1 - mask) + mask * draw(seed + 1, 2, 3, 16, 16), mask)


@given(SEEDS)
def test_edit_that_is_the_composite_costs_nothing(seed):
    face, composite = make_composite(seed)
    assert all(
        float(term.abs().max()) == 0 for term in compare_with_composite(composite.image, face, composite).values()
    )


@given(SEEDS, st.floats(0.1, 2))
def test_change_outside_costs_outside_and_not_inside(seed, change):
    face, composite = make_composite(seed)
    edited = composite.image + change * (1 - widen_mask(composite.mask))
    terms = compare_with_composite(edited, face, composite)
    away = float((1 - widen_mask(composite.mask)).mean())
    assert terms["inside"].tolist() == [0, 0]
    assert terms["outside"].tolist() == pytest.approx([change * away] * 2, rel=1e-4)


@given(SEEDS, st.floats(0.1, 2))
def test_inside_is_a_mean_over_the_template_whatever_its_size(seed, change):
    face, composite = make_composite(seed)
    terms = compare_with_composite(composite.image + change * composite.mask, face, composite)
    assert terms["inside"].tolist() == pytest.approx([change] * 2, rel=1e-4)
    assert terms["outside"].tolist() == [0, 0]


def test_soft_edge_of_a_template_is_not_outside():
    face, composite = make_composite(0)
    edge = widen_mask(composite.mask) - composite.mask
    terms = compare_with_composite(composite.image + edge, face, composite)
    assert float(edge.sum()) > 0 and not terms["outside"].any() and bool((terms["scales"] > 0).all())


def test_first_latent_without_the_attribute_is_chosen():
    normal = torch.tensor([1.0, 0.0], dtype=torch.float64)
    plane = Direction(normal, -0.5, normal, (-1.0, 1.0))
    parts: Any = SimpleNamespace(directions={"Hat": plane}, get_basis=lambda device: make_basis({"Hat": plane}, device))
    latents = torch.tensor([
        [[2.0, 0.0], [0.4, 1.0], [-3.0, 2.0]],  # the second is the first below 0.5
        [[0.0, 0.0], [-1.0, 1.0], [-2.0, 2.0]],
        [[1.0, 0.0], [2.0, 1.0], [3.0, 2.0]],  # none: the first
    ])  # fmt: skip
    chosen = Decomposition.choose_latents(cast(Decomposition, parts), latents, torch.zeros(3, dtype=torch.long))
    assert torch.equal(chosen, torch.tensor([[0.4, 1.0], [0.0, 0.0], [1.0, 0.0]]))


def test_composites_are_asked_for_by_the_numbers_of_the_compositor():
    asked: list[Tensor] = []

    def compose(face: Tensor, attribute: Tensor, template: Tensor, placement: Tensor | None) -> Composite:
        asked.append(attribute)
        return Composite(face, torch.ones_like(face[:, :1]))

    known = SimpleNamespace(
        attributes=("Eyeglasses", "Face_Mask"), has_templates=True, reads_geometry=False, geometry=None,
        compositor=SimpleNamespace(
            attributes=("Face_Mask", "Wearing_Hat", "Eyeglasses"), needs_placement=False, compose=compose
        ),
    )  # fmt: skip
    faces, numbers = draw(0, 3, 3, 16, 16), torch.tensor([0, 1, 0])
    Decomposition.compose(cast(Any, known), faces, numbers, torch.zeros(3).long(), GeometryReading())
    assert asked[0].tolist() == [2, 0, 2]
