"""Laws of the editor that paints photos from their edited layouts."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest
import torch
from torch import Tensor

from zoogan import ConfigError
from zoogan.composition.build import compose, expect_facts
from zoogan.editors import PhotoLayoutEditor, RegionEditor
from zoogan.interfaces import Request
from zoogan.layers.layout import make_layout
from zoogan.plugins import Facts
from zoogan.plugins.host import get_zoo
from zoogan.testing.conformance import make_tiny_config
from zoogan.testing.tensors import make_faces, make_labels, make_segmentation

REGISTRY = get_zoo().registry
PARTS = 19


@pytest.fixture(scope="module")
def editor() -> PhotoLayoutEditor:
    """The untrained editor of tiny stages."""
    config = make_tiny_config("smile", REGISTRY)
    facts = expect_facts(config)
    composition = compose(config, facts, REGISTRY)
    networks = composition.networks.eval().requires_grad_(False)
    editor = composition.game.make_editor(networks, attributes=facts.attributes)
    assert isinstance(editor, PhotoLayoutEditor)
    return editor


@pytest.fixture
def photos() -> Tensor:
    return make_faces(0, 3, 32)


@pytest.fixture
def layout() -> Tensor:
    return make_layout(make_segmentation(0, 3, 32, PARTS), PARTS)


@pytest.fixture
def own() -> Tensor:
    return make_labels(0, 3, 6)


def ask(editor: PhotoLayoutEditor, photos: Tensor, own: Tensor, layout: Tensor, **request: Any) -> dict[str, Tensor]:
    return editor.resolve(Request(**request), photos, own) | {"layout": layout}


def test_strength_0_is_the_photo(editor, photos, own, layout):
    targets = ask(editor, photos, own, layout, attributes={"Eyeglasses": 1.0})
    edit = editor.apply(photos, targets, strength=0.0)
    assert torch.equal(edit.image, photos)
    assert torch.equal(edit.segmentation, layout.argmax(1))


def test_own_codes_are_kept_and_new_parts_get_drawn_ones(editor, photos, own, layout):
    layout[:, editor.parts.index("eye_g")] = 0
    targets = ask(editor, photos, own, layout, attributes={"Eyeglasses": 1.0})
    known = editor.painter.read_codes(photos, layout)
    first, second = (editor.apply(photos, targets, seed=seed).extras["codes"] for seed in (0, 1))
    assert torch.equal(first[known.present], known.codes[known.present])
    lacking = ~known.present
    assert lacking.any() and not torch.allclose(first[lacking], second[lacking])
    assert torch.equal(first[lacking], editor.painter.draw_codes([0, 0, 0], editor.code_truncation)[lacking])
    wide = editor.apply(photos, targets, truncation=1.0).extras["codes"]
    assert torch.equal(wide[lacking], editor.painter.draw_codes([0, 0, 0])[lacking])


def test_a_face_does_not_depend_on_its_batch(editor, photos, own, layout):
    targets = ask(editor, photos, own, layout, attributes={"Wearing_Hat": 1.0})
    all_three = editor.apply(photos, targets, seed=[5, 6, 7])
    alone = editor.apply(photos[1:2], {name: value[1:2] for name, value in targets.items()}, seed=[6])
    torch.testing.assert_close(alone.image, all_three.image[1:2], atol=1e-5, rtol=1e-4)


def test_parts_alone_leave_the_layout(editor, photos, own, layout):
    donor = make_faces(7, 1, 32)
    editor = with_parser(editor, layout[:1])
    targets = ask(editor, photos, own, layout, parts={"hair": ("texture",)}, donor=donor)
    edit = editor.apply(photos, targets)
    assert torch.equal(edit.segmentation, layout.argmax(1))
    place = editor.parts.index("hair")
    theirs = editor.painter.read_codes(donor, layout[:1]).codes[0, place]
    assert torch.equal(edit.extras["codes"][:, place], theirs.expand(3, -1))
    known = editor.painter.read_codes(photos, layout)
    others = known.present.clone()
    others[:, place] = False
    assert torch.equal(edit.extras["codes"][others], known.codes[others])
    from_seed = ask(editor, photos, own, layout, parts={"hair": ("texture",)}, from_seed=7)
    codes = editor.apply(photos, from_seed).extras["codes"][:, place]
    assert torch.equal(codes, editor.painter.draw_codes([7])[:, place].expand(3, -1))


class FixedParser:
    """Reads the same layout off every photo."""

    digest, backbone, resizer = "0", "none", "none"
    table: ClassVar = {}
    part_table: ClassVar = {}
    part_scores: ClassVar = {}

    def __init__(
        self, layout: Tensor, parts: tuple[str, ...], attributes: tuple[str, ...] = (), shown: tuple[str, ...] = ()
    ) -> None:
        self.layout, self.parts, self.attributes, self.shown = layout, parts, attributes, shown
        self.thresholds = torch.full((len(attributes),), 0.5)

    def read_parts(self, image: Tensor) -> Tensor:
        return self.layout.argmax(1).expand(len(image), -1, -1)

    def read_poses(self, image: Tensor) -> None:
        return None

    def read_attributes(self, image: Tensor) -> Tensor:
        row = torch.tensor([0.6 if name in self.shown else 0.4 for name in self.attributes])
        return row.expand(len(image), -1)


def with_parser(
    editor: PhotoLayoutEditor, layout: Tensor, attributes: tuple[str, ...] = (), shown: tuple[str, ...] = ()
) -> PhotoLayoutEditor:
    parser: Any = FixedParser(layout, editor.parts, attributes, shown)
    return PhotoLayoutEditor(editor.painter, editor.layouts, parser, {"Wearing_Hat": ("hat",), "Bangs": ("hair",)})


def test_a_reference_gives_its_codes_to_the_parts_of_what_changes(editor, photos, layout):
    editor, reference = with_parser(editor, layout[2:]), make_faces(9, 1, 32)
    theirs, shows = editor.painter.read_codes(reference, layout[2:])
    own = torch.zeros(3, 6)
    targets = ask(editor, photos, own, layout, attributes={"Wearing_Hat": 1.0}, reference=reference)
    codes = editor.apply(photos, targets).extras["codes"]
    hat, skin = editor.parts.index("hat"), editor.parts.index("skin")
    assert shows[0, hat], "the reference of this test shows a hat"
    assert torch.equal(codes[:, hat], theirs[:, hat].expand(3, -1))
    known = editor.painter.read_codes(photos, layout)
    assert torch.equal(codes[known.present[:, skin], skin], known.codes[known.present[:, skin], skin])


def test_a_part_that_a_face_lacks_is_noted(editor, photos, own, layout):
    hat = editor.parts.index("hat")
    layout = layout.clone()
    layout[0, 0] += layout[0, hat]
    layout[0, hat] = 0
    assert layout[1:, hat].any(2).any(1).all()
    targets = ask(editor, photos, own, layout, parts={"hat": ("texture",)}, from_seed=1)
    for asked in (editor, editor.painter):
        assert asked.apply(photos, targets).notes == (
            "part hat: 1 of 3 faces does not show it, so nothing of it changes",
        )
        assert asked.apply(photos[1:], {name: value[1:] for name, value in targets.items()}).notes == ()
        assert asked.apply(photos, targets, strength=0.0).notes == ()


def test_a_reference_without_the_requested_attribute_is_noted(editor, photos, layout):
    hat, bare = editor.parts.index("hat"), layout.clone()
    bare[:, 0] += bare[:, hat]
    bare[:, hat] = 0
    own, reference = torch.zeros(3, 6), make_faces(9, 1, 32)
    note = "Wearing_Hat: the reference shows none, so its colours are drawn from the seed"
    cases = (
        (bare[2:], bare, 1.0, (note,)),
        (layout[2:], bare, 1.0, ()),
        (bare[2:], bare, 0.0, ()),
        (bare[2:], layout, 1.0, ()),  # the photos show a hat, whose colours stay
    )
    for given, shown, value, notes in cases:
        asked = with_parser(editor, given)
        targets = ask(asked, photos, own, shown, attributes={"Wearing_Hat": value}, reference=reference)
        assert asked.apply(photos, targets).notes == notes


def test_a_bare_reference_swaps_the_head(editor, photos, own, layout):
    editor, reference = with_parser(editor, layout[2:]), make_faces(9, 1, 32)
    theirs, shows = editor.painter.read_codes(reference, layout[2:])
    edit = editor.apply(photos, ask(editor, photos, own, layout, reference=reference))
    assert torch.equal(edit.extras["codes"][:, shows[0]], theirs[:, shows[0]].expand(3, -1, -1))
    labels = editor.layouts.predict_labels(layout[2:])
    assert torch.equal(edit.extras["target"], labels.expand(3, -1))


def test_the_parser_reads_what_is_not_given(editor, photos, layout):
    shown = ("Wearing_Hat", "Male")
    known = with_parser(editor, layout[:1], (*reversed(editor.attributes), "Smiling"), shown)
    assert not known.needs_layout and editor.parser is not None
    edit = known.apply(photos, known.resolve(Request({"Eyeglasses": 0.0}), photos))
    assert torch.equal(edit.extras["layout"], layout[:1].expand(3, -1, -1, -1))
    expected = torch.tensor([float(name in shown) for name in editor.attributes]).expand(3, -1)
    assert torch.equal(edit.extras["own"], expected)
    given = torch.full((3, 6), torch.nan)
    given[:, 0] = 1 - expected[:, 0]
    edit = known.apply(photos, known.resolve(Request({"Eyeglasses": 0.0}), photos, given))
    assert torch.equal(edit.extras["own"][:, 0], given[:, 0])
    assert torch.equal(edit.extras["own"][:, 1:], expected[:, 1:])


def test_labels_that_the_parser_does_not_read_come_from_the_given_layout(editor, photos, layout):
    blind = with_parser(editor, layout[:1])
    targets = blind.resolve(Request({"Eyeglasses": 1.0}), photos) | {"layout": layout}
    assert torch.equal(blind.apply(photos, targets).extras["own"], editor.layouts.predict_labels(layout))


def test_parts_alone_ask_for_no_labels(editor, photos, layout, monkeypatch):
    bare = PhotoLayoutEditor(editor.painter, editor.layouts, None, {})
    monkeypatch.setattr(bare.layouts, "untrained", ("discriminator",))
    targets = bare.resolve(Request(parts={"hair": ("texture",)}, from_seed=7), photos) | {"layout": layout}
    assert torch.equal(bare.apply(photos, targets).segmentation, layout.argmax(1))
    asked = bare.resolve(Request({"Eyeglasses": 1.0}), photos) | {"layout": layout}
    with pytest.raises(ValueError, match="--own"):
        bare.apply(photos, asked)


def test_a_named_part_beats_the_reference(editor, photos, layout):
    editor, (reference, donor) = with_parser(editor, layout[2:]), make_faces(9, 2, 32).split(1)
    request = {"attributes": {"Bangs": 1.0}, "reference": reference, "parts": {"hair": ("texture",)}, "donor": donor}
    codes = editor.apply(photos, ask(editor, photos, torch.zeros(3, 6), layout, **request)).extras["codes"]
    hair = editor.parts.index("hair")
    wanted = editor.painter.read_codes(donor, layout[2:]).codes[:, hair]
    assert torch.equal(codes[:, hair], wanted.expand(3, -1))


def test_what_a_hat_clears_keeps_its_own_code(editor, photos, layout):
    editor, reference = with_parser(editor, layout[2:]), make_faces(9, 1, 32)
    own = torch.zeros(3, 6)
    own[:, editor.attributes.index("Bangs")] = 1.0
    edit = editor.apply(photos, ask(editor, photos, own, layout, attributes={"Wearing_Hat": 1.0}, reference=reference))
    assert edit.extras["target"][:, editor.attributes.index("Bangs")].eq(0).all()
    hair, known = editor.parts.index("hair"), editor.painter.read_codes(photos, layout)
    assert torch.equal(edit.extras["codes"][:, hair], known.codes[:, hair])


def test_other_numbers_of_references_are_refused(editor, photos, own, layout):
    editor = with_parser(editor, layout[2:])
    with pytest.raises(ValueError, match="2 references for 3 images"):
        ask(editor, photos, own, layout, attributes={"Bangs": 1.0}, reference=make_faces(9, 2, 32))


def test_without_an_encoder_codes_are_drawn(editor, photos, own, layout):
    networks = {name: network for name, network in editor.networks.items() if name != "region_encoder"}
    facts = Facts(image_size=32, parts=editor.parts)
    painter = RegionEditor(networks, facts, editor.painter.mean_latent)
    blind = with_parser(PhotoLayoutEditor(painter, editor.layouts, None, {}), layout[2:])
    targets = ask(blind, photos, own, layout, attributes={"Wearing_Hat": 1.0}, reference=photos[:1])
    codes = blind.apply(photos, targets, seed=[3, 4, 5]).extras["codes"]
    assert torch.equal(codes, painter.draw_codes([3, 4, 5]))
    with pytest.raises(ValueError, match="use 0 or 1"):
        painter.apply(photos, {"layout": layout}, strength=0.5)


def test_without_a_parser_layouts_are_needed(editor, photos, own, layout):
    bare = PhotoLayoutEditor(editor.painter, editor.layouts, None, {})
    assert bare.needs_layout
    targets = bare.resolve(Request({"Eyeglasses": 1.0}), photos, own)
    with pytest.raises(ValueError, match="--layout FILE"):
        bare.apply(photos, targets)
    assert bare.apply(photos, targets | {"layout": layout}).image.shape == photos.shape
    with pytest.raises(ValueError, match="no parser"):
        bare.resolve(Request(reference=photos[:1]), photos, own)
    unknown = bare.resolve(Request({"Eyeglasses": 1.0}), photos)
    assert not bare.apply(photos, unknown | {"layout": layout}).extras["own"].isnan().any()


def test_the_background_is_pasted_back_where_both_layouts_show_it(editor, photos, own, layout):
    targets = ask(editor, photos, own, layout, attributes={"Wearing_Hat": 1.0})
    edit = editor.apply(photos, targets | {"keep_background": torch.tensor([1.0, 1.0, 0.0])})
    plain = editor.apply(photos, targets)
    both = (layout.argmax(1) == 0) & (edit.segmentation == 0)
    both[2] = False
    mask = both[:, None].expand_as(photos)
    assert both.any()
    assert torch.equal(edit.image[mask], photos[mask])
    assert torch.equal(edit.image[~mask], plain.image[~mask])


def test_guided_editors_take_the_codes_of_a_face_that_shows_it(editor, photos, layout):
    own = torch.zeros(3, 6)
    own[1:] = 1.0
    guided = with_parser(editor, layout[:1]).make_guided_editor(photos, own, {"layout": layout})
    hat = editor.parts.index("hat")
    codes, present = editor.painter.read_codes(photos, layout)
    pool = [codes[row, hat] for row in (1, 2) if present[row, hat]]
    targets = guided.resolve(Request({"Wearing_Hat": 1.0}), photos[:1], own[:1]) | {"layout": layout[:1]}
    chosen = [guided.apply(photos[:1], targets, seed=seed).extras["codes"][0, hat] for seed in range(4)]
    assert all(any(torch.equal(code, one) for one in pool) for code in chosen)


def test_stages_must_know_the_same_parts(editor):
    other: Any = FixedParser(torch.zeros(1, 2, 4, 4), ("skin", "hair"))
    with pytest.raises(ConfigError, match="the parser knows the parts skin, hair"):
        PhotoLayoutEditor(editor.painter, editor.layouts, other, {})


def test_painted_samples_are_those_of_the_layout(editor, layout):
    one = editor.sample([3, 4], layout=layout[:1])
    assert torch.equal(one.segmentation, layout[:1].argmax(1).expand(2, -1, -1))
    assert not torch.allclose(one.image[0], one.image[1])
    torch.testing.assert_close(editor.sample([4], layout=layout[:1]).image, one.image[1:], atol=1e-5, rtol=1e-4)
    painter: RegionEditor = editor.painter
    painter.set_layouts(layout)
    drawn = painter.sample(range(8))
    maps = {tuple(one.flatten().tolist()) for one in layout.argmax(1)}
    assert all(tuple(one.flatten().tolist()) in maps for one in drawn.segmentation)
    mean = painter.sample([1, 2], truncation=0.0, layout=layout[:1])
    assert torch.equal(mean.extras["codes"][0], mean.extras["codes"][1])
    with pytest.raises(ValueError, match="cutoff"):
        painter.sample([1], cutoff=2, layout=layout[:1])


def test_the_painter_alone_refuses_what_it_cannot_do(editor, photos, own, layout):
    painter = editor.painter
    with pytest.raises(ValueError, match="--from-seed"):
        painter.resolve(Request(parts={"hair": ("texture",)}, donor=photos), photos)
    with pytest.raises(ValueError, match="does not show it"):
        bald = layout.clone()
        bald[:, editor.parts.index("hair")] = 0
        donor = with_parser(editor, bald[:1])
        ask(donor, photos, own, layout, parts={"hair": ("texture",)}, donor=photos[:1])
    with pytest.raises(ValueError, match="paints layouts as they are"):
        painter.condition.parse({"Eyeglasses": 1})
    request = replace(Request(), parts={"hair": ("texture",)}, from_seed=3)
    targets = painter.resolve(request, photos) | {"layout": layout}
    half = painter.apply(photos, targets, strength=0.5).extras["codes"]
    kept, new = painter.read_codes(photos, layout).codes, painter.apply(photos, targets).extras["codes"]
    place = editor.parts.index("hair")
    shows = painter.read_codes(photos, layout).present[:, place]
    torch.testing.assert_close(half[shows, place], (kept[shows, place] + new[shows, place]) / 2)
