"""Time a method's iteration against its official code; the scripts `versus_*` share this module.

Both sides have networks of the same widths and run the same steps on random data. Each side runs in its own process,
because memory settings apply to a process: zoogan keeps freed memory as in a training, the official code runs as
published. The sides alternate, part by part of an iteration. A part is weighted by its frequency: a penalty in every
16th iteration counts 1/16.
"""

from __future__ import annotations

import argparse
import copy
import json
import multiprocessing
import os
import statistics
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

import torch
import torch.utils.cpp_extension
from accelerate import Accelerator
from step import count_work, make_trainer, read_peak_memory, wait_for_device
from torch import Tensor, nn

from zoogan.config import merge, parse_sets, validate
from zoogan.interfaces import Clock
from zoogan.plugins.host import get_zoo
from zoogan.training.machine import keep_freed_memory

SHARES = {"discriminator": 1.0, "penalty": 1 / 16, "generator": 1.0, "path_length": 1 / 4, "average": 1.0}
"""Share of the iterations in which each part of a synthesis method runs."""
Parts = Mapping[str, Callable[[], object]]
LayerMaker = Callable[[argparse.Namespace], Mapping[str, Any]]


class OfficialSide(ABC):
    """The official networks and losses, in the official order.

    Args:
        options: The command line.
        device: Where the networks compute.
    """

    @abstractmethod
    def __init__(self, options: argparse.Namespace, device: torch.device) -> None: ...

    @abstractmethod
    def make_parts(self) -> Parts:
        """Return functions that each play one part of an iteration, by name."""


class OfficialSynthesis(OfficialSide):
    """A generator with its average, a discriminator, and an Adam for each.

    The learning rates are corrected for the lazy regularisers: path lengths every 4th iteration, R1 every 16th.

    Args:
        options: The command line.
        device: Where the networks compute.
    """

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        self.options, self.device = options, device
        self.generator, self.discriminator = (network.to(device) for network in self.make_networks(options))
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        lazy = {"generator": 4 / 5, "discriminator": 16 / 17}
        self.optimizers = {
            name: torch.optim.Adam(getattr(self, name).parameters(), lr=0.002 * c, betas=(0.0, 0.99**c))
            for name, c in lazy.items()
        }

    @abstractmethod
    def make_networks(self, options: argparse.Namespace) -> tuple[nn.Module, nn.Module]:
        """Return the official generator and discriminator."""

    def train_only(self, name: str) -> None:
        """Require gradients of one network and freeze the other."""
        self.generator.requires_grad_(name == "generator")
        self.discriminator.requires_grad_(name == "discriminator")

    def update(self, name: str, loss: Tensor) -> None:
        """Update one network once."""
        getattr(self, name).zero_grad()
        loss.backward()
        self.optimizers[name].step()


class OurSide:
    """The zoo's trainer, with freed memory kept on a CPU, as `zoo train` runs it.

    Args:
        model: Name of the method.
        layer: Settings of the method's config; `--set` comes after them.
        options: The command line.
        device: Where the networks compute.
    """

    def __init__(self, model: str, layer: Mapping[str, Any], options: argparse.Namespace, device: torch.device) -> None:
        if device.type == "cpu":
            keep_freed_memory()
        registry = get_zoo().registry
        values = {
            "data": {"image_size": options.size, "batch": options.batch},
            "training": {"precision": options.precision, "compile": options.compile},
        }
        config = validate(registry.methods[model], registry, merge(merge(values, layer), parse_sets(options.set)))
        self.registry, self.config = registry, config
        mixed = "bf16" if options.precision == "bf16" else "no"
        self.trainer = make_trainer(config, registry, Accelerator(cpu=device.type == "cpu", mixed_precision=mixed))

    def make_parts(self, shares: Mapping[str, float]) -> Parts:
        """Return functions that play the parts of `shares`: steps of the game and `average`, or whole `iterations`."""
        trainer = self.trainer
        steps = {step.name: step for step in trainer.game.steps}

        def make_update(name: str) -> Callable[[], None]:
            def play_step() -> None:
                trainer.fetch_batch()
                trainer.update(steps[name], 0, Clock(0, 1), frozenset())

            return play_step

        def update_averages() -> None:
            for name, average in trainer.averages.items():
                average.update(trainer.networks[name], 0, None)

        def iterate() -> None:
            for _ in range(round(1 / shares["iterations"])):
                trainer.iterate()

        whole: Parts = {"average": update_averages, "iterations": iterate}
        return {part: whole[part] if part in whole else make_update(part) for part in shares}


def skip_compilation() -> None:
    """Make official code importable without compiling its operators; it then uses its pure-PyTorch fallbacks."""
    torch.utils.cpp_extension.load = lambda *args, **kwargs: None


def measure_seconds(part: Callable[[], object], device: torch.device) -> float:
    """Time one part: CPU time of this process on a CPU, which other programs do not affect; else wall time."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    wait_for_device(device)
    start = clock()
    part()
    wait_for_device(device)
    return clock() - start


class Player:
    """One side, ready to play and to be timed.

    Args:
        name: `official` or `ours`.
        model: Name of the method.
        official: Class of the official side.
        make_layer: Makes our config layer from the command line.
        shares: Parts of an iteration, and how often each plays.
        options: The command line.
    """

    def __init__(
        self,
        name: str,
        model: str,
        official: type[OfficialSide],
        make_layer: LayerMaker,
        shares: Mapping[str, float],
        options: argparse.Namespace,
    ) -> None:
        torch.set_num_threads(options.threads)
        torch.manual_seed(0)
        if not options.operators:
            skip_compilation()
        self.device = torch.device(options.device)
        self.parts: Parts
        with silence():
            if name == "official":
                self.parts = official(options, self.device).make_parts()
            else:
                self.parts = OurSide(model, make_layer(options), options, self.device).make_parts(shares)

    def play(self, part: str) -> float:
        """Play one part and return its seconds."""
        with silence():
            return measure_seconds(self.parts[part], self.device)

    def get_peak_memory(self) -> float:
        """Return the most memory this side has used so far, in MiB."""
        return read_peak_memory(self.device)


@contextmanager
def silence() -> Iterator[None]:
    """Drop what official code prints, so that standard output is one line of JSON."""
    with Path(os.devnull).open("w") as sink, redirect_stdout(sink):
        yield


def serve_player(connection: Connection, arguments: Sequence[Any]) -> None:
    """Run a side in its own process: run each requested part until None is received."""
    player = Player(*arguments)
    connection.send("ready")
    while (part := connection.recv()) is not None:
        connection.send(player.play(part))
    connection.send(player.get_peak_memory())


class RemotePlayer:
    """A `Player` in another process. Same arguments."""

    def __init__(self, *arguments: Any) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, theirs = context.Pipe()
        self.process = context.Process(target=serve_player, args=(theirs, arguments), daemon=True)
        self.process.start()
        theirs.close()
        self.connection.recv()

    def play(self, part: str) -> float:
        """Play one part there and return its seconds."""
        self.connection.send(part)
        return float(self.connection.recv())

    def get_peak_memory(self) -> float:
        """End the process and return the most memory that it used, in MiB."""
        self.connection.send(None)
        peak = float(self.connection.recv())
        self.process.join()
        return peak


def compare(
    model: str,
    official: type[OfficialSide],
    make_layer: LayerMaker,
    description: str,
    argv: Sequence[str] | None,
    shares: Mapping[str, float] = SHARES,
) -> None:
    """Measure and print one line of JSON.

    Args:
        model: Name of the method.
        official: Class of the official side.
        make_layer: Makes our config for the same networks, a layer over the method's own, from the command line.
        description: What the script is, with its command line.
        argv: The command line; None = that of the process.
        shares: Parts of an iteration, and how often each plays.
    """
    options = parse_arguments(description, argv)
    names = [options.only] if options.only else ["official", "ours"]
    player = Player if options.only else RemotePlayer
    sides = {name: player(name, model, official, make_layer, shares, options) for name in names}
    times: dict[str, dict[str, list[float]]] = {side: {part: [] for part in shares} for side in sides}
    for pair in range(options.pairs + 1):
        for part in shares:
            for side in list(sides)[:: 1 if pair % 2 else -1]:
                seconds = sides[side].play(part)
                if pair:  # the first pair warms up
                    times[side][part].append(seconds)
    medians = {side: {part: statistics.median(runs) for part, runs in parts.items()} for side, parts in times.items()}
    line: dict[str, Any] = {
        "benchmark": "versus", "model": model, "size": options.size, "batch": options.batch,
        "multiplier": options.multiplier, "pairs": options.pairs, "device": options.device,
        "precision": options.precision, "compile": options.compile, "threads": options.threads,
        "parts_ms": {s: {p: round(1000 * v, 1) for p, v in parts.items()} for s, parts in medians.items()},
        "iteration_ms": {side: round(1000 * add_parts(parts, shares), 1) for side, parts in medians.items()},
        "peak_mib": {side: round(player.get_peak_memory()) for side, player in sides.items()},
        "torch": torch.__version__, "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    if len(sides) == 2:
        whole = {side: add_parts(parts, shares) for side, parts in medians.items()}
        line["ratio"] = round(whole["official"] / whole["ours"], 3)
        line["ratios"] = [
            round(add_parts(official, shares) / add_parts(own, shares), 3)
            for official, own in zip(*(split_pairs(times[side]) for side in ("official", "ours")))
        ]
        line["ratio_of_parts"] = {part: round(medians["official"][part] / medians["ours"][part], 2) for part in shares}
    if options.count and "ours" in sides:
        ours = OurSide(model, make_layer(options), options, torch.device("cpu"))
        line["ours_on_meta"] = count_work(ours.config, ours.registry)
    print(json.dumps(line))


def add_parts(parts: Mapping[str, float], shares: Mapping[str, float]) -> float:
    """Return the seconds of a whole iteration."""
    return sum(share * parts[part] for part, share in shares.items())


def split_pairs(times: Mapping[str, Sequence[float]]) -> list[dict[str, float]]:
    """Return the seconds by part of each pair."""
    return [dict(zip(times, row)) for row in zip(*times.values())]


def parse_arguments(description: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """Read the command line."""
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, help="folder with the official code")
    parser.add_argument("--size", type=int, default=64, help="pixels along a side (default: %(default)s)")
    parser.add_argument("--batch", type=int, default=2, help="images of a batch (default: %(default)s)")
    parser.add_argument("--multiplier", type=int, default=2, help="channel multiplier of StyleGAN2 (default: 2)")
    parser.add_argument("--pairs", type=int, default=3, help="how often each part is timed (default: %(default)s)")
    parser.add_argument("--device", default="cpu", help="device of both sides (default: %(default)s)")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of each side (default: %(default)s)")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="of our side")
    parser.add_argument("--compile", action="store_true", help="compile our networks")
    parser.add_argument("--count", action="store_true", help="count our FLOPs and operator calls on the meta device")
    parser.add_argument("--operators", action="store_true", help="build and use the official CUDA operators")
    parser.add_argument("--only", choices=("official", "ours"), help="measure one side, in this process")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="our settings, as of zoo train")
    options = parser.parse_args(argv)
    if options.official is None and options.only != "ours":
        parser.error("--official: name the folder with the official code, or measure our side: --only ours")
    if options.official is not None:
        sys.path.insert(0, str(options.official))
    return options
