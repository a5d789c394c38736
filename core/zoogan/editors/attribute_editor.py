"""The editor of attribute editing: the attributes asked for, the others as they are known or read off the face."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoogan.conditions.attributes import AttributeCondition
from zoogan.interfaces import Classification, Column, Edit, Edited, Editor, Networks, Request, Seed, Targets


class AttributeEditor(Editor):
    """Edits attributes; labels that nobody gave are read off the image by the discriminator, as it was taught to tell them."""

    condition: AttributeCondition
    draws = False

    def __init__(
        self,
        networks: Networks,
        condition: AttributeCondition,
        attributes: tuple[str, ...],
        classification: Classification,
    ) -> None:
        self.classification = classification
        self.networks = networks if isinstance(networks, nn.ModuleDict) else nn.ModuleDict(networks)
        self.condition, self.exclusive = condition, condition.groups
        self.attributes = attributes

    @torch.no_grad()
    def own(self, image: Tensor) -> Tensor:
        """The attributes (n, a) in {0, 1} that the discriminator reads off `image`."""
        anything = image.new_zeros(len(image), len(self.attributes))
        return self.classification.read(self.networks["discriminator"](image, anything).attributes)

    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> Targets:
        """The requested values; every other attribute stays as it is known to be, or as the discriminator sees it.

        Raises:
            ValueError: a reference; this game has no styles.
        """
        if request.reference is not None:
            raise ValueError("this editor takes no style from a reference: leave the reference out")
        if own is None:
            complete = set(request.attributes) == set(self.attributes)
            own = image.new_zeros(len(image), len(self.attributes)) if complete else self.own(image)
        return self.condition.apply_request(own, request)

    @torch.no_grad()
    def apply(
        self,
        image: Tensor,
        targets: Targets,
        *,
        seed: Seed = 0,
        strength: float = 1.0,
        threshold: float | None = None,
        truncation: float | None = None,
    ) -> Edit:
        """The edit; `strength` scales the change, which for masked editors is the same as scaling the mask.

        Raises:
            ValueError: a threshold for an editor without a mask, or a truncation: nothing is drawn here.
        """
        if truncation is not None:
            raise ValueError("this editor draws no styles, so there is nothing to truncate: leave the truncation out")
        edited: Edited = self.networks["generator"](image, targets["attributes"])
        result, mask = edited.image, edited.mask
        if threshold is not None:
            if mask is None or edited.raw is None:
                raise ValueError("this editor has no mask, so it cannot be made hard: leave the threshold out")
            mask = (mask > threshold).to(image.dtype)
            result = edited.raw * mask + image * (1 - mask)
        result = (image + strength * (result - image)).clamp(-1, 1)
        extras = {"residual": (result - image).abs()} | ({} if edited.raw is None else {"raw": edited.raw})
        return Edit(result, None if mask is None else (mask * strength).clamp(0, 1), None, extras)

    def sheet(self, image: Tensor, attributes: Tensor, known: Targets | None = None) -> list[Column]:
        """One attribute: with and without. Several: one column for each of the condition's sweep. Then the masks: one
        column if all edits share it, else one an edit."""
        name = self.attributes[0]
        ways = [(f"{name}={value}", {"attributes": torch.full_like(attributes, value)}) for value in (1, 0)]
        if len(self.attributes) > 1:
            ways = self.condition.sweep(attributes)
        edits = {caption: self.apply(image, targets) for caption, targets in ways}
        columns = [Column(caption, edit.image) for caption, edit in edits.items()]
        masks = {
            caption: (2 * edit.mask - 1).expand_as(image) for caption, edit in edits.items() if edit.mask is not None
        }
        shown = list(masks.values())
        if shown and all(torch.equal(mask, shown[0]) for mask in shown):
            return [*columns, Column("mask", shown[0])]
        return columns + [Column(f"mask {caption}", mask) for caption, mask in masks.items()]
