"""Reads the maps of the parts of faces that a person gives, and saves those that a run makes."""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from jaxtyping import Float, Int64, Integer, UInt8
from PIL import Image
from torch import Tensor

from zoogan.data.sources.segmentation_files import STEPS, resize_nearest
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.layers.layout import make_layout
from zoogan.paths import expand_path
from zoogan.pictures.opening import open_picture
from zoogan.pictures.palette import choose_colours

LayoutMap = str | Path | Image.Image | Tensor | np.ndarray
Layouts = LayoutMap | Sequence[LayoutMap]
MOST_VALUES = 5  # of wrong values, how many a message names


def prepare_layouts(layouts: Any, facts: Facts, device: torch.device) -> Float[Tensor, "n k s s"]:
    """Convert anything that holds maps of parts to one-hot layouts.

    Args:
        layouts: One-hot floats (n, k, s, s) or (k, s, s) are taken as they are. Files, PIL images and integers (h, w)
            or (n, h, w), in arrays or tensors, hold the number of the run's part at each pixel; files and images may
            also have the colours in which `zoo edit` saves maps. Maps of other sizes are cropped as the run's images
            were, and resized to nearest pixels.
        facts: Parts, size and crop of the run's data.
        device: Where the result goes.

    Returns:
        Layouts (n, k, s, s) of 0 and 1.

    Raises:
        ConfigError: Files that cannot be read, values that are no part of the run, or tensors of another shape; all
            problems at once.
    """
    parts, size = len(facts.parts), facts.image_size
    if isinstance(layouts, np.ndarray):
        layouts = torch.from_numpy(np.array(layouts, order="C"))
    if isinstance(layouts, Tensor) and layouts.is_floating_point():
        return _check_one_hot(layouts if layouts.dim() == 4 else layouts[None], facts).to(device, torch.float32)
    items: list[Any] = list(layouts) if isinstance(layouts, list | tuple) else [layouts]
    if len(items) == 1 and isinstance(items[0], Tensor) and items[0].dim() == 3:
        items = list(items[0])
    maps, problems = [], []
    for place, item in enumerate(items):
        try:
            maps.append(_fit_map(_read_numbers(item, facts, place), facts))
        except ConfigError as error:
            problems.append(str(error))
    if not items:
        problems.append("layout: got an empty list; give one map of parts for each photo")
    if problems:
        raise ConfigError("\n".join(problems))
    assert all(one.shape == (size, size) for one in maps)
    return make_layout(torch.stack(maps).to(device), parts)


def _check_one_hot(layout: Tensor, facts: Facts) -> Tensor:
    """Check that floats are one-hot layouts of the run."""
    expected = (len(facts.parts), facts.image_size, facts.image_size)
    if tuple(layout.shape[1:]) != expected:
        raise ConfigError(
            f"layout: got floats of shape {tuple(layout.shape)}, expected a one-hot tensor (n, {expected[0]}, "
            f"{expected[1]}, {expected[2]}), or integers (h, w) with the number of the part of each pixel"
        )
    if not bool(((layout == 0) | (layout == 1)).all()) or not bool((layout.sum(1) == 1).all()):
        raise ConfigError("layout: floats must be one-hot: at each pixel 1 for one part and 0 for the others")
    return layout


def _read_numbers(item: Any, facts: Facts, place: int) -> UInt8[np.ndarray, "h w"]:
    """Read the number of the part of each pixel, and check that the run has these parts."""
    if isinstance(item, np.ndarray):
        item = torch.from_numpy(np.array(item, order="C"))
    if isinstance(item, Tensor):
        if item.dim() != 2 or item.is_floating_point():
            raise ConfigError(
                f"layout: got {item.dtype} of shape {tuple(item.shape)}; a map holds integers (h, w), the number of "
                "the part of each pixel"
            )
        numbers, name = item.cpu().numpy(), f"layout {place + 1}"
    elif isinstance(item, str | Path):
        name, numbers = str(item), _open_map(expand_path(item), facts)
    elif isinstance(item, Image.Image):
        name, numbers = f"layout {place + 1}", _read_picture(item, facts, f"layout {place + 1}")
    else:
        raise ConfigError(f"layout: got {type(item).__name__}; a map is a file, a PIL image, an array or a tensor")
    wrong = np.unique(numbers[(numbers < 0) | (numbers >= len(facts.parts))]).tolist()
    if wrong:
        raise ConfigError(
            f"{name}: {_list_values(list(map(str, wrong)))} no part of this run. {_describe_parts(facts)}. Save the "
            "numbers of these parts, or the colours of a map that `zoo edit` saved"
        )
    return np.asarray(numbers, dtype=np.uint8)


def _open_map(path: Path, facts: Facts) -> Any:
    """Read a file."""
    with open_picture(path) as picture:
        return _read_picture(picture, facts, str(path))


def _read_picture(picture: Image.Image, facts: Facts, name: str) -> Any:
    """Read the numbers of a grey or palette picture, or look up the colours of a picture."""
    if picture.mode in ("L", "1"):
        packing = [tile[3] for tile in getattr(picture, "tile", ())]  # Pillow drops it once the pixels are read
        return np.asarray(picture, dtype=np.uint8) // next((step for mode, step in STEPS.items() if mode in packing), 1)
    if picture.mode == "P":
        numbers = np.asarray(picture, dtype=np.uint8)
        try:  # a program may have sorted the palette; the colours say more than the numbers if all of them are ours
            return _look_up_colours(np.asarray(picture.convert("RGB"), dtype=np.uint8), facts, name)
        except ConfigError:
            return numbers
    if picture.mode in ("RGB", "RGBA"):
        return _look_up_colours(np.asarray(picture.convert("RGB"), dtype=np.uint8), facts, name)
    raise ConfigError(f"{name}: a map of parts is a grey, palette or RGB picture of 8 bits; this one is {picture.mode}")


def _look_up_colours(pixels: UInt8[np.ndarray, "h w 3"], facts: Facts, name: str) -> UInt8[np.ndarray, "h w"]:
    """Find the part of each pixel by its colour.

    Raises:
        ConfigError: Colours that are not those of a part.
    """
    codes = pixels.astype(np.int64) @ np.array([65536, 256, 1])
    palette = np.array(choose_colours(len(facts.parts))) @ np.array([65536, 256, 1])
    wrong = np.setdiff1d(codes, palette)
    if len(wrong):
        found = _list_values([f"#{code:06x}" for code in wrong.tolist()])
        colours = ", ".join(f"#{code:06x} {part}" for code, part in zip(palette.tolist(), facts.parts))
        raise ConfigError(
            f"{name}: {found} no colour of a part of this run. Its colours: {colours}. Save a map in these colours, "
            "without smoothing, or the numbers of the parts in a grey PNG"
        )
    order = palette.argsort()
    return order[np.searchsorted(palette[order], codes)].astype(np.uint8)


def _list_values(values: Sequence[str]) -> str:
    """List values with the verb that follows them, the first few of many."""
    more = len(values) - MOST_VALUES
    listed = ", ".join(values[:MOST_VALUES]) + (f" and {more} more" if more > 0 else "")
    return f"{listed} {'is' if len(values) == 1 else 'are'}"


def _describe_parts(facts: Facts) -> str:
    """Describe the parts of a run with their numbers."""
    return "Its parts: " + ", ".join(f"{number} {part}" for number, part in enumerate(facts.parts))


def _fit_map(numbers: UInt8[np.ndarray, "h w"], facts: Facts) -> UInt8[Tensor, "s s"]:
    """Crop and resize a map, unless it has the size of the run."""
    height, width = numbers.shape
    if height == width == facts.image_size:
        return torch.from_numpy(numbers.copy())
    return resize_nearest(numbers, height, width, facts.crop, facts.image_size)


def save_layout(segmentation: Integer[Tensor, "h w"], classes: int, path: Path) -> None:
    """Save a map of parts as a palette PNG: its values are the numbers of the parts, and it looks coloured.

    Args:
        segmentation: The part of each pixel.
        classes: Number of parts.
        path: The PNG; its folder is made.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(encode_layout(segmentation, classes))


def encode_layout(segmentation: Integer[Tensor, "h w"], classes: int) -> bytes:
    """Encode a map of parts as a palette PNG, see `save_layout`."""
    numbers: Int64[Tensor, "h w"] = segmentation.long().cpu()
    picture = Image.fromarray(numbers.to(torch.uint8).numpy())
    picture.putpalette([value for colour in choose_colours(classes) for value in colour])
    output = io.BytesIO()
    picture.save(output, "PNG")
    return output.getvalue()
