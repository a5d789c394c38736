"""The game of the joint variant: faces from noise and edits of photos by one generator, trained together.

Source: the design of SD-GAN (Zhou et al. 2022) trained in one stage; joint.md has what differs, and why.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any, ClassVar, cast

import torch
from torch import Tensor
from torch.nn import functional as F

from zoogan import ConfigError
from zoogan.conditions import AttributeCondition, AttributesConfig, LatentCondition
from zoogan.config import get_component_name
from zoogan.editors import SynthesisEditor
from zoogan.games import Synthesis
from zoogan.interfaces import (
    AttributeOffset,
    Classification,
    Clock,
    Editor,
    Latents,
    Need,
    Networks,
    Step,
    SynthesisedFace,
    Turn,
    World,
)
from zoogan.layers import ensure_float32
from zoogan.losses import l1_loss
from zoogan.plugins import Facts
from zoogan_sd_gan.joint_config import JointConfig
from zoogan_sd_gan.joint_editor import JointEditor
from zoogan_sd_gan.joint_networks import JointDiscriminator, JointVerdict

SHARES_DECAY = 0.998  # of the running share of each attribute


class JointDecomposition(Synthesis):
    """Synthesis whose latents move by a step for each attribute, with an encoder and an offset network for photos.

    Faces from noise: G(mapping(z) + y B), with the labels y of another face. Edits, of half the batch: G(w + y B +
    F(x, y)), w = E(x). Reconstructions, of the same half: the same with the face's own labels.

    Steps: those of `Synthesis`; `generator` also trains encoder and offset network.

    Terms of `discriminator`: real, fake, fake_edited, attribute. Of `generator`: adversarial, attribute,
    adversarial_edited, attribute_edited, identity, reconstruction. Values for extra terms: image, synthesised, edited,
    real_score and fake_score for the discriminator; image, synthesised, edited, reconstructed, latents and score for
    the generator, where image is the half of the batch that is edited.

    Figures: those of `Synthesis`; `offset_length` and `basis_length`, the mean lengths of a row of the last offsets and
    of a step.

    Args:
        config: The complete config of the run.
        facts: Facts about the data.
        components: The built component of each slot, by name of the slot.

    Attributes:
        attribute_shares: Running share of the faces that show each attribute (a,), by which samples draw labels.

    Raises:
        ConfigError: There are no attributes, or components do not fit each other; all problems at once.
    """

    averages: ClassVar[tuple[str, ...]] = ("generator", "mapping", "encoder", "offset")
    reset_buffers: ClassVar[tuple[str, ...]] = (*Synthesis.reset_buffers, "attribute_shares")
    config: JointConfig
    attribute_shares: Tensor

    def __init__(self, config: JointConfig, facts: Facts, components: Mapping[str, Any]) -> None:
        if problems := list_problems(config, facts, components):
            raise ConfigError("\n".join(problems))
        super().__init__(config, facts, components)
        self.needs = {"source": Need(("image", "attributes"))}
        self.classification: Classification = components["classification"]
        self.register_buffer("attribute_shares", torch.full((len(facts.attributes),), 0.5))

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps of `Synthesis`; `generator` trains everything but the discriminator."""
        return tuple(
            replace(step, trains=("generator", "mapping", "encoder", "offset")) if step.name == "generator" else step
            for step in super().steps
        )

    # ---- faces ----

    def sample_latents(self, turn: Turn, mapping: Any, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Map drawn noise to latents, and move them by the steps of the target labels; there is no offset.

        Args:
            turn: Everything that terms may read.
            mapping: The mapping network, or a callable that runs it.
            rows: Rows of the batch.

        Returns:
            (w (n, style_dim) before the steps, w+ (n, rows, style_dim)).
        """
        latent, latents = super().sample_latents(turn, mapping, rows)
        offset = cast(AttributeOffset, turn.networks["offset"])
        return latent, latents + offset.compute_step(turn.targets["attributes"][rows])[:, None]

    def edit(self, turn: Turn, encoded: Latents, labels: Tensor) -> SynthesisedFace:
        """Generate the photos of the edited half with labels.

        Args:
            turn: Everything that terms may read.
            encoded: What the encoder read off them (n, rows, style_dim).
            labels: What the faces should show (n, a).
        """
        rows, network = get_edited_rows(turn), cast(AttributeOffset, turn.networks["offset"])
        offset, step = network(turn.batch["source"]["image"][rows], labels), network.compute_step(labels)
        self._figures["offset_length"] = ensure_float32(offset.detach()).norm(dim=2).mean()
        self._figures["basis_length"] = ensure_float32(network.basis.detach()).norm(dim=1).mean()
        return self.generate(turn, encoded + step[:, None] + offset, rows)

    def judge(self, turn: Turn, image: Tensor, name: str, rows: slice = slice(None)) -> JointVerdict:
        """Augment images, score them and read their attributes; all in full precision.

        Args:
            turn: Everything that terms may read.
            image: Images (n, c, h, w).
            name: Prefix of the names of the augmentation's draws.
            rows: Rows of the batch that they belong to.
        """
        discriminator = cast(JointDiscriminator, turn.networks["discriminator"])
        selected = replace(turn, draw=turn.draw.select_rows(rows))
        verdict = discriminator.judge(self.augment_for_discriminator(image, selected, name))
        return JointVerdict(*(ensure_float32(x) for x in verdict))

    # ---- the discriminator's step ----

    def get_discriminator_weights(self, clock: Clock) -> dict[str, float]:
        """Return the weights of the terms of `Synthesis`, of edits and of the attributes of real faces."""
        weights = self.config.weights
        edited = {"fake_edited": weights.edited} if weights.edited > 0 else {}
        return super().get_discriminator_weights(clock) | edited | {"attribute": weights.attribute_real}

    def compute_discriminator_terms(self, turn: Turn) -> dict[str, Tensor]:
        """Train the discriminator to tell real faces from both kinds of generated ones, and to read attributes.

        It reads attributes off real faces only: trained on generated ones, it would learn to read what they should
        show instead of what they show.
        """
        rows, source = get_edited_rows(turn), turn.batch["source"]
        synthesised = self.generate_fakes(turn)
        real, fake = self.judge(turn, source["image"], "real"), self.judge(turn, synthesised.image, "fake")
        terms = self.compute_discriminator_losses(turn, real.score, fake.score)
        edited = None
        if self.config.weights.edited > 0:
            with torch.no_grad():
                encoded = turn.networks["encoder"](source["image"][rows])
                edited = self.edit(turn, encoded, turn.targets["attributes"][rows])
            score = self.judge(turn, edited.image, "fake_edited", rows).score
            terms["fake_edited"] = self.adversarial.discriminator_loss(real.score[rows], score)[1]
        terms["attribute"] = self.classification(real.attributes, source["attributes"])
        self.record_signs(real.score, fake.score)
        self.record_shares(turn)
        values = {
            "image": source["image"], "synthesised": synthesised, "edited": edited,
            "real_score": real.score, "fake_score": fake.score,
        }  # fmt: skip
        return terms | self.compute_extra_terms("discriminator", turn, values)

    def record_shares(self, turn: Turn) -> None:
        """Record the share of the faces that show each attribute, for samples."""
        shares = turn.world.reduce_mean(ensure_float32(turn.batch["source"]["attributes"]).mean(0))
        self.record_mean("attribute_shares", shares.lerp(self.attribute_shares.to(shares.dtype), SHARES_DECAY))

    # ---- the generator's step ----

    def get_generator_weights(self, clock: Clock) -> dict[str, float]:
        """Return the weights of the terms; a term whose weight is 0 is left out."""
        weights = self.config.weights
        further = {
            "attribute": weights.attribute,
            "adversarial_edited": weights.edited,
            "attribute_edited": weights.attribute,
            "identity": weights.identity,
            "reconstruction": weights.reconstruction,
        }
        return super().get_generator_weights(clock) | {name: value for name, value in further.items() if value > 0}

    def compute_generator_terms(self, turn: Turn) -> dict[str, Tensor]:
        """Train all but the discriminator to make faces and edits that look real and show the target labels."""
        weights, rows = self.get_generator_weights(turn.clock), get_edited_rows(turn)
        image, own = turn.batch["source"]["image"][rows], turn.batch["source"]["attributes"][rows]
        target = turn.targets["attributes"]
        _, latents = self.sample_latents(turn, turn.networks["mapping"])
        synthesised = self.generate(turn, latents)
        verdict = self.judge(turn, synthesised.image, "synthesised")
        encoded = turn.networks["encoder"](image)
        reconstructed = self.edit(turn, encoded, own)
        terms = {
            "adversarial": self.adversarial.generator_loss(verdict.score),
            "reconstruction": l1_loss(reconstructed.image, image),
        }
        if "attribute" in weights:
            terms["attribute"] = self.classification(verdict.attributes, target)
        edited = None
        if weights.keys() & {"adversarial_edited", "attribute_edited", "identity"}:
            edited = self.edit(turn, encoded, target[rows])
            terms |= self.compute_edit_terms(turn, edited, image, target[rows], weights)
        values = {
            "image": image, "synthesised": synthesised, "edited": edited, "reconstructed": reconstructed,
            "latents": latents, "score": verdict.score,
        }  # fmt: skip
        return terms | self.compute_extra_terms("generator", turn, values)

    def compute_edit_terms(
        self, turn: Turn, edited: SynthesisedFace, image: Tensor, target: Tensor, weights: Mapping[str, float]
    ) -> dict[str, Tensor]:
        """Compute the terms of edits: real, with the target labels, and with the features of the photo.

        Args:
            turn: Everything that terms may read.
            edited: The edits.
            image: Their photos (n, c, h, w).
            target: What the edits should show (n, a).
            weights: The weights of the step; terms without one are left out.

        Returns:
            Those of adversarial_edited, attribute_edited and identity that have a weight.
        """
        rows, terms = get_edited_rows(turn), {}
        verdict = self.judge(turn, edited.image, "edited", rows)
        if "adversarial_edited" in weights:
            terms["adversarial_edited"] = self.adversarial.generator_loss(verdict.score)
        if "attribute_edited" in weights:
            terms["attribute_edited"] = self.classification(verdict.attributes, target)
        if "identity" in weights:
            with torch.no_grad():
                features = self.judge(turn, image, "edited", rows).features  # augmented by the same draws
            terms["identity"] = (1 - F.cosine_similarity(verdict.features, features)).mean()
        return terms

    # ---- messages to the user, and the editor ----

    def list_warnings(self) -> Sequence[str]:
        """Warn if batches of one face make permuted labels equal to the face's own."""
        condition, config = self.config.condition, self.config
        is_permuted = isinstance(condition, AttributesConfig) and condition.draw == "permute"
        if not is_permuted or config.data.batch * config.training.accumulate * World().size > 1:
            return ()
        return (
            "condition.draw=permute takes the target labels from another face of the batch, and data.batch=1 has only "
            "one face, so no edit changes anything. Set condition.draw=flip, or a larger data.batch",
        )

    @property
    def training_networks(self) -> tuple[str, ...]:
        """None: the editor reads attributes with the discriminator."""
        return ()

    def make_editor(self, networks: Networks, *, attributes: tuple[str, ...]) -> Editor:
        """Make an editor of photos that also generates faces."""
        faces = SynthesisEditor(networks, LatentCondition(), self.mean_latent)
        condition: Any = self.condition
        return JointEditor(networks, condition, attributes, self.classification, faces, self.attribute_shares)


def get_edited_rows(turn: Turn) -> slice:
    """Return the first half of the batch, or its only face: the photos that are edited and reconstructed."""
    return slice(0, max(1, len(turn.batch["source"]["image"]) // 2))


def list_problems(config: JointConfig, facts: Facts, components: Mapping[str, Any]) -> list[str]:
    """List why the joint variant cannot train on such data or with such components, a sentence each."""
    problems, generator = [], components["generator"]
    if not facts.attributes:
        problems.append(
            "data.attributes: sd-gan-joint edits attributes, and none are named (got an empty list): name one or more, "
            "such as data.attributes=Eyeglasses"
        )
    if not isinstance(components["condition"], AttributeCondition):
        name = get_component_name(config.condition)
        problems.append(f"condition.use={name}: sd-gan-joint needs target labels: set condition.use=attributes")
    if components["classification"].exclusive:
        name = get_component_name(config.classification)
        problems.append(
            f"classification.use={name} gives every face exactly one attribute, and here a face may show none: set "
            "classification.use=binary"
        )
    if not isinstance(components["discriminator"], JointDiscriminator):
        name = get_component_name(config.discriminator)
        problems.append(f"discriminator.use={name} reads no attributes: set discriminator.use=sd-gan-joint")
    if generator.takes_layout:
        name = get_component_name(config.generator)
        problems.append(f"generator.use={name} paints layouts, and photos have none: set generator.use=stylegan2")
    if config.weights.mask > 0:
        problems.append("weights.mask: sd-gan-joint does not compare masks of parts: set it to 0")
    for size in ("style_dim", "rows"):
        sizes = {slot: getattr(components[slot], size) for slot in ("generator", "encoder", "offset")}
        if len(set(sizes.values())) > 1:
            values = ", ".join(f"{slot}.{size}={value}" for slot, value in sizes.items())
            problems.append(f"{values}: latents have one size; set encoder.{size} and offset.{size} to the generator's")
    return problems
