"""Make the pictures of README.md: the moving picture, and a thumbnail of each method.

Run `python docs/build_pictures.py` from a checkout with the gallery installed. The film shows what these commands save:

    zoo edit gallery:smile gallery:faces --attribute Eyeglasses=1 --strength 0.5
    zoo edit gallery:smile gallery:faces --attribute Eyeglasses=1
    zoo edit gallery:smile gallery:faces --attribute Eyeglasses=1 --attribute Wearing_Hat=1

and so on, strength by strength, as `zoogan.load("gallery:smile").edit(...)` makes them. Thumbnails are cut from the
sheets in benchmarks/results.
"""

from __future__ import annotations

from pathlib import Path

import torch
from PIL import Image, ImageDraw, ImageFont

import zoogan
from zoogan.pictures.photo import quantize_image
from zoogan.plugins.gallery import find_in_gallery

ROOT = Path(__file__).resolve().parents[1]
OUT = ROOT / "docs" / "pictures"
RUN, FACES = "gallery:smile", ("02.png", "06.png", "07.png", "10.png")
EDITS: tuple[dict[str, float], ...] = (
    {"Eyeglasses": 1}, {"Eyeglasses": 1, "Wearing_Hat": 1}, {"Bangs": 1}, {"Bald": 1, "Eyeglasses": 1},
)  # fmt: skip
STRENGTHS, HOLD, STEP = (0.25, 0.5, 0.75), 900, 90  # milliseconds: a finished edit, and a frame on the way
SIDE, CAPTION = 128, 18  # pixels

# A cell of a sheet is 128 px with 4 px between; below a head of 23 px. Method: sheet, row, columns.
SHEETS: dict[str, tuple[str, int, tuple[int, int]]] = {
    "sagan": ("sagan-drawn-64", 1, (0, 1)),
    "stargan": ("compare-drawn-64", 1, (0, 3)),
    "stargan-v2": ("stargan-v2-drawn-32", 1, (0, 5)),
    "smile": ("smile-drawn-32", 6, (0, 6)),
    "sd-gan": ("sd-gan-drawn-32", 0, (0, 3)),
    "stylegan2": ("stylegan2-drawn-32", 0, (0, 1)),
    "semantic-stylegan": ("semantic-stylegan-drawn-32", 1, (0, 3)),
}
HEAD, CELL, GUTTER, THUMB = 23, 128, 4, 64


def make_film(path: Path) -> None:
    """Make the moving picture: four drawn faces, edited one after the other."""
    run = zoogan.load(RUN)
    photos = [find_in_gallery(f"gallery:faces/{name}") for name in FACES]
    frames, times = [], []
    plain = run.prepare_images(photos)
    for words in EDITS:
        caption = "  ".join(f"{name.replace('_', ' ')}" for name in words)
        frames.append(draw_frame(plain, "drawn faces"))
        times.append(HOLD)
        for strength in (*STRENGTHS, 1.0):
            frames.append(draw_frame(run.edit(plain, strength=strength, **words).image, caption))
            times.append(HOLD if strength == 1.0 else STEP)
    first, *others = [frame.quantize(96, dither=Image.Dither.NONE) for frame in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    first.save(path, save_all=True, append_images=others, duration=times, loop=0, optimize=True)


def draw_frame(images: torch.Tensor, caption: str) -> Image.Image:
    """Draw one frame: the faces side by side with a caption below."""
    frame = Image.new("RGB", (len(images) * (SIDE + GUTTER) - GUTTER, SIDE + CAPTION), "white")
    for place, image in enumerate(quantize_image(images)):
        picture = Image.fromarray(image.permute(1, 2, 0).contiguous().numpy())
        frame.paste(picture.resize((SIDE, SIDE), Image.Resampling.NEAREST), (place * (SIDE + GUTTER), 0))
    pen, font = ImageDraw.Draw(frame), ImageFont.load_default()
    pen.text(((frame.width - font.getlength(caption)) / 2, SIDE + 3), caption, fill="black", font=font)
    return frame


def cut_thumbnail(sheet: Path, row: int, columns: tuple[int, int], path: Path) -> None:
    """Cut two cells of a sheet, a face and its edit or two faces, and put them side by side."""
    with Image.open(sheet) as opened:
        picture = opened.convert("RGB")
    thumbnail = Image.new("RGB", (2 * THUMB + GUTTER, THUMB), "white")
    for place, column in enumerate(columns):
        left, top = GUTTER + column * (CELL + GUTTER), HEAD + row * (CELL + GUTTER)
        cell = picture.crop((left, top, left + CELL, top + CELL)).resize((THUMB, THUMB), Image.Resampling.BOX)
        thumbnail.paste(cell, (place * (THUMB + GUTTER), 0))
    path.parent.mkdir(parents=True, exist_ok=True)
    thumbnail.save(path, optimize=True)


if __name__ == "__main__":
    for method, (sheet, row, columns) in SHEETS.items():
        cut_thumbnail(ROOT / "benchmarks" / "results" / f"{sheet}.png", row, columns, OUT / f"{method}.png")
    make_film(OUT / "edits.gif")
