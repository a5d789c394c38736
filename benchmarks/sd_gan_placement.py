"""Measure how well placed templates cover what the renderer would draw.

zoo judge train --data drawn --size 32 --attributes Male,Eyeglasses,Wearing_Hat,Bangs,Bald,Wearing_Earrings \
    --iterations 1200 --seed 1 --out JUDGE
python benchmarks/sd_gan_placement.py --judge JUDGE --picture placement.png

The template of each held-out face is its own mask or glasses, drawn frontally. Its alpha, placed on the face, is
compared with the alpha of the renderer's own layer (intersection over union). Prints one line of JSON: the mean over
the faces and the 0.1 quantile, at the true placement, at the placement read off the bare face by a judge, and at the
mean placement. The picture shows bare faces, the renderer's own, and the three composites.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from zoogan.data import DrawnFaces, Traits, draw_layer, read_placement
from zoogan.judges.judge import load_judge
from zoogan_sd_gan.compositors import SURFACE_OF
from zoogan_sd_gan.placement import SURFACES, WEARER, PlacedHead, sample_template
from zoogan_sd_gan.reader import describe_faces, fit_placement
from zoogan_sd_gan.templates import draw_frontal_templates

HELD_OUT = 2_000_000  # number of the first face that no judge and no reader was trained on
SHOWN = 10  # faces in the picture


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--judge", type=Path, required=True, help="folder of a judge of drawn faces that reads parts")
    parser.add_argument("--attributes", default="Face_Mask,Eyeglasses")
    parser.add_argument("--faces", type=int, default=300, help="held-out faces")
    parser.add_argument("--fit", type=int, default=3000, help="faces on which the reader is fitted")
    parser.add_argument("--picture", type=Path, help="where to write the picture")
    options = parser.parse_args(argv)
    judge = load_judge(options.judge)
    faces, numbers = DrawnFaces(judge.image_size), range(HELD_OUT, HELD_OUT + options.faces)
    reader = fit_placement(judge, faces=options.fit)
    mean = read_placement(faces.draw_traits(range(options.fit))).mean(0, keepdim=True).expand(options.faces, -1)
    figures, rows = {}, []
    for attribute in options.attributes.split(","):
        traits = faces.draw_traits(numbers, **{attribute: 1})
        bare = faces.redraw(numbers, **{attribute: 0}).image.float() / 127.5 - 1.0
        true = draw_layer(attribute, traits, judge.image_size)
        placements = {
            "true": read_placement(traits), "read": reader.read(describe_faces(judge, bare)), "fixed": mean,
        }  # fmt: skip
        layers = {name: place_own(attribute, traits, where, judge.image_size) for name, where in placements.items()}
        figures[attribute] = {name: measure_overlap(true, layer) for name, layer in layers.items()}
        shown = faces.redraw(numbers, **{attribute: 1}).image[:SHOWN].float() / 127.5 - 1.0
        rows += [bare[:SHOWN], shown, *(lay_over(bare, layer)[:SHOWN] for layer in layers.values())]
    if options.picture is not None:
        write_picture(torch.stack(rows), options.picture)
    print(json.dumps({"faces": options.faces, "size": judge.image_size, "fit": options.fit, "iou": figures}))


def place_own(attribute: str, traits: Traits, placement: Tensor, size: int) -> Tensor:
    """Place what each face wears itself, drawn frontally, by a placement."""
    layers = []
    for rows in torch.arange(len(traits)).split(100):
        rgba, numbers = draw_frontal_templates(attribute, traits.select(rows), size)
        wearer = Traits({name: column.view(-1, 1, 1) for name, column in zip(WEARER, numbers.unbind(1), strict=True)})
        point = SURFACES[SURFACE_OF[attribute]](PlacedHead(placement[rows], size), wearer)
        layers.append(sample_template(rgba.float() / 255.0, point))
    return torch.cat(layers)


def measure_overlap(true: Tensor, placed: Tensor) -> dict[str, float]:
    """Measure the intersection over union of the alpha of layers that show anything, mean and 0.1 quantile."""
    both = torch.minimum(true[:, 3], placed[:, 3]).sum((1, 2))
    either = torch.maximum(true[:, 3], placed[:, 3]).sum((1, 2))
    ratio = (both / either.clamp(min=1e-6))[true[:, 3].sum((1, 2)) > 1]
    return {"mean": round(float(ratio.mean()), 4), "quantile_0.1": round(float(ratio.quantile(0.1)), 4)}


def lay_over(face: Tensor, layer: Tensor) -> Tensor:
    """Lay a layer over faces in [-1, 1]."""
    alpha = layer[:, 3:]
    return face * (1 - alpha) + 2 * layer[:, :3] - alpha


def write_picture(rows: Tensor, path: Path) -> None:
    """Write rows of faces (r, n, 3, s, s) as a picture, three times enlarged."""
    count, columns, _, size, _ = rows.shape
    sheet = rows.permute(0, 3, 1, 4, 2).reshape(count * size, columns * size, 3)
    pixels = ((sheet.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
    Image.fromarray(np.repeat(np.repeat(pixels, 3, 0), 3, 1)).save(path)


if __name__ == "__main__":
    main()
