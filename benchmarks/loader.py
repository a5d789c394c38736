"""Measure the images per second that a source's loader delivers: one line of JSON.

    python benchmarks/loader.py --source celeba --root DIR --size 128 --batch 16 --workers 2 --seconds 5

The drawn source is measured twice: `first` while its faces are drawn, then with all of them in the cache.
"""

from __future__ import annotations

import argparse
import json
import platform
import time
from collections.abc import Sequence
from typing import Any

import torch
import torchvision

from zoogan.config import DataConfig
from zoogan.config.registry import Registry
from zoogan.data import config as sources
from zoogan.data.loader import Loader, make_loader
from zoogan.interfaces import Need, Source, World


def open_source(options: argparse.Namespace) -> tuple[Source, DataConfig]:
    """Open the source; return it with its config."""
    registry = Registry()
    sources.register(registry)
    values = {"image_size": options.size, "batch": options.batch, "workers": options.workers, "flip": True}
    if options.root:
        values["root"] = options.root
    if options.attributes:
        values["attributes"] = options.attributes.split(",")
    if options.source == "drawn" and options.faces:
        values["faces"] = options.faces
    config: Any = registry.components["source", options.source].config.model_validate(values)
    return registry.build("source", config), config


def measure_loader(batches: Loader, batch: int, seconds: float) -> float:
    """Measure the images per second over about `seconds`, after two batches of warm-up."""
    for _ in range(2):
        next(batches)
    start, images = time.perf_counter(), 0
    while time.perf_counter() - start < seconds:
        next(batches)
        images += batch
    return images / (time.perf_counter() - start)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--source", default="drawn")
    parser.add_argument("--root")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--workers", type=int, default=0)
    parser.add_argument("--seconds", type=float, default=5)
    parser.add_argument("--attributes", help="names separated by commas")
    parser.add_argument("--faces", type=int, help="faces of the drawn source")
    options = parser.parse_args(argv)
    source, config = open_source(options)
    batches = make_loader(source, config, {"source": Need(("image", "attributes"))}, 0, World(), 0, options.batch)
    line: dict[str, object] = {
        "benchmark": "loader", "source": options.source, "size": options.size, "batch": options.batch,
        "workers": options.workers,
    }  # fmt: skip
    if options.source == "drawn":
        line["first"] = round(measure_loader(batches, options.batch, options.seconds), 1)
        while batches.position < 2 * source.count_faces("train"):  # every face has been drawn once
            next(batches)
    line["images_per_second"] = round(measure_loader(batches, options.batch, options.seconds), 1)
    batches.close()
    line |= {
        "date": time.strftime("%Y-%m-%d"), "machine": platform.machine(),
        "threads": torch.get_num_threads(), "python": platform.python_version(),
        "torch": torch.__version__, "torchvision": torchvision.__version__,
    }  # fmt: skip
    print(json.dumps(line))


if __name__ == "__main__":
    main()
