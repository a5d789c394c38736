"""Adversarial losses of raw realism scores."""

from __future__ import annotations

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces import AdversarialLoss
from zoogan.interfaces.loss import Score
from zoogan.losses.base import OptionlessLoss

Cost = Float[Tensor, ""]


class WganLoss(OptionlessLoss, AdversarialLoss):
    """Wasserstein distance: only differences of scores have a meaning. Needs a gradient penalty.

    Source: Arjovsky et al. 2017.
    """

    def discriminator_loss(self, real: Score, fake: Score) -> tuple[Cost, Cost]:
        """Return -mean(real) and mean(fake)."""
        return -real.mean(), fake.mean()

    def generator_loss(self, fake: Score) -> Cost:
        """Return -mean(fake)."""
        return -fake.mean()


class NonSaturatingLoss(OptionlessLoss, AdversarialLoss):
    """Non-saturating logistic loss: scores are logits of being real.

    Source: Goodfellow et al. 2014.
    """

    def discriminator_loss(self, real: Score, fake: Score) -> tuple[Cost, Cost]:
        """Return mean softplus(-real) and mean softplus(fake): the cross entropies, stable for large scores."""
        return F.softplus(-real).mean(), F.softplus(fake).mean()

    def generator_loss(self, fake: Score) -> Cost:
        """Return mean softplus(-fake)."""
        return F.softplus(-fake).mean()


class HingeLoss(OptionlessLoss, AdversarialLoss):
    """Hinge loss: scores beyond the margin cost the discriminator nothing.

    Source: Lim and Ye 2017.
    """

    def discriminator_loss(self, real: Score, fake: Score) -> tuple[Cost, Cost]:
        """Return mean max(0, 1 - real) and mean max(0, 1 + fake)."""
        return F.relu(1 - real).mean(), F.relu(1 + fake).mean()

    def generator_loss(self, fake: Score) -> Cost:
        """Return -mean(fake)."""
        return -fake.mean()


class LsganLoss(OptionlessLoss, AdversarialLoss):
    """Least squares towards 1 for real and 0 for fake scores, with the factors 1/2.

    Source: Mao et al. 2017, equation 9.
    """

    def discriminator_loss(self, real: Score, fake: Score) -> tuple[Cost, Cost]:
        """Return mean (real - 1)^2 / 2 and mean fake^2 / 2."""
        return (real - 1).square().mean() / 2, fake.square().mean() / 2

    def generator_loss(self, fake: Score) -> Cost:
        """Return mean (fake - 1)^2 / 2."""
        return (fake - 1).square().mean() / 2
