"""Files that are no pictures, too large, or no files at all; and what a folder of pictures lists."""

from __future__ import annotations

import os
import socket
import struct
import zlib
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from support.picture_mutations import play
from support.pictures import save_picture
from zoogan.data.config import FolderData
from zoogan.data.sources.attribute_columns import DataWarning
from zoogan.data.sources.folder import Folder
from zoogan.data.sources.heat_map_files import read_masks
from zoogan.data.sources.image_files import PassedOver, list_images
from zoogan.data.sources.segmentation_files import read_label_map, read_mask
from zoogan.errors import ConfigError
from zoogan.pictures.decode import decode_picture, read_jpeg_size, read_squares
from zoogan.pictures.photo import read_photo
from zoogan.pictures.whole import read_whole_photo

READERS = (decode_picture, read_photo, read_whole_photo, read_label_map, read_mask, read_masks)
SIDE = 30_000


def write_large_jpeg(path: Path) -> Path:
    """Write a JPEG whose header says 30,000 x 30,000 pixels."""
    content = save_picture(path, 90).read_bytes()
    place = content.index(b"\xff\xc0") + 5
    path.write_bytes(content[:place] + struct.pack(">HH", SIDE, SIDE) + content[place + 4 :])
    return path


def write_large_png(path: Path) -> Path:
    """Write a PNG whose header says 30,000 x 30,000 pixels."""
    content = save_picture(path.with_suffix(".png"), 90).read_bytes()
    header = b"IHDR" + struct.pack(">II", SIDE, SIDE) + content[24:29]
    path.write_bytes(content[:12] + header + struct.pack(">I", zlib.crc32(header)) + content[33:])
    return path


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
@pytest.mark.parametrize("write", [write_large_jpeg, write_large_png])
def test_oversized_picture_is_refused_by_its_header(
    tmp_path: Path, write: Any, read: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = write(tmp_path / "large.jpg")
    with pytest.raises(
        ConfigError, match=r"large.jpg: (30000 x 30000 pixels.*ZOOGAN_MAX_PIXELS=|damaged.*exceeds limit)"
    ):
        read(path)
    monkeypatch.setenv("ZOOGAN_MAX_PIXELS", "1000")
    with pytest.raises(ConfigError, match=r"36 x 40 pixels.*the limit is 0 million.*ZOOGAN_MAX_PIXELS=1440"):
        read(save_picture(tmp_path / "small.jpg", 90))
    monkeypatch.setenv("ZOOGAN_MAX_PIXELS", "many")
    with pytest.raises(ConfigError, match="ZOOGAN_MAX_PIXELS=many: expected a whole number of pixels"):
        read(tmp_path / "small.jpg")


@pytest.mark.parametrize("read", READERS, ids=lambda read: read.__name__)
def test_pipes_devices_and_folders_are_not_opened(tmp_path: Path, read: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A named pipe that nobody writes to would block the reader for ever."""
    os.mkfifo(tmp_path / "pipe.jpg")
    with socket.socket(socket.AF_UNIX) as server:
        monkeypatch.chdir(tmp_path)  # the path of a socket has at most 100 bytes
        server.bind("socket.jpg")
    (tmp_path / "device.jpg").symlink_to("/dev/zero")
    (tmp_path / "folder.jpg").mkdir()
    for kind, words in (
        ("pipe", "a named pipe"),
        ("socket", "a socket"),
        ("device", "a device"),
        ("folder", "a folder"),
    ):
        with pytest.raises(ConfigError, match=rf"{kind}.jpg: {words}, not a picture"):
            read(tmp_path / f"{kind}.jpg")


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "an empty file, not a picture; fetch it again"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "a Git LFS pointer.*git lfs pull"),
        (b"\n <!DOCTYPE html><html>", "a web page, not a picture"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\n", "not a picture by its content"),  # starts no program
    ],
)
def test_files_that_are_no_pictures_are_named(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a.jpg").write_bytes(content)
    with pytest.raises(ConfigError, match=f"a.jpg: {words}"):
        decode_picture(tmp_path / "a.jpg")


@pytest.mark.parametrize("suffix", ["avif", "heic"])
def test_avif_and_heic_are_read(tmp_path: Path, suffix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    expected = read_photo(save_picture(tmp_path / "plain.png", 90))
    if suffix == "heic":
        pytest.importorskip("pillow_heif").register_heif_opener()
    path = save_picture(tmp_path / f"photo.{suffix}", 90)
    assert list(list_images(tmp_path)) == [path.name, "plain.png"]
    assert (read_photo(path).int() - expected.int()).abs().max() <= 3
    readers = {"avif": "AVIF", "heic": "HEIF"}
    monkeypatch.delitem(Image.OPEN, readers[suffix])
    monkeypatch.setattr("zoogan.pictures.opening._register_heif", lambda: None)
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    hint = {"avif": "pip install -U pillow", "heic": r"pip install 'zoogan\[heic\]'"}
    with pytest.raises(ConfigError, match=hint[suffix]):
        read_photo(path)


@pytest.mark.parametrize(
    "options", [{}, {"progressive": True}, {"comment": b"\xff\xc0" * 40}, {"exif": b"Exif\0\0" + b"\xff" * 999}]
)
def test_jpeg_size_is_read_from_its_header(tmp_path: Path, options: dict) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (37, 21)).save(path, **options)
    assert read_jpeg_size(path.read_bytes()) == (37, 21)
    assert read_jpeg_size(path.read_bytes()[:30]) is None and read_jpeg_size(b"") is None


def test_large_pictures_are_resized_to_the_same_pixels(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are resized one by one, so that a batch of them is never in memory together."""
    paths = [save_picture(tmp_path / f"{k}.png", size=(40, 44)) for k in range(3)]
    together = read_squares(paths, 0.9, 16)
    monkeypatch.setattr("zoogan.pictures.decode.LARGE", 100)
    one_by_one = read_squares(paths, 0.9, 16)
    assert torch.equal(together[0], one_by_one[0]) and together[1] == one_by_one[1] == [(44, 40)] * 3


# ---- folders ----


def test_links_are_followed_once_and_others_counted(tmp_path: Path) -> None:
    root, outside = tmp_path / "root", tmp_path / "outside"
    for name in ("a.png", "z/b.png", "z/deep/c.png", ".hidden/no.png", ".no.png"):
        save_picture(root / name, 1)
    save_picture(outside / "d.png", 1)
    (root / "a-link").symlink_to(root / "z")  # sorted before its folder, which still gives the names
    (root / "more").symlink_to(outside)
    (root / "again").symlink_to(outside)
    (root / "z/loop").symlink_to(root)
    (outside / "back").symlink_to(root)
    (root / "gone.png").symlink_to(root / "nothing.png")
    (root / "alias.png").symlink_to(root / "a.png")
    os.mkfifo(root / "pipe.png")
    for name in ("film.mp4", "labels.csv", "x.gif", "Thumbs.db"):
        (root / name).touch()
    counts = PassedOver()
    assert list(list_images(root, passed_over=counts)) == [
        "a.png", "alias.png", "z/b.png", "z/deep/c.png", "again/d.png",
    ]  # fmt: skip
    assert counts == {
        "hidden folders": 1, "hidden files": 1, "links that lead nowhere": 1, "pipes, sockets or devices": 1,
        "files .mp4": 1, "files .gif": 1, "links to folders that were read already": 4,
    }  # fmt: skip
    (root / "labels.csv").unlink()
    with pytest.warns(DataWarning, match=r"passed over: 1 files \.gif, 1 files \.mp4, 1 hidden files"):
        Folder(FolderData(root=root, attributes=(), image_size=16))


def test_mutated_pictures_are_read_or_refused() -> None:
    """`python tests/support/picture_mutations.py` plays 10,000."""
    played = play(300, seed=50_000)
    assert not played.failures
    assert min(played.taken, played.refused) > 60, "the mutations are too strong or too weak to find anything"
