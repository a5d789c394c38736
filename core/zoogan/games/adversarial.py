"""The base of all games in which generators train against one discriminator."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.games.config import AdversarialConfig
from zoogan.games.extensible import ExtensibleGame
from zoogan.interfaces import AdversarialLoss, Clock, DiscriminatorPenalty, Turn
from zoogan.layers.augment import Augment
from zoogan.layers.norm import has_batch_norm
from zoogan.layers.precision import ensure_float32

AUGMENT_BUFFERS = ("augment_p", "trust_sum", "trust_images")


class AdversarialGame(ExtensibleGame):
    """An adversarial loss, a penalty that may be lazy, an augmentation before the discriminator, and extra terms.

    Args:
        config: The complete config of the run.
        facts: Facts about the data.
        components: The built component of each slot, by name of the slot.

    Attributes:
        updates_per_batch: Number of discriminator updates in an iteration on the same batch.
        augment_p: The probability of an augmentation that adapts.
        trust_sum: Sum of the signs of the discriminator's scores of augmented real images since the last adaptation.
        trust_images: How many real images these were.

    The three buffers exist only if the augmentation adapts.
    """

    updates_per_batch: int = 1
    # A new run starts with new values, because overfitting to the faces of another run is irrelevant here.
    reset_buffers: ClassVar[tuple[str, ...]] = AUGMENT_BUFFERS
    augment_p: Tensor
    trust_sum: Tensor
    trust_images: Tensor

    def __init__(self, config: AdversarialConfig, facts: Facts, components: Mapping[str, Any]) -> None:
        super().__init__(components)
        self.facts = facts
        self.condition = components["condition"]
        self.adversarial: AdversarialLoss = components["adversarial"]
        self.penalty: DiscriminatorPenalty = components["penalty"]
        self.augment: Augment = components["augment"]
        self._figures: dict[str, Tensor] = {}
        if self.augment.every:
            for name in AUGMENT_BUFFERS:
                self.register_buffer(name, torch.tensor(self.augment.start if name == "augment_p" else 0.0))

    # ---- the penalty ----

    def is_penalty_due(self, clock: Clock) -> bool:
        """Tell whether the discriminator's penalty is computed in this iteration."""
        return self.penalty.weight > 0 and clock.iteration % self.penalty.every == 0

    def get_penalty_weights(self, clock: Clock) -> dict[str, float]:
        """Return the weight of the penalty if it is due; a lazy one counts `every` times as much."""
        return {"penalty": self.penalty.weight * self.penalty.every} if self.is_penalty_due(clock) else {}

    # ---- shared by all steps ----

    def augment_for_discriminator(self, image: Tensor, turn: Turn, name: str) -> Tensor:
        """Apply the configured augmentation. Every image shown to the discriminator passes through here.

        Args:
            image: Images (n, c, h, w) in [-1, 1].
            turn: Gives the random numbers.
            name: Prefix of the names of the draws.

        Returns:
            Images of the same shape.
        """
        return self.augment(image, turn.draw, name, self.augment_p if self.augment.every else None)

    def compute_discriminator_losses(self, turn: Turn, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """Compute the discriminator's terms `real` and `fake` in full precision, and count the signs for ADA.

        Args:
            turn: Everything that terms may read.
            real: Scores of real images, unbounded.
            fake: Scores of fake images, unbounded.

        Returns:
            {"real": 0-d, "fake": 0-d}.
        """
        real, fake = ensure_float32(real), ensure_float32(fake)
        self.add_real_signs(turn, real)
        return dict(zip(("real", "fake"), self.adversarial.discriminator_loss(real, fake)))

    def share_between_steps(
        self, turn: Turn, key: str, make: Callable[[], Any], uses: tuple[str, ...], keep_graph: bool
    ) -> Any:
        """Compute a value once for all steps that read the same batch.

        A generator with batch statistics is not shared: each forward must update its running statistics.

        Args:
            turn: Gives the shared values and the networks.
            key: Name of the value.
            make: Computes it.
            uses: Names of the networks that it runs, the generator first.
            keep_graph: Compute it with a graph.

        Returns:
            The value.
        """
        if has_batch_norm(turn.networks[uses[0]]):
            with torch.set_grad_enabled(keep_graph):
                return make()
        return turn.shared.compute_once(key, make, uses=uses, grad=keep_graph)

    # ---- state ----

    def add_real_signs(self, turn: Turn, score: Tensor) -> None:
        """Add up the signs of the discriminator's scores of real images over all processes, the measure of overfitting.

        An image counts once, even if several updates use it, so that p changes with the number of images.

        Args:
            turn: Gives the processes.
            score: Scores of augmented real images.
        """
        if self.augment.every:
            images = len(score) * turn.world.size / self.updates_per_batch
            self.trust_sum += turn.world.reduce_mean(score.detach().sign().mean()) * images
            self.trust_images += images

    def end_iteration(self, clock: Clock) -> None:
        """Adapt the augmentation when it is due."""
        every = self.augment.every
        if every and clock.iteration % every == every - 1:
            trust = self.trust_sum / self.trust_images.clamp(min=1)
            self.augment_p.copy_(self.augment.adapt_probability(self.augment_p, trust, self.trust_images))
            self.trust_sum.zero_()
            self.trust_images.zero_()

    def collect_figures(self) -> Mapping[str, Tensor]:
        """Return the 0-d figures of the last steps."""
        return self._figures | ({"augment_p": self.augment_p} if self.augment.every else {})


def get_common_style_dim(components: Mapping[str, Any], slots: tuple[str, ...], kind: str) -> int:
    """Return the common size of the latents or styles of several networks.

    Args:
        components: The built components by slot.
        slots: The slots whose networks must agree.
        kind: `latent` or `style`, for the message.

    Returns:
        `style_dim` of all of them.

    Raises:
        ConfigError: They differ; the message names each.
    """
    sizes = {slot: components[slot].style_dim for slot in slots}
    if len(set(sizes.values())) > 1:
        values = ", ".join(f"{slot}.style_dim={size}" for slot, size in sizes.items())
        raise ConfigError(f"{values}: a {kind} has one size; set them to the same number")
    return sizes[slots[0]]
