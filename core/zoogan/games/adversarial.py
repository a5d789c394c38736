"""What every game of generators against one discriminator has."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.facts import Facts
from zoogan.games.config import AdversarialConfig
from zoogan.interfaces import AdversarialLoss, Clock, DiscriminatorPenalty, Game, Term, Turn
from zoogan.layers.norm import couples_batch
from zoogan.losses.reconstruction import full_precision

STATE = ("augment_p", "trust_sum", "trust_images")


class AdversarialGame(Game):
    """An adversarial loss, a penalty that may be lazy, an augmentation of what the discriminator sees, and extra terms.

    With an augmentation that adapts, its state: `augment_p`, the probability; and since it last moved `trust_sum`, the
    sum of the signs of the discriminator's scores of augmented real images, of which `trust_images` were seen.

    looks: how many of an iteration's updates show the discriminator one and the same batch.
    """

    looks: int = 1
    afresh: ClassVar[tuple[str, ...]] = STATE  # how much the discriminator overfits other faces says nothing of these
    augment_p: Tensor
    trust_sum: Tensor
    trust_images: Tensor

    def __init__(self, config: AdversarialConfig, facts: Facts, components: Mapping[str, Any]) -> None:
        super().__init__()
        self.facts = facts
        self.condition = components["condition"]
        self.adversarial: AdversarialLoss = components["adversarial"]
        self.penalty: DiscriminatorPenalty = components["penalty"]
        self.augment = components["augment"]
        self.extra: Mapping[str, Mapping[str, Term]] = components["extra_terms"]
        self._figures: dict[str, Tensor] = {}
        if self.augment.every:
            for name in STATE:
                self.register_buffer(name, torch.tensor(self.augment.start if name == "augment_p" else 0.0))

    def penalised(self, clock: Clock) -> bool:
        """Whether the discriminator's penalty plays in this iteration."""
        return self.penalty.weight > 0 and clock.iteration % self.penalty.every == 0

    def penalty_weights(self, clock: Clock) -> dict[str, float]:
        """The penalty's weight when it plays: a lazy one weighs `every` times as much."""
        return {"penalty": self.penalty.weight * self.penalty.every} if self.penalised(clock) else {}

    def extra_weights(self, step: str) -> dict[str, float]:
        """Weights of the terms that the config adds to a step."""
        return {name: term.weight for name, term in self.extra.get(step, {}).items()}

    def extra_terms(self, step: str, turn: Turn, values: Mapping[str, Any]) -> dict[str, Tensor]:
        """The terms that the config adds to a step."""
        return {name: term(turn, values) for name, term in self.extra.get(step, {}).items()}

    def seen(self, image: Tensor, turn: Turn, name: str) -> Tensor:
        """Images as the discriminator sees them: its one door."""
        return self.augment(image, turn.draw, name, self.augment_p if self.augment.every else None)

    def costs(self, turn: Turn, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's terms `real` and `fake` of its scores, in full precision; how sure it was is counted."""
        real, fake = full_precision(real), full_precision(fake)
        self.trust(turn, real)
        return dict(zip(("real", "fake"), self.adversarial.discriminator(real, fake)))

    def made_once(self, turn: Turn, key: str, make: Callable[[], Any], uses: tuple[str, ...], keep_graph: bool) -> Any:
        """What `make` makes, shared between the steps of one batch. uses: the networks it runs, the generator first.

        A generator with batch statistics is not shared: each forward must move its running statistics.
        """
        if couples_batch(turn.networks[uses[0]]):
            with torch.set_grad_enabled(keep_graph):
                return make()
        return turn.shared.once(key, make, uses=uses, grad=keep_graph)

    def trust(self, turn: Turn, score: Tensor) -> None:
        """Count how sure the discriminator is of real images: the sign of its scores, over all processes.

        An image counts once, however often the discriminator sees it: p moves as fast as images go by.
        """
        if self.augment.every:
            images = len(score) * turn.world.size / self.looks
            self.trust_sum += turn.world.mean(score.detach().sign().mean()) * images
            self.trust_images += images

    def after(self, clock: Clock) -> None:
        """Let the augmentation adapt when it is due."""
        every = self.augment.every
        if every and clock.iteration % every == every - 1:
            trust = self.trust_sum / self.trust_images.clamp(min=1)
            self.augment_p.copy_(self.augment.adapted(self.augment_p, trust, self.trust_images))
            self.trust_sum.zero_()
            self.trust_images.zero_()

    def observe(self) -> Mapping[str, Tensor]:
        """0-d figures of the last steps."""
        return self._figures | ({"augment_p": self.augment_p} if self.augment.every else {})


def one_size(components: Mapping[str, Any], slots: tuple[str, ...], what: str) -> int:
    """The numbers in a latent or a style, on which several networks agree.

    Raises:
        ConfigError: they do not; names each.
    """
    sizes = {slot: components[slot].style_dim for slot in slots}
    if len(set(sizes.values())) > 1:
        said = ", ".join(f"{slot}.style_dim={size}" for slot, size in sizes.items())
        raise ConfigError(f"{said}: a {what} has one size; set them to the same number")
    return sizes[slots[0]]
