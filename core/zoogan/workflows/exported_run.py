"""Edit a photo or make a face with the graphs of this folder. Needs numpy, onnxruntime and Pillow, and no torch."""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime
from PIL import Image, ImageOps

FOLDER = Path(__file__).parent


def read_photo(path: str, image: dict[str, Any]) -> np.ndarray:
    """Read the centre square of a photo as (1, c, s, s) in [-1, 1]."""
    picture = ImageOps.exif_transpose(Image.open(path)).convert("L" if image["channels"] == 1 else "RGB")
    side = max(1, round(min(picture.size) * image["crop"]))
    left, top = (round((length - side) / 2) for length in picture.size)
    square = picture.crop((left, top, left + side, top + side))
    pixels = np.asarray(square.resize((image["size"], image["size"]), Image.Resampling.BILINEAR), np.float32)
    return pixels.reshape(1, image["size"], image["size"], -1).transpose(0, 3, 1, 2) / 127.5 - 1


def read_layout(path: str, image: dict[str, Any], parts: int) -> np.ndarray:
    """Read a label map as a one-hot layout (1, k, s, s)."""
    labels = Image.open(path).resize((image["size"], image["size"]), Image.Resampling.NEAREST)
    return (np.asarray(labels) == np.arange(parts)[:, None, None]).astype(np.float32)[None]


def run_task(about: dict[str, Any], task: str, values: dict[str, np.ndarray]) -> np.ndarray:
    """Call the graphs of a task in order, on named values; returns the first result of the last."""
    result, given = "", set(values)
    for call in about["tasks"][task]:
        graph = about["graphs"][call["graph"]]
        result = next(iter(graph["outputs"]))
        if set(graph["outputs"]) <= given:  # such as own labels
            continue
        names = {name: call["inputs"].get(name, name) for name in graph["inputs"]}
        if missing := [name for name in names.values() if name not in values]:
            raise SystemExit(f"run.py: this needs {', '.join(missing)}: see python run.py --help")
        session = onnxruntime.InferenceSession(FOLDER / graph["onnx"], providers=["CPUExecutionProvider"])
        values |= zip(graph["outputs"], session.run(None, {name: values[value] for name, value in names.items()}))
    return values[result]


def save(result: np.ndarray, out: str) -> None:
    """Save a picture, or the label map of a layout."""
    if result.shape[1] in (1, 3):
        pixels = np.floor((result[0].clip(-1, 1) + 1) * 127.5 + 0.5).astype(np.uint8).transpose(1, 2, 0)
        Image.fromarray(pixels.squeeze()).save(out)
    else:
        Image.fromarray(result[0].argmax(0).astype(np.uint8)).save(out)


def main() -> None:
    """Read the options, and run the task that they ask for."""
    about = json.loads((FOLDER / "pipeline.json").read_text())
    parser = argparse.ArgumentParser(
        description=f"{__doc__} Knows: {', '.join(about['attributes'] + about['domains'])}"
    )
    parser.add_argument("photo", nargs="?", help="the photo to edit")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE", help="an attribute to show, 0 to 1")
    parser.add_argument("--own", action="append", default=[], metavar="NAME=VALUE", help="one that the photo shows")
    parser.add_argument("--domain", choices=about["domains"] or None, help="the domain to show")
    parser.add_argument("--reference", help="a photo whose style is taken")
    parser.add_argument("--drive", help="a photo or label map whose expression is taken")
    parser.add_argument("--layout", help="the label map of the face's parts")
    parser.add_argument("--part", action="append", default=[], help="a part that gets a drawn code")
    parser.add_argument("--seed", type=int, default=0, help="of everything that is drawn, by numpy")
    parser.add_argument("--truncation", type=float, default=about["truncation"], help="0 = the mean, 1 = as drawn")
    parser.add_argument("--out", default="out.png")
    args = parser.parse_args()
    if args.photo and not any("image" in graph["inputs"] for graph in about["graphs"].values()):
        parser.error("this run makes faces and edits those; leave the photo out, or find its latent with zoo invert")
    wants = {"reference": args.reference, "drive": args.drive, "edit": args.photo or args.set or args.part}
    task = next((name for name in wants if wants[name] and name in about["tasks"]), "")
    task = task or ("sample" if "sample" in about["tasks"] else "edit")

    image, parts, draw = about["image"], about["parts"], np.random.default_rng(args.seed)
    values: dict[str, np.ndarray] = {"truncation": np.array([args.truncation], np.float32)}
    for name, given, default in (("requested", args.set, np.nan), ("own", args.own, 0)):
        if name == "requested" or given:
            values[name] = np.full((1, len(about["attributes"])), default, np.float32)
        for key, _, value in (text.partition("=") for text in given):
            if key not in about["attributes"]:
                parser.error(f"{key}: unknown; the attributes are {', '.join(about['attributes']) or 'none'}")
            values[name][0, about["attributes"].index(key)] = float(value)
    values["swapped"] = np.array([[float(part in args.part) for part in parts]], np.float32)
    if args.domain:
        values["domain"] = np.array([about["domains"].index(args.domain)])
    if args.layout:
        values["layout"] = read_layout(args.layout, image, len(parts))
    photos = {"image": args.photo, "reference": args.reference, "drive": args.drive}
    values |= {name: read_photo(path, image) for name, path in photos.items() if path}
    for graph in about["graphs"].values():
        for name, about_input in graph["inputs"].items():
            if name.endswith("latent"):
                values[name] = draw.standard_normal((1, *about_input["shape"][1:]), np.float32)
            if name == "drive" and args.drive and "parser" not in about["graphs"]:
                values[name] = read_layout(args.drive, image, len(parts))
    save(run_task(about, task, values), args.out)
    print(args.out)


if __name__ == "__main__":
    main()
