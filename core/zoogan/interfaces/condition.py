"""The condition role: what the output should show."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, ClassVar

from torch import Tensor

from zoogan.interfaces.draws import Draws

Targets = dict[str, Tensor]
"""The targets of a generator: tensors by name, one row a sample."""


@dataclass(frozen=True)
class Request:
    """What a person asks of an edit, parsed and checked. Everything else stays unchanged.

    Attributes:
        attributes: Value in [0, 1] by attribute name.
        domain: Index of the domain to translate to.
        reference: Faces whose style is taken, (n, c, h, w) in [-1, 1], or one for all. Only editors with
            `takes_reference` use it, and those that make no images take layouts (n, k, h, w).
        restyles: Whether a reference also gives its style to named attributes that a face shows already.
        latents: w+ of the faces to edit, (n, rows, style_dim), for editors that generate faces.
        noise: Noise maps that the faces are generated with; None = the generator's own. For editors that generate
            faces.
        parts: Kinds of latents or codes (`shape`, `texture`) to take from another face, by part.
        from_seed: Seed of that other face.
        donor: That other face instead, one for all or one for each face: w+ for editors that generate faces, images
            (n, c, h, w) in [-1, 1] for editors of photos.
        drive: Faces whose pose and expression the edited faces take, (n, c, h, w) in [-1, 1], for editors with
            `takes_drive`. Those that make no images take layouts (n, k, h, w).
        offset: How much of its offset an edit takes, for editors that compute offsets; 0 = the direction alone.
        refine: Steps of gradient descent that bring an edit nearer to its composite, for editors that compute offsets.
        template: Number of the template that shows the attribute, one for all or (n,) one for each face, for editors
            with templates; None = each face has one of its own.
    """

    attributes: Mapping[str, float] = field(default_factory=dict)
    domain: int | None = None
    reference: Tensor | None = None
    restyles: bool = True
    latents: Tensor | None = None
    noise: Sequence[Tensor] | None = None
    parts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    from_seed: int | None = None
    donor: Tensor | None = None
    drive: Tensor | None = None
    offset: float = 1.0
    refine: int = 0
    template: int | Tensor | None = None


class Condition(ABC):
    """Role `condition`: draws targets for a training batch and parses a person's request. Holds no networks.

    Attributes:
        parses_parts: Whether `parse` takes the words `part`, `only` and `from_seed`; else they are checked against
            `Editor.part_kinds`.
    """

    parses_parts: ClassVar[bool] = False

    @abstractmethod
    def draw_targets(self, sample: Mapping[str, Tensor], draw: Draws) -> Targets:
        """Draw the targets of a batch, each with one row a sample.

        Args:
            sample: Fields of the batch by name.
            draw: Random numbers of this batch.

        Returns:
            Targets by name.
        """

    @abstractmethod
    def parse(self, words: Mapping[str, Any]) -> Request:
        """Parse a person's words, such as `{"Eyeglasses": "1", "Smiling": 0.5}`, into a request.

        Args:
            words: Value by name of an attribute or domain, as typed or as a number.

        Returns:
            The request.

        Raises:
            ValueError: Unknown names (with the nearest known one) and values out of range, all at once.
        """
