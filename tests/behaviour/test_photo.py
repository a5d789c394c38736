"""Pictures in and out."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

from zoogan.config import GameConfig
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.pictures.decode import decode_picture
from zoogan.pictures.photo import (
    crop_photo,
    crop_square,
    list_crop_warnings,
    normalize_image,
    quantize_image,
    read_photo,
    resize_squares,
    save_image,
)
from zoogan.pictures.sheet import make_grid
from zoogan.runs.loaded import LoadedRun


def pixels(height: int = 20, width: int = 30) -> np.ndarray:
    y, x = np.mgrid[:height, :width]
    return np.stack([8 * y, 8 * x, 4 * (x + y)], -1).astype(np.uint8)


def chw(array: np.ndarray) -> torch.Tensor:
    return torch.from_numpy(array.copy()).permute(2, 0, 1)


@pytest.mark.parametrize("turn", range(1, 9))
def test_photo_follows_exif_orientation(tmp_path: Path, turn: int) -> None:
    back = {1: lambda a: a, 2: np.fliplr, 3: lambda a: np.rot90(a, 2), 4: np.flipud,
            5: lambda a: a.swapaxes(0, 1), 6: lambda a: np.rot90(a),
            7: lambda a: np.rot90(a, 2).swapaxes(0, 1), 8: lambda a: np.rot90(a, -1)}  # fmt: skip
    upright = pixels()
    exif = Image.Exif()
    exif[0x0112] = turn
    path = tmp_path / "photo.jpg"
    stored = np.ascontiguousarray(back[turn](upright))
    Image.fromarray(stored).save(path, exif=exif, quality=100, subsampling=0)
    for read in (read_photo, decode_picture):
        photo = read(path)
        assert photo.shape == (3, 20, 30) and photo.dtype == torch.uint8
        assert (photo.int() - chw(upright).int()).abs().max() <= 6


@pytest.mark.parametrize("read", [read_photo, decode_picture])
def test_photo_colour_spaces_become_rgb(tmp_path: Path, read) -> None:
    grey = pixels()[:, :, 0]

    def saved(picture: Image.Image, name: str, **options: object) -> torch.Tensor:
        picture.save(tmp_path / name, **options)
        return read(tmp_path / name)

    wide = saved(Image.fromarray(grey.astype(np.uint16) * 257), "16.png")
    for photo in (saved(Image.fromarray(grey), "grey.png"), wide):
        assert torch.equal(photo, torch.from_numpy(grey).expand(3, -1, -1))
    assert read(tmp_path / "grey.png").is_contiguous()
    cmyk = saved(Image.fromarray(pixels()).convert("CMYK"), "cmyk.jpg", quality=100)
    assert (cmyk.int() - chw(pixels()).int()).abs().max() <= 12
    clear = np.dstack([pixels(), np.full((20, 30), 0, np.uint8)])
    assert (saved(Image.fromarray(clear), "clear.png") == 255).all()
    palette = saved(Image.fromarray(grey).convert("P"), "palette.png")
    assert torch.equal(palette[0], torch.from_numpy(grey))


def test_unreadable_photos_are_reported(tmp_path: Path) -> None:
    (tmp_path / "anna.jpg").write_text("hello")
    Image.fromarray(pixels(200, 200)).save(tmp_path / "cut.jpg")
    (tmp_path / "cut.jpg").write_bytes((tmp_path / "cut.jpg").read_bytes()[:900])
    for read in (read_photo, decode_picture):
        with pytest.raises(ConfigError, match=r"anna.jpg: not a picture"):
            read(tmp_path / "anna.jpg")
        with pytest.raises(ConfigError, match=r"ana.jpg: no such file, did you mean 'anna.jpg'"):
            read(tmp_path / "ana.jpg")
        with pytest.raises(ConfigError, match=r"cut.jpg: damaged"):
            read(tmp_path / "cut.jpg")
        with pytest.raises(ConfigError):
            read(tmp_path)


def test_photo_crop_is_the_centre_square() -> None:
    photo = chw(pixels(40, 24))
    assert torch.equal(crop_photo(photo, Facts(image_size=24)), photo[:, 8:32])
    assert torch.equal(crop_photo(photo, Facts(image_size=18, crop=0.75)), photo[:, 11:29, 3:21])
    assert crop_photo(photo, Facts(image_size=16)).shape == (3, 16, 16)


def test_grey_run_gets_grey_photos() -> None:
    """The numbers of Pillow's L."""
    photo = torch.randint(0, 256, (3, 24, 24), dtype=torch.uint8, generator=torch.Generator().manual_seed(0))
    pillow = Image.fromarray(photo.permute(1, 2, 0).numpy()).convert("L")
    found = crop_photo(photo, Facts(image_size=24, channels=1))
    assert torch.equal(found, torch.from_numpy(np.array(pillow))[None])
    networks: Any = SimpleNamespace(networks=nn.ModuleDict({"generator": nn.Linear(1, 1)}))
    run = LoadedRun(GameConfig.model_construct(), Facts(image_size=24, channels=1), networks)
    assert torch.equal(run.prepare_images(photo), normalize_image(found)[None])
    shades = torch.arange(256, dtype=torch.uint8).view(1, 16, 16)
    assert torch.equal(crop_photo(shades.expand(3, -1, -1), Facts(image_size=16, channels=1)), shades)


def test_photo_resize_is_antialiased() -> None:
    stripes = torch.zeros(3, 64, 64, dtype=torch.uint8)
    stripes[:, :, ::4] = 255  # bilinear alone reads between two of the dark columns
    small = crop_photo(stripes, Facts(image_size=16))
    assert 55 < small.float().mean() < 75


def test_poor_photos_give_warnings() -> None:
    facts = Facts(image_size=64, crop=0.5)
    assert list_crop_warnings(torch.zeros(3, 218, 178, dtype=torch.uint8), facts) == []
    assert "far from square" in list_crop_warnings(torch.zeros(3, 200, 400, dtype=torch.uint8), facts)[0]
    assert (
        "100 pixels wide"
        in list_crop_warnings(torch.zeros(3, 200, 200, dtype=torch.uint8), Facts(image_size=128, crop=0.5))[0]
    )


def test_byte_float_round_trip(tmp_path: Path) -> None:
    every = torch.arange(256, dtype=torch.uint8).repeat(3, 2, 1)
    floats = normalize_image(every)
    assert floats.min() == -1 and floats.max() == 1
    assert torch.equal(quantize_image(floats), every)
    save_image(floats, tmp_path / "new" / "picture.png")
    assert torch.equal(read_photo(tmp_path / "new" / "picture.png"), every)
    assert quantize_image(torch.tensor([-3.0, 7.0])).tolist() == [0, 255]


def test_grid_has_rows_and_white_gutters() -> None:
    rows = torch.full((2, 3, 3, 10, 8), -1.0)
    sheet = make_grid(rows)
    assert sheet.shape == (3, 4 + 2 * 14, 4 + 3 * 12)
    assert (sheet == 0).sum() == 2 * 3 * 3 * 80 and (sheet[:, :4] == 255).all() and (sheet[:, :, 12:16] == 255).all()


def test_grid_captions_are_above_columns() -> None:
    rows = [[torch.zeros(3, 60, 60, dtype=torch.uint8), torch.ones(1, 60, 60)]]
    plain, long = make_grid(rows, ["", "Male"]), make_grid(rows, ["x", "Mouth_Slightly_Open"])
    head = plain.shape[1] - 68
    assert (plain[:, :head, :64] == 255).all() and (plain[:, :head, 64:] < 128).any()
    assert long.shape[1] > plain.shape[1] and long.shape[2] == plain.shape[2]
    assert torch.equal(plain[:, head:], make_grid(rows))
    with pytest.raises(ValueError, match="1 captions for 2 columns"):
        make_grid(rows, ["one"])


@pytest.mark.parametrize(
    "height, width, share, size", [(30, 20, 1.0, 16), (21, 40, 0.7, 16), (9, 9, 1.0, 16), (16, 16, 1.0, 16)]
)
def test_crop_and_resize_equal_torchvision(height: int, width: int, share: float, size: int) -> None:
    from torchvision.transforms.v2 import functional

    photo = chw(pixels(height, width)).contiguous()
    side = round(min(height, width) * share)
    square = functional.center_crop(photo, [side, side])
    assert torch.equal(crop_square(photo, share), square)
    resized = functional.resize(square[None], [size, size], antialias=True)
    assert torch.equal(resize_squares([square], size), resized)
    mixed = resize_squares([square, photo[:, :8, :8]], size)
    assert torch.equal(mixed[:1], resized) and mixed.shape == (2, 3, size, size)


@pytest.mark.slow
def test_photos_are_edited_without_importing_torchvision() -> None:
    code = "import sys, zoogan.runs.loaded, zoogan.judges.judge; sys.exit('torchvision' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
