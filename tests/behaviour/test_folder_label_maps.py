"""A folder of anybody's images with label maps, and one that only knows which parts there are."""

from __future__ import annotations

import struct
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from zoogan.data.config import FolderData
from zoogan.data.sources.folder import Folder
from zoogan.data.sources.segmentation_files import read_label_map
from zoogan.data.stream import FaceStream
from zoogan.errors import ConfigError
from zoogan.interfaces import Need
from zoogan.training.prepare import describe_source

NAMES = ("a.png", "anna/1.jpg", "Zoë/größe 2.png", "b.jpeg")
KINDS: dict[str, Any] = {"names": ["nothing", "face", "l_eye", "r_eye"], "mirrored": [["l_eye", "r_eye"]],
                         "transparent": ["l_eye"]}  # fmt: skip


def labels_of(k: int) -> np.ndarray[Any, Any]:
    return np.random.default_rng(k).integers(0, 4, (20, 15)).astype(np.uint8)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    for k, name in enumerate(NAMES):
        path, label = tmp_path / name, (tmp_path / "maps" / name).with_suffix(".png")
        for folder in (path.parent, label.parent):
            folder.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.full((40, 30, 3), 20 * k, dtype=np.uint8)).save(path)
        Image.fromarray(labels_of(k)).save(label)
    return tmp_path


def opened(root: Path, **settings: Any) -> Folder:
    given = {"attributes": (), "test_share": 0, "label_set": KINDS, "label_maps": "maps"}
    return Folder(FolderData(**{"root": root, "image_size": 16, **given, **settings}))


def test_label_maps_pair_with_images(root: Path) -> None:
    source = opened(root)
    assert sorted(source.names) == sorted(NAMES) and source.fields == ("image", "attributes", "segmentation")
    index = [source.names.index(name) for name in NAMES]
    read = source.read("train", index)
    assert read["image"].flatten(1).float().mean(1).tolist() == [0, 20, 40, 60]
    centres = [(k + 0.5) * 30 / 16 for k in range(16)]  # of the middle 30 x 30, which is 15 x 15 of the label map
    rows, columns = ([int((edge + centre) / 2) for centre in centres] for edge in (5, 0))
    expected = [labels_of(k)[np.ix_(rows, columns)] for k in range(4)]
    assert torch.equal(read["segmentation"], torch.from_numpy(np.stack(expected)))
    assert read["segmentation"].dtype == torch.uint8


def test_label_map_suffix_ignores_case(root: Path) -> None:
    expected = opened(root).read("train", range(4))["segmentation"]
    (root / "maps" / "a.png").rename(root / "maps" / "a.PNG")
    assert torch.equal(opened(root).read("train", range(4))["segmentation"], expected)


def test_label_set_merges_classes(root: Path) -> None:
    merged = {"names": ["rest", "eye"], "classes": KINDS["names"], "merges": {"eye": ["l_eye", "r_eye"]}}
    source = opened(root, label_set=merged)
    whole = opened(root).read("train", range(4))["segmentation"]
    assert torch.equal(source.read("train", range(4))["segmentation"], (whole >= 2).to(torch.uint8))
    assert source.parts == ("rest", "eye") and source.mirrored == ()


def test_labels_and_label_maps_are_combined(root: Path) -> None:
    rows = [f"{name},{k % 2}" for k, name in enumerate(NAMES)]
    (root / "labels.csv").write_text("\n".join(["file,Odd", *rows]) + "\n", encoding="utf-8")
    read = opened(root, attributes=("Odd",)).read("train", [2, 1])
    assert read["attributes"].tolist() == [[0], [1]] and read["segmentation"].shape == (2, 16, 16)


def test_label_set_without_maps_gives_parts_only(root: Path) -> None:
    (root / "maps").rename(root.parent / f"{root.name}-maps")
    source = opened(root, label_maps=None)
    assert source.fields == ("image", "attributes") and set(source.read("train", [0])) == set(source.fields)
    facts = describe_source(source)
    assert facts.parts == ("nothing", "face", "l_eye", "r_eye") and facts.transparent == ("l_eye",)
    with pytest.raises(ConfigError, match=r"needs segmentation \(of .real.\), which this source does not have"):
        FaceStream(source, "real", Need(("image", "segmentation")), seed=0)


def test_no_label_set_changes_nothing(root: Path) -> None:
    source = opened(root, label_set=None, label_maps=None)
    assert source.fields == ("image", "attributes") and describe_source(source).parts == ()
    assert len(source.names) == 8  # a folder like any other


def test_mirroring_swaps_left_and_right_parts(root: Path) -> None:
    source = opened(root)
    stream = FaceStream(source, "real", Need(("segmentation",)), seed=0, flip=True)
    flipped = [k for k in range(8) if stream.is_mirrored(k)]
    plain = source.read("train", [stream.get_index(k) for k in flipped])["segmentation"].flip(-1)
    swap = torch.tensor([0, 1, 3, 2], dtype=torch.uint8)
    assert flipped and torch.equal(stream.__getitems__(flipped)["segmentation"], swap[plain.long()])
    with pytest.raises(ConfigError, match=r"data.random_crop cuts pictures only"):
        FaceStream(source, "real", Need(("image", "segmentation")), seed=0, crop=0.5)


@pytest.mark.parametrize(
    "spoil, settings, message",
    [
        (lambda r: (r / "maps/anna/1.png").unlink(), {},
         r"maps/anna/1.png: no such label map, for the image anna/1.jpg"),
        (lambda r: Image.new("RGB", (40, 30)).save(r / "a.jpg"), {},
         r"maps/a.png: the label map of a.jpg and of a.png"),
        (lambda r: None, {"label_maps": "mpas"}, r"mpas is not there, did you mean 'maps'"),
        (lambda r: None, {"label_maps": "mpas"}, r"(?s)a PNG for each image.*anna/1.jpg   mpas/anna/1.png"),
        (lambda r: None, {"label_maps": "../maps"}, r"label_maps=../maps: expected a folder in"),
        (lambda r: None, {"label_maps": ""}, r"label_maps=: expected a folder in"),
        (lambda r: None, {"label_set": None}, r"label_maps=maps: say what their values mean with data.label_set"),
    ],
)  # fmt: skip
def test_invalid_files_are_reported_on_opening(root: Path, spoil: Any, settings: dict[str, Any], message: str) -> None:
    opened(root)
    spoil(root)
    with pytest.raises(ConfigError, match=message):
        opened(root, **settings)


@pytest.mark.parametrize(
    "labels, message",
    [
        (np.full((20, 15), 4, np.uint8), r"maps/a.png: the value 4, .* the classes 0 \(nothing\) to 3 \(r_eye\)"),
        (np.zeros((15, 20), np.uint8), r"maps/a.png: 20 x 15, but its image .*a.png is 30 x 40"),
        (np.zeros((20, 15, 3), np.uint8), r"maps/a.png: a label map has one value a pixel"),
        (np.zeros((20, 15), np.uint16), r"maps/a.png: a label map has one value a pixel"),
    ],
)
def test_invalid_files_are_reported_on_reading(root: Path, labels: np.ndarray[Any, Any], message: str) -> None:
    Image.fromarray(labels).save(root / "maps" / "a.png")
    source = opened(root)
    a = source.names.index("a.png")
    with pytest.raises(ConfigError, match=message):
        source.read("train", [a])
    source.read("train", [i for i in range(4) if i != a])


@pytest.mark.parametrize("bits", [1, 2, 4])
@pytest.mark.parametrize("colour", [0, 3])
def test_packed_label_maps_are_read(tmp_path: Path, bits: int, colour: int) -> None:
    """Grey (0) and palette (3) PNGs whose pixels share bytes, made by hand: Pillow writes no such grey ones."""
    values = np.arange(16, dtype=np.uint8).reshape(2, 8) % 2**bits
    packed = [np.packbits(np.unpackbits(row[:, None], axis=1)[:, -bits:]).tobytes() for row in values]
    chunks = {
        b"IHDR": struct.pack(">IIBBBBB", 8, 2, bits, colour, 0, 0, 0), b"PLTE": bytes(range(3 * 2**bits)),
        b"IDAT": zlib.compress(b"".join(b"\0" + row for row in packed)), b"IEND": b"",
    }  # fmt: skip
    if colour == 0:
        del chunks[b"PLTE"]
    made = [struct.pack(">I", len(b)) + n + b + struct.pack(">I", zlib.crc32(n + b)) for n, b in chunks.items()]
    (tmp_path / "a.png").write_bytes(b"\x89PNG\r\n\x1a\n" + b"".join(made))
    assert np.array_equal(read_label_map(tmp_path / "a.png"), values)


@pytest.mark.parametrize("shape", [(21, 15), (20, 16), (19, 15)])
def test_label_map_size_may_differ_by_rounding(root: Path, shape: tuple[int, int]) -> None:
    Image.new("L", shape[::-1], 3).save(root / "maps" / "a.png")
    source = opened(root)
    assert (source.read("train", [source.names.index("a.png")])["segmentation"] == 3).all()
