"""Whole photos: read with everything that their edits keep, and saved."""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import UInt8
from PIL import Image, ImageOps
from torch import Tensor

from zoogan.files import replace_file
from zoogan.pictures.opening import open_picture
from zoogan.pictures.photo import convert_to_rgb
from zoogan.pictures.provenance import DRAWN, SOURCE_KEY, make_drawn_text

ORIENTATION = 0x0112  # EXIF
QUALITY = 95  # of lossy formats, which are written on request alone
COMPRESSION = 3  # of PNG; higher levels take several times as long for a few per cent


@dataclass(frozen=True)
class WholePhoto:
    """A photo with everything that its edit keeps.

    Attributes:
        pixels: The upright photo; where it is transparent, over white.
        colours: The stored colours of a transparent photo; None = it is opaque.
        alpha: Its opacity, 0..255.
        profile: Its ICC profile, if that is one of RGB.
        exif: Its EXIF data, without the orientation.
        is_deep: Whether the file has 16 bits a pixel, of which 8 are kept.
        is_drawn: Whether the file says that zoogan drew it.
    """

    pixels: UInt8[Tensor, "3 h w"]
    colours: UInt8[Tensor, "3 h w"] | None = None
    alpha: UInt8[Tensor, "1 h w"] | None = None
    profile: bytes | None = None
    exif: bytes | None = None
    is_deep: bool = False
    is_drawn: bool = False


def read_whole_photo(path: str | Path) -> WholePhoto:
    """Read a photo with its transparency, colour profile and EXIF data.

    Args:
        path: The file.

    Raises:
        ConfigError: See `read_photo`.
    """
    with open_picture(path) as stored:
        picture = ImageOps.exif_transpose(stored)
        pixels, colours, alpha = convert_to_rgb(picture), None, None
        if "A" in picture.mode or "transparency" in picture.info:
            layers = torch.from_numpy(np.array(picture.convert("RGBA"))).permute(2, 0, 1)
            if int(layers[3].min()) < 255:
                colours, alpha = layers[:3].contiguous(), layers[3:].contiguous()
        return WholePhoto(
            pixels, colours, alpha, profile=_read_profile(picture), exif=_read_exif(picture),
            is_deep=stored.mode.startswith("I"), is_drawn=stored.info.get(SOURCE_KEY) == DRAWN,
        )  # fmt: skip


def _read_profile(picture: Image.Image) -> bytes | None:
    """Read the ICC profile, unless it describes other colours than RGB."""
    profile = picture.info.get("icc_profile")
    return profile if isinstance(profile, bytes) and profile[16:20] == b"RGB " else None


def _read_exif(picture: Image.Image) -> bytes | None:
    """Read the EXIF data without the orientation, which has been applied; None if there are none or they are broken."""
    if "exif" not in picture.info:
        return None
    with suppress(Exception):  # broken EXIF data raise many kinds of errors, and a photo is more than these
        exif = picture.getexif()
        exif.pop(ORIENTATION, None)
        return exif.tobytes() if len(exif) else None
    return None


def save_whole_photo(photo: WholePhoto, pixels: UInt8[Tensor, "3 h w"], path: Path) -> None:
    """Save the edit of a photo in the format of the suffix, with what the photo keeps. Makes the folder.

    Args:
        photo: The photo as it was read.
        pixels: The edited pixels, over white where the photo is transparent.
        path: The file; readers see the old content or the new one.
    """
    layers, suffix = pixels, path.suffix.lower()
    if photo.colours is not None and photo.alpha is not None and suffix not in (".jpg", ".jpeg", ".bmp"):
        changed = photo.colours.int() + pixels.int() - photo.pixels.int()
        layers = torch.cat([changed.clamp(0, 255).to(torch.uint8), photo.alpha])
    picture = Image.fromarray(layers.permute(1, 2, 0).contiguous().numpy())
    kept = {"icc_profile": photo.profile, "exif": photo.exif}
    options: dict[str, Any] = {name: value for name, value in kept.items() if value is not None and suffix != ".bmp"}
    if suffix == ".png":
        options |= {"compress_level": COMPRESSION} | ({"pnginfo": make_drawn_text()} if photo.is_drawn else {})
    elif suffix in (".jpg", ".jpeg", ".webp"):
        options |= {"quality": QUALITY} | ({} if suffix == ".webp" else {"subsampling": 0})
    with replace_file(path) as draft:
        picture.save(draft, format=Image.registered_extensions()[suffix], **options)
