"""Penalties of the discriminator's gradient with respect to its input."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.facts import Facts
from zoogan.interfaces import DiscriminatorPenalty, Draws
from zoogan.interfaces.loss import Scorer
from zoogan.losses.config import GradientPenaltyConfig, NoPenaltyConfig, PenaltyConfig, R1Config

Images = Float[Tensor, "n c h w"]


def slope(value: Float[Tensor, ""], of: Tensor) -> Tensor:
    """The gradient of `value` with respect to `of`, of its shape; differentiable again.

    In full precision: inside autocast the way back through a linear layer would be rounded.
    """
    with torch.autocast("cpu" if of.is_meta else of.device.type, enabled=False):
        (gradient,) = torch.autograd.grad(value, of, create_graph=True)
    return gradient


class Configured(DiscriminatorPenalty):
    """Takes its weight and interval from a config."""

    default: type[PenaltyConfig] = PenaltyConfig

    def __init__(self, config: PenaltyConfig | None = None, facts: Facts | None = None) -> None:
        config = config or self.default()
        self.weight, self.every = config.weight, config.every


class NoPenalty(Configured):
    """Nothing."""

    default = NoPenaltyConfig

    def __call__(self, scorer: Scorer, real: Images, fake: Images, draw: Draws) -> Float[Tensor, ""]:
        """0."""
        return real.new_zeros(())


class GradientPenalty(Configured):
    """WGAN-GP (Gulrajani et al. 2017) as StarGAN's official code has it.

    The gradient is that of the SUM of the score map, while the discriminator's cost is its mean: so the penalty's
    strength grows with the size of the map. Kept because the published weights belong to it.
    """

    default = GradientPenaltyConfig

    def __call__(self, scorer: Scorer, real: Images, fake: Images, draw: Draws) -> Float[Tensor, ""]:
        """Mean over the batch of (|gradient| - 1)^2 on a random mix of each real image with its fake one.

        The mix is a * real + (1 - a) * fake, with a the draw `alpha` (n, 1, 1, 1). No epsilon in the norm.
        """
        a = draw.uniform("alpha", 1, 1, 1, like=real)
        mix = (a * real + (1 - a) * fake).detach().requires_grad_()
        return (slope(scorer(mix).sum(), mix).flatten(1).norm(dim=1) - 1).square().mean()


class R1(Configured):
    """R1 (Mescheder et al. 2018, equation 9 with its factor 1/2).

    Of the MEAN of each image's score map, so that its strength does not depend on the size of the map.
    """

    default = R1Config
    on_real = True

    def __call__(self, scorer: Scorer, real: Images, fake: Images, draw: Draws) -> Float[Tensor, ""]:
        """Half the mean over the batch of the squared gradient norm on real images."""
        image = real.detach().requires_grad_()
        # The scores of different images do not mix, so one backward of their sum serves the whole batch.
        score = scorer(image).reshape(len(image), -1).mean(1).sum()
        return slope(score, image).square().flatten(1).sum(1).mean() / 2
