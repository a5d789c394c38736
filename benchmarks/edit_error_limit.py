"""How small the edit error of adding glasses can get: a face without glasses does not tell which ones it would wear.

python benchmarks/edit_error_limit.py [--size 64] [--faces 250] [--frames 24]

Prints one JSON line: the edit error of a perfect editor that puts on glasses of another drawn face (`sampler`), and of
one that shows the median of many, the best that L1 allows (`median`).
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

WORN = ("frame_", "lens_")  # the traits of glasses


@contextmanager
def wear_glasses_of(others: int) -> Iterator[None]:
    """Inside, every face has the glasses of the face that lies `others` further; 0 = its own."""
    uniform = identity.hash_uniform

    def mixed(seed: int, indices: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        own, theirs = uniform(seed, indices, names), uniform(seed, indices + np.int64(others), names)
        worn = np.array([name.startswith(WORN) for name in names])
        return np.where(worn[:, None], theirs, own)

    with mock.patch.object(identity, "uniform", mixed):
        yield


def main(argv: Sequence[str] | None = None) -> None:
    """Draw and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--faces", type=int, default=250)
    parser.add_argument("--frames", type=int, default=24, help="glasses tried on each face")
    asked = parser.parse_args(argv)
    source = DrawnSource(DrawnData(image_size=asked.size, attributes=("Eyeglasses",), held_out=4 * asked.faces))
    bare = (source.read_labels("test")[:, 0] < 0.5).nonzero().flatten().tolist()[: asked.faces]
    face = source.read("test", bare)["image"].float()

    def with_glasses(others: int) -> Tensor:
        with wear_glasses_of(others):
            drawn = source.redraw("test", bare, Eyeglasses=1.0)
        assert drawn is not None
        return drawn["image"].float()

    truth = with_glasses(0)
    tried = torch.stack([with_glasses(1_000_003 * (k + 1)) for k in range(asked.frames)])
    region = ((truth - face).abs().amax(1, keepdim=True) > 0).float()

    def error(edited: Tensor) -> float:
        return float(((edited - truth).abs() * region).sum() / ((face - truth).abs() * region).sum())

    samples = [error(edited) for edited in tried]
    figures = {"sampler": sum(samples) / len(samples), "median": error(tried.median(0).values)}
    print(json.dumps({"faces": len(bare), "size": asked.size, "frames": asked.frames} | figures))


if __name__ == "__main__":
    main()
