"""SemanticStyleGAN's iteration against the published code, in one process: one line of JSON.

    git clone https://github.com/seasonSH/SemanticStyleGAN
    python benchmarks/versus_semantic_stylegan.py --official SemanticStyleGAN --size 64 --batch 2

13 parts of the published widths; at 64 px their features are 32 px, half the picture's side. On a CPU the published
code runs its own pure-PyTorch operators; its compiled ones are asked for by --operators (CUDA only).
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from versus import Parts, Published, compare

PARTS, TRANSPARENT = 13, (10, 12)


class SemanticStyleGAN(Published):
    """seasonSH's networks, with the losses of its training script."""

    def __init__(self, options: argparse.Namespace, device: torch.device) -> None:
        super().__init__(options, device)
        self.mean = torch.zeros((), device=device)  # of path lengths

    def networks(self, options: argparse.Namespace) -> tuple[nn.Module, nn.Module]:
        """Of the published widths, with 8 layers of mapping."""
        from models.semantic_stylegan import DualBranchDiscriminator, SemanticGenerator

        generator = SemanticGenerator(
            options.size, 512, 8, options.multiplier, seg_dim=PARTS, coarse_size=min(64, options.size // 2),
            min_feat_size=16, residual_refine=True, transparent_dims=TRANSPARENT,
        )  # fmt: skip
        return generator, DualBranchDiscriminator(options.size, options.size, 3, PARTS, options.multiplier)

    def noise(self, batch: int) -> list[Tensor]:
        """One latent, or two to be mixed for 3 of 10 batches."""
        two = 1 + int(torch.rand(()) < 0.3)
        return [torch.randn(batch, 512, device=self.device) for _ in range(two)]

    def parts(self) -> Parts:
        """What an iteration is made of."""
        batch, size = self.options.batch, self.options.size
        image = torch.rand(batch, 3, size, size, device=self.device) * 2 - 1
        labels = torch.randint(0, PARTS, (batch, size, size), device=self.device)
        mask = F.one_hot(labels, PARTS).permute(0, 3, 1, 2).float() * 2 - 1

        def discriminator() -> None:
            self.only("discriminator")
            fake = self.discriminator(*self.generator(self.noise(batch)))
            self.learn("discriminator", F.softplus(-self.discriminator(image, mask)).mean() + F.softplus(fake).mean())

        def penalty() -> None:
            self.only("discriminator")
            pair = [image.clone().requires_grad_(), mask.clone().requires_grad_()]
            score = self.discriminator(*pair)
            slopes = torch.autograd.grad(score.sum(), pair, create_graph=True)
            of_image, of_mask = (slope.square().flatten(1).sum(1).mean() for slope in slopes)
            self.learn("discriminator", (10 / 2 * of_image + 1000 / 2 * of_mask) * 16 + 0 * score[0].sum())

        def generator() -> None:
            self.only("generator")
            made, layout, coarse, _, _ = self.generator(self.noise(batch), return_all=True)
            pooled = F.adaptive_avg_pool2d(layout, coarse.shape[2:])
            loss = F.softplus(-self.discriminator(made, layout)).mean() + 100 * (coarse - pooled).square().mean()
            self.learn("generator", loss)

        def path_length() -> None:
            self.only("generator")
            with torch.no_grad():
                drawn = [self.generator.style(z) for z in self.noise(max(1, batch // 2))]
                latents = self.generator.mix_styles(drawn).clone()
            latents.requires_grad_()
            made, layout = self.generator([latents], input_is_latent=True)
            noise = torch.randn_like(made) / size
            (slope,) = torch.autograd.grad((made * noise).sum(), latents, create_graph=True)
            lengths = slope.square().sum(2).mean(1).sqrt()
            mean = self.mean + 0.01 * (lengths.mean() - self.mean)
            loss = 0.5 * 4 * (lengths - mean).square().mean()
            self.mean = mean.detach()
            self.learn("generator", loss + 0 * made[0, 0, 0, 0] + 0 * layout[0, 0, 0, 0])

        def average() -> None:
            kept, now = dict(self.average.named_parameters()), dict(self.generator.named_parameters())
            for name, value in now.items():
                kept[name].data.mul_(0.5**0.0032).add_(value.data, alpha=1 - 0.5**0.0032)

        return {
            "discriminator": discriminator, "penalty": penalty, "generator": generator, "path_length": path_length,
            "average": average,
        }  # fmt: skip


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    compare("semantic-stylegan", SemanticStyleGAN, asked, __doc__ or "", argv)


def asked(options: argparse.Namespace) -> dict[str, Any]:
    """Our config for the same networks."""
    render_from = {"generator": {"render_from": 16}}  # the published default; ours at 64 px is 8
    return {"data": {"label_set": "celebamask-13"}} | render_from


if __name__ == "__main__":
    main()
