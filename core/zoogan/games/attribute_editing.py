"""Attribute editing: one generator edits, one discriminator judges realism and reads attributes.

The game of StarGAN (Choi et al. 2018, section 3) and SaGAN (Zhang et al. 2018, section 3). What tells them apart are
components and numbers: the networks, the cadence of the steps and the weights of the reconstructions.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.conditions.attributes import AttributeCondition
from zoogan.conditions.config import AttributesConfig
from zoogan.config import ConfigError, get_component_name
from zoogan.editors.attribute_editor import AttributeEditor
from zoogan.facts import Facts
from zoogan.games.adversarial import AdversarialGame
from zoogan.games.config import AttributeEditingConfig
from zoogan.interfaces import (
    Classification,
    Clock,
    Draws,
    Edited,
    Editor,
    Need,
    Networks,
    Step,
    Targets,
    Turn,
    Verdict,
    World,
)
from zoogan.layers.norm import couples_batch
from zoogan.losses.reconstruction import full_precision, l1

STUCK_IMAGES = 5000  # a mask that stays shut or open for so long will hardly move by itself
ITERATIONS_BEFORE_CHANGE = 5000  # StarGAN's edits are faint for long, and come


class AttributeEditing(AdversarialGame):
    """Steps `discriminator` and `generator`.

    Terms of `discriminator`: real, fake, attribute (on real images only), penalty. Values for extra terms: image, own,
    target, edited (no graph), real_verdict, fake_verdict.
    Terms of `generator`: adversarial, attribute, cycle, identity. Values for extra terms: image, own, target, edited,
    cycled, identity (each an `Edited`, the last two None when their weight is 0), verdict.
    It tells `change` = mean |edited - image|; with a mask: its mean, its shares above .9 and below .1, |raw - image|.

    Raises:
        ConfigError: there is no attribute to edit, or only one where one of several should be shown.
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
        self._stuck: tuple[str | None, int] = (None, 0)  # how the mask was at the last reading, and since which image
        if self.classification.exclusive:
            if len(facts.attributes) == 1:
                raise ConfigError(
                    f"data.attributes: classification.use={get_component_name(config.classification)} tells which one of "
                    f"several attributes a face shows (got {facts.attributes[0]} alone): name two or more, or set "
                    "classification.use=binary"
                )
            self.condition.show_one()
        self.looks = 1 if config.cadence.fresh_batch else config.cadence.discriminator_repeat

    @property
    def steps(self) -> tuple[Step, ...]:
        """The discriminator plays first; the generator in the last of `generator_every` iterations."""
        cadence = self.config.cadence
        return (
            Step(
                "discriminator", ("discriminator",), self.discriminator_terms, self.discriminator_weights,
                repeat=cadence.discriminator_repeat, fresh_batch=cadence.fresh_batch, keeps_graph_of=("generator",),
            ),
            Step(
                "generator", ("generator",), self.generator_terms, self.generator_weights,
                every=cadence.generator_every, at=cadence.generator_every - 1, fresh_batch=cadence.fresh_batch,
            ),
        )  # fmt: skip

    def targets(self, batch: Mapping[str, Mapping[str, Tensor]], draw: Draws) -> Targets:
        """The attributes wanted of each face of the batch."""
        return self.condition.targets(batch["source"], draw)

    # ---- the discriminator's step ----

    def discriminator_weights(self, clock: Clock) -> dict[str, float]:
        """What is learnt of real and fake, of real attributes, and the penalty's."""
        weights = {"real": 1.0, "fake": 1.0}
        if self.config.weights.attribute_real > 0:
            weights["attribute"] = self.config.weights.attribute_real
        return weights | self.penalty_weights(clock) | self.extra_weights("discriminator")

    def discriminator_terms(self, turn: Turn) -> dict[str, Tensor]:
        """The discriminator learns to tell real from edited, and to read attributes off real images."""
        image, own, target = self.faces(turn)
        _, edited = self.edit(turn, keep_graph="generator" in turn.later)
        fake = edited.image.detach()
        discriminator = turn.networks["discriminator"]
        # The penalty is of the discriminator on images without augmentation. It comes first, so that its backward comes last:
        # its weight gradients have a transposed layout, and whichever gradient of a weight arrives first decides
        # whether the sum must be copied.
        penalty = None
        if self.penalised(turn.clock):
            score = turn.eager(discriminator)
            penalty = self.penalty(lambda x: score(x, own).score, image, fake, turn.draw)
        on_real, on_fake = self.judge(
            discriminator, self.seen(image, turn, "real"), own, self.seen(fake, turn, "fake"), target
        )
        terms = self.costs(turn, on_real.score, on_fake.score)
        if self.config.weights.attribute_real > 0:
            terms["attribute"] = self.classification(on_real.attributes, own)
        if penalty is not None:
            terms["penalty"] = penalty
        values = {"image": image, "own": own, "target": target, "edited": edited}
        return terms | self.extra_terms(
            "discriminator", turn, values | {"real_verdict": on_real, "fake_verdict": on_fake}
        )

    def judge(
        self, discriminator: nn.Module, real: Tensor, own: Tensor, fake: Tensor, target: Tensor
    ) -> tuple[Verdict, Verdict]:
        """Verdicts on real and fake images: in one pass, unless a layer of the discriminator would mix the two."""
        if couples_batch(discriminator):
            return judged(discriminator(real, own)), judged(discriminator(fake, target))
        both = judged(discriminator(torch.cat([real, fake]), torch.cat([own, target])))
        n = len(real)
        return Verdict(both.score[:n], both.attributes[:n]), Verdict(both.score[n:], both.attributes[n:])

    # ---- the generator's step ----

    def generator_weights(self, clock: Clock) -> dict[str, float]:
        """A reconstruction with weight 0 is left out."""
        share = min(1.0, clock.iteration / max(1, clock.iterations - 1))
        weights = {"adversarial": 1.0} | self.config.weights.at(share)
        return weights | self.extra_weights("generator")

    def generator_terms(self, turn: Turn) -> dict[str, Tensor]:
        """The generator fools the discriminator, shows the target, and keeps what it must be able to restore."""
        image, own, target = self.faces(turn)
        generator: Any = turn.networks["generator"]
        counted = self.config.weights.at(0.0)
        encoded, edited = self.edit(turn, keep_graph=True)
        verdict = judged(turn.networks["discriminator"](self.seen(edited.image, turn, "edited"), target))
        terms = {"adversarial": self.adversarial.generator(verdict.score)}
        if "attribute" in counted:
            terms["attribute"] = self.classification(verdict.attributes, target)
        cycled = identity = None
        if "cycle" in counted:
            cycled = generator(edited.image, own)
            terms["cycle"] = self.restored(cycled.image, image, own, target)
        if "identity" in counted:
            identity = generator(image, own, encoded)
            terms["identity"] = l1(identity.image, image)
        self._figures = figures_of(image, edited)
        values = {
            "image": image,
            "own": own,
            "target": target,
            "edited": edited,
            "cycled": cycled,
            "identity": identity,
        }
        return terms | self.extra_terms("generator", turn, values | {"verdict": verdict})

    def restored(self, cycled: Tensor, image: Tensor, own: Tensor, target: Tensor) -> Tensor:
        """How far the way back leads from the image, less of it where the way there took something away."""
        share = self.config.weights.cycle_lost
        if share == 1:
            return l1(cycled, image)
        each = (full_precision(cycled) - full_precision(image)).abs().flatten(1).mean(1)
        return (each * torch.where((target < own).any(1), share, 1.0)).mean()

    # ---- shared by both ----

    def faces(self, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """Images, their own attributes and the target attributes of the turn."""
        sample = turn.batch["source"]
        return sample["image"], sample["attributes"], turn.targets["attributes"]

    def edit(self, turn: Turn, keep_graph: bool) -> tuple[Any, Edited]:
        """The encoding of the batch and its edit towards the targets, shared between the steps of one batch."""
        generator: Any = turn.networks["generator"]
        image, _, target = self.faces(turn)

        def edit() -> tuple[Any, Edited]:
            encoded = generator.encode(image)
            return encoded, generator(image, target, encoded)

        return self.made_once(turn, "edit", edit, ("generator",), keep_graph)

    # ---- for the person who waits ----

    def notes(self) -> Sequence[str]:
        """That a face which is alone in its batch is asked for nothing but its own labels."""
        condition, config = self.config.condition, self.config
        faces = config.data.batch * config.training.accumulate * World().size
        if faces > 1 or not isinstance(condition, AttributesConfig) or condition.draw != "permute":
            return ()
        return (
            "condition.draw=permute asks each face for the labels of another one of its batch, and data.batch=1 has no "
            "other: every edit is asked to change nothing. Set condition.draw=flip, or a larger data.batch",
        )

    def advise(self, figures: Mapping[str, float], images: int, iteration: int) -> str | None:
        """What the field's users ran into: masks that stay shut, or open everywhere, and edits that do nothing.

        A masked edit changes little by intention, so of it only the mask is looked at.
        """
        if "mask" in figures:
            return self.stuck_mask(figures["mask"], images)
        if iteration >= ITERATIONS_BEFORE_CHANGE and figures.get("change", 1.0) < 0.01:
            return (
                "edits change almost nothing (mean |edit - input| < .01): check the labels, and that both values occur"
            )
        return None

    def stuck_mask(self, mask: float, images: int) -> str | None:
        """What to do about a mask whose mean has been too small, or too large, at every reading of the last images."""
        state = "shut" if mask < 0.01 else "open" if mask > 0.95 else None
        if state != self._stuck[0]:
            self._stuck = (state, images)
        if state is None or images - self._stuck[1] < STUCK_IMAGES:
            return None
        if state == "shut":
            return "the mask stays shut (mean < .01), so nothing is edited: lower weights.identity first"
        return "the mask stays open everywhere (mean > .95): raise weights.identity, or add the term mask_area"

    def editor(self, networks: Networks, *, attributes: tuple[str, ...]) -> Editor:
        """An editor of these attributes."""
        return AttributeEditor(networks, self.condition, attributes, self.classification)


def judged(verdict: Verdict) -> Verdict:
    """A verdict in full precision."""
    return Verdict(full_precision(verdict.score), full_precision(verdict.attributes))


@torch.no_grad()
def figures_of(image: Tensor, edited: Edited) -> dict[str, Tensor]:
    """0-d figures of an edit, of its mask and of what is under it; see `AttributeEditing`."""
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
