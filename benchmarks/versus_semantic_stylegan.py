"""Time SemanticStyleGAN's iteration against the official code: one line of JSON.

    git clone https://github.com/seasonSH/SemanticStyleGAN
    python benchmarks/versus_semantic_stylegan.py --official SemanticStyleGAN --size 64 --batch 2

13 parts of the published widths; at 64 px their features are 32 px, half the image's side. On a CPU the official code
runs its own pure-PyTorch operators; --operators builds its compiled ones (CUDA only).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from versus import OfficialSynthesis, Parts, compare
from versus_stylegan2 import make_layer as make_stylegan2_layer

PARTS, TRANSPARENT = 13, (10, 12)


class OfficialSemanticStyleGAN(OfficialSynthesis):
    """seasonSH's networks, with the losses of its training script.

    Args:
        options: The command line.
        device: Where the networks compute.
    """

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        super().__init__(options, device)
        self.mean_length = torch.zeros((), device=device)

    def make_networks(self, options: argparse.Namespace) -> tuple[nn.Module, nn.Module]:
        """Return networks of the published widths, with 8 layers of mapping."""
        from models.semantic_stylegan import DualBranchDiscriminator, SemanticGenerator

        generator = SemanticGenerator(
            options.size, 512, 8, options.multiplier, seg_dim=PARTS, coarse_size=min(64, options.size // 2),
            min_feat_size=16, residual_refine=True, transparent_dims=TRANSPARENT,
        )  # fmt: skip
        return generator, DualBranchDiscriminator(options.size, options.size, 3, PARTS, options.multiplier)

    def draw_noise(self, batch: int) -> list[Tensor]:
        """Draw one latent, or two to be mixed for 3 of 10 batches."""
        count = 1 + int(torch.rand(()) < 0.3)
        return [torch.randn(batch, 512, device=self.device) for _ in range(count)]

    def make_parts(self) -> Parts:
        """Return functions that each play one part of an iteration."""
        batch, size = self.options.batch, self.options.size
        image = torch.rand(batch, 3, size, size, device=self.device) * 2 - 1
        labels = torch.randint(0, PARTS, (batch, size, size), device=self.device)
        mask = F.one_hot(labels, PARTS).permute(0, 3, 1, 2).float() * 2 - 1

        def update_discriminator() -> None:
            self.train_only("discriminator")
            fake = self.discriminator(*self.generator(self.draw_noise(batch)))
            loss = F.softplus(-self.discriminator(image, mask)).mean() + F.softplus(fake).mean()
            self.update("discriminator", loss)

        def update_penalty() -> None:
            self.train_only("discriminator")
            pair = [image.clone().requires_grad_(), mask.clone().requires_grad_()]
            score = self.discriminator(*pair)
            gradients = torch.autograd.grad(score.sum(), pair, create_graph=True)
            on_image, on_mask = (gradient.square().flatten(1).sum(1).mean() for gradient in gradients)
            self.update("discriminator", (10 / 2 * on_image + 1000 / 2 * on_mask) * 16 + 0 * score[0].sum())

        def update_generator() -> None:
            self.train_only("generator")
            fake, layout, coarse, _, _ = self.generator(self.draw_noise(batch), return_all=True)
            pooled = F.adaptive_avg_pool2d(layout, coarse.shape[2:])
            loss = F.softplus(-self.discriminator(fake, layout)).mean() + 100 * (coarse - pooled).square().mean()
            self.update("generator", loss)

        def update_path_length() -> None:
            self.train_only("generator")
            with torch.no_grad():
                styles = [self.generator.style(z) for z in self.draw_noise(max(1, batch // 2))]
                latents = self.generator.mix_styles(styles).clone()
            latents.requires_grad_()
            fake, layout = self.generator([latents], input_is_latent=True)
            noise = torch.randn_like(fake) / size
            (gradient,) = torch.autograd.grad((fake * noise).sum(), latents, create_graph=True)
            lengths = gradient.square().sum(2).mean(1).sqrt()
            mean = self.mean_length + 0.01 * (lengths.mean() - self.mean_length)
            loss = 0.5 * 4 * (lengths - mean).square().mean()
            self.mean_length = mean.detach()
            self.update("generator", loss + 0 * fake[0, 0, 0, 0] + 0 * layout[0, 0, 0, 0])

        def update_average() -> None:
            averages, current = dict(self.average.named_parameters()), dict(self.generator.named_parameters())
            for name, value in current.items():
                averages[name].data.mul_(0.5**0.0032).add_(value.data, alpha=1 - 0.5**0.0032)

        return {
            "discriminator": update_discriminator, "penalty": update_penalty, "generator": update_generator,
            "path_length": update_path_length, "average": update_average,
        }  # fmt: skip


def make_layer(options: argparse.Namespace) -> dict[str, Any]:
    """Return our settings for the same networks and the same average."""
    layer = make_stylegan2_layer(options)
    layer["generator"] |= {"render_from": 16}  # the official default; ours at 64 px is 8
    return layer | {"data": {"label_set": "celebamask-13"}}


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    compare("semantic-stylegan", OfficialSemanticStyleGAN, make_layer, __doc__ or "", argv)


if __name__ == "__main__":
    main()
