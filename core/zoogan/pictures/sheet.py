"""Contact sheets: pictures in rows and columns, with captions."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Shaped, UInt8
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from zoogan.pictures.photo import quantize_image

LEGIBLE = 128  # smaller pictures are enlarged to about this many pixels


def enlarge_pixels(image: Shaped[Tensor, "*n h w"]) -> Shaped[Tensor, "*n h2 w2"]:
    """Enlarge small pictures by a whole factor, so that pixels stay sharp; from `LEGIBLE` pixels on, keep them."""
    zoom = max(1, LEGIBLE // image.shape[-1])
    return image.repeat_interleave(zoom, -2).repeat_interleave(zoom, -1)


def make_grid(
    rows: Sequence[Sequence[Tensor]] | Tensor, captions: Sequence[str] | None = None, *, gutter: int = 4
) -> UInt8[Tensor, "3 height width"]:
    """Make a contact sheet: a row for each face, a column for each variant, captions above the columns.

    Args:
        rows: Pictures (c, h, w) of one size, c = 1 or 3, floats in [-1, 1] or bytes; or a tensor (n, k, c, h, w).
        captions: One a column; underscores become line breaks where a caption is too wide.
        gutter: Width of the white lines around the pictures, in pixels.

    Returns:
        The sheet as bytes.

    Raises:
        ValueError: There are no pictures, or the number of captions is not the number of columns.
    """
    cells = [[p.cpu() if p.dtype == torch.uint8 else quantize_image(p) for p in row] for row in rows]
    columns = max((len(row) for row in cells), default=0)
    if not columns:
        raise ValueError("make_grid: rows has no pictures")
    if captions is not None and len(captions) != columns:
        raise ValueError(f"make_grid: got {len(captions)} captions for {columns} columns")
    height, width = cells[0][0].shape[-2:]
    head = _draw_captions(captions, width, gutter) if captions is not None else torch.empty(3, 0, 0, dtype=torch.uint8)
    top = head.shape[1] + gutter
    sheet = torch.full(
        (3, top + len(cells) * (height + gutter), gutter + columns * (width + gutter)), 255, dtype=torch.uint8
    )
    if captions is not None:
        sheet[:, : head.shape[1]] = head
    for i, row in enumerate(cells):
        for j, picture in enumerate(row):
            y, x = top + i * (height + gutter), gutter + j * (width + gutter)
            sheet[:, y : y + height, x : x + width] = picture
    return sheet


def _draw_captions(captions: Sequence[str], width: int, gutter: int) -> UInt8[Tensor, "3 head total"]:
    """Draw the strip above the columns, as high as the longest caption needs."""
    font = ImageFont.load_default()

    def break_lines(caption: str) -> list[str]:
        lines = [""]
        for word in caption.replace("_", " ").split():
            longer = f"{lines[-1]} {word}".strip()
            if lines[-1] and font.getlength(longer) > width:
                lines.append(word)
            else:
                lines[-1] = longer
        return lines

    texts = [break_lines(caption) for caption in captions]
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
