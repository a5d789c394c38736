"""Measure the upper limit of edits of layouts: a face does not determine the glasses, hat or hair that it lacks.

python benchmarks/layout_edit_limit.py [--size 32] [--faces 200] [--tries 24]

Prints one line of JSON for each edit, with the share of the pixels that the truth changes which are right (`changed`)
and the IoU of the part concerned (`iou`): of the renderer itself with the hidden traits of another face (`sampler`, a
perfect editor with drawn styles), and of the most frequent part of many such edits (`majority`, the best editor without
styles).
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from unittest import mock

import numpy as np
import torch
from torch import Tensor

from zoogan.data.config import DrawnData
from zoogan.data.drawn import identity
from zoogan.data.drawn.source import DrawnSource

HAIR = ("hairline", "opening", "part", "her_", "his_", "curl_", "bun_")
# (attribute, value) -> the part concerned, and the prefixes of the traits that the unedited layout does not show.
EDITS: dict[tuple[str, int], tuple[str, tuple[str, ...]]] = {
    ("Male", 1): ("hair", ("his_",)),
    ("Male", 0): ("hair", ("her_", "bun_", "necklace")),
    ("Eyeglasses", 1): ("eye_g", ("frame_", "lens_")),
    ("Eyeglasses", 0): ("eye_g", ("eye_", "brow_")),
    ("Wearing_Hat", 1): ("hat", ("hat_",)),
    ("Wearing_Hat", 0): ("hat", ("hairline", "opening", "part", "her_top", "his_top", "bun_", "crown")),
    ("Bangs", 1): ("hair", ("fringe",)),
    ("Bangs", 0): ("hair", ("hairline", "opening", "part", "brow_")),
    ("Bald", 1): ("hair", ("crown", "ear_")),
    ("Bald", 0): ("hair", HAIR),
    ("Wearing_Earrings", 1): ("ear_r", ("earring_",)),
    ("Wearing_Earrings", 0): ("ear_r", ()),
}


@contextmanager
def exchange_traits(prefixes: tuple[str, ...], others: int) -> Iterator[None]:
    """Give every face the traits of the face `others` places further on while inside; 0 = its own."""
    uniform = identity.hash_uniform

    def draw_mixed(seed: int, indices: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        own, exchanged = uniform(seed, indices, names), uniform(seed, indices + np.int64(others), names)
        of_attribute = np.array([name.startswith(prefixes) if prefixes else False for name in names])
        return np.where(of_attribute[:, None], exchanged, own)

    with mock.patch.object(identity, "hash_uniform", draw_mixed):
        yield


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=32)
    parser.add_argument("--faces", type=int, default=200, help="held-out faces, of which those are edited that can be")
    parser.add_argument("--tries", type=int, default=24, help="other faces whose traits each face gets")
    options = parser.parse_args(argv)
    names = tuple(dict.fromkeys(name for name, _ in EDITS))
    source = DrawnSource(DrawnData(image_size=options.size, attributes=names, held_out=options.faces))
    faces = list(range(options.faces))
    sample = source.read("test", faces)
    for (name, value), (part, _) in EDITS.items():
        column = names.index(name)
        is_edited = (sample["attributes"][:, column] != value) & (sample["visible"][:, column] > 0.5)
        rows = is_edited.nonzero().flatten().tolist()

        def redraw(others: int, rows: list[int] = rows, edit: tuple[str, int] = (name, value)) -> Tensor:
            with exchange_traits(EDITS[edit][1], others):
                return source.redraw("test", rows, **{edit[0]: float(edit[1])})["segmentation"].long()

        truth, before = redraw(0), sample["segmentation"][rows].long()
        tries = torch.stack([redraw(1_000_003 * (k + 1)) for k in range(options.tries)])
        changes, index = truth != before, source.parts.index(part)

        def measure(
            edited: Tensor, truth: Tensor = truth, changes: Tensor = changes, index: int = index
        ) -> list[float]:
            both = ((edited == index) & (truth == index)).sum()
            either = ((edited == index) | (truth == index)).sum()
            changed = ((edited == truth) & changes).sum() / changes.sum()
            return [round(float(changed), 3), round(float(both / either.clamp(min=1)), 3)]

        samples = torch.tensor([measure(edited) for edited in tries]).mean(0).tolist()
        print(json.dumps({
            "edit": f"{name}={value}", "faces": len(rows), "size": options.size, "tries": options.tries, "part": part,
            "sampler": dict(zip(("changed", "iou"), (round(x, 3) for x in samples))),
            "majority": dict(zip(("changed", "iou"), measure(tries.mode(0).values))),
        }))  # fmt: skip


if __name__ == "__main__":
    main()
