"""Colours of segmentations: one colour a class, whatever else is on the picture."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoogan.pictures.palette import choose_colours, colour_segmentation


@given(st.integers(1, 60))
def test_palette_colours_are_distinct(classes: int) -> None:
    made = choose_colours(classes)
    assert len(made) == len(set(made)) == classes
    assert made == choose_colours(classes + 5)[:classes], "a part keeps its colour where others join it"
    assert all(0 <= level <= 255 for colour in made for level in colour)


@given(st.integers(1, 30), st.integers(0, 1000))
def test_palette_image_round_trip(classes: int, seed: int) -> None:
    segmentation = torch.randint(classes, (2, 3, 5), generator=torch.Generator().manual_seed(seed))
    picture = colour_segmentation(segmentation, classes)
    told = {colour: k for k, colour in enumerate(choose_colours(classes))}
    read = [told[tuple(pixel)] for pixel in picture.permute(0, 2, 3, 1).reshape(-1, 3).tolist()]
    assert read == segmentation.flatten().tolist()
    assert torch.equal(colour_segmentation(segmentation.byte(), classes), picture)


def test_palette_face_colours_are_far_apart() -> None:
    pairs = [(a, b) for k, a in enumerate(choose_colours(19)) for b in choose_colours(19)[:k]]
    assert min(sum(abs(p - q) for p, q in zip(a, b)) for a, b in pairs) >= 100


@pytest.mark.parametrize(
    ("value", "classes", "told"), [(3, 3, "0 to 2, got 0 to 3"), (-1, 3, "got -1"), (0, 0, "got 0")]
)
def test_palette_refuses_unknown_classes(value: int, classes: int, told: str) -> None:
    segmentation = torch.zeros(1, 2, 2, dtype=torch.int64)
    segmentation[0, 0, 0] = value
    with pytest.raises(ValueError, match=told):
        colour_segmentation(segmentation, classes)
