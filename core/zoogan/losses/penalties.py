"""Penalties of the discriminator's gradient with respect to its input."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.facts import Facts
from zoogan.interfaces import DiscriminatorPenalty, Draws
from zoogan.interfaces.loss import Scorer
from zoogan.layers.precision import disable_autocast
from zoogan.layers.shapes import Images
from zoogan.losses.config import GradientPenaltyConfig, NoPenaltyConfig, PenaltyConfig, R1Config


def compute_gradient(value: Float[Tensor, ""], wrt: Tensor) -> Tensor:
    """Compute the gradient of a value, itself differentiable.

    In full precision: inside autocast the backward through a linear layer would be rounded.

    Args:
        value: A 0-d tensor.
        wrt: The tensor to differentiate with respect to.

    Returns:
        The gradient, of the shape of `wrt`.
    """
    with disable_autocast(wrt):
        (gradient,) = torch.autograd.grad(value, wrt, create_graph=True)
    return gradient


class WeightedPenalty(DiscriminatorPenalty):
    """Base of penalties that take their weight and interval from a config.

    Args:
        config: Weight and interval; None = the defaults of the penalty.
        facts: Unused.
    """

    default: type[PenaltyConfig] = PenaltyConfig

    def __init__(self, config: PenaltyConfig | None = None, facts: Facts | None = None) -> None:
        config = config or self.default()
        self.weight, self.every = config.weight, config.every


class NoPenalty(WeightedPenalty):
    """No penalty."""

    default = NoPenaltyConfig

    def __call__(self, scorer: Scorer, real: Images, fake: Images, draw: Draws) -> Float[Tensor, ""]:
        """Return 0."""
        return real.new_zeros(())


class GradientPenalty(WeightedPenalty):
    """WGAN-GP as in StarGAN's official code.

    It differentiates the sum of the score map, while the discriminator's loss is its mean, so the strength of the
    penalty grows with the size of the map. The published weights are for this form.

    Source: Gulrajani et al. 2017; StarGAN (Choi et al. 2018), official code.
    """

    default = GradientPenaltyConfig

    def __call__(self, scorer: Scorer, real: Images, fake: Images, draw: Draws) -> Float[Tensor, ""]:
        """Compute the mean of (|gradient| - 1)^2 on random mixes of real and fake images.

        A mix is a * real + (1 - a) * fake, with a the draw `alpha` (n, 1, 1, 1). The norm has no epsilon.

        Args:
            scorer: Computes raw scores from images.
            real: Real images (n, c, h, w).
            fake: Fake images (n, c, h, w).
            draw: Random numbers of the update.

        Returns:
            A 0-d tensor, at least 0, not weighted.
        """
        a = draw.uniform("alpha", 1, 1, 1, like=real)
        mix = (a * real + (1 - a) * fake).detach().requires_grad_()
        return (compute_gradient(scorer(mix).sum(), mix).flatten(1).norm(dim=1) - 1).square().mean()


class R1Penalty(WeightedPenalty):
    """R1, with its factor 1/2.

    It differentiates the mean of each image's score map, so that its strength does not depend on the size of the map.

    Source: Mescheder et al. 2018, equation 9.
    """

    default = R1Config
    on_real = True

    def __call__(self, scorer: Scorer, real: Images, fake: Images, draw: Draws) -> Float[Tensor, ""]:
        """Compute half the mean of the squared gradient norm on real images.

        Args:
            scorer: Computes raw scores from images.
            real: Real images (n, c, h, w).
            fake: Unused.
            draw: Unused.

        Returns:
            A 0-d tensor, at least 0, not weighted.
        """
        image = real.detach().requires_grad_()
        # The score of an image does not depend on other images, so one backward of the sum gives all gradients.
        score = scorer(image).reshape(len(image), -1).mean(1).sum()
        return compute_gradient(score, image).square().flatten(1).sum(1).mean() / 2
