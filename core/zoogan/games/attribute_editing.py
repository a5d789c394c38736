"""Attribute editing: one generator edits, one discriminator judges realism and reads attributes.

The methods differ in components and numbers: the networks, the cadence of the steps and the weights of the
reconstructions.

Source: StarGAN (Choi et al. 2018), section 3; SaGAN (Zhang et al. 2018), section 3.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.conditions.attributes import AttributeCondition
from zoogan.conditions.config import AttributesConfig
from zoogan.config import get_component_name
from zoogan.editors.attribute_editor import AttributeEditor
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.games.adversarial import AdversarialGame
from zoogan.games.config import AttributeEditingConfig
from zoogan.interfaces import (
    Classification,
    Clock,
    DiscriminatorOutput,
    Draws,
    EditedImage,
    Editor,
    Need,
    Networks,
    Step,
    Targets,
    Turn,
    World,
)
from zoogan.layers.norm import has_batch_norm
from zoogan.layers.precision import ensure_float32
from zoogan.losses.reconstruction import l1_loss

STUCK_MASK_IMAGES = 5000  # a mask that is closed or open for so many images rarely recovers
FAINT_EDIT_ITERATIONS = 5000  # StarGAN's edits are faint in the first iterations


class AttributeEditing(AdversarialGame):
    """The game of StarGAN and SaGAN, with the steps `discriminator` and `generator`.

    Terms of `discriminator`: real, fake, attribute (on real images only), penalty. Values for extra terms: image, own,
    target, edited (without a graph), real_verdict, fake_verdict.

    Terms of `generator`: adversarial, attribute, cycle, identity. Values for extra terms: image, own, target, edited,
    cycled, identity (each an `EditedImage`, the last two None when their weight is 0), verdict.

    Figures: `change`, mean |edited - image|; with a mask `mask`, its mean, and `mask_open` and `mask_shut`, its shares
    above 0.9 and below 0.1; `raw_change`, mean |raw - image|.

    Args:
        config: The complete config of the run.
        facts: Facts about the data.
        components: The built component of each slot, by name of the slot.

    Raises:
        ConfigError: There is no attribute to edit, or only one where a softmax needs several.

    Source: StarGAN (Choi et al. 2018), section 3; SaGAN (Zhang et al. 2018), section 3.
    """

    needs: Mapping[str, Need] = {"source": Need(("image", "attributes"))}
    condition: AttributeCondition

    def __init__(self, config: AttributeEditingConfig, facts: Facts, components: Mapping[str, Any]) -> None:
        if not facts.attributes:
            raise ConfigError(
                f"data.attributes: {config.method} edits attributes, and none are named (got an empty list): name one "
                "or more, such as data.attributes=Eyeglasses"
            )
        super().__init__(config, facts, components)
        self.config = config
        self.classification: Classification = components["classification"]
        self._mask_state: tuple[str | None, int] = (None, 0)  # state at the last reading, and since which image
        if self.classification.exclusive:
            if len(facts.attributes) == 1:
                use = get_component_name(config.classification)
                raise ConfigError(
                    f"data.attributes: classification.use={use} needs several attributes, of which a face shows one "
                    f"(got {facts.attributes[0]} alone): name two or more, or set classification.use=binary"
                )
            self.condition.require_exactly_one()
        self.updates_per_batch = 1 if config.cadence.fresh_batch else config.cadence.discriminator_repeat

    @property
    def steps(self) -> tuple[Step, ...]:
        """The discriminator first, then the generator in the last of `generator_every` iterations."""
        cadence = self.config.cadence
        return (
            Step(
                "discriminator", ("discriminator",),
                self.compute_discriminator_terms, self.get_discriminator_weights,
                repeat=cadence.discriminator_repeat, fresh_batch=cadence.fresh_batch, keeps_graph_of=("generator",),
            ),
            Step(
                "generator", ("generator",),
                self.compute_generator_terms, self.get_generator_weights,
                every=cadence.generator_every, at=cadence.generator_every - 1, fresh_batch=cadence.fresh_batch,
            ),
        )  # fmt: skip

    def draw_targets(self, batch: Mapping[str, Mapping[str, Tensor]], draw: Draws) -> Targets:
        """Draw the attributes that each edited face should show."""
        return self.condition.draw_targets(batch["source"], draw)

    # ---- the discriminator's step ----

    def get_discriminator_weights(self, clock: Clock) -> dict[str, float]:
        """Return the weights of real, fake, the real attributes, the penalty and the extra terms."""
        weights = {"real": 1.0, "fake": 1.0}
        if self.config.weights.attribute_real > 0:
            weights["attribute"] = self.config.weights.attribute_real
        return weights | self.get_penalty_weights(clock) | self.get_extra_weights("discriminator")

    def compute_discriminator_terms(self, turn: Turn) -> dict[str, Tensor]:
        """Train the discriminator to tell real from edited images, and to read attributes off real ones."""
        image, own, target = self.unpack_batch(turn)
        _, edited = self.edit_batch(turn, keep_graph="generator" in turn.later_steps)
        fake = edited.image.detach()
        discriminator = turn.networks["discriminator"]
        # The penalty is computed on images without augmentation. It comes first, so that its backward comes last. The
        # first gradient of a weight sets the layout of the sum, and the penalty's gradients have a transposed layout,
        # which would cost a copy.
        penalty = None
        if self.is_penalty_due(turn.clock):
            eager = turn.make_eager(discriminator)
            penalty = self.penalty(lambda x: eager(x, own).score, image, fake, turn.draw)
        augmented_real = self.augment_for_discriminator(image, turn, "real")
        augmented_fake = self.augment_for_discriminator(fake, turn, "fake")
        on_real, on_fake = self.judge_both(discriminator, augmented_real, own, augmented_fake, target)
        terms = self.compute_discriminator_losses(turn, on_real.score, on_fake.score)
        if self.config.weights.attribute_real > 0:
            terms["attribute"] = self.classification(on_real.attributes, own)
        if penalty is not None:
            terms["penalty"] = penalty
        values = {"image": image, "own": own, "target": target, "edited": edited}
        values |= {"real_verdict": on_real, "fake_verdict": on_fake}
        return terms | self.compute_extra_terms("discriminator", turn, values)

    def judge_both(
        self, discriminator: nn.Module, real: Tensor, own: Tensor, fake: Tensor, target: Tensor
    ) -> tuple[DiscriminatorOutput, DiscriminatorOutput]:
        """Run the discriminator on real and fake images: in one pass, unless a BatchNorm would mix the two.

        Args:
            discriminator: The network.
            real: Real images (n, c, h, w).
            own: Their attributes (n, a).
            fake: Edited images (n, c, h, w).
            target: Their targets (n, a).

        Returns:
            The verdicts on the real and on the fake images, in full precision.
        """
        if has_batch_norm(discriminator):
            return to_float32_verdict(discriminator(real, own)), to_float32_verdict(discriminator(fake, target))
        both = to_float32_verdict(discriminator(torch.cat([real, fake]), torch.cat([own, target])))
        n = len(real)
        return DiscriminatorOutput(both.score[:n], both.attributes[:n]), DiscriminatorOutput(
            both.score[n:], both.attributes[n:]
        )

    # ---- the generator's step ----

    def get_generator_weights(self, clock: Clock) -> dict[str, float]:
        """Return the weights of the terms; a reconstruction whose weight is 0 is left out."""
        progress = min(1.0, clock.iteration / max(1, clock.iterations - 1))
        weights = {"adversarial": 1.0} | self.config.weights.compute_at(progress)
        return weights | self.get_extra_weights("generator")

    def compute_generator_terms(self, turn: Turn) -> dict[str, Tensor]:
        """Train the generator to fool the discriminator, to show the targets, and to keep everything else."""
        image, own, target = self.unpack_batch(turn)
        generator: Any = turn.networks["generator"]
        enabled = self.config.weights.compute_at(0.0)
        encoded, edited = self.edit_batch(turn, keep_graph=True)
        augmented = self.augment_for_discriminator(edited.image, turn, "edited")
        verdict = to_float32_verdict(turn.networks["discriminator"](augmented, target))
        terms = {"adversarial": self.adversarial.generator_loss(verdict.score)}
        if "attribute" in enabled:
            terms["attribute"] = self.classification(verdict.attributes, target)
        cycled = identity = None
        if "cycle" in enabled:
            cycled = generator(edited.image, own)
            terms["cycle"] = self.cycle_loss(cycled.image, image, own, target)
        if "identity" in enabled:
            identity = generator(image, own, encoded)
            terms["identity"] = l1_loss(identity.image, image)
        self._figures = compute_edit_figures(image, edited)
        values = {"image": image, "own": own, "target": target, "edited": edited}
        values |= {"cycled": cycled, "identity": identity, "verdict": verdict}
        return terms | self.compute_extra_terms("generator", turn, values)

    def cycle_loss(self, cycled: Tensor, image: Tensor, own: Tensor, target: Tensor) -> Tensor:
        """Compute the L1 distance between the cycled and the input images.

        Args:
            cycled: Edited images, edited back (n, c, h, w).
            image: Input images (n, c, h, w).
            own: Attributes of the input images (n, a).
            target: Attributes of the edited images (n, a). Faces that lost an attribute count `weights.cycle_lost`
                times.

        Returns:
            A 0-d tensor, at least 0.
        """
        lost_weight = self.config.weights.cycle_lost
        if lost_weight == 1:
            return l1_loss(cycled, image)
        distances = (ensure_float32(cycled) - ensure_float32(image)).abs().flatten(1).mean(1)
        return (distances * torch.where((target < own).any(1), lost_weight, 1.0)).mean()

    # ---- shared by both steps ----

    def unpack_batch(self, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """Return the images (n, c, h, w), their own attributes (n, a) and the targets (n, a)."""
        source = turn.batch["source"]
        return source["image"], source["attributes"], turn.targets["attributes"]

    def edit_batch(self, turn: Turn, keep_graph: bool) -> tuple[Any, EditedImage]:
        """Edit the batch towards its targets, once for all steps that read it.

        Args:
            turn: Everything that terms may read.
            keep_graph: Keep the graph to the generator.

        Returns:
            (the encoded images, the edits).
        """
        generator: Any = turn.networks["generator"]
        image, _, target = self.unpack_batch(turn)

        def edit() -> tuple[Any, EditedImage]:
            encoded = generator.encode(image)
            return encoded, generator(image, target, encoded)

        return self.share_between_steps(turn, "edit", edit, ("generator",), keep_graph)

    # ---- messages to the user ----

    def list_warnings(self) -> Sequence[str]:
        """Warn if batches of one face make permuted labels equal to the face's own."""
        condition, config = self.config.condition, self.config
        faces = config.data.batch * config.training.accumulate * World().size
        if faces > 1 or not isinstance(condition, AttributesConfig) or condition.draw != "permute":
            return ()
        return (
            "condition.draw=permute takes the target labels from another face of the batch, and data.batch=1 has only "
            "one face, so no edit changes anything. Set condition.draw=flip, or a larger data.batch",
        )

    def suggest_remedy(self, figures: Mapping[str, float], images: int, iteration: int) -> str | None:
        """Suggest a remedy for masks that stay closed or open, and for edits that change nothing.

        A masked edit changes little by design, so only its mask is checked.

        Args:
            figures: Terms and figures that were just read.
            images: Training images so far.
            iteration: Iterations so far.

        Returns:
            A warning, or None.
        """
        if "mask" in figures:
            return self.check_mask(figures["mask"], images)
        if iteration >= FAINT_EDIT_ITERATIONS and figures.get("change", 1.0) < 0.01:
            return (
                "edits change almost nothing (mean |edit - input| < 0.01): check the labels, and that both values occur"
            )
        return None

    def check_mask(self, mask: float, images: int) -> str | None:
        """Suggest a remedy if the mask was closed, or open, at every reading of the last images.

        Args:
            mask: Mean of the mask, in [0, 1].
            images: Training images so far.

        Returns:
            A warning, or None.
        """
        state = "shut" if mask < 0.01 else "open" if mask > 0.95 else None
        if state != self._mask_state[0]:
            self._mask_state = (state, images)
        if state is None or images - self._mask_state[1] < STUCK_MASK_IMAGES:
            return None
        if state == "shut":
            return "the mask stays shut (mean < 0.01), so nothing is edited: lower weights.identity first"
        return "the mask stays open everywhere (mean > 0.95): raise weights.identity, or add the term mask_area"

    def make_editor(self, networks: Networks, *, attributes: tuple[str, ...]) -> Editor:
        """Make an editor of these attributes."""
        return AttributeEditor(networks, self.condition, attributes, self.classification)


def to_float32_verdict(verdict: DiscriminatorOutput) -> DiscriminatorOutput:
    """Cast a verdict to float32 or wider.

    Args:
        verdict: Scores and logits.

    Returns:
        The same in full precision.
    """
    return DiscriminatorOutput(ensure_float32(verdict.score), ensure_float32(verdict.attributes))


@torch.no_grad()
def compute_edit_figures(image: Tensor, edited: EditedImage) -> dict[str, Tensor]:
    """Compute the figures of an edit; see `AttributeEditing`.

    Args:
        image: Input images (n, c, h, w).
        edited: The edits.

    Returns:
        0-d figures by name.
    """
    figures = {"change": (edited.image - image).abs().mean()}
    if edited.mask is not None:
        mask = edited.mask.float()
        figures |= {
            "mask": mask.mean(),
            "mask_open": (mask > 0.9).float().mean(),
            "mask_shut": (mask < 0.1).float().mean(),
        }
    if edited.raw is not None:
        figures["raw_change"] = (edited.raw - image).abs().mean()
    return figures
