"""Time StyleGAN2's iteration against the official PyTorch code: one line of JSON.

    git clone https://github.com/rosinality/stylegan2-pytorch
    python benchmarks/versus_stylegan2.py --official stylegan2-pytorch --size 64 --batch 2

On a CPU the official code runs its own pure-PyTorch operators; --operators builds its compiled ones (CUDA only).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from versus import OfficialSynthesis, Parts, compare


class OfficialStyleGAN2(OfficialSynthesis):
    """rosinality's networks and losses.

    Args:
        options: The command line.
        device: Where the networks compute.
    """

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        import train

        super().__init__(options, device)
        self.losses: Any = train
        self.mean_length: Any = 0

    def make_networks(self, options: argparse.Namespace) -> tuple[nn.Module, nn.Module]:
        """Return networks of the published widths, with 8 layers of mapping."""
        import model

        generator = model.Generator(options.size, 512, 8, channel_multiplier=options.multiplier)
        return generator, model.Discriminator(options.size, channel_multiplier=options.multiplier)

    def generate(self, batch: int, **options: Any) -> Any:
        """Generate faces from mixed noise."""
        return self.generator(self.losses.mixing_noise(batch, 512, 0.9, self.device), **options)

    def make_parts(self) -> Parts:
        """Return functions that each play one part of an iteration."""
        batch, size = self.options.batch, self.options.size
        real = torch.rand(batch, 3, size, size, device=self.device) * 2 - 1

        def update_discriminator() -> None:
            self.train_only("discriminator")
            fake, _ = self.generate(batch)
            loss = self.losses.d_logistic_loss(self.discriminator(real), self.discriminator(fake))
            self.update("discriminator", loss)

        def update_penalty() -> None:
            self.train_only("discriminator")
            image = real.clone().requires_grad_()
            score = self.discriminator(image)
            self.update("discriminator", 5 * 16 * self.losses.d_r1_loss(score, image) + 0 * score[0].sum())

        def update_generator() -> None:
            self.train_only("generator")
            self.update("generator", self.losses.g_nonsaturating_loss(self.discriminator(self.generate(batch)[0])))

        def update_path_length() -> None:
            self.train_only("generator")
            fake, latents = self.generate(max(1, batch // 2), return_latents=True)
            loss, self.mean_length, _ = self.losses.g_path_regularize(fake, latents, self.mean_length)
            self.update("generator", 2 * 4 * loss + 0 * fake[0, 0, 0, 0])

        def update_average() -> None:
            self.losses.accumulate(self.average, self.generator, 0.5 ** (32 / 10_000))

        return {
            "discriminator": update_discriminator, "penalty": update_penalty, "generator": update_generator,
            "path_length": update_path_length, "average": update_average,
        }  # fmt: skip


def make_layer(options: argparse.Namespace) -> dict[str, Any]:
    """Return our settings for the same networks and the same average."""
    average = {"average": 0.5 ** (32 / 10_000), "average_images": None, "average_warm_up": False}
    widths = {slot: {"channel_multiplier": options.multiplier} for slot in ("generator", "discriminator")}
    return {**widths, "training": average}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    compare("stylegan2", OfficialStyleGAN2, make_layer, __doc__ or "", argv)


if __name__ == "__main__":
    main()
