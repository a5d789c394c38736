"""Measure the images per second that a source's loader delivers: one line of JSON.

    python benchmarks/loader.py --source celeba --root DIR --size 128 --batch 16 --workers 2 --seconds 5

The drawn source is measured twice: `first` while its faces are drawn, then with all of them in the cache.

    python benchmarks/loader.py --source celeba --root DIR --size 64 --model sagan --seconds 5 --rounds 6

With a model it measures how much of a training's speed its loader leaves: the time of steps that read one batch over
and over, divided by the time of steps that read faces decoded each time (`decoded`) and prepared faces (`prepared`).
1 = the loader costs nothing. The three take turns in every round, so that other work on the machine meets all alike.
The line has the median over the rounds, the smallest and the largest, in wall time and in CPU time of the process:
other work disturbs that less, and it counts the whole loader if that has no workers. `load` is the load before.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import statistics
import time
from collections.abc import Iterator, Sequence
from typing import Any

import torch
import torchvision
from accelerate import Accelerator

from zoogan.composition.build import compose
from zoogan.config import DataConfig, compose_config
from zoogan.config.registry import Registry
from zoogan.data import config as sources
from zoogan.data.loader import Loader, make_loader, move_batches
from zoogan.data.prepare import PreparedSource, prepare_faces
from zoogan.data.prepared import open_prepared_faces
from zoogan.interfaces import Need, Source, World
from zoogan.plugins.host import get_zoo
from zoogan.training.prepare import describe_source
from zoogan.training.trainer import Trainer


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


class Switch(Iterator[Any]):
    """Batches of the loader that is chosen at present."""

    def __init__(self) -> None:
        self.batches: Iterator[Any] = iter(())

    def __next__(self) -> Any:
        return next(self.batches)


def measure_steps(options: argparse.Namespace, source: Source, config: DataConfig) -> dict[str, object]:
    """Measure the share of a step that is left beside its loader, for faces decoded each time and for prepared ones."""
    registry = get_zoo().registry
    game = compose_config(
        get_zoo().get_method(options.model), registry, recipe=options.recipe, source=options.source,
        sets={"data": config.model_dump(mode="json", exclude={"source"})},
    )  # fmt: skip
    composition = compose(game, describe_source(source), registry)
    accelerator, switch = Accelerator(cpu=options.device == "cpu"), Switch()
    trainer = Trainer(composition, registry, accelerator, switch)
    prepare_faces(source, config)
    store = open_prepared_faces(source, config, "train")
    assert store is not None
    faces = {"decoded": source, "prepared": PreparedSource(source, {"train": store})}
    needs, pin = composition.game.needs, accelerator.device.type == "cuda"
    loaders: dict[str, Iterator[Any]] = {
        name: move_batches(make_loader(s, config, needs, 0, World(), 0, config.batch, pin=pin), accelerator.device)
        for name, s in faces.items()
    }
    loaders["none"] = itertools.repeat(next(loaders["decoded"]))
    seconds: dict[str, list[tuple[float, float]]] = {name: [] for name in loaders}
    for turn in range(options.rounds + 1):
        for name, batches in loaders.items():
            switch.batches = batches
            start, cpu, steps = time.perf_counter(), time.process_time(), 0
            while time.perf_counter() - start < options.seconds or steps < 2:
                trainer.iterate()
                steps += 1
            if pin:
                torch.cuda.synchronize()
            if turn:  # the first round is for warming up
                seconds[name].append(((time.perf_counter() - start) / steps, (time.process_time() - cpu) / steps))
    line: dict[str, object] = {"model": options.model}
    for clock, kind in enumerate(("wall", "cpu")):
        bare = [times[clock] for times in seconds["none"]]
        line[f"step_{kind}_ms"] = round(1000 * statistics.median(bare), 2)
        for name in faces:
            ratios = sorted(one / times[clock] for one, times in zip(bare, seconds[name]))
            line[f"{name}_{kind}"] = [round(ratio, 3) for ratio in (statistics.median(ratios), ratios[0], ratios[-1])]
    for name in faces:
        loaders[name].close()  # type: ignore[attr-defined]
    return line


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
    parser.add_argument("--model", help="measure training steps of this method with and without its loader")
    parser.add_argument("--recipe", help="with --model: by default the recipe for the source")
    parser.add_argument("--rounds", type=int, default=6, help="with --model")
    parser.add_argument("--device", default="cpu", help="with --model: cpu, or auto")
    options = parser.parse_args(argv)
    load = round(os.getloadavg()[0], 1) if hasattr(os, "getloadavg") else None
    source, config = open_source(options)
    if options.model:
        print(json.dumps({"benchmark": "loader", "source": options.source, "size": options.size, "batch": options.batch,
                          "workers": options.workers, "load": load, **measure_steps(options, source, config),
                          "date": time.strftime("%Y-%m-%d"), "threads": torch.get_num_threads(),
                          "torch": torch.__version__}))  # fmt: skip
        return
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
