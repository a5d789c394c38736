"""CelebAMask-HQ from its own files: both layouts, how they are split, and what is said when something is wrong."""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch.nn.functional import max_pool2d

from zoogan.data.config import CelebAMaskHQData
from zoogan.data.drawn import CLASSES
from zoogan.data.label_sets import load_label_set
from zoogan.data.sources import celebamask_hq
from zoogan.data.sources.attribute_columns import DataWarning
from zoogan.data.sources.celebamask_hq import CelebAMaskHQ
from zoogan.data.stream import FaceStream
from zoogan.errors import ConfigError
from zoogan.evaluation.inputs import choose_source
from zoogan.interfaces import Need
from zoogan.plugins.host import get_zoo

SIDE = 32
NUMBERS = (0, 1, 2, 3, 5, 7, 2000, 2001)  # gaps, as a part of the set has
TABLE = np.array(load_label_set("celebamask-13").list_parts(), dtype=np.uint8)


def classes_of(number: int) -> np.ndarray[Any, Any]:
    """A label map with some of the classes, in blocks of 4 pixels."""
    blocks = np.random.default_rng(number).choice(19, (SIDE // 4, SIDE // 4)).astype(np.uint8)
    return blocks.repeat(4, 0).repeat(4, 1)


def write_map(root: Path, number: int, labels: np.ndarray[Any, Any]) -> None:
    picture = Image.fromarray(labels).convert("P")
    picture.putdata(labels.flatten().tolist())
    picture.putpalette([k % 251 for k in range(7, 775)])  # colours that mean nothing
    picture.save(root / "CelebAMask-HQ-mask" / f"{number}.png")


def write_parts(root: Path, number: int, labels: np.ndarray[Any, Any]) -> None:
    folder = root / "CelebAMask-HQ-mask-anno" / str(number // 2000)
    folder.mkdir(parents=True, exist_ok=True)
    for k, name in enumerate(CLASSES):
        if k and (labels == k).any():
            mask = np.where(labels == k, 255, 0).astype(np.uint8)
            Image.fromarray(mask).convert("RGB").save(folder / f"{number:05}_{name}.png")


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Eight faces in both layouts; images twice as large as their masks, as those of the set are."""
    (tmp_path / "CelebA-HQ-img").mkdir()
    (tmp_path / "CelebAMask-HQ-mask").mkdir()
    for number in NUMBERS:
        pixels = np.random.default_rng(number).integers(0, 256, (2 * SIDE, 2 * SIDE, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "CelebA-HQ-img" / f"{number}.jpg", quality=95)
        write_map(tmp_path, number, classes_of(number))
        write_parts(tmp_path, number, classes_of(number))
    rows = [f"{number}.jpg  {2 * (number % 2) - 1} {1 - 2 * (number % 2)}" for number in NUMBERS[::-1]]
    text = "\n".join([str(len(NUMBERS)), "Eyeglasses Male", *rows])
    (tmp_path / "CelebAMask-HQ-attribute-anno.txt").write_text(text)
    return tmp_path


def opened(root: Path, **settings: Any) -> CelebAMaskHQ:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DataWarning)
        return CelebAMaskHQ(CelebAMaskHQData(**{"root": root, "image_size": 16, "test_share": 0.0, **settings}))


def test_both_layouts_give_equal_parts(root: Path) -> None:
    maps, parts = (opened(root, masks=masks).read("train", range(8)) for masks in ("maps", "parts"))
    for name in CelebAMaskHQ.fields:
        assert torch.equal(maps[name], parts[name]), name
    assert maps["image"].shape == (8, 3, 16, 16) and maps["segmentation"].dtype == torch.uint8
    expected = [torch.from_numpy(TABLE[classes_of(number)][1::2, 1::2]) for number in NUMBERS]
    assert torch.equal(maps["segmentation"], torch.stack(expected))
    assert opened(root).masks == "maps" and opened(root).attributes == ()


def test_part_masks_are_found_in_subfolders(root: Path) -> None:
    expected = opened(root).read("train", range(8))["segmentation"]
    for path in (root / "CelebAMask-HQ-mask").iterdir():
        path.unlink()
    inner = root / "CelebAMask-HQ-mask-anno" / "again"
    (root / "CelebAMask-HQ-mask-anno" / "1").rename(inner)
    source = opened(root)
    assert source.masks == "parts" and torch.equal(source.read("train", range(8))["segmentation"], expected)


def test_missing_and_overlapping_part_masks(root: Path) -> None:
    folder = root / "CelebAMask-HQ-mask-anno" / "0"
    for path in folder.glob("00003_*"):
        path.unlink()
    whole = Image.new("L", (SIDE, SIDE), 255)
    for name in ("hair", "skin", "eye_g"):
        whole.save(folder / f"00003_{name}.png")
    half = np.zeros((SIDE, SIDE), np.uint8)
    half[:, : SIDE // 2] = 255
    half[:, -1] = 254
    Image.fromarray(half).save(folder / "00003_hat.png")
    source = opened(root, masks="parts")
    seen = source.read("train", [source.numbers.index(3)])["segmentation"][0]
    assert (seen[:, :8] == 11).all() and (seen[:, 8:] == 7).all()
    whole = opened(root, masks="parts", label_set="celebamask-19").read("train", [source.numbers.index(3)])
    assert whole["segmentation"].unique().tolist() == [13, 14]


@pytest.mark.slow
@pytest.mark.parametrize("size, crop", [(16, 1.0), (16, 0.5), (24, 0.75), (40, 0.9)])
@pytest.mark.parametrize("shape", [(32, 32), (48, 32), (32, 56)])
def test_image_and_segmentation_are_cropped_alike(root: Path, shape: tuple[int, int], size: int, crop: float) -> None:
    """An image that shows its own label map agrees with the segmentation wherever no two parts meet."""
    blocks = np.random.default_rng(0).permutation(28).reshape(4, 7) % 19
    labels = blocks.astype(np.uint8).repeat(12, 0).repeat(8, 1)[: shape[0], : shape[1]]
    write_map(root, 0, labels)
    shown = (labels * 10).repeat(2, 0).repeat(2, 1)
    Image.fromarray(shown).convert("RGB").save(root / "CelebA-HQ-img" / "0.jpg", format="png")
    source = opened(root, label_set="celebamask-19", image_size=size, crop=crop)
    read = source.read("train", [0])
    seen, told = read["image"][0, 0].int(), read["segmentation"][0].int() * 10
    around = told.float()[None, None]
    inner = (max_pool2d(around, 3, 1, 1) == -max_pool2d(-around, 3, 1, 1))[0, 0]
    assert inner.float().mean() > 0.1 and torch.equal(seen[inner], told[inner])
    assert source.crop == crop


def test_official_split_needs_numbered_files(root: Path) -> None:
    assert opened(root).split == "hash"
    (root / "CelebA-HQ-img" / "2001.jpg").rename(root / "CelebA-HQ-img" / "28000.jpg")
    (root / "CelebA-HQ-img" / "2000.jpg").rename(root / "CelebA-HQ-img" / "27999.jpg")
    for number in (27999, 28000):
        write_map(root, number, classes_of(number))
    source = opened(root)
    assert source.split == "number"
    assert [[source.numbers[i] for i in source.members[split]] for split in ("train", "valid", "test")] == [
        [0, 1, 2, 3, 5, 7, 27999], [], [28000],
    ]  # fmt: skip
    assert opened(root, split="hash").count_faces("test") == 0
    with pytest.warns(DataWarning, match="split=number leaves no test faces"):
        (root / "CelebA-HQ-img" / "28000.jpg").unlink()
        CelebAMaskHQ(CelebAMaskHQData(root=root, image_size=16, split="number"))


def test_hash_split_is_stable_when_images_are_added(root: Path) -> None:
    before = opened(root, test_share=0.5)
    tested = {before.numbers[i] for i in before.members["test"]}
    for number in (9, 11, 12):
        os.link(root / "CelebA-HQ-img" / "0.jpg", root / "CelebA-HQ-img" / f"{number}.jpg")
        write_map(root, number, classes_of(number))
    after = opened(root, test_share=0.5)
    assert tested == {after.numbers[i] for i in after.members["test"]} & set(NUMBERS)
    assert 0 < len(tested) < len(NUMBERS)


def test_attributes_follow_the_numbered_list(root: Path) -> None:
    source = opened(root, attributes=("Male", "Eyeglasses"))
    assert source.read_labels("train").tolist() == [[float(n % 2 == 0), float(n % 2)] for n in NUMBERS]
    assert CelebAMaskHQ.list_attributes(CelebAMaskHQData(root=root)) == ("Eyeglasses", "Male")
    (root / "CelebAMask-HQ-attribute-anno.txt").rename(root / "mask_derived_attr.txt")
    assert torch.equal(
        opened(root, attributes=("Male", "Eyeglasses")).read_labels("train"), source.read_labels("train")
    )
    (root / "mask_derived_attr.txt").unlink()
    assert CelebAMaskHQ.list_attributes(CelebAMaskHQData(root=root)) == ()
    with pytest.raises(ConfigError, match=r"data.attributes: Male would be read from .* has neither"):
        opened(root, attributes=("Male",))


def test_stream_mirrors_image_and_parts(root: Path) -> None:
    source = opened(root, label_set="celebamask-19")
    stream = FaceStream(source, "source", Need(("image", "segmentation")), seed=0, flip=True)
    flipped = [k for k in range(8) if stream.is_mirrored(k)]
    sample = stream.__getitems__(flipped)
    plain = source.read("train", [stream.get_index(k) for k in flipped])
    table = torch.arange(19, dtype=torch.uint8)
    table[[4, 5, 6, 7, 8, 9]] = torch.tensor([5, 4, 7, 6, 9, 8], dtype=torch.uint8)
    assert flipped and torch.equal(sample["image"], plain["image"].flip(-1))
    assert torch.equal(sample["segmentation"], table[plain["segmentation"].flip(-1).long()])


def test_run_is_measured_on_its_parts_and_split(root: Path) -> None:
    trained = CelebAMaskHQData(root=root, attributes=("Male",), crop=0.75, test_share=0.25, masks="parts")
    trained = trained.model_copy(update={"label_set": load_label_set("celebamask-19")})
    facts = SimpleNamespace(image_size=64, attributes=("Male",))
    run: Any = SimpleNamespace(config=SimpleNamespace(data=trained), facts=facts)
    found, _ = choose_source(get_zoo().registry, run, "celebamask_hq", root, {})
    assert found == trained.model_copy(update={"root": root.resolve()})


def rename(folder: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / folder / old).rename(root / folder / new)


def copy(folder: str, old: str, new: str) -> Callable[[Path], object]:
    return lambda root: (root / folder / new).write_bytes((root / folder / old).read_bytes())


def hair_of_zero(root: Path) -> Path:
    return root / "CelebAMask-HQ-mask-anno" / "0" / "00000_hair.png"


def elsewhere(root: Path) -> None:
    (root / "CelebAMask-HQ-mask-anno" / "7").mkdir()
    Image.new("L", (SIDE, SIDE)).save(root / "CelebAMask-HQ-mask-anno" / "7" / "00000_skin.png")


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil, settings, message",
    [
        (rename(".", "CelebA-HQ-img", "CelebA-HQ-image"), {},
         r"has no CelebA-HQ-img, did you mean 'CelebA-HQ-image'\?\nCelebAMask-HQ is expected"),
        (rename(".", "CelebAMask-HQ-mask", "masks"), {"masks": "maps"}, r"has no CelebAMask-HQ-mask"),
        (lambda r: [p.unlink() for p in (r / "CelebA-HQ-img").iterdir()], {}, r"CelebA-HQ-img has no images"),
        (rename("CelebA-HQ-img", "3.jpg", "three.jpg"), {}, r"three.jpg: pictures here are named by their number"),
        (copy("CelebA-HQ-img", "3.jpg", "00003.jpg"), {}, r"3.jpg: the same number as 0*3.jpg; remove one"),
        (lambda r: (r / "CelebAMask-HQ-mask/3.png").unlink(), {},
         r"CelebA-HQ-img/3.jpg: no mask of number 3 in .*CelebAMask-HQ-mask;(?s:.*)data.masks=parts"),
        (lambda r: [p.unlink() for p in (r / "CelebAMask-HQ-mask-anno/0").glob("00003*")], {"masks": "parts"},
         r"CelebA-HQ-img/3.jpg: no mask of number 3 in .*-anno;(?s:.*)data.masks=maps"),
        (rename("CelebAMask-HQ-mask-anno/0", "00000_hair.png", "00000_hiar.png"), {"masks": "parts"},
         r"00000_hiar.png: no part is called 'hiar', did you mean 'hair'\?"),
        (rename("CelebAMask-HQ-mask-anno/0", "00000_hair.png", "hair.png"), {"masks": "parts"},
         r"hair.png: expected NUMBER_PART.png"),
        (elsewhere, {"masks": "parts"}, r"7/00000_skin.png: face 0 has masks in .*0 already"),
        (lambda r: None, {"attributes": ("Mael",)}, r"no attribute 'Mael', did you mean 'Male'"),
        (lambda r: None, {"balance": "Male"}, r"data.balance: 'Male' is not among"),
        (lambda r: None, {"root": None}, r"'celebamask_hq' reads files; .*--root DIR"),
        (copy("CelebA-HQ-img", "3.jpg", "4.jpg"), {"masks": "maps"}, r"4.jpg: no mask of number 4"),
        (lambda r: (copy("CelebA-HQ-img", "3.jpg", "4.jpg")(r), copy("CelebAMask-HQ-mask", "3.png", "4.png")(r)),
         {"attributes": ("Male",)}, r"attribute-anno.txt: no row for image 4"),
    ],
)  # fmt: skip
def test_invalid_files_are_reported_on_opening(root: Path, spoil: Any, settings: dict[str, Any], message: str) -> None:
    opened(root)
    spoil(root)
    with pytest.raises(ConfigError, match=message):
        opened(**{"root": root, **settings})


@pytest.mark.slow
@pytest.mark.parametrize(
    "spoil, masks, message",
    [
        (lambda r: (r / "CelebA-HQ-img/0.jpg").write_bytes(b"no"), "maps", r"CelebA-HQ-img/0.jpg: not a picture"),
        (lambda r: (r / "CelebAMask-HQ-mask/0.png").write_bytes(b"no"), "maps", r"mask/0.png: not a picture"),
        (lambda r: (r / "CelebAMask-HQ-mask/0.png").unlink(), "maps", r"mask/0.png: no such file"),
        (lambda r: cut_off(r / "CelebAMask-HQ-mask/0.png"), "maps", r"mask/0.png: damaged or unreadable"),
        (lambda r: cut_off(hair_of_zero(r)), "parts", r"00000_hair.png: damaged or unreadable"),
        (lambda r: hair_of_zero(r).write_bytes(b""), "parts", r"00000_hair.png: an empty file, not a picture"),
        (lambda r: write_map(r, 0, classes_of(0)[:20]), "maps",
         r"mask/0.png: 32 x 20, but its image .*img/0.jpg is 64 x 64"),
        (lambda r: Image.new("L", (SIDE, 20)).save(hair_of_zero(r)), "parts",
         r"00000_hair.png: 32 x 20, but its image"),
        (lambda r: Image.fromarray((classes_of(0) % 2).astype(np.uint8)).save(hair_of_zero(r)), "parts",
         r"00000_hair.png: a mask is 255 where .* has the values 0, 1 and no 255, .* Save it again"),
        (lambda r: write_map(r, 0, classes_of(0) + np.uint8(3)), "maps",
         r"mask/0.png: the value 21, but the label set has the classes 0 \(background\) to 18 \(cloth\)"),
        (lambda r: Image.new("RGB", (SIDE, SIDE)).save(r / "CelebAMask-HQ-mask/0.png"), "maps",
         r"mask/0.png: a label map has one value a pixel.*this one is RGB"),
    ],
)  # fmt: skip
def test_invalid_files_are_reported_on_reading(root: Path, spoil: Any, masks: str, message: str) -> None:
    opened(root, masks=masks).read("train", [0])
    source = opened(root, masks=masks)
    spoil(root)
    with pytest.raises(ConfigError, match=message):
        source.read("train", [1, 0])
    source.read("train", [1])


def cut_off(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) - 30])


def test_both_layouts_agree_on_real_faces(tmp_path: Path) -> None:
    """With ZOOGAN_CELEBAMASK_HQ=DIR, a copy with label maps and masks of some parts."""
    real = os.environ.get("ZOOGAN_CELEBAMASK_HQ")
    if not real:
        pytest.skip("ZOOGAN_CELEBAMASK_HQ names no copy of CelebAMask-HQ")
    numbers = celebamask_hq.list_part_masks(Path(real) / celebamask_hq.PARTS, CLASSES)
    (tmp_path / "CelebA-HQ-img").mkdir()
    for number in sorted(numbers)[:10]:
        (tmp_path / "CelebA-HQ-img" / f"{number}.jpg").symlink_to(Path(real) / "CelebA-HQ-img" / f"{number}.jpg")
    for name in (celebamask_hq.MAPS, celebamask_hq.PARTS):
        (tmp_path / name).symlink_to(Path(real) / name)
    maps, parts = (opened(tmp_path, masks=masks).read("train", range(10)) for masks in ("maps", "parts"))
    assert torch.equal(maps["segmentation"], parts["segmentation"])
