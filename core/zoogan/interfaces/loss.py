"""The roles of losses."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces.draws import Draws

if TYPE_CHECKING:
    from zoogan.interfaces.game import Turn

Score = Float[Tensor, "n *patches"]
"""Raw realism scores, one image a row."""
Scorer = Callable[[Float[Tensor, "n c h w"]], Score]
"""Computes the raw realism scores of images."""


class AdversarialLoss(ABC):
    """Role `adversarial_loss`: losses of raw realism scores. Every value is 0-d, a mean over all scores."""

    @abstractmethod
    def discriminator_loss(self, real: Score, fake: Score) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """Compute the discriminator's losses on real and on fake scores; it minimises their sum."""

    @abstractmethod
    def generator_loss(self, fake: Score) -> Float[Tensor, ""]:
        """Compute the generator's loss from the scores of its own images."""


class DiscriminatorPenalty(ABC):
    """Role `discriminator_penalty`: a regulariser of the discriminator's gradient with respect to its input.

    Attributes:
        weight: Weight of the term.
        every: Compute it in every `every`-th iteration only. The game multiplies its weight by `every` (lazy
            regularisation, StyleGAN2 appendix B), so its strength does not change.
        on_real: It scores the unmodified real images exactly once, so a game may reuse these scores.
    """

    weight: float
    every: int = 1
    on_real: bool = False

    @abstractmethod
    def __call__(
        self, scorer: Scorer, real: Float[Tensor, "n c h w"], fake: Float[Tensor, "n c h w"], draw: Draws
    ) -> Float[Tensor, ""]:
        """Compute the unweighted, twice differentiable penalty.

        Args:
            scorer: Returns the discriminator's scores of images.
            real: Real images, without a graph.
            fake: Generated images, without a graph.
            draw: Random numbers of this update.
        """


class Classification(ABC):
    """Role `classification`: the loss of attribute logits against 0/1 labels, and the labels that logits mean.

    Attributes:
        exclusive: A face shows exactly one of the attributes, so setting one clears the others.
    """

    exclusive: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, logits: Float[Tensor, "n a"], labels: Float[Tensor, "n a"]) -> Float[Tensor, ""]:
        """Compute the 0-d mean loss over the batch."""

    def predict_labels(self, logits: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
        """Return the labels, 0 or 1, that logits mean: by default 1 where the logit is above 0."""
        return (logits > 0).to(logits.dtype)


class Term(ABC):
    """Role `term`: an extra loss term, added by name to any step of any game.

    `zoo train --set extra_terms.generator.mask_area.weight=0.1`

    Attributes:
        weight: Weight of the term.
    """

    weight: float

    @abstractmethod
    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Compute the unweighted 0-d term.

        Args:
            turn: Everything that the terms of this update may read.
            values: Tensors that the step has computed, by name; each game's docstring lists the names.
        """
