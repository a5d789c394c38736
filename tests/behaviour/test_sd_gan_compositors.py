"""Templates from PNGs, the reader of placements and its file, and the compositor that takes another run's edits."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from PIL import Image
from torch import nn

from support.part_oracle import PartOracle
from zoogan import ConfigError
from zoogan.data import PLACEMENT, DrawnFaces, read_placement
from zoogan.interfaces import Edit, Editor, Request
from zoogan.names import import_object
from zoogan.plugins import Facts
from zoogan.plugins.host import get_zoo
from zoogan_sd_gan.compositor_config import EditorCompositorConfig, TemplateCompositorConfig
from zoogan_sd_gan.compositors import TemplateCompositor
from zoogan_sd_gan.editor_compositor import EditorCompositor
from zoogan_sd_gan.geometry import HeadGeometry
from zoogan_sd_gan.geometry_stage import SdGanGeometry
from zoogan_sd_gan.reader import PlacementReader, describe_faces, fit_placement

SIZE = 16
FACTS = Facts(image_size=SIZE, attributes=("Smiling", "Face_Mask"))


def save_png(path, box, mode="RGBA", size=64):
    """Save a red rectangle (left, top, right, bottom) on a transparent picture."""
    path.parent.mkdir(parents=True, exist_ok=True)
    picture = Image.new("RGBA", (size, size), (0, 0, 0, 0))
    picture.paste((255, 0, 0, 255), box)
    picture.convert(mode).save(path)


def compose_one(compositor, number=0):
    face, index = torch.zeros(1, 3, SIZE, SIZE), torch.tensor([0])
    return compositor.compose(face, index, torch.tensor([number]))


# ---- a person's PNGs ----


def test_png_lies_where_the_fixed_place_puts_it(tmp_path):
    save_png(tmp_path / "Face_Mask" / "a.png", (16, 32, 48, 48))
    config = {"templates": str(tmp_path), "placement": "fixed", "surfaces": {"Face_Mask": "cap"}}
    place = {"x": 0.5, "y": 0.45, "face_width": 0.43}  # the place of the frame itself
    image, mask = compose_one(TemplateCompositor(TemplateCompositorConfig(**config, place=place), FACTS))
    expected = torch.zeros(SIZE, SIZE)
    expected[8:12, 4:12] = 1
    assert (mask[0, 0] - expected).abs().mean() < 0.05 and ((mask[0, 0] > 0.5) == (expected > 0.5)).all()
    torch.testing.assert_close(image[0, :, 10, 8], torch.tensor([1.0, -1.0, -1.0]))
    moved = {"Face_Mask": {**place, "x": 0.75}}
    aside = compose_one(TemplateCompositor(TemplateCompositorConfig(**config, places=moved), FACTS)).mask
    torch.testing.assert_close(aside[0, 0, :, 8:15], mask[0, 0, :, 4:11], rtol=0, atol=0.02)


def test_box_moves_and_shrinks_a_png(tmp_path):
    save_png(tmp_path / "Face_Mask" / "a.png", (1, 1, 63, 63))
    config = TemplateCompositorConfig(
        templates=str(tmp_path), placement="fixed", surfaces={"Face_Mask": "cap"},
        place={"face_width": 0.43}, boxes={"Face_Mask": {"x": 0.25, "y": 0.75, "width": 0.5}},
    )  # fmt: skip
    mask = compose_one(TemplateCompositor(config, FACTS)).mask[0, 0]
    assert mask[9:15, 1:7].min() > 0.9 and mask[:7].max() == 0 and mask[:, 9:].max() == 0


def test_shorter_folder_of_templates_starts_again(tmp_path):
    for name in ("Face_Mask/a.png", "Face_Mask/b.PNG", "Smiling/a.png"):
        save_png(tmp_path / name, (10, 10, 30 + 10 * name.count("b"), 50))
    config = TemplateCompositorConfig(templates=str(tmp_path), placement="fixed")
    compositor = TemplateCompositor(config, FACTS)
    assert compositor.attributes == ("Smiling", "Face_Mask") and compositor.templates == 2
    assert torch.equal(compose_one(compositor, 0).image, compose_one(compositor, 1).image)


def test_png_without_alpha_and_broken_png_are_both_named(tmp_path):
    save_png(tmp_path / "Face_Mask" / "a.png", (0, 0, 9, 9), mode="RGB")
    save_png(tmp_path / "Face_Mask" / "b.png", (0, 0, 0, 0))
    (tmp_path / "Face_Mask" / "c.png").write_bytes(b"no picture")
    with pytest.raises(ConfigError) as error:
        TemplateCompositor(TemplateCompositorConfig(templates=str(tmp_path)), FACTS)
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    for line, part in zip(
        lines, ("no pixel is transparent", "every pixel is transparent", "cannot be read"), strict=True
    ):
        assert part in line and "Face_Mask" in line


@pytest.mark.parametrize(
    ("folder", "config", "message"),
    [
        ("absent", {}, "no such folder"),
        ("Face_Masks", {}, "did you mean 'Face_Mask'"),
        (None, {"attributes": ("Smiling",)}, "no templates of Smiling"),
        (None, {"surfaces": {"Face_mask": "cap"}}, "compositor.surfaces.Face_mask: .* did you mean 'Face_Mask'"),
        (None, {"places": {"Wearing_Hat": {}}}, "compositor.places.Wearing_Hat: there are no templates"),
    ],
)
def test_mistake_in_templates_is_told_with_a_remedy(tmp_path, folder, config, message):
    if folder == "absent":
        config = {"templates": str(tmp_path / "absent")}
    elif folder:
        save_png(tmp_path / folder / "a.png", (0, 0, 9, 9))
        config = {"templates": str(tmp_path)}
    with pytest.raises(ConfigError, match=message):
        TemplateCompositor(TemplateCompositorConfig(**config), FACTS)


def test_read_placement_is_needed_by_default():
    compositor = TemplateCompositor(TemplateCompositorConfig(count=1), FACTS)
    assert compositor.needs_placement and compositor.attributes == ("Face_Mask",)
    with pytest.raises(ValueError, match="give it the placement"):
        compose_one(compositor)


def test_compositors_are_built_from_the_registry():
    registry = get_zoo().registry
    for name in ("templates", "editor", "none"):
        component = registry.components["compositor", name]
        assert component.config().use == name
    build = registry.components["compositor", "none"]
    nothing = import_object(build.build)(build.config(), FACTS)
    image, mask = compose_one(nothing)
    assert nothing.attributes == () and torch.equal(image, torch.zeros_like(image)) and mask.max() == 0


# ---- reading placements ----


@pytest.fixture(scope="module")
def fitted_reader():
    faces = DrawnFaces(24)
    judge = PartOracle(faces, range(700))
    judge.learn(faces, range(5000, 5060))
    return faces, judge, fit_placement(judge, faces=700)


def test_reader_places_held_out_heads(fitted_reader):
    faces, judge, reader = fitted_reader
    numbers = range(5000, 5060)
    image = faces.draw(numbers).image.float() / 127.5 - 1
    geometry = HeadGeometry(judge, reader)
    placement, true = geometry.read_placement(image), read_placement(faces.draw_traits(numbers))
    error = (placement - true).abs().mean(0) / (true - true.mean(0)).abs().mean(0)
    for name, most in {"place_u": 0.4, "yaw_sin": 0.3, "roll_sin": 0.3, "scale": 0.95}.items():
        assert error[PLACEMENT.index(name)] < most, name
    assert not placement.requires_grad
    low, high = reader.tensors["low"], reader.tensors["high"]
    wild = reader.read(50 * torch.randn(20, describe_faces(judge, image[:1]).shape[1]))
    assert (wild >= low).all() and (wild <= high).all()


def test_saved_reader_reads_the_same_bits(fitted_reader, tmp_path):
    faces, judge, reader = fitted_reader
    reader.save(tmp_path / "placement.safetensors")
    again = PlacementReader.load(tmp_path / "placement.safetensors")
    described = describe_faces(judge, faces.draw(range(8)).image.float() / 127.5 - 1)
    assert torch.equal(again.read(described), reader.read(described))
    assert again.parts == reader.parts and again.judge == judge.digest


def test_reader_that_cannot_be_used_is_refused(fitted_reader, tmp_path):
    faces, _, reader = fitted_reader
    path = tmp_path / "placement.safetensors"
    with pytest.raises(ConfigError, match="train stage geometry again"):
        PlacementReader.load(path)
    path.write_bytes(b"damaged")
    with pytest.raises(ConfigError, match="train stage geometry again"):
        PlacementReader.load(path)
    other = PartOracle(faces)
    other.digest = "other"
    with pytest.raises(ConfigError, match="another judge"):
        HeadGeometry(other, reader)
    other.parts = ("sky", "tree")
    with pytest.raises(ConfigError, match=r"sky, tree.*compositor\.placement=fixed"):
        fit_placement(other, faces=10)


def test_geometry_reads_placement_and_shape_in_one_pass(fitted_reader, monkeypatch):
    faces, judge, reader = fitted_reader
    image = faces.draw(range(5000, 5003)).image.float() / 127.5 - 1
    geometry = SdGanGeometry(*[HeadGeometry(judge, reader)] * 2)
    placement, shape = geometry.read_placement(image), geometry.encode(image)
    passes = []
    monkeypatch.setattr(reader, "read", lambda described, read=reader.read: passes.append(1) or read(described))
    reading = geometry.read(image, placement=True, shape=True)
    assert torch.equal(reading.placement, placement) and torch.equal(reading.shape, shape)
    assert len(passes) == 1, "the judge's networks are the largest part of an exported edit"
    assert geometry.read(image, placement=True, shape=False).shape is None


def test_geometry_without_shape_gives_placements_only(fitted_reader):
    _, judge, reader = fitted_reader
    geometry = HeadGeometry(judge, reader, shape=False)
    assert geometry.channels == 0 and geometry.reads_placement
    with pytest.raises(ValueError, match="reads no shape"):
        geometry.encode(torch.zeros(1, 3, 24, 24))


# ---- another run's edits ----


class BrighteningEditor(Editor):
    """Brightens the left half; with a mask it says so."""

    attributes = ("Face_Mask", "Smiling")

    def __init__(self, has_mask: bool) -> None:
        self.has_mask, self.networks = has_mask, nn.ModuleDict({"generator": nn.Linear(1, 1)})
        self.condition = SimpleNamespace(
            parse=lambda words: Request(attributes={k: float(v) for k, v in words.items()})
        )

    def resolve(self, request, image, own=None):
        return {"amount": torch.full_like(image[:, :1], 0.5 if "Face_Mask" in request.attributes else -0.5)}

    def apply(self, image, targets, **options):
        mask = torch.zeros_like(image[:, :1])
        mask[..., : SIZE // 2] = 1
        return Edit(image + targets["amount"] * mask, mask if self.has_mask else None)

    def make_columns(self, image, attributes, masks=None):
        return []


def make_run(editor, size=SIZE):
    return SimpleNamespace(editor=editor, facts=Facts(image_size=size))


@pytest.mark.parametrize("has_mask", [True, False])
def test_editor_gives_composite_and_mask_of_each_attribute(has_mask):
    compositor = EditorCompositor(EditorCompositorConfig(), FACTS)
    compositor.connect({"editor": make_run(BrighteningEditor(has_mask))})
    face = torch.zeros(2, 3, SIZE, SIZE, requires_grad=True)
    image, mask = compositor.compose(face, torch.tensor([0, 1]), torch.tensor([0, 0]))
    half = SIZE // 2
    assert compositor.attributes == ("Smiling", "Face_Mask")
    assert (mask[..., :half] == 1).all() and (mask[..., half:] == 0).all()
    assert (image[0, :, :, :half] == -0.5).all() and (image[1, :, :, :half] == 0.5).all()
    assert (image[..., half:] == 0).all()
    image.sum().backward()
    assert torch.equal(face.grad, (1 - mask).expand_as(face))


@pytest.mark.parametrize(
    ("stages", "config", "message"),
    [
        ({"editr": None}, {}, "no such stage, did you mean 'editr'.*--stage editor=RUN"),
        ({"editor": SimpleNamespace(editor=None)}, {}, "edits no photos"),
        ({"editor": make_run(BrighteningEditor(True), 32)}, {}, "32 px, and the faces have 16"),
        ({"editor": make_run(BrighteningEditor(True))}, {"attributes": ("Smile",)}, "did you mean 'Smiling'"),
    ],
)
def test_run_that_cannot_make_composites_is_refused(stages, config, message):
    compositor = EditorCompositor(EditorCompositorConfig(**config), FACTS)
    with pytest.raises(ConfigError, match=message):
        compositor.connect(stages)
