"""Lays the edit of a square over the photo that the square was taken from."""

from __future__ import annotations

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from zoogan.interfaces.pixels import check_pixels_finite
from zoogan.pictures.box import Box

FEATHER = 1 / 16  # width of the soft border, as a share of the box
WINDOW = 5  # pixels of the network's image in which its structure before and after the edit is compared
NOISE = 0.02**2  # variance below which an image in [-1, 1] has no structure to compare
MASK_SLOPE = 8  # a mask of 1 / 8 or more lets the whole change through
STRIP = 2**21  # pixels that are pasted at a time


def paste_edit(
    photo: UInt8[Tensor, "3 h w"],
    box: Box,
    before: Float[Tensor, "c i j"],
    after: Float[Tensor, "c i j"],
    mask: Float[Tensor, "1 i j"] | None = None,
) -> UInt8[Tensor, "3 h w"]:
    """Lay the edit of a box over the whole photo.

    What the edit changed is enlarged and added to the photo. The photo keeps its own detail, except where the edit
    replaced the structure that carries it, as glasses do with the skin below them. The change fades out at the borders
    of the box that lie inside the photo. Pixels where nothing changed stay as they are, bit for bit.

    Args:
        photo: The photo.
        box: The part of the photo that was edited.
        before: The box as the network saw it, or as it drew it unedited, in [-1, 1]; of 1 or 3 channels.
        after: The edited box, in [-1, 1]. One channel changes the brightness alone.
        mask: Where the editor meant to change something, in [0, 1]; None = everywhere.

    Returns:
        The whole photo with the edit, new in memory.

    Raises:
        ValueError: The box is not inside the photo, or the images differ in shape.
    """
    if not box.is_inside(photo.shape[2], photo.shape[1]):
        raise ValueError(f"box {box} is not inside a photo of {photo.shape[2]} x {photo.shape[1]}")
    if before.shape != after.shape or (mask is not None and mask.shape[1:] != after.shape[1:]):
        shapes = [tuple(image.shape) for image in (before, after, mask) if image is not None]
        raise ValueError(f"before, after and mask show the same square, but their shapes are {shapes}")
    before, after = (image.detach().to("cpu", torch.float32) for image in (before, after))
    change = after - before
    result = photo.clone()
    if not bool(change.any()):
        return result
    limit = None if mask is None else (mask.detach().to("cpu", torch.float32) * MASK_SLOPE).clamp(0, 1)
    check_pixels_finite(change)
    lost = measure_lost_structure(before, change)
    rows = make_resize_matrix(before.shape[1], box.height)
    columns = make_resize_matrix(before.shape[2], box.width).T.contiguous()
    soft_rows = make_border_ramp(box.height, box.top > 0, box.bottom < photo.shape[1])
    soft_columns = make_border_ramp(box.width, box.left > 0, box.right < photo.shape[2])
    height = max(1, STRIP // box.width)
    for top in range(0, box.height, height):
        strip = slice(top, min(top + height, box.height))

        def enlarge(image: Tensor, strip: slice = strip) -> Tensor:
            return rows[strip] @ image @ columns

        place = (slice(None), slice(box.top + strip.start, box.top + strip.stop), slice(box.left, box.right))
        own = photo[place].float().div(127.5).sub(1)
        shown = own if len(before) == 3 else convert_to_brightness(own)
        added = enlarge(change) - enlarge(lost).clamp(0, 1) * (shown - enlarge(before))
        soft = soft_rows[strip, None] * soft_columns
        if limit is not None:
            soft = soft * enlarge(limit).clamp(0, 1)
        levels = photo[place].float() + (added * soft * 127.5)
        result[place] = levels.round().clamp(0, 255).to(torch.uint8)
    return result


def measure_lost_structure(before: Float[Tensor, "c i j"], change: Float[Tensor, "c i j"]) -> Float[Tensor, "1 i j"]:
    """Measure how much of the structure of an image an edit took away, from 0 (none) to 1 (all of it).

    Around each pixel the change is regressed on the image: a slope of -1 says that the edit removed what was there. An
    edit that adds a colour, or leaves everything as it is, has the slope 0.

    Args:
        before: The image in [-1, 1].
        change: What the edit adds to it.
    """
    weights = torch.tensor([1.0, 4, 6, 4, 1]) / 16
    kernel = (weights[:, None] * weights)[None, None]

    def blur(image: Tensor) -> Tensor:
        padded = F.pad(image[:, None], (WINDOW // 2,) * 4, mode="replicate")
        return F.conv2d(padded, kernel)[:, 0]

    deviation = before - blur(before)
    covariance = blur(deviation * (change - blur(change))).sum(0, keepdim=True)
    variance = blur(deviation.square()).sum(0, keepdim=True)
    return (-covariance / (variance + NOISE)).clamp(0, 1)


def convert_to_brightness(image: Float[Tensor, "3 h w"]) -> Float[Tensor, "1 h w"]:
    """Compute the luma of a colour image (ITU-R BT.601)."""
    return (image * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(0, keepdim=True)


def make_resize_matrix(size: int, length: int) -> Float[Tensor, "length size"]:
    """Make the matrix that resizes `size` pixels to `length`, bicubic and antialiased. Equal lengths keep pixels."""
    identity = torch.eye(size)[None, None]
    return F.interpolate(identity, (length, size), mode="bicubic", antialias=True)[0, 0]


def make_border_ramp(length: int, fades_first: bool, fades_last: bool) -> Float[Tensor, " length"]:
    """Make the weights of a change along one side of a box: 1, and falling towards the ends that fade."""
    ramp, width = torch.ones(length), max(1, round(length * FEATHER))
    rising = (torch.arange(1, width + 1) / (width + 1)).square() * (3 - 2 * torch.arange(1, width + 1) / (width + 1))
    if fades_first:
        ramp[:width] *= rising[:length]
    if fades_last:
        ramp[-width:] *= rising.flip(0)[-length:]
    return ramp
