"""StyleGAN2's iteration against the published PyTorch code, in one process: one line of JSON.

    git clone https://github.com/rosinality/stylegan2-pytorch
    python benchmarks/versus_stylegan2.py --official stylegan2-pytorch --size 64 --batch 2

Both sides hold networks of the same widths, play the same steps on random data, and take turns. An iteration is the
critic's and the generator's update, a 16th of the penalty's, a quarter of the path length's, and the average. On a CPU
the published code runs its own pure-PyTorch operators; its compiled ones are asked for by --operators (CUDA only).
"""

from __future__ import annotations

import argparse
import copy
import json
import resource
import statistics
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
import torch.utils.cpp_extension
from accelerate import Accelerator
from step import trainer_of, wait
from torch import Tensor

from zoogan.config import merge, parse_sets, validate
from zoogan.interfaces import Clock
from zoogan.plugins import zoo

SHARES = {"discriminator": 1.0, "penalty": 1 / 16, "generator": 1.0, "path_length": 1 / 4, "average": 1.0}


class Published:
    """The published networks and losses, in the published order."""

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        sys.path.insert(0, str(options.official))
        if not options.operators:
            torch.utils.cpp_extension.load = lambda *args, **kwargs: (
                None
            )  # nothing is compiled; the fallbacks need it not
        import model
        import train

        self.options, self.device, self.losses = options, device, train
        self.generator = model.Generator(options.size, 512, 8, channel_multiplier=options.multiplier).to(device)
        self.critic = model.Discriminator(options.size, channel_multiplier=options.multiplier).to(device)
        self.average = copy.deepcopy(self.generator).requires_grad_(False)
        lazy = {"generator": 4 / 5, "critic": 16 / 17}
        self.optimizers = {
            name: torch.optim.Adam(getattr(self, name).parameters(), lr=0.002 * c, betas=(0.0, 0.99**c))
            for name, c in lazy.items()
        }
        self.mean: Any = 0

    def only(self, name: str) -> Any:
        """Let one network learn."""
        self.generator.requires_grad_(name == "generator")
        self.critic.requires_grad_(name == "critic")
        return getattr(self, name)

    def made(self, batch: int, **options: Any) -> Any:
        """Faces from mixed noise."""
        return self.generator(self.losses.mixing_noise(batch, 512, 0.9, self.device), **options)

    def learn(self, name: str, loss: Tensor) -> None:
        """One update."""
        getattr(self, name).zero_grad()
        loss.backward()
        self.optimizers[name].step()

    def parts(self, real: Tensor) -> Mapping[str, Callable[[], None]]:
        """What an iteration is made of."""
        batch = len(real)

        def discriminator() -> None:
            self.only("critic")
            fake, _ = self.made(batch)
            self.learn("critic", self.losses.d_logistic_loss(self.critic(real), self.critic(fake)))

        def penalty() -> None:
            self.only("critic")
            image = real.clone().requires_grad_()
            score = self.critic(image)
            self.learn("critic", 5 * 16 * self.losses.d_r1_loss(score, image) + 0 * score[0].sum())

        def generator() -> None:
            self.only("generator")
            self.learn("generator", self.losses.g_nonsaturating_loss(self.critic(self.made(batch)[0])))

        def path_length() -> None:
            self.only("generator")
            fake, latents = self.made(max(1, batch // 2), return_latents=True)
            loss, self.mean, _ = self.losses.g_path_regularize(fake, latents, self.mean)
            self.learn("generator", 2 * 4 * loss + 0 * fake[0, 0, 0, 0])

        def average() -> None:
            self.losses.accumulate(self.average, self.generator, 0.5 ** (32 / 10_000))

        return {
            "discriminator": discriminator, "penalty": penalty, "generator": generator, "path_length": path_length,
            "average": average,
        }  # fmt: skip


class Ours:
    """The zoo's trainer, step by step."""

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        registry = zoo().registry
        asked = {
            "data": {"image_size": options.size, "batch": options.batch},
            "generator": {"channel_multiplier": options.multiplier},
            "discriminator": {"channel_multiplier": options.multiplier},
            "training": {
                "average": 0.5 ** (32 / 10_000), "average_images": None, "average_warm_up": False,
                "precision": options.precision, "compile": options.compile,
            },
        }  # fmt: skip
        config = validate(registry.methods["stylegan2"], registry, merge(asked, parse_sets(options.set)))
        mixed = "bf16" if options.precision == "bf16" else "no"
        self.trainer = trainer_of(config, registry, Accelerator(cpu=device.type == "cpu", mixed_precision=mixed))

    def parts(self) -> Mapping[str, Callable[[], None]]:
        """What an iteration is made of."""
        trainer = self.trainer
        steps = {step.name: step for step in trainer.game.steps}

        def update(name: str) -> Callable[[], None]:
            def play() -> None:
                trainer.fetch()
                trainer.update(steps[name], 0, Clock(0, 1), frozenset())

            return play

        def average() -> None:
            for name, kept in trainer.averages.items():
                kept.update(trainer.nets[name], 0, None)

        return {name: update(name) for name in steps} | {"average": average}


def seconds(part: Callable[[], None], device: torch.device) -> float:
    """Of one part: the processor's time on a CPU, which neighbours do not show in, the clock's elsewhere."""
    clock = time.process_time if device.type == "cpu" else time.perf_counter
    wait(device)
    start = clock()
    part()
    wait(device)
    return clock() - start


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, help="where the published code is checked out")
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--batch", type=int, default=2)
    parser.add_argument("--multiplier", type=int, default=2)
    parser.add_argument("--pairs", type=int, default=3)
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"), help="of ours")
    parser.add_argument("--compile", action="store_true", help="ours")
    parser.add_argument("--operators", action="store_true", help="build and use the published CUDA operators")
    parser.add_argument("--only", choices=("official", "ours"), help="one side alone, for its peak of memory")
    parser.add_argument("--set", action="append", default=[], metavar="KEY=VALUE", help="ours, as of zoo train")
    options = parser.parse_args(argv)
    if options.official is None and options.only != "ours":
        parser.error("--official: say where the published code is checked out, or measure --only ours")
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    real = torch.rand(options.batch, 3, options.size, options.size, device=device) * 2 - 1
    sides: dict[str, Mapping[str, Callable[[], None]]] = {}
    if options.only != "ours":
        sides["official"] = Published(options, device).parts(real)
    if options.only != "official":
        sides["ours"] = Ours(options, device).parts()
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
        "benchmark": "versus", "model": "stylegan2", "size": options.size, "batch": options.batch,
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
    print(json.dumps(line))


if __name__ == "__main__":
    main()
