"""Look at a run of SMILE stage by stage on held-out drawn faces: one line of JSON, and a sheet.

    python benchmarks/smile_chain.py RUN --faces 200 --sheet smile.png

`own_labels`: L1 of a photo and its edit to the labels that it has, and of a photo painted again from its parsed layout
with its own codes. `parsed`: share of the pixels whose part the parser reads right, and mean IoU. `hair`: how much of
the way from its own hair colour to that of another face a photo goes when it takes the code of that face's hair (0 =
none, 1 = all; mean colours over the hair of each layout). `strength_0` is the L1 at strength 0.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoogan
from zoogan.editors import PhotoLayoutEditor
from zoogan.interfaces import Request
from zoogan.layers.layout import make_layout
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.photo import normalize_image, save_image
from zoogan.pictures.sheet import enlarge_pixels, make_grid
from zoogan.plugins.host import get_zoo

SHEET_FACES = 8
SHEET_ATTRIBUTES = ("Eyeglasses", "Wearing_Hat", "Bangs", "Bald")
SMALLEST_HAIR = 20  # pixels; smaller hair has no colour to speak of


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path)
    parser.add_argument("--faces", type=int, default=200, help="held-out faces")
    parser.add_argument("--sheet", type=Path, help="where to save the sheet")
    return parser.parse_args(argv)


def compute_mean_colour(image: Tensor, mask: Tensor) -> Tensor:
    """Compute the mean colour (n, 3) of the pixels of a mask (n, h, w)."""
    weights = mask[:, None].to(image)
    return (image * weights).sum((2, 3)) / weights.sum((2, 3)).clamp(min=1)


def measure_hair(editor: PhotoLayoutEditor, image: Tensor) -> float:
    """Measure how far the hair of each photo goes towards the colour of the next photo's hair."""
    hair = editor.parts.index("hair")
    layout = editor.parse_photo(image)
    donors = image.roll(-1, 0)
    shows = (layout[:, hair].sum((1, 2)) >= SMALLEST_HAIR) & (layout[:, hair].roll(-1, 0).sum((1, 2)) >= SMALLEST_HAIR)
    image, donors, layout = image[shows], donors[shows], layout[shows]
    targets = editor.resolve(Request(parts={"hair": ("texture",)}, donor=donors), image)
    edited = editor.apply(image, targets).image
    again = editor.paint_again(image)
    own, got = (compute_mean_colour(one, layout[:, hair]) for one in (again, edited))
    wanted = compute_mean_colour(donors, editor.parse_photo(donors)[:, hair])
    way, gone = wanted - own, got - own
    return float((gone * way).sum() / way.square().sum())


def make_sheet(editor: PhotoLayoutEditor, source: Any, names: Sequence[str]) -> Tensor:
    """Make a sheet: photo, parsed layout, painted again; for each attribute edited layout, painted, true redraw."""
    sample = source.read("test", list(range(SHEET_FACES)))
    image, own, classes = normalize_image(sample["image"]), sample["attributes"], len(editor.parts)

    def colour(segmentation: Tensor) -> Tensor:
        return normalize_image(colour_segmentation(segmentation, classes))

    columns = [
        ("photo", image), ("parsed", colour(editor.parse_photo(image).argmax(1))),
        ("painted again", editor.paint_again(image)),
    ]  # fmt: skip
    for name in names:
        value = 1 - own[:, editor.attributes.index(name)]
        requested = torch.full_like(own, torch.nan)
        requested[:, editor.attributes.index(name)] = value
        edit = editor.apply(image, {"own": own, "requested": requested}, seed=list(range(SHEET_FACES)))
        redrawn = [source.redraw("test", [row], **{name: float(value[row])})["image"] for row in range(SHEET_FACES)]
        columns += [
            (f"{name}", colour(edit.segmentation)), ("painted", edit.image),
            ("true redraw", normalize_image(torch.cat(redrawn))),
        ]  # fmt: skip
    return make_grid(enlarge_pixels(torch.stack([images for _, images in columns], 1)), [name for name, _ in columns])


@torch.no_grad()
def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parse_arguments(argv)
    run = zoogan.load(options.run)
    editor: Any = run.editor
    source = get_zoo().registry.build("source", run.config.data)
    sample = source.read("test", list(range(options.faces)))
    image, own = normalize_image(sample["image"]), sample["attributes"]
    truth = sample["segmentation"].long()
    parsed = editor.parse_photo(image).argmax(1)
    one, other = (make_layout(maps, len(editor.parts)).bool() for maps in (parsed, truth))
    iou = (one & other).sum((0, 2, 3)) / (one | other).sum((0, 2, 3)).clamp(min=1)
    kept = editor.apply(image, {"own": own, "requested": own}).image
    still = editor.apply(image, {"own": own, "requested": own}, strength=0.0).image
    result = {
        "faces": options.faces,
        "strength_0": float((still - image).abs().mean()),
        "own_labels": {
            "l1": round(float((kept - image).abs().mean()), 4),
            "painted_again_l1": round(float((editor.paint_again(image) - image).abs().mean()), 4),
        },
        "parsed": {
            "pixels": round(float((parsed == truth).float().mean()), 4), "mean_iou": round(float(iou.mean()), 4),
        },
        "hair": round(measure_hair(editor, image), 3),
    }  # fmt: skip
    print(json.dumps(result))
    if options.sheet is not None:
        names = [name for name in SHEET_ATTRIBUTES if name in editor.attributes]
        save_image(make_sheet(editor, source, names), options.sheet)


if __name__ == "__main__":
    main()
