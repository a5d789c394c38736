"""The condition role: what the output is asked to be."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor

from zoogan.interfaces.draws import Draws

Targets = dict[str, Tensor]


@dataclass(frozen=True)
class Request:
    """A person's wish, parsed and checked: which attributes to set to which value in [0, 1]. The rest stays.

    domain: the index of the domain to go to. reference: faces (n, c, h, w) in [-1, 1], or one for all, whose style to
    take; only editors that take references know what to do with them. latents: w+ (n, rows, style_dim) of the faces to
    edit, and noise: the maps of noise that they are shown with, None = the generator's own; for editors that make
    faces. parts: which kinds of latents (`shape`, `texture`) of which parts to take from another face, that of
    from_seed or, as w+ of one face for all or of one for each, donor.
    """

    attributes: Mapping[str, float] = field(default_factory=dict)
    domain: int | None = None
    reference: Tensor | None = None
    latents: Tensor | None = None
    noise: Sequence[Tensor] | None = None
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    from_seed: int | None = None
    donor: Tensor | None = None


class Condition(ABC):
    """Role `condition`. Draws targets for a training batch and parses a person's words. No networks in it."""

    @abstractmethod
    def targets(self, sample: Mapping[str, Tensor], draw: Draws) -> Targets:
        """Targets for a batch, each with one row a sample."""

    @abstractmethod
    def parse(self, words: Mapping[str, Any]) -> Request:
        """A person's words (`{"Eyeglasses": "1", "Smiling": 0.5}`) as a request.

        Raises:
            ValueError: every unknown name (with the nearest known one) and every value out of range, at once.
        """
