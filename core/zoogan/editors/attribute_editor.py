"""The editor of attribute editing: sets the requested attributes and keeps the others."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.conditions.attributes import AttributeCondition
from zoogan.facts import Facts
from zoogan.interfaces import (
    Classification,
    Column,
    Edit,
    EditedImage,
    Editor,
    Graph,
    Networks,
    Pipelines,
    Request,
    Seed,
    Targets,
    make_calls,
    make_example_faces,
    make_example_labels,
    make_example_request,
)


def explain_unread_labels(attributes: Sequence[str]) -> str:
    """Explain that a run cannot read the attributes of a face, and what to do."""
    return (
        "this run has no trained discriminator, so it cannot read the attributes of a face: give all of them with "
        f"--own, such as --own {','.join(f'{name}=0' for name in attributes)}"
    )


class AttributeEditor(Editor):
    """Edits attributes; labels that are not given are predicted with the discriminator.

    Args:
        networks: The networks by slot.
        condition: Parses requests and applies them to labels.
        attributes: The names of the label columns.
        classification: Converts the discriminator's scores to labels.
    """

    condition: AttributeCondition
    grades_attributes = True
    is_random = False
    optional_networks = ("discriminator",)

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

    @property
    def reads_labels(self) -> bool:
        """Whether the discriminator can read attributes."""
        return "discriminator" in self.networks and "discriminator" not in self.untrained

    @property
    def makes_masks(self) -> bool:
        """Whether the generator edits inside a mask."""
        return bool(getattr(self.networks["generator"], "makes_masks", False))

    @torch.no_grad()
    def predict_labels(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n a"]:
        """Predict the attributes, 0 or 1, with the discriminator.

        Raises:
            ValueError: The run lacks a trained discriminator.
        """
        if not self.reads_labels:
            raise ValueError(explain_unread_labels(self.attributes))
        no_labels = image.new_zeros(image.shape[0], len(self.attributes))
        return self.classification.predict_labels(self.networks["discriminator"](image, no_labels).attributes)

    def resolve(
        self, request: Request, image: Float[Tensor, "n c h w"], own: Float[Tensor, "n a"] | None = None
    ) -> Targets:
        """Set the requested values; every other attribute keeps its known or predicted value.

        Raises:
            ValueError: A reference; this game has no styles.
        """
        if request.reference is not None:
            raise ValueError("this editor takes no style from a reference: leave the reference out")
        if own is None:
            is_complete = set(request.attributes) == set(self.attributes)
            own = image.new_zeros(len(image), len(self.attributes)) if is_complete else self.predict_labels(image)
        return self.condition.apply_request(own, request)

    @torch.no_grad()
    def apply(
        self,
        image: Float[Tensor, "n c h w"],
        targets: Targets,
        *,
        seed: Seed = 0,
        strength: float = 1.0,
        threshold: float | None = None,
        truncation: float | None = None,
    ) -> Edit:
        """Edit images; `strength` scales the change, which for masked editors is the same as scaling the mask.

        Raises:
            ValueError: A threshold for an editor without a mask, or a truncation: nothing is drawn here.
        """
        if truncation is not None:
            raise ValueError("this editor draws no styles, so there is nothing to truncate: leave the truncation out")
        edited: EditedImage = self.networks["generator"](image, targets["attributes"])
        result, mask = edited.image, edited.mask
        if threshold is not None:
            if mask is None or edited.raw is None:
                raise ValueError("this editor has no mask, so it cannot be made hard: leave the threshold out")
            mask = (mask > threshold).to(image.dtype)
            result = edited.raw * mask + image * (1 - mask)
        result = (image + strength * (result - image)).clamp(-1, 1)
        extras = {"residual": (result - image).abs()} | ({} if edited.raw is None else {"raw": edited.raw})
        return Edit(result, None if mask is None else (mask * strength).clamp(0, 1), None, extras)

    def make_columns(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], masks: Targets | None = None
    ) -> list[Column]:
        """Make the columns of a sample grid.

        One attribute: with and without it. Several: the condition's single edits. Then the masks: one column if all
        edits share the mask, else one an edit.
        """
        name = self.attributes[0]
        variants = [(f"{name}={value}", {"attributes": torch.full_like(attributes, value)}) for value in (1, 0)]
        if len(self.attributes) > 1:
            variants = self.condition.list_single_edits(attributes)
        edits = {caption: self.apply(image, targets) for caption, targets in variants}
        columns = [Column(caption, edit.image) for caption, edit in edits.items()]
        masks = {
            caption: (2 * edit.mask - 1).expand_as(image) for caption, edit in edits.items() if edit.mask is not None
        }
        first = next(iter(masks.values()), None)
        if first is not None and all(torch.equal(mask, first) for mask in masks.values()):
            return [*columns, Column("mask", first)]
        return columns + [Column(f"mask {caption}", mask) for caption, mask in masks.items()]

    # ---- graphs ----

    def make_graphs(self, facts: Facts) -> Pipelines:
        """Make the graphs `labels`, `target` and `generator`; without `labels` where the run cannot read attributes."""
        image, labels = make_example_faces(facts), make_example_labels(len(self.attributes))
        request = make_example_request(len(self.attributes))

        def edit(image: Tensor, attributes: Tensor) -> tuple[Tensor, ...]:
            result = self.apply(image, {"attributes": attributes})
            return (result.image,) if result.mask is None else (result.image, result.mask)

        graphs = [
            Graph("target", self.condition.apply_values, {"own": labels, "requested": request}, ("attributes",)),
            Graph("generator", edit, {"image": image, "attributes": labels}, ("edited", *["mask"][: self.makes_masks])),
        ]
        if self.reads_labels:
            graphs.insert(0, Graph("labels", self.predict_labels, {"image": image}, ("own",)))
        return Pipelines(tuple(graphs), {"edit": make_calls(*(graph.name for graph in graphs))})
