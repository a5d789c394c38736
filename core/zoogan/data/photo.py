"""Photos in, pictures out: reading, the run's own crop, saving and sample grids."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.transforms.v2 import functional as vision

from zoogan.config import ConfigError
from zoogan.facts import Facts

Photo = UInt8[Tensor, "3 height width"]
GUTTER = 2


def read_photo(photo: str | Path | Image.Image) -> Photo:
    """A photo as uint8 RGB, upright (EXIF), whatever its mode or depth; transparency is laid over white.

    Raises:
        ConfigError: no such file, or not an image.
    """
    try:
        image = photo if isinstance(photo, Image.Image) else Image.open(photo)
        image = ImageOps.exif_transpose(image)
        if image.mode.startswith("I"):  # 16 bits a pixel
            image = Image.fromarray((np.asarray(image, dtype=np.uint32) >> 8).clip(0, 255).astype(np.uint8))
        if image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, "white"), image)
        pixels = np.array(image.convert("RGB"))
    except FileNotFoundError as error:
        raise ConfigError(f"{photo}: no such file") from error
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError) as error:
        raise ConfigError(f"{photo}: not an image that can be read ({error})") from error
    return torch.from_numpy(pixels).permute(2, 0, 1).contiguous()


def centre_square(photo: Photo, side: int, size: int) -> UInt8[Tensor, "3 size size"]:
    """The centre square of `side` pixels, resized (bilinear, antialiased) to `size`."""
    square = vision.center_crop(photo, [side, side])
    if side == size:
        return square
    return vision.resize(square, [size, size], interpolation=vision.InterpolationMode.BILINEAR, antialias=True)


def crop_to(photo: Photo, facts: Facts) -> UInt8[Tensor, "3 size size"]:
    """The crop that the run was trained on: the centre square of `facts.crop` times the shorter side."""
    return centre_square(photo, max(1, round(min(photo.shape[1:]) * facts.crop)), facts.image_size)


def doubts(photo: Photo, facts: Facts) -> list[str]:
    """Why a photo may not edit well, as sentences."""
    height, width = photo.shape[1:]
    said = []
    if max(height, width) > 1.5 * min(height, width):
        said.append("far from square: the centre square is used, so centre the face first")
    if min(height, width) < facts.image_size:
        said.append(f"only {width}x{height}: it is enlarged to {facts.image_size} px and will look soft")
    return said


def to_range(images: UInt8[Tensor, "*batch"]) -> Float[Tensor, "*batch"]:
    """0..255 as [-1, 1]."""
    return images.float() / 127.5 - 1


def to_bytes(image: Float[Tensor, "*shape"]) -> UInt8[Tensor, "*shape"]:
    """[-1, 1] as 0..255."""
    return ((image.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)


def save_image(image: Tensor, path: Path) -> None:
    """Save a picture (3, h, w), floats in [-1, 1] or uint8, in the format of its name."""
    pixels = image if image.dtype == torch.uint8 else to_bytes(image)
    Image.fromarray(pixels.permute(1, 2, 0).contiguous().numpy()).save(path)


def grid(columns: Sequence[Float[Tensor, "n 3 h w"]], captions: Sequence[str]) -> UInt8[Tensor, "3 H W"]:
    """A sheet with one row a face and one captioned column each of `columns`, small pictures enlarged."""
    n, _, height, width = columns[0].shape
    zoom = max(1, -(-96 // height))
    height, width = height * zoom, width * zoom
    font = ImageFont.load_default(size=11)
    top = 16
    sheet = Image.new("RGB", (len(columns) * (width + GUTTER) - GUTTER, top + n * (height + GUTTER) - GUTTER), "white")
    pen = ImageDraw.Draw(sheet)
    for c, (column, caption) in enumerate(zip(columns, captions)):
        pen.text((c * (width + GUTTER) + 2, 1), caption, fill="black", font=font)
        for r, picture in enumerate(column):
            tile = Image.fromarray(to_bytes(picture).permute(1, 2, 0).contiguous().numpy())
            sheet.paste(tile.resize((width, height), Image.Resampling.NEAREST), (c * (width + GUTTER), top + r * (height + GUTTER)))
    return torch.from_numpy(np.array(sheet)).permute(2, 0, 1).contiguous()
