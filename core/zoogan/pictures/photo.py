"""Photos: reading files, cropping for a run, converting between bytes and floats, and saving."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, UInt8
from PIL import Image, ImageOps
from torch import Tensor
from torch.nn import functional as F

from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.pixels import normalize_image as normalize_image
from zoogan.interfaces.pixels import quantize_image as quantize_image
from zoogan.pictures.box import Box, find_centre_box
from zoogan.pictures.opening import BinaryFile, open_picture

RESAMPLER_VERSION = 1  # raise it with every change of `crop_square` or `resize_squares` that changes a pixel
WIDE = 1.3  # longer side / shorter side from which a photo gets a warning


def read_photo(path: str | Path | Image.Image | BinaryFile) -> UInt8[Tensor, "3 h w"]:
    """Read a person's photo as RGB.

    It is rotated according to EXIF; transparency becomes white, and 16 bits are reduced to 8.

    Args:
        path: A file, an open file, or a picture that is already open.

    Returns:
        The pixels, 0..255, contiguous, on the CPU.

    Raises:
        ConfigError: There is no such file (the message names the nearest one beside it), it is not a picture, or it is
            damaged.
    """
    if isinstance(path, Image.Image):
        return convert_to_rgb(ImageOps.exif_transpose(path))
    with open_picture(path) as picture:
        return convert_to_rgb(ImageOps.exif_transpose(picture))


def read_photo_files(paths: Sequence[Path]) -> list[UInt8[Tensor, "3 h w"]]:
    """Read several photos, see `read_photo`.

    Args:
        paths: The files.

    Returns:
        One picture a file, in the same order.

    Raises:
        ConfigError: Some photos cannot be read; the message lists all of them.
    """
    pictures, problems = [], []
    for path in paths:
        try:
            pictures.append(read_photo(path))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return pictures


def convert_to_rgb(picture: Image.Image) -> UInt8[Tensor, "3 h w"]:
    """Convert an open picture of any mode to RGB bytes."""
    if picture.mode.startswith("I"):  # 16-bit grey; Pillow's own conversion clips it at 255
        picture = Image.fromarray((np.asarray(picture).astype(np.int64) // 257).clip(0, 255).astype(np.uint8))
    if "A" in picture.mode or "transparency" in picture.info:
        picture = picture.convert("RGBA")
        picture = Image.alpha_composite(Image.new("RGBA", picture.size, "white"), picture)
    return torch.from_numpy(np.array(picture.convert("RGB"))).permute(2, 0, 1).contiguous()


def crop_square(photo: UInt8[Tensor, "3 h w"], share: float) -> UInt8[Tensor, "3 side side"]:
    """Crop the centre square.

    Args:
        photo: The picture.
        share: Side of the square as a share of the shorter side of the picture, in (0, 1].

    Returns:
        A view of the picture.
    """
    return crop_box(photo, find_centre_box(photo.shape[-1], photo.shape[-2], share))


def crop_box(photo: UInt8[Tensor, "3 h w"], box: Box) -> UInt8[Tensor, "3 i j"]:
    """Crop a box; the result is a view of the picture."""
    return photo[..., box.top : box.bottom, box.left : box.right]


def resize_squares(squares: Sequence[UInt8[Tensor, "3 _ _"]], size: int) -> UInt8[Tensor, "n 3 {size} {size}"]:
    """Resize squares to one size, bilinear and antialiased: a triangle filter as wide as an output pixel.

    This is the one resampler of training faces, people's photos and metrics, so that all see the same pixels.

    Args:
        squares: Pictures on the CPU; their sides may differ.
        size: Side of the results in pixels.

    Returns:
        The pictures as one batch.
    """
    if len({len(square[0]) for square in squares}) == 1:  # one call for all is several times faster than one each
        return _resize(torch.stack(list(squares)), size)
    return torch.cat([_resize(square[None], size) for square in squares])


def describe_resampler() -> str:
    """Describe the resampler of `resize_squares`, for the keys of caches: pictures of equal descriptions are equal."""
    return f"bilinear antialiased, {'bytes' if _has_byte_kernel() else 'floats'}, version {RESAMPLER_VERSION}"


def _has_byte_kernel() -> bool:
    """Whether torch has a fast kernel for bytes; its slow one is slower than going through floats."""
    return torch.backends.cpu.get_cpu_capability() in ("AVX2", "AVX512") or platform.machine() in ("aarch64", "arm64")


def _resize(images: UInt8[Tensor, "n 3 s s"], size: int) -> UInt8[Tensor, "n 3 {size} {size}"]:
    """Resize a batch on the CPU with the arithmetic of torchvision.transforms.v2, whose import takes seconds."""
    if images.shape[-1] == size:
        return images
    if _has_byte_kernel():
        return F.interpolate(images, (size, size), mode="bilinear", antialias=True)
    resized = F.interpolate(images.float(), (size, size), mode="bilinear", antialias=True)
    return resized.round_().to(torch.uint8)


def convert_to_grey(picture: UInt8[Tensor, "3 h w"]) -> UInt8[Tensor, "1 h w"]:
    """Compute the luma of a colour picture (ITU-R BT.601), the same numbers as Pillow's mode L."""
    red, green, blue = picture.to(torch.int32).unbind(0)
    return ((19595 * red + 38470 * green + 7471 * blue + 2**15) >> 16).to(torch.uint8)[None]


def crop_photo(photo: UInt8[Tensor, "3 h w"], facts: Facts, box: Box | None = None) -> UInt8[Tensor, "c s s"]:
    """Crop a photo as the training faces of a run were cropped.

    Args:
        photo: The picture.
        facts: The facts of the run: `crop`, `image_size` and `channels` are used.
        box: A square of the photo to show instead of the centre.

    Returns:
        The square at the size of the run, grey if the faces of the run are.
    """
    square = crop_square(photo, facts.crop) if box is None else crop_box(photo, box)
    resized = resize_squares([square], facts.image_size)[0]
    return convert_to_grey(resized) if facts.channels == 1 else resized


def list_crop_warnings(
    photo: UInt8[Tensor, "3 h w"], facts: Facts, box: Box | None = None, *, chooser: str = "--box x,y,w,h"
) -> list[str]:
    """List the reasons why an edit of this photo will probably look poor.

    Args:
        photo: The picture, before it is cropped.
        facts: The facts of the run: `crop` and `image_size` are used.
        box: The square that is edited; None = the centre.
        chooser: What a person can use to name a box, for the sentences.

    Returns:
        One sentence a reason: nobody chose the square of a photo that is far from square, or the square is smaller than
        the faces of the run.
    """
    height, width = photo.shape[-2:]
    warnings = []
    if box is None and max(height, width) > WIDE * min(height, width):
        warnings.append(
            f"the photo is {width} x {height}, far from square; its centre square is edited. Choose the face with "
            f"{chooser}, or have it found: pip install 'zoogan[face]'"
        )
    side = find_centre_box(width, height, facts.crop).width if box is None else box.width
    if side < facts.image_size:
        warnings.append(
            f"the photo's square is {side} pixels wide and the model works at {facts.image_size}; "
            "it is enlarged and will look soft"
        )
    return warnings


def save_image(
    image: Float[Tensor, "c h w"] | UInt8[Tensor, "c h w"], path: str | Path, *, compression: int | None = None
) -> None:
    """Write a picture in the format of its suffix. Makes its folder.

    Args:
        image: Floats in [-1, 1] or bytes, of 1 or 3 channels.
        path: The file.
        compression: Level of a PNG, 0 (fast) to 9 (small); None = 6.
    """
    picture = image.cpu() if image.dtype == torch.uint8 else quantize_image(image)
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = picture.expand(3, -1, -1).permute(1, 2, 0).contiguous().numpy()
    options: dict[str, Any] = {} if compression is None else {"compress_level": compression}
    Image.fromarray(pixels).save(path, **options)
