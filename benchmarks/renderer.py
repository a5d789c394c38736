"""Measure how many faces a second the renderer draws: one line of JSON."""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence

import torch

from zoogan.data.drawn import DrawnFaces


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--size", type=int, default=64, help="pixels along a side")
    parser.add_argument("--batch", type=int, default=64, help="faces a call of draw")
    parser.add_argument("--seconds", type=float, default=5.0, help="how long to measure")
    options = parser.parse_args(argv)
    faces = DrawnFaces(options.size)
    faces.draw(range(options.batch))
    start, drawn = time.perf_counter(), 0
    while (seconds := time.perf_counter() - start) < options.seconds:
        faces.draw(range(drawn, drawn + options.batch))
        drawn += options.batch
    print(
        json.dumps(
            {
                "faces_per_second": round(drawn / seconds, 1),
                "image_size": options.size,
                "batch": options.batch,
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
