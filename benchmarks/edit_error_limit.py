"""Measure the lower limit of the edit error of adding glasses, since a bare face does not determine the glasses.

python benchmarks/edit_error_limit.py [--size 64] [--faces 250] [--frames 24]

Prints one line of JSON: the edit error of a perfect editor that adds the glasses of another drawn face (`sampler`), and
that of an editor that returns the median of many faces with glasses, the minimum of L1 (`median`).
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

GLASSES = ("frame_", "lens_")  # prefixes of the traits of glasses


@contextmanager
def exchange_glasses(others: int) -> Iterator[None]:
    """Give every face the glasses of the face `others` places further on while inside; 0 = its own."""
    uniform = identity.hash_uniform

    def draw_mixed(seed: int, indices: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
        own, exchanged = uniform(seed, indices, names), uniform(seed, indices + np.int64(others), names)
        of_glasses = np.array([name.startswith(GLASSES) for name in names])
        return np.where(of_glasses[:, None], exchanged, own)

    with mock.patch.object(identity, "hash_uniform", draw_mixed):
        yield


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--faces", type=int, default=250)
    parser.add_argument("--frames", type=int, default=24, help="pairs of glasses for each face")
    options = parser.parse_args(argv)
    source = DrawnSource(DrawnData(image_size=options.size, attributes=("Eyeglasses",), held_out=4 * options.faces))
    bare = (source.read_labels("test")[:, 0] < 0.5).nonzero().flatten().tolist()[: options.faces]
    face = source.read("test", bare)["image"].float()

    def draw_glasses(others: int) -> Tensor:
        with exchange_glasses(others):
            drawn = source.redraw("test", bare, Eyeglasses=1.0)
        assert drawn is not None
        return drawn["image"].float()

    truth = draw_glasses(0)
    tries = torch.stack([draw_glasses(1_000_003 * (k + 1)) for k in range(options.frames)])
    region = ((truth - face).abs().amax(1, keepdim=True) > 0).float()

    def measure_error(edited: Tensor) -> float:
        return float(((edited - truth).abs() * region).sum() / ((face - truth).abs() * region).sum())

    samples = [measure_error(edited) for edited in tries]
    figures = {"sampler": sum(samples) / len(samples), "median": measure_error(tries.median(0).values)}
    print(json.dumps({"faces": len(bare), "size": options.size, "frames": options.frames} | figures))


if __name__ == "__main__":
    main()
