"""Adversarial losses: what raw realism scores cost each side."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zoogan.config import ComponentConfig
from zoogan.facts import Facts
from zoogan.interfaces import AdversarialLoss

Score = Float[Tensor, "n *patches"]
Cost = Float[Tensor, ""]


class Unconfigured(AdversarialLoss):
    """A loss without options: `Loss()` by hand, `Loss(config, facts)` by the registry."""

    def __init__(self, config: ComponentConfig | None = None, facts: Facts | None = None) -> None:
        self.config = config


class Wgan(Unconfigured):
    """Wasserstein distance (Arjovsky et al. 2017): only differences of scores mean anything."""

    def discriminator(self, real: Score, fake: Score) -> tuple[Cost, Cost]:
        """-mean(real), mean(fake)."""
        return -real.mean(), fake.mean()

    def generator(self, fake: Score) -> Cost:
        """-mean(fake)."""
        return -fake.mean()


class NonSaturating(Unconfigured):
    """Non-saturating logistic loss (Goodfellow et al. 2014): scores are logits of being real."""

    def discriminator(self, real: Score, fake: Score) -> tuple[Cost, Cost]:
        """mean softplus(-real), mean softplus(fake): the cross entropies, stable for large scores."""
        return F.softplus(-real).mean(), F.softplus(fake).mean()

    def generator(self, fake: Score) -> Cost:
        """mean softplus(-fake)."""
        return F.softplus(-fake).mean()


class Hinge(Unconfigured):
    """Hinge loss (Lim and Ye 2017): scores beyond the margin cost the discriminator nothing."""

    def discriminator(self, real: Score, fake: Score) -> tuple[Cost, Cost]:
        """mean max(0, 1 - real), mean max(0, 1 + fake)."""
        return F.relu(1 - real).mean(), F.relu(1 + fake).mean()

    def generator(self, fake: Score) -> Cost:
        """-mean(fake)."""
        return -fake.mean()


class Lsgan(Unconfigured):
    """Least squares towards 1 for real and 0 for fake (Mao et al. 2017, equation 9, with its factors 1/2)."""

    def discriminator(self, real: Score, fake: Score) -> tuple[Cost, Cost]:
        """mean (real - 1)^2 / 2, mean fake^2 / 2."""
        return (real - 1).square().mean() / 2, fake.square().mean() / 2

    def generator(self, fake: Score) -> Cost:
        """mean (fake - 1)^2 / 2."""
        return (fake - 1).square().mean() / 2
