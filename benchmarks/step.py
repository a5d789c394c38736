"""Measure how long one training iteration takes, and count what it computes: one line of JSON.

    python benchmarks/step.py --model sagan --size 128 --batch 8

The method's paper config on random data, through the real trainer. An iteration is one update of the game's first
step with its share of the others: StarGAN's is one discriminator update and a fifth of a generator update.
"""

from __future__ import annotations

import argparse
import itertools
import json
import math
import platform
import resource
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import nullcontext
from importlib.metadata import PackageNotFoundError, version
from types import SimpleNamespace
from typing import Any

import torch
from accelerate import Accelerator
from counting import CountWork
from torch import nn

from zoogan.composition.build import Composition, compose
from zoogan.config import GameConfig, compose_config, merge, parse_sets, validate
from zoogan.config.registry import Registry
from zoogan.devices import choose_device
from zoogan.facts import Facts
from zoogan.interfaces.source import make_domain_names
from zoogan.layers import make_layout
from zoogan.plugins.host import get_zoo
from zoogan.training.machine import use_cuda_flags
from zoogan.training.trainer import Batch, TermLog, Trainer


class IdleOptimizer:
    """An optimizer that does nothing: its cost depends on the device, not on the game."""

    param_groups: Sequence[Any] = ()

    def step(self) -> None:
        """Do nothing."""


class UnguardedTermLog(TermLog):
    """A log that never reads values, which the meta device does not have."""

    def guard(self, parameters: Any, world: Any) -> None:
        """Do nothing."""


def make_config(options: argparse.Namespace, registry: Registry) -> GameConfig:
    """Make the config to measure: the paper's, or a recipe's, with the size and batch of the options."""
    spec = registry.methods[options.model]
    values = {
        "data": {"image_size": options.size, "batch": options.batch},
        "training": {"precision": options.precision, "compile": options.compile},
    }
    values = merge(values, parse_sets(options.set))
    if options.recipe is None:
        return validate(spec, registry, values)
    return compose_config(spec, registry, recipe=options.recipe, sets=values)


def make_random_batches(composition: Composition, device: torch.device) -> Iterator[Batch]:
    """Repeat three random batches for ever, on the device, with the fields that the game needs."""
    facts, data = composition.facts, composition.config.data
    rows = data.batch * composition.config.training.accumulate
    source = torch.Generator().manual_seed(0)
    pool = []
    shape = (rows, facts.channels, facts.image_size, facts.image_size)
    for _ in range(3):
        drawn = {
            "image": torch.rand(shape, generator=source) * 2 - 1,
            "image2": torch.rand(shape, generator=source) * 2 - 1,
            "attributes": (torch.rand(rows, len(facts.attributes), generator=source) < 0.5).float(),
            "domain": torch.randint(max(1, len(facts.domains)), (rows,), generator=source),
            "segmentation": torch.randint(
                max(1, len(facts.parts)), (rows, *shape[2:]), generator=source, dtype=torch.uint8
            ),
        }
        parts = len(facts.parts)
        drawn |= {
            "layout": make_layout(drawn["segmentation"], parts),
            "layout2": make_layout(drawn["segmentation"].flip(0), parts),
            "heat_maps": torch.rand(rows, 2, *shape[2:], generator=source),
        }
        sample = {field: part.to(device) for field, part in drawn.items()}
        needs = composition.game.needs.items()
        pool.append({draw: {field: sample[field] for field in need.fields} for draw, need in needs})
    return itertools.cycle(pool)


def make_trainer(config: GameConfig, registry: Registry, accelerator: Any) -> Trainer:
    """Make the real trainer on random data."""
    attributes, kinds = config.data.attributes, getattr(config.data, "label_set", None)
    facts = Facts(
        image_size=config.data.image_size,
        attributes=attributes,
        domains=make_domain_names(attributes, [attributes] if len(attributes) > 1 else []),
        parts=kinds.names if kinds is not None else (),
        transparent=kinds.transparent if kinds is not None else (),
    )
    device = accelerator.device
    with torch.device("meta") if device.type == "meta" else nullcontext():
        composition = compose(config, facts, registry)
    return Trainer(composition, registry, accelerator, make_random_batches(composition, device))


def count_cadence(trainer: Trainer) -> tuple[int, int]:
    """Count the calls of `iterate` until every step has played, and the updates of the first step in them."""
    steps = trainer.game.steps
    calls = math.lcm(*(step.every for step in steps))
    return calls, calls // steps[0].every * steps[0].repeat


def count_work(config: GameConfig, registry: Registry) -> dict[str, float]:
    """Count GFLOP and operator calls of an iteration on the meta device, without optimizer and guard."""
    plain = config.model_copy(update={"training": config.training.model_copy(update={"compile": False})})
    trainer = make_trainer(plain, registry, SimpleNamespace(device=torch.device("meta"), autocast=nullcontext))
    trainer.optimizers = dict.fromkeys(trainer.optimizers, IdleOptimizer())  # type: ignore[arg-type]
    trainer.terms = {name: UnguardedTermLog() for name in trainer.terms}
    calls, updates = count_cadence(trainer)
    with CountWork() as count:
        for _ in range(calls):
            trainer.iterate()
    return {"gflop": round(count.flops / updates / 1e9, 3), "operator_calls": round(count.calls / updates, 1)}


def time_cadence(trainer: Trainer, device: torch.device) -> float:
    """Time one whole cadence and return the seconds of one iteration."""
    calls, updates = count_cadence(trainer)
    wait_for_device(device)
    start = time.perf_counter()
    for _ in range(calls):
        trainer.iterate()
    wait_for_device(device)
    return (time.perf_counter() - start) / updates


def wait_for_device(device: torch.device) -> None:
    """Wait until the device has finished its work."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


def read_peak_memory(device: torch.device) -> float:
    """Return the peak memory in MiB: of tensors on CUDA, elsewhere resident in the whole process."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / (2**20 if sys.platform == "darwin" else 2**10)


def get_zoogan_version() -> str | None:
    """Return the version of the package; None in a checkout that was not installed."""
    try:
        return version("zoogan")
    except PackageNotFoundError:
        return None


def count_parameters(network: nn.Module) -> float:
    """Count the parameters, in millions."""
    return round(sum(p.numel() for p in network.parameters()) / 1e6, 3)


def main(argv: Sequence[str] | None = None) -> None:
    """Count, measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", required=True)
    parser.add_argument("--size", type=int, default=128)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--recipe", help="recipe instead of the paper's config; --size and --batch still apply")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="settings, as of zoo train")
    parser.add_argument("--iterations", type=int, default=5, help="measured cadences (default: %(default)s)")
    parser.add_argument("--warmup", type=int, default=1, help="cadences before measuring (default: %(default)s)")
    parser.add_argument("--device", default="auto")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--compile", action="store_true")
    parser.add_argument("--threads", type=int, help="torch threads on the CPU")
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    registry = get_zoo().registry
    config, device = make_config(options, registry), choose_device(options.device)
    work = count_work(config, registry)
    mixed = "bf16" if config.training.precision == "bf16" else "no"
    trainer = make_trainer(config, registry, Accelerator(cpu=device.type == "cpu", mixed_precision=mixed))
    with use_cuda_flags(trainer.device, config.training.tf32):
        for _ in range(options.warmup):
            time_cadence(trainer, trainer.device)
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats(device)
        taken = statistics.median(time_cadence(trainer, trainer.device) for _ in range(options.iterations))
    line: dict[str, Any] = {
        "benchmark": "step", "model": options.model, "recipe": options.recipe, "set": options.set,
        "size": config.data.image_size, "batch": config.data.batch, "attributes": len(config.data.attributes),
        "precision": config.training.precision, "compile": config.training.compile,
        "milliseconds": round(taken * 1000, 2), "images_per_second": round(trainer.rows / taken, 2),
        "peak_mib": round(read_peak_memory(device)), **work,
        "parameters_m": {name: count_parameters(network) for name, network in trainer.networks.items()},
        "iterations": options.iterations, "device": device.type,
        "machine": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
        "threads": torch.get_num_threads(), "torch": torch.__version__, "zoogan": get_zoogan_version(),
        "python": platform.python_version(), "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    if device.type == "cuda":  # times depend on it
        line["tf32"] = config.training.tf32
    print(json.dumps(line))


if __name__ == "__main__":
    main()
