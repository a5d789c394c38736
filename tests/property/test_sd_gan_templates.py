"""Laws of layers of worn things, of placed templates and of compositors."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from support.part_oracle import PartOracle
from zoogan.data import (
    LAYER_ATTRIBUTES,
    PLACEMENT,
    STANDARD_PLACEMENT,
    DrawnFaces,
    Traits,
    draw_layer,
    read_placement,
    set_placement,
)
from zoogan.plugins import Facts
from zoogan_sd_gan.compositor_config import TemplateCompositorConfig
from zoogan_sd_gan.compositors import SURFACE_OF, TemplateCompositor
from zoogan_sd_gan.geometry import HeadGeometry, draw_geometry
from zoogan_sd_gan.placement import SURFACES, WEARER, PlacedHead, sample_template
from zoogan_sd_gan.reader import make_untrained_reader
from zoogan_sd_gan.templates import draw_frontal_templates

brief = settings(max_examples=5, deadline=None)
SIZE = 24
FACES = DrawnFaces(SIZE)
FACTS = Facts(image_size=SIZE, attributes=LAYER_ATTRIBUTES)
COMPOSITOR = TemplateCompositor(TemplateCompositorConfig(count=3), FACTS)


def draw_inputs(n: int, seed: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor]:
    """Draw faces, attributes, templates and placements."""
    draws = torch.Generator().manual_seed(seed)
    face = torch.randn(n, 3, SIZE, SIZE, generator=draws)
    attribute = torch.randint(len(LAYER_ATTRIBUTES), (n,), generator=draws)
    template = torch.randint(3, (n,), generator=draws)
    return face, attribute, template, read_placement(FACES.draw_traits(range(seed, seed + n)))


# ---- layers ----


def measure_difference(bare: torch.Tensor, layer: torch.Tensor, worn: torch.Tensor) -> float:
    """Measure the largest difference from the redraw, where the bare picture is not cut off at white or black."""
    laid = (bare * (1 - layer[:, 3:]) + layer[:, :3]).clamp(0, 1)
    return float((laid - worn).abs()[(bare > 0) & (bare < 1)].max())


@pytest.mark.parametrize("name", ["Eyeglasses", "Wearing_Earrings"])
def test_layer_over_bare_face_equals_the_redraw(name):
    numbers = range(40)
    plain = {"Eyeglasses": 0, "Wearing_Earrings": 0}  # both are painted last
    bare = FACES.redraw(numbers, **plain).image.float() / 255
    worn = FACES.redraw(numbers, **plain | {name: 1}).image.float() / 255
    layer = draw_layer(name, FACES.draw_traits(numbers, **plain | {name: 1}), SIZE)
    assert measure_difference(bare, layer, worn) < 1.1 / 255  # both pictures are rounded
    assert (bare - worn).abs().max() > 0.2


def test_mask_over_bald_beardless_face_equals_the_redraw():
    numbers = range(40)
    plain = {"Eyeglasses": 0, "Wearing_Earrings": 0, "Wearing_Hat": 0, "Bald": 1, "No_Beard": 1, "Male": 0,
             "Smiling": 0, "Mouth_Slightly_Open": 0}  # fmt: skip
    bare, worn = (FACES.redraw(numbers, **plain, Face_Mask=k).image.float() / 255 for k in (0, 1))
    layer = draw_layer("Face_Mask", FACES.draw_traits(numbers, **plain, Face_Mask=1), SIZE)
    assert measure_difference(bare, layer, worn) < 1.1 / 255


@pytest.mark.parametrize("name", LAYER_ATTRIBUTES)
def test_layer_is_empty_where_alpha_is_and_in_range(name):
    layer = draw_layer(name, FACES.draw_traits(range(20), **{name: 1}), SIZE)
    assert layer.min() >= 0 and layer[:, 3].max() <= 1 and (layer[:, :3].amax(1)[layer[:, 3] == 0] == 0).all()
    assert layer[:, 3].amax((1, 2)).mean() > 0.5


def test_layer_of_unknown_attribute_is_refused():
    with pytest.raises(ValueError, match="did you mean 'Face_Mask'"):
        draw_layer("Face_Masks", FACES.draw_traits([0]), SIZE)


def test_placement_written_back_draws_the_same_layer():
    traits = FACES.draw_traits(range(8), Face_Mask=1)
    moved = set_placement(traits, read_placement(traits))
    layers = [draw_layer("Face_Mask", t, SIZE) for t in (traits, moved)]
    assert (layers[0] - layers[1]).abs().max() < 1e-3
    assert torch.equal(read_placement(moved), read_placement(traits))


# ---- placed templates ----


@pytest.mark.parametrize(("name", "overlap"), [("Face_Mask", 0.92), ("Eyeglasses", 0.91), ("Wearing_Hat", 0.85)])
def test_own_template_at_true_place_covers_the_layer(name, overlap):
    traits = FACES.draw_traits(range(60), **{name: 1})
    true = draw_layer(name, traits, SIZE)[:, 3]
    rgba, numbers = draw_frontal_templates(name, traits, SIZE)
    wearer = Traits({key: column.view(-1, 1, 1) for key, column in zip(WEARER, numbers.unbind(1), strict=True)})
    point = SURFACES[SURFACE_OF[name]](PlacedHead(read_placement(traits), SIZE), wearer)
    placed = sample_template(rgba.float() / 255, point)[:, 3]
    ratio = torch.minimum(true, placed).sum((1, 2)) / torch.maximum(true, placed).sum((1, 2))
    assert ratio.mean() > overlap


@pytest.mark.parametrize("name", SURFACES)
def test_surface_shows_a_template_once(name):
    values = [
        {**STANDARD_PLACEMENT, "yaw_sin": yaw, "scale": 0.6}[key] for yaw in (-0.55, 0, 0.55) for key in PLACEMENT
    ]
    head = PlacedHead(torch.tensor(values).view(3, -1), 96)
    wearer = Traits({key: torch.full((3, 1, 1), value) for key, value in zip(WEARER, (0.43, 0.635, 0.2, 0.195, 0.37))})
    point = SURFACES[name](head, wearer)
    row = point.x[:, 40]
    seen = (point.cover[:, 40] > 0)[:, 1:] & (point.cover[:, 40] > 0)[:, :-1] & (row[:, 1:].abs() < 0.42)
    assert ((row[:, 1:] - row[:, :-1])[seen] > 0).all() and seen.any()  # rising: no part of it comes back


# ---- compositors ----


@brief
@given(st.integers(2, 5), st.integers(0, 1000))
def test_composite_is_in_range_deterministic_and_local(n, seed):
    inputs = draw_inputs(n, seed)
    image, mask = COMPOSITOR.compose(*inputs)
    assert mask.min() >= 0 and mask.max() <= 1 and mask.shape == (n, 1, SIZE, SIZE) and image.shape == inputs[0].shape
    clear = (mask == 0).expand_as(image)
    assert clear.any() and torch.equal(image[clear], inputs[0][clear])
    again = COMPOSITOR.compose(*inputs)
    assert torch.equal(again.image, image) and torch.equal(again.mask, mask)


@brief
@given(st.integers(2, 6), st.integers(0, 1000))
def test_composite_does_not_depend_on_batch(n, seed):
    inputs = draw_inputs(n, seed)
    together = COMPOSITOR.compose(*inputs)
    for k in range(n):
        alone = COMPOSITOR.compose(*(tensor[k : k + 1] for tensor in inputs))
        torch.testing.assert_close(alone.image[0], together.image[k], rtol=0, atol=1e-5)


def test_composite_shows_attribute_and_template_asked_for():
    face, _, _, placement = draw_inputs(1, 5)
    masks = [
        COMPOSITOR.compose(face, torch.tensor([a]), torch.tensor([t]), placement).image
        for a in range(4)
        for t in (0, 1)
    ]
    distances = torch.tensor([[(a - b).abs().mean() for a in masks] for b in masks])
    assert (distances + torch.eye(8) > 1e-3).all()


def test_composite_passes_gradient_to_the_face_where_mask_is_open():
    face, attribute, template, placement = draw_inputs(4, 7)
    face.requires_grad_()
    composite = COMPOSITOR.compose(face, attribute, template, placement)
    composite.image.sum().backward()
    torch.testing.assert_close(face.grad, (1 - composite.mask).expand_as(face))
    assert not composite.mask.requires_grad


def test_composite_keeps_dtype_of_the_face():
    face, attribute, template, placement = draw_inputs(2, 7)
    composite = COMPOSITOR.compose(face.bfloat16(), attribute, template, placement)
    assert composite.image.dtype == composite.mask.dtype == torch.bfloat16


def test_compositor_and_geometry_work_on_meta_device():
    with torch.device("meta"):
        compositor = TemplateCompositor(TemplateCompositorConfig(count=2), FACTS)
        judge = PartOracle(FACES)
        geometry = HeadGeometry(judge, make_untrained_reader(judge))
        face, number = torch.zeros(3, 3, SIZE, SIZE), torch.zeros(3, dtype=torch.long)
        composite = compositor.compose(face, number, number, geometry.read_placement(face))
        maps = geometry.encode(face)
    assert composite.image.is_meta and composite.mask.shape == (3, 1, SIZE, SIZE) and maps.shape == (3, 9, SIZE, SIZE)
    real = compositor.compose(*draw_inputs(2, 0)[:2], torch.tensor([0, 1]), draw_inputs(2, 0)[3])
    assert real.mask.amax() > 0.5  # the bank is drawn when it is first needed


# ---- geometry ----


@brief
@given(st.integers(0, 1000))
def test_geometry_maps_are_in_range_and_follow_the_head(seed):
    face, _, _, placement = draw_inputs(3, seed)
    maps = draw_geometry(placement, face)
    inside = PlacedHead(placement, SIZE).inside
    assert maps.shape == (3, 9, SIZE, SIZE) and maps.abs().max() <= 1 + 1e-6
    assert (maps[:, 0][inside == 0] == -1).all() and (maps[:, 3:].abs().amax(1)[inside == 0] == 0).all()
    length = maps[:, 3:6].norm(dim=1)[inside == 1]
    torch.testing.assert_close(length, torch.ones_like(length))
    segmentation = FACES.redraw(range(seed, seed + 3), Bald=1, Wearing_Hat=0).segmentation
    skin = ((segmentation > 0) & (segmentation < 13) & (segmentation != 8) & (segmentation != 9)).float()
    assert (skin * inside).sum() / skin.sum() > 0.9
