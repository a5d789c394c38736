"""Loss roles."""

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
Scorer = Callable[[Float[Tensor, "n c h w"]], Score]


class AdversarialLoss(ABC):
    """Role `adversarial_loss`: what raw realism scores cost each side. Every value is 0-d, a mean over all scores."""

    @abstractmethod
    def discriminator(self, real: Score, fake: Score) -> tuple[Float[Tensor, ""], Float[Tensor, ""]]:
        """The discriminator's cost on real and on fake scores; it minimises their sum."""

    @abstractmethod
    def generator(self, fake: Score) -> Float[Tensor, ""]:
        """The generator's cost on the scores of its own images."""


class DiscriminatorPenalty(ABC):
    """Role `discriminator_penalty`: a regulariser of the discriminator's gradient with respect to its input.

    every: play it in every `every`-th iteration only; the game multiplies its weight by `every` (lazy regularisation,
    StyleGAN2 appendix B), so its strength does not change. on_real: it scores the real images, once and as they are, so
    that a game may use these scores again.
    """

    weight: float
    every: int = 1
    on_real: bool = False

    @abstractmethod
    def __call__(
        self, scorer: Scorer, real: Float[Tensor, "n c h w"], fake: Float[Tensor, "n c h w"], draw: Draws
    ) -> Float[Tensor, ""]:
        """The unweighted penalty. `real` and `fake` carry no graph; the result is twice differentiable."""


class Classification(ABC):
    """Role `classification`: what attribute logits cost against 0/1 labels, and which labels they tell.

    exclusive: of all attributes one is shown, so that a face which is asked to show another loses its own.
    """

    exclusive: ClassVar[bool] = False

    @abstractmethod
    def __call__(self, logits: Float[Tensor, "n a"], labels: Float[Tensor, "n a"]) -> Float[Tensor, ""]:
        """A 0-d mean over the batch."""

    def read(self, logits: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
        """The labels, 0 or 1, that logits tell; unless overridden every attribute by itself, shown above 0."""
        return (logits > 0).to(logits.dtype)


class Term(ABC):
    """Role `term`: one more thing that a step minimises, added by name to any step of any game.

    `zoo train --set extra_terms.generator.mask_area.weight=0.1`
    """

    weight: float

    @abstractmethod
    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """The unweighted, 0-d term.

        `values` holds what the step has computed, by name; each game's docstring lists the names.
        """
