"""The editor of the joint variant: edits photos through its encoder, and generates faces."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import cast

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.conditions import AttributeCondition
from zoogan.editors import AttributeEditor, SynthesisEditor
from zoogan.interfaces import (
    AttributeOffset,
    Call,
    Classification,
    Column,
    Edit,
    Graph,
    Networks,
    Pipelines,
    Seed,
    Targets,
    derive_seed,
    make_calls,
    make_example_request,
)
from zoogan.plugins import Facts
from zoogan_sd_gan.joint_networks import JointDiscriminator

DRAWN_COLUMNS = 2


class JointEditor(AttributeEditor):
    """Edits photos by attribute: G(w + y B + F(x, y)) with w = E(x). Also generates faces, G(mapping(z) + y B).

    It edits photos directly, so it is no `SynthesisEditor`: there is no search for latents, and no direction is fitted.

    Args:
        networks: The networks by slot.
        condition: Parses requests and applies them to labels.
        attributes: The names of the label columns.
        classification: Converts the discriminator's logits to labels.
        faces: Generates faces from seeds.
        shares: Share of the faces that show each attribute (a,), by which labels of generated faces are drawn.
    """

    also_samples = True

    def __init__(
        self,
        networks: Networks,
        condition: AttributeCondition,
        attributes: tuple[str, ...],
        classification: Classification,
        faces: SynthesisEditor,
        shares: Float[Tensor, " a"],
    ) -> None:
        super().__init__(networks, condition, attributes, classification)
        self.faces, self.shares = faces, shares

    @property
    def offset(self) -> AttributeOffset:
        """The network that computes offsets and holds the basis."""
        return cast(AttributeOffset, self.networks["offset"])

    @torch.no_grad()
    def predict_labels(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n a"]:
        """Predict the attributes, 0 or 1, with the discriminator."""
        discriminator = cast(JointDiscriminator, self.networks["discriminator"])
        return self.classification.predict_labels(discriminator.read_attributes(image))

    # ---- edits of photos ----

    @torch.no_grad()
    def compute_latents(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"]
    ) -> Float[Tensor, "n rows s"]:
        """Compute the latents of photos with labels: E(x) + y B + F(x, y)."""
        encoded: Tensor = self.networks["encoder"](image)
        return encoded + self.offset.compute_step(attributes)[:, None] + self.offset(image, attributes)

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
        """Edit photos; the face is generated anew, also where nothing should change.

        Args:
            image: Photos in [-1, 1].
            targets: `attributes`, what the faces should show (n, a).
            seed: Unused: nothing is drawn.
            strength: Blends the pixels of the edit with the photo's; 0 returns the photo.
            threshold: Must be None: there is no mask.
            truncation: Must be None: nothing is drawn.

        Raises:
            ValueError: A threshold or a truncation.
        """
        if threshold is not None:
            raise ValueError("this editor has no mask, so it cannot be made hard: leave the threshold out")
        if truncation is not None:
            raise ValueError("this editor draws no styles, so there is nothing to truncate: leave the truncation out")
        edited = self.faces.synthesise(self.compute_latents(image, targets["attributes"])).image
        result = (image + strength * (edited - image)).clamp(-1, 1)
        return Edit(result, extras={"residual": (result - image).abs()})

    # ---- faces from seeds ----

    def draw_labels(self, seeds: Sequence[int]) -> Float[Tensor, "n a"]:
        """Draw the labels of generated faces, each attribute by its share; of rivals that are drawn, the first stays.

        Args:
            seeds: One seed a face.
        """
        drawn = [
            torch.rand(len(self.attributes), generator=torch.Generator().manual_seed(derive_seed("attributes", seed)))
            for seed in seeds
        ]
        labels = (torch.stack(drawn).to(self.shares) < self.shares).to(self.shares.dtype)
        rivals = self.condition.get_rivals(labels.device)
        for k in range(len(self.attributes)):
            labels = labels * (1 - labels[:, k : k + 1] * rivals[k])
        return labels

    @torch.no_grad()
    def sample(
        self,
        seeds: Sequence[int],
        *,
        truncation: float | None = None,
        cutoff: int | None = None,
        layout: Float[Tensor, "#n k h w"] | None = None,
    ) -> Edit:
        """Generate a face for each seed, with labels that the seed draws as often as the training faces have them.

        Args:
            seeds: One seed a face; it decides latent, labels and noise.
            truncation: How far from the mean latent, before the labels' steps, 0 to 1; None = 1.
            cutoff: How many rows are truncated, the coarse ones first; None = all.
            layout: Must be None: these faces are made from their latents alone.

        Returns:
            The faces; `extras` has their `latents` and `attributes`.

        Raises:
            ValueError: A layout, or an option out of range.
        """
        if layout is not None:
            raise ValueError("this editor makes faces from latents and paints no layouts")
        latents = self.faces.draw_latents(seeds, truncation=truncation, cutoff=cutoff)
        labels = self.draw_labels(seeds).to(latents)
        face = self.faces.synthesise(latents + self.offset.compute_step(labels)[:, None], self.faces.draw_noise(seeds))
        return Edit(face.image, extras={"latents": face.extras["latents"], "attributes": labels})

    # ---- graphs ----

    def make_graphs(self, facts: Facts) -> Pipelines:
        """Make the graphs of edits, and `mapping`, `step` and `synthesis` of faces with requested attributes."""
        edits, faces = super().make_graphs(facts), self.faces.make_graphs(facts)
        mapping, synthesis = faces.graphs[:2]
        inputs = {"latents": synthesis.inputs["latents"], "requested": make_example_request(len(self.attributes))}
        step = Graph("step", self._add_step, inputs, ("moved",))
        graphs = (*edits.graphs, mapping, step, replace(synthesis, name="synthesis"))
        sample = make_calls("mapping", "step", Call("synthesis", {"latents": "moved"}))
        return Pipelines(graphs, {**edits.tasks, "sample": sample}, faces.fixed_noise)

    def _add_step(self, latents: Tensor, requested: Tensor) -> Tensor:
        return latents + self.offset.compute_step(requested.nan_to_num())[:, None]

    def make_columns(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], masks: Targets | None = None
    ) -> list[Column]:
        """Make the columns of a sample grid: photos with their own labels, edits, faces from seeds."""
        n, own = len(image), self.apply(image, {"attributes": attributes})
        drawn = [
            Column(f"drawn {k}", self.sample(range(k * n, (k + 1) * n)).image.to(image)) for k in range(DRAWN_COLUMNS)
        ]
        return [Column("reconstructed", own.image), *super().make_columns(image, attributes, masks), *drawn]
