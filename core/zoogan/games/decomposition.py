"""Latent decomposition: a network learns the offset that repairs the direction of an attribute for each face.

Source: SD-GAN (Zhou et al. 2022), section 3. Its losses are not published; these are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.conditions.decomposition import DecompositionCondition
from zoogan.editors.decomposition import STAGES, Decomposition, compare_with_composite
from zoogan.editors.decomposition_editor import DecompositionEditor
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.games.decomposition_config import DecompositionConfig
from zoogan.games.extensible import ExtensibleGame
from zoogan.interfaces import (
    AdversarialLoss,
    Clock,
    Compositor,
    Draws,
    Editor,
    LatentOffset,
    Need,
    Networks,
    Step,
    Targets,
    Turn,
)  # fmt: skip
from zoogan.layers.precision import ensure_float32


class LatentDecomposition(ExtensibleGame):
    """The game of SD-GAN: one step, `fusion`, trains the network that computes offsets; all else is frozen.

    Faces are generated from noise, on the side of the plane without an attribute that is drawn for each. A template
    laid on each face is the target of the edit, which moves the latents along the attribute's direction and by the
    offset. Of the batch only the number of faces and the device are read.

    Terms of `fusion`: inside, scales, outside, adversarial, attribute, identity, size. Values for its extra terms:
    face, composite, edited, offset (n, rows, style_dim), attribute (n,).

    Figures: `offset`, the mean length of the offset's rows, and `move`, that of the step along the direction.

    Args:
        config: The complete config of the run.
        facts: Facts about the data.
        components: The built component of each slot, by name of the slot; `stages` has at least `STAGES`.

    Raises:
        ConfigError: The stages and networks do not fit together, see `Decomposition`.
    """

    averages: ClassVar[tuple[str, ...]] = ("fusion",)
    condition: DecompositionCondition

    def __init__(self, config: DecompositionConfig, facts: Facts, components: Mapping[str, Any]) -> None:
        super().__init__(components)
        self.config, self.facts, self.condition = config, facts, components["condition"]
        self.adversarial: AdversarialLoss = components["adversarial"]
        stages: Mapping[str, Any] = components["stages"]
        if missing := [name for name in STAGES if name not in stages]:
            raise ConfigError(f"stages: latent decomposition needs {', '.join(missing)} as well")
        compositor: Compositor = components["compositor"]
        self.decomposition = Decomposition(stages, compositor, facts.attributes, config.basis)
        network: LatentOffset = components["fusion"]
        self.decomposition.check_network(network)
        if self.decomposition.classifier is None and (config.weights.attribute or config.weights.identity):
            raise ConfigError(
                "stages.classifier is left out, so nothing reads the edits: set weights.attribute=0 and "
                "weights.identity=0"
            )
        self.needs: Mapping[str, Need] = {"source": Need(("image",))}
        self._figures: dict[str, Tensor] = {}

    def check_training(self) -> None:
        """Check that the backbone has the discriminator that the adversarial term reads.

        Raises:
            ConfigError: It was imported or exported without its discriminator.
        """
        if self.config.weights.adversarial and self.decomposition.discriminator is None:
            raise ConfigError(
                "weights.adversarial: the backbone is stored without its discriminator: set weights.adversarial=0"
            )

    @property
    def steps(self) -> tuple[Step, ...]:
        """The step `fusion`."""
        return (Step("fusion", ("fusion",), self.compute_terms, self.get_weights),)

    def draw_targets(self, batch: Mapping[str, Mapping[str, Tensor]], draw: Draws) -> Targets:
        """Draw no targets here: the step draws faces, attributes and templates."""
        return self.condition.draw_targets(batch["source"], draw)

    # ---- what an edit starts from ----

    @torch.no_grad()
    def draw_faces(self, turn: Turn) -> tuple[Tensor, Tensor]:
        """Draw an attribute and a latent without it for each row of the batch.

        Returns:
            (w+ (n, rows, style_dim), number of the attribute (n,)).
        """
        parts, image = self.decomposition, turn.batch["source"]["image"]
        count, mapping = self.config.candidates, parts.mapping
        attribute = (turn.draw.uniform("attribute", like=image) * len(parts.attributes)).long()
        attribute = attribute.clamp(max=len(parts.attributes) - 1)
        noise = turn.draw.normal("latent", count, mapping.latent_dim, like=image)
        latents = mapping(noise.flatten(0, 1)).unflatten(0, (-1, count))
        if self.config.truncation < 1:
            latents = parts.backbone.mean_latent.to(latents).lerp(latents, self.config.truncation)
        return parts.generator.repeat_latent(parts.choose_latents(latents, attribute)), attribute

    def draw_templates(self, turn: Turn) -> Tensor:
        """Draw the number of a template for each row of the batch."""
        templates = max(1, self.decomposition.compositor.templates)
        drawn = (turn.draw.uniform("template", like=turn.batch["source"]["image"]) * templates).long()
        return drawn.clamp(max=templates - 1)

    # ---- the step ----

    def get_weights(self, clock: Clock) -> dict[str, float]:
        """Return the weights of the terms; without templates there is nothing to compare with inside a mask."""
        weights = self.config.weights.model_dump()
        targets = ("inside", "scales")
        return {
            name: weight
            for name, weight in weights.items()
            if weight and (self.decomposition.has_templates or name not in targets)
        } | self.get_extra_weights("fusion")

    def compute_terms(self, turn: Turn) -> dict[str, Tensor]:
        """Edit generated faces, and compare the edits with the composites."""
        parts, weights = self.decomposition, self.get_weights(turn.clock)
        latents, attribute = self.draw_faces(turn)
        with torch.no_grad():
            face = parts.generate(latents)
            move = parts.compute_move(latents, attribute)
            reading = parts.read_geometry(face)
            composite = parts.compose(face, attribute, self.draw_templates(turn), reading)
        offset = turn.networks["fusion"](face, composite.image, composite.mask, reading.shape)
        edited = ensure_float32(parts.generate(latents + move[:, None] + offset))
        self._figures = {"offset": offset.detach().norm(dim=2).mean(), "move": move.norm(dim=1).mean()}
        terms = {name: each.mean() for name, each in compare_with_composite(edited, face, composite).items()}
        terms["size"] = offset.square().mean()
        if "adversarial" in weights:
            discriminator = parts.discriminator
            assert discriminator is not None
            terms["adversarial"] = self.adversarial.generator_loss(discriminator(edited))
        if "attribute" in weights or "identity" in weights:
            terms |= self.compute_reading_terms(edited, face, attribute)
        values = {
            "face": face, "composite": composite, "edited": edited, "offset": offset, "attribute": attribute,
        }  # fmt: skip
        extra = self.compute_extra_terms("fusion", turn, values)
        return {name: terms[name] for name in weights if name in terms} | extra

    def compute_reading_terms(
        self, edited: Float[Tensor, "n c h w"], face: Float[Tensor, "n c h w"], attribute: Tensor
    ) -> dict[str, Tensor]:
        """Compute the terms that the classifier reads off the edits.

        Returns:
            attribute: how little the edits show the attribute. identity: how far their features are from the faces'.
        """
        classifier = self.decomposition.classifier
        reading = classifier.read_with_gradient(edited)
        with torch.no_grad():
            features = classifier.read_with_gradient(face).features
        columns = torch.stack([reading.logits[:, column] for column in self.decomposition.columns], 1)
        logit = columns.gather(1, attribute[:, None])
        similarity = F.cosine_similarity(reading.features, features)
        return {"attribute": F.softplus(-logit).mean(), "identity": (1 - similarity).mean()}

    def collect_figures(self) -> Mapping[str, Tensor]:
        """Return the lengths of the last offsets and steps."""
        return self._figures

    def make_editor(self, networks: Networks, *, attributes: tuple[str, ...]) -> Editor:
        """Make an editor that generates faces and edits their latents by directions and offsets.

        Attributes other than those of the run are edited along directions that are fitted later.
        """
        return DecompositionEditor(networks, self.condition, self.decomposition)
