"""StyleGAN2's iteration against the published PyTorch code, in one process: one line of JSON.

    git clone https://github.com/rosinality/stylegan2-pytorch
    python benchmarks/versus_stylegan2.py --official stylegan2-pytorch --size 64 --batch 2

On a CPU the published code runs its own pure-PyTorch operators; its compiled ones are asked for by --operators (CUDA
only).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from torch import nn
from versus import Parts, Published, compare


class StyleGAN2(Published):
    """rosinality's networks and losses."""

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        import train

        super().__init__(options, device)
        self.losses: Any = train
        self.mean: Any = 0  # of path lengths

    def networks(self, options: argparse.Namespace) -> tuple[nn.Module, nn.Module]:
        """Of the published widths, with 8 layers of mapping."""
        import model

        generator = model.Generator(options.size, 512, 8, channel_multiplier=options.multiplier)
        return generator, model.Discriminator(options.size, channel_multiplier=options.multiplier)

    def made(self, batch: int, **options: Any) -> Any:
        """Faces from mixed noise."""
        return self.generator(self.losses.mixing_noise(batch, 512, 0.9, self.device), **options)

    def parts(self) -> Parts:
        """What an iteration is made of."""
        batch, size = self.options.batch, self.options.size
        real = torch.rand(batch, 3, size, size, device=self.device) * 2 - 1

        def discriminator() -> None:
            self.only("discriminator")
            fake, _ = self.made(batch)
            self.learn("discriminator", self.losses.d_logistic_loss(self.discriminator(real), self.discriminator(fake)))

        def penalty() -> None:
            self.only("discriminator")
            image = real.clone().requires_grad_()
            score = self.discriminator(image)
            self.learn("discriminator", 5 * 16 * self.losses.d_r1_loss(score, image) + 0 * score[0].sum())

        def generator() -> None:
            self.only("generator")
            self.learn("generator", self.losses.g_nonsaturating_loss(self.discriminator(self.made(batch)[0])))

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


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    compare("stylegan2", StyleGAN2, lambda options: {}, __doc__ or "", argv)


if __name__ == "__main__":
    main()
