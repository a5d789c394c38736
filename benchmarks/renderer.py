"""How many faces a second the renderer draws: one line of JSON."""

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
    asked = parser.parse_args(argv)
    faces = DrawnFaces(asked.size)
    faces.draw(range(asked.batch))
    start, drawn = time.perf_counter(), 0
    while (spent := time.perf_counter() - start) < asked.seconds:
        faces.draw(range(drawn, drawn + asked.batch))
        drawn += asked.batch
    print(
        json.dumps(
            {
                "faces_per_second": round(drawn / spent, 1),
                "image_size": asked.size,
                "batch": asked.batch,
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    main()
