"""A method's iteration against the published code, side by side in one process; what the scripts `versus_*` share.

Both sides hold networks of the same widths, play the same steps on random data, and take turns, part by part of an
iteration. A part counts as often as it plays: the penalty a 16th, the path length a quarter of the time.
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import statistics
import sys
import time
from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.utils.cpp_extension
from accelerate import Accelerator
from step import count_work, make_trainer, wait_for_device
from torch import Tensor, nn

from zoogan.config import merge, parse_sets, validate
from zoogan.interfaces import Clock
from zoogan.plugins.host import get_zoo

SHARES = {"discriminator": 1.0, "penalty": 1 / 16, "generator": 1.0, "path_length": 1 / 4, "average": 1.0}
Parts = Mapping[str, Callable[[], None]]


class Published(ABC):
    """The published networks and losses, in the published order: a generator with its average, a discriminator, and an Adam
    for each, corrected for its lazy regulariser (path lengths every 4th iteration, R1 every 16th)."""

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        self.options, self.device = options, device
        self.generator, self.discriminator = (network.to(device) for network in self.networks(options))
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        lazy = {"generator": 4 / 5, "discriminator": 16 / 17}
        self.optimizers = {
            name: torch.optim.Adam(getattr(self, name).parameters(), lr=0.002 * c, betas=(0.0, 0.99**c))
            for name, c in lazy.items()
        }

    @abstractmethod
    def networks(self, options: argparse.Namespace) -> tuple[nn.Module, nn.Module]:
        """The generator and the discriminator."""

    @abstractmethod
    def parts(self) -> Parts:
        """What an iteration is made of, by the names of `SHARES`."""

    def only(self, name: str) -> None:
        """Let one network learn."""
        self.generator.requires_grad_(name == "generator")
        self.discriminator.requires_grad_(name == "discriminator")

    def learn(self, name: str, loss: Tensor) -> None:
        """One update."""
        getattr(self, name).zero_grad()
        loss.backward()
        self.optimizers[name].step()


def without_operators() -> None:
    """Let published code be imported without compiling its operators: its own pure-PyTorch fallbacks need none."""
    torch.utils.cpp_extension.load = lambda *args, **kwargs: None


class Ours:
    """The zoo's trainer, step by step.

    asked: a layer of the method's config, beside what the options say.
    """

    def __init__(self, model: str, asked: Mapping[str, Any], options: argparse.Namespace, device: torch.device) -> None:
        registry = get_zoo().registry
        said = {
            "data": {"image_size": options.size, "batch": options.batch},
            "generator": {"channel_multiplier": options.multiplier},
            "discriminator": {"channel_multiplier": options.multiplier},
            "training": {
                "average": 0.5 ** (32 / 10_000), "average_images": None, "average_warm_up": False,
                "precision": options.precision, "compile": options.compile,
            },
        }  # fmt: skip
        config = validate(registry.methods[model], registry, merge(merge(said, asked), parse_sets(options.set)))
        self.registry, self.config = registry, config
        mixed = "bf16" if options.precision == "bf16" else "no"
        self.trainer = make_trainer(config, registry, Accelerator(cpu=device.type == "cpu", mixed_precision=mixed))

    def parts(self) -> Parts:
        """What an iteration is made of."""
        trainer = self.trainer
        steps = {step.name: step for step in trainer.game.steps}

        def update(name: str) -> Callable[[], None]:
            def play() -> None:
                trainer.fetch_batch()
                trainer.update(steps[name], 0, Clock(0, 1), frozenset())

            return play

        def average() -> None:
            for name, kept in trainer.averages.items():
                kept.update(trainer.networks[name], 0, None)

        return {name: update(name) for name in steps} | {"average": average}


def seconds(part: Callable[[], None], device: torch.device) -> float:
    """Of one part: the processor's time on a CPU, which neighbours do not show in, the clock's elsewhere."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    wait_for_device(device)
    start = clock()
    part()
    wait_for_device(device)
    return clock() - start


def compare(
    model: str,
    published: type[Published],
    asked: Callable[[argparse.Namespace], Mapping[str, Any]],
    about: str,
    argv: Sequence[str] | None,
) -> None:
    """Measure and print one line of JSON.

    Args:
        asked: our config for the same networks, a layer over the method's own. about: what the script is, with its
            command line.
    """
    options = arguments(about, argv)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    sides: dict[str, Parts] = {}
    if options.only != "ours":
        sides["official"] = published(options, device).parts()
    ours = None if options.only == "official" else Ours(model, asked(options), options, device)
    if ours is not None:
        sides["ours"] = ours.parts()
    taken: dict[str, dict[str, list[float]]] = {side: {part: [] for part in SHARES} for side in sides}
    for pair in range(options.pairs + 1):
        for part in SHARES:
            for side in list(sides)[:: 1 if pair % 2 else -1]:
                spent = seconds(sides[side][part], device)
                if pair:  # the first is for warming up
                    taken[side][part].append(spent)
    medians = {side: {part: statistics.median(runs) for part, runs in parts.items()} for side, parts in taken.items()}
    whole = {side: sum(SHARES[part] * parts[part] for part in SHARES) for side, parts in medians.items()}
    line: dict[str, Any] = {
        "benchmark": "versus", "model": model, "size": options.size, "batch": options.batch,
        "multiplier": options.multiplier, "pairs": options.pairs, "device": options.device,
        "precision": options.precision, "compile": options.compile, "threads": options.threads,
        "parts_ms": {s: {p: round(1000 * v, 1) for p, v in parts.items()} for s, parts in medians.items()},
        "iteration_ms": {side: round(1000 * value, 1) for side, value in whole.items()},
        "torch": torch.__version__, "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    if len(whole) == 2:
        line["ratio"] = round(whole["official"] / whole["ours"], 3)
        line["ratio_of_parts"] = {part: round(medians["official"][part] / medians["ours"][part], 2) for part in SHARES}
    else:
        cuda = device.type == "cuda"
        peak = (
            torch.cuda.max_memory_allocated() / 2**20
            if cuda
            else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
        )
        line |= {"side": options.only, "peak_mib": round(peak)}
    if ours is not None and options.count:
        line["ours_on_meta"] = count_work(ours.config, ours.registry)
    print(json.dumps(line))


def arguments(about: str, argv: Sequence[str] | None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(description=about, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, help="where the published code is checked out")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--multiplier", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="of ours")
    parser.add_argument("--compile", action="store_true", help="ours")
    parser.add_argument("--count", action="store_true", help="ours: FLOPs and operator calls of an iteration on meta")
    parser.add_argument("--operators", action="store_true", help="build and use the published CUDA operators")
    parser.add_argument("--only", choices=("official", "ours"), help="one side alone, for its peak of memory")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="ours, as of zoo train")
    options = parser.parse_args(argv)
    if options.official is None and options.only != "ours":
        parser.error("--official: say where the published code is checked out, or measure --only ours")
    if options.official is not None:
        sys.path.insert(0, str(options.official))
    if not options.operators:
        without_operators()
    return options
