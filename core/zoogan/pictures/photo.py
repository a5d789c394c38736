"""Pictures in and out: files as tensors, the run's own crop, and contact sheets of results."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Shaped, UInt8
from PIL import Image, ImageDraw, ImageFont, ImageOps, UnidentifiedImageError
from torch import Tensor
from torchvision.io import decode_jpeg
from torchvision.transforms.v2 import functional

from zoogan.config import ConfigError
from zoogan.facts import Facts
from zoogan.names import suggest_name

LEGIBLE = 128  # smaller pictures are enlarged to about this many pixels
SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")


def read_photo(path: str | Path | Image.Image) -> UInt8[Tensor, "3 h w"]:
    """A person's photo, a file or already open, as RGB: turned as its EXIF says, transparency laid on white,
    16 bits reduced to 8.

    Raises:
        ConfigError: no such file (with the nearest name beside it), not a picture, or a damaged one.
    """
    if isinstance(path, Image.Image):
        return _rgb(ImageOps.exif_transpose(path))
    path = Path(path)
    try:
        with Image.open(path) as picture:
            return _rgb(ImageOps.exif_transpose(picture))
    except FileNotFoundError:
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such file{suggest_name(path.name, beside)}") from None
    except UnidentifiedImageError:
        raise ConfigError(f"{path}: not a picture that can be read ({', '.join(SUFFIXES)})") from None
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise ConfigError(f"{path}: damaged or unreadable picture ({error})") from error


def read_quickly(path: Path) -> UInt8[Tensor, "3 h w"]:
    """The same picture for training: JPEG is decoded straight into a tensor, everything else goes to
    `read_photo`.

    Raises:
        ConfigError: as `read_photo`.
    """
    if path.suffix.lower() in (".jpg", ".jpeg"):
        try:
            content = torch.frombuffer(bytearray(path.read_bytes()), dtype=torch.uint8)
            # Colour spaces with four channels are left to Pillow, which knows Adobe's inverted ones.
            picture = decode_jpeg(content, apply_exif_orientation=True)
            if len(picture) in (1, 3):
                return picture.expand(3, -1, -1).contiguous()
        except (OSError, RuntimeError, ValueError):
            pass  # read_photo says what is wrong, or can read it after all
    return read_photo(path)


def _rgb(picture: Image.Image) -> UInt8[Tensor, "3 h w"]:
    if picture.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips it at 255
        picture = Image.fromarray((np.asarray(picture).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))
    if "A" in picture.mode or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).contiguous()


def square(photo: UInt8[Tensor, "3 h w"], share: float) -> UInt8[Tensor, "3 side side"]:
    """The centre square of `share` times the shorter side."""
    side = max(1, round(min(photo.shape[-2:]) * share))
    return functional.center_crop(photo, [side, side])


def resized(squares: Sequence[UInt8[Tensor, "3 _ _"]], size: int) -> UInt8[Tensor, "n 3 {size} {size}"]:
    """Squares at one size, bilinear and antialiased."""
    if len({len(s[0]) for s in squares}) == 1:  # one call for all is several times faster than one each
        return functional.resize(torch.stack(list(squares)), [size, size], antialias=True)
    return torch.stack([functional.resize(s, [size, size], antialias=True) for s in squares])


def grey(picture: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "1 h w"]:
    """The luma of a colour picture (ITU-R BT.601), the numbers of Pillow's mode L."""
    red, green, blue = picture.to(torch.int32).unbind(0)
    return ((19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16).to(torch.uint8)[None]


def crop_to(photo: UInt8[Tensor, "3 h w"], facts: Facts) -> UInt8[Tensor, "c s s"]:
    """A photo as the run's training faces were cut: the centre square, at the run's size, grey if its faces are."""
    cut = resized([square(photo, facts.crop)], facts.image_size)[0]
    return grey(cut) if facts.channels == 1 else cut


def crop_warnings(photo: UInt8[Tensor, "3 h w"], facts: Facts) -> list[str]:
    """What makes a poor edit of this photo likely: far from square, or smaller than the run's faces."""
    height, width = photo.shape[-2:]
    warnings = []
    if max(height, width) > 1.5 * min(height, width):
        warnings.append(
            f"the photo is {width} x {height}, far from square; only its centre square is edited. "
            "Crop it to the face first, with some hair and neck around it"
        )
    side = round(min(height, width) * facts.crop)
    if side < facts.image_size:
        warnings.append(
            f"the photo's square is {side} pixels wide and the model works at {facts.image_size}; "
            "it is enlarged and will look soft"
        )
    return warnings


def to_range(photo: UInt8[Tensor, "*any"]) -> Float[Tensor, "*any"]:
    """0..255 as floats in [-1, 1]."""
    return photo.float().div(127.5).sub(1)


def to_bytes(image: Float[Tensor, "*any"]) -> UInt8[Tensor, "*any"]:
    """Floats in [-1, 1] as 0..255, rounded and clamped; the inverse of `to_range`."""
    return image.detach().float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8).cpu()


def save_image(image: Float[Tensor, "c h w"] | UInt8[Tensor, "c h w"], path: str | Path) -> None:
    """Write a picture, in [-1, 1] or already bytes, 1 or 3 channels, as a PNG (or what the suffix says)."""
    picture = image.cpu() if image.dtype == torch.uint8 else to_bytes(image)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(picture.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()).save(path)


def enlarged(image: Shaped[Tensor, "*n h w"]) -> Shaped[Tensor, "*n h2 w2"]:
    """Small pictures in whole multiples, so that pixels stay pixels; as they are from `LEGIBLE` on."""
    zoom = max(1, LEGIBLE // image.shape[-1])
    return image.repeat_interleave(zoom, -2).repeat_interleave(zoom, -1)


def grid(
    rows: Sequence[Sequence[Tensor]] | Tensor, captions: Sequence[str] | None = None, *, gutter: int = 4
) -> UInt8[Tensor, "3 height width"]:
    """A contact sheet: one row a face, one column a variant, white gutters, captions above the columns.

    Args:
        rows: pictures (c, h, w) of one size, c 1 or 3, in [-1, 1] or uint8; a tensor (n, k, c, h, w) will do.
        captions: one a column; underscores become line breaks where a caption is too wide.

    Raises:
        ValueError: no pictures, or the number of captions is not the number of columns.
    """
    cells = [[p.cpu() if p.dtype == torch.uint8 else to_bytes(p) for p in row] for row in rows]
    wide = max((len(row) for row in cells), default=0)
    if not wide:
        raise ValueError("grid: no pictures")
    if captions is not None and len(captions) != wide:
        raise ValueError(f"grid: {len(captions)} captions for {wide} columns")
    height, width = cells[0][0].shape[-2:]
    head = _captions(captions, width, gutter) if captions is not None else torch.empty(3, 0, 0, dtype=torch.uint8)
    top = head.shape[1] + gutter
    sheet = torch.full(
        (3, top + len(cells) * (height + gutter), gutter + wide * (width + gutter)), 255, dtype=torch.uint8
    )
    if captions is not None:
        sheet[:, : head.shape[1]] = head
    for i, row in enumerate(cells):
        for j, picture in enumerate(row):
            y, x = top + i * (height + gutter), gutter + j * (width + gutter)
            sheet[:, y : y + height, x : x + width] = picture
    return sheet


def _captions(captions: Sequence[str], width: int, gutter: int) -> UInt8[Tensor, "3 head total"]:
    """The strip above the columns, as high as the longest caption needs."""
    font = ImageFont.load_default()

    def lines(caption: str) -> list[str]:
        broken = [""]
        for word in caption.replace("_", " ").split():
            longer = f"{broken[-1]} {word}".strip()
            if broken[-1] and font.getlength(longer) > width:
                broken.append(word)
            else:
                broken[-1] = longer
        return broken

    texts = [lines(caption) for caption in captions]
    line = int(sum(font.getbbox("Ag")[1::2])) + 1  # bottom of the letters plus the same space as above them
    strip = Image.new("RGB", (gutter + len(texts) * (width + gutter), gutter + line * max(map(len, texts))), "white")
    pen = ImageDraw.Draw(strip)
    for j, text in enumerate(texts):
        for i, words in enumerate(text):
            while len(words) > 1 and font.getlength(words) > width:
                words = words[:-1]
            x = gutter + j * (width + gutter) + (width - font.getlength(words)) / 2
            pen.text((x, gutter + i * line), words, fill="black", font=font)
    return torch.from_numpy(np.array(strip)).permute(2, 0, 1).contiguous()


def read_all(photos: list[Path]) -> list[Any]:
    """The photos as bytes (3, h, w).

    Raises:
        ConfigError: all photos that cannot be read, at once, before anything is edited.
    """
    from zoogan.pictures.photo import read_photo

    pictures, problems = [], []
    for photo in photos:
        try:
            pictures.append(read_photo(photo))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return pictures
