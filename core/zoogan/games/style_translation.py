"""Style translation: one generator redraws a face in a domain and a style, from noise or from another face.

The methods differ in settings: the passes, the training of the style encoder, and the kind of picture.

Source: StarGAN v2 (Choi et al. 2020), section 3; SMILE's layout stage (Romero et al. 2021), section 3.1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import ClassVar

from torch import Tensor
from torch.nn import functional as F

from zoogan.conditions.domain import DomainCondition
from zoogan.conditions.pairs import PairsCondition
from zoogan.conditions.single import SingleCondition
from zoogan.config import get_component_name
from zoogan.editors.layout_attribute_editor import LayoutAttributeEditor
from zoogan.editors.layout_reenactor import LayoutReenactor
from zoogan.editors.style_editor import StyleEditor
from zoogan.errors import ConfigError
from zoogan.games.config import Pass
from zoogan.games.style_pictures import StylePictures
from zoogan.interfaces import Clock, Editor, Networks, Step, Turn
from zoogan.layers.precision import ensure_float32
from zoogan.losses.reconstruction import l1_loss

STYLE_ADVICE_IMAGES = 5000  # give no advice before so many images


class StyleTranslation(StylePictures):
    """The game of StarGAN v2 and of SMILE's layout stage.

    A pass is the origin of the styles: `latent` = the mapping makes them from noise, `reference` = the style encoder
    reads them off other faces. Steps, as far as their passes are configured, all on one batch: `discriminator_latent`,
    `discriminator_reference`, `generator_latent`, `generator_reference`.

    Terms of a discriminator's step: real, fake, penalty. Values for extra terms: image, own, domain, translated.

    Terms of a generator's step: adversarial, style (distance of the encoded style from the requested style),
    diversity (distance of two translations; its weight is negative and decays) and cycle. Values for extra terms:
    image, own, domain, translated, style, cycled.

    Figures: `change`, mean |translated - source|.

    Args:
        config: The complete config of the run.
        facts: Facts about the data.
        components: The built component of each slot, by name of the slot.

    Raises:
        ConfigError: The condition has no domains, the networks differ in `style_dim`, or the passes need faces drawn by
            domain and the condition does not draw them so.

    Source: StarGAN v2 (Choi et al. 2020), section 3; SMILE (Romero et al. 2021), section 3.1.
    """

    averages: ClassVar[tuple[str, ...]] = ("generator", "mapping", "style_encoder")

    @property
    def steps(self) -> tuple[Step, ...]:
        """The discriminator's passes, then the generator's.

        The latent pass trains all networks of the generator's side, the reference pass only `reference_trains`, because
        the style encoder would learn to hide the picture in the style.
        """
        passes = self.config.passes
        trains: dict[str, tuple[str, ...]] = {
            "latent": ("generator", "mapping", "style_encoder"),
            "reference": self.config.reference_trains,
        }
        return (
            *(
                Step(
                    f"discriminator_{name}", ("discriminator",),
                    partial(self.compute_discriminator_terms, name), partial(self.get_discriminator_weights, name),
                    keeps_graph_of=("generator", "mapping") if name == "latent" else (),
                )
                for name in passes
            ),
            *(
                Step(
                    f"generator_{name}", trains[name],
                    partial(self.compute_generator_terms, name), partial(self.get_generator_weights, name),
                )
                for name in passes
            ),
        )  # fmt: skip

    # ---- the discriminator's steps ----

    def get_discriminator_weights(self, pass_name: Pass, clock: Clock) -> dict[str, float]:
        """Return one weight for real and fake, and those of the penalty and the extra terms."""
        weights = {"real": self.config.weights.discriminator, "fake": self.config.weights.discriminator}
        return weights | self.get_penalty_weights(clock) | self.get_extra_weights(f"discriminator_{pass_name}")

    def compute_discriminator_terms(self, pass_name: Pass, turn: Turn) -> dict[str, Tensor]:
        """Train the discriminator to tell real faces of a domain from translated ones."""
        image, own, domain = self.unpack_batch(turn)
        is_shared = pass_name == "latent" and f"generator_{pass_name}" in turn.later_steps
        _, translated = self.translate(turn, pass_name, keep_graph=is_shared)
        fake, discriminator = translated.detach(), turn.networks["discriminator"]
        penalty = on_real = None
        if self.is_penalty_due(turn.clock):
            eager = turn.make_eager(discriminator)
            scores: list[Tensor] = []

            def score(x: Tensor) -> Tensor:
                """Score augmented pictures; sum over the domains that each shows (SMILE's official code)."""
                scores.append(eager(self.augment_for_discriminator(x, turn, "real"), own))
                return scores[-1].reshape(len(x), -1).sum(1)

            penalty = self.penalty(score, image, fake, turn.draw)
            if self.penalty.on_real:  # it has just scored the real faces, with a graph to the discriminator
                on_real = scores[-1]
        if on_real is None:
            on_real = discriminator(self.augment_for_discriminator(image, turn, "real"), own)
        on_fake = discriminator(self.augment_for_discriminator(fake, turn, "fake"), domain)
        terms = self.compute_discriminator_losses(turn, on_real, on_fake)
        if penalty is not None:
            terms["penalty"] = penalty
        values = {"image": image, "own": own, "domain": domain, "translated": translated}
        return terms | self.compute_extra_terms(f"discriminator_{pass_name}", turn, values)

    # ---- the generator's steps ----

    def get_diversity_weight(self, clock: Clock) -> float:
        """Return the weight of diversity: a function of the iteration that falls linearly to 0, so resume is right."""
        weights = self.config.weights
        return weights.diversity * max(0.0, 1 - clock.iteration / (weights.diversity_decay or clock.iterations))

    def get_generator_weights(self, pass_name: Pass, clock: Clock) -> dict[str, float]:
        """Return the weights of the terms; a term whose weight is 0 is left out."""
        weights = self.config.weights
        optional = {"style": weights.style, "diversity": -self.get_diversity_weight(clock), "cycle": weights.cycle}
        terms = {"adversarial": 1.0} | {name: weight for name, weight in optional.items() if weight}
        return terms | self.get_extra_weights(f"generator_{pass_name}")

    def compute_generator_terms(self, pass_name: Pass, turn: Turn) -> dict[str, Tensor]:
        """Train the generator to fool the discriminator, in the style asked for, so that the face can be restored."""
        image, own, domain = self.unpack_batch(turn)
        encoder = turn.networks["style_encoder"]
        style, translated = self.translate(turn, pass_name, keep_graph=True)
        augmented = self.augment_for_discriminator(translated, turn, "translated")
        score = turn.networks["discriminator"](augmented, domain)
        terms = {"adversarial": self.adversarial.generator_loss(ensure_float32(score))}
        if self.config.weights.style:
            terms["style"] = self.style_loss(turn, encoder(translated, domain), style)
        cycled = None
        if self.config.weights.cycle:
            own_style = self.read_own_style(turn) if self.config.detach_cycle_style else encoder(image, own)
            masks = self.compute_cycle_masks(turn, translated)
            cycled = self.generate(turn, translated, own_style, masks, f"{pass_name} cycle", None)
            terms["cycle"] = self.cycle_loss(cycled, image)
        if self.get_diversity_weight(turn.clock):
            # Last, because it runs the decoder without a graph: autocast of torch before 2.11 caches the weights that
            # it casts, here without a graph, and would use them in every later forward.
            terms["diversity"] = self.diversity_loss(turn, translated, self.translate_to_second_style(turn, pass_name))
        self._figures = {"change": (translated.detach() - image).abs().mean()}
        values = {"image": image, "own": own, "domain": domain, "style": style, "translated": translated}
        values |= {} if cycled is None else {"cycled": cycled}
        return terms | self.compute_extra_terms(f"generator_{pass_name}", turn, values)

    def style_loss(self, turn: Turn, encoded: Tensor, style: Tensor) -> Tensor:
        """Compute how far the encoded styles of translations are from the requested ones.

        Styles that were read off the source do not count: the style encoder would be its own target.

        Args:
            turn: Everything that terms may read.
            encoded: Styles (n, *heads, s) that the style encoder reads off the translations.
            style: The requested styles.

        Returns:
            A 0-d tensor, at least 0: the mean distance.
        """
        if self.config.restyle == "all":
            return l1_loss(encoded, style)
        _, own, domain = self.unpack_batch(turn)
        changed = self.condition.find_changed(own, domain).to(style.dtype)
        distance = (encoded - style).abs().mean(-1) * changed
        return distance.mean() / turn.world.reduce_mean(changed.mean()).clamp(min=1e-6)

    def diversity_loss(self, turn: Turn, one: Tensor, other: Tensor) -> Tensor:
        """Compute mean |one - other|; outside the heat maps only, if configured and there are any.

        Args:
            turn: Everything that terms may read.
            one: Faces in one style (n, c, h, w).
            other: The same faces in another style.

        Returns:
            A 0-d tensor, at least 0, which training maximises.
        """
        masks = self.get_masks(turn) if self.config.diversity_outside_masks else None
        if masks is None:
            return l1_loss(one, other)
        outside = 1 - F.interpolate(masks[0], one.shape[-2:], mode="bilinear").to(one.dtype)
        distance = (ensure_float32(outside) * (ensure_float32(one) - ensure_float32(other))).abs().sum()
        return distance / turn.world.reduce_mean((outside > 0).sum().to(distance.dtype) * one.shape[1]).clamp(min=1)

    def cycle_loss(self, raw: Tensor, image: Tensor) -> Tensor:
        """Compute how far the restored picture is from the source.

        Args:
            raw: The generator's output (n, c, h, w).
            image: The source pictures (n, c, h, w).

        Returns:
            A 0-d tensor: L1 of images, or cross entropy with the classes of layouts.
        """
        if self.config.picture == "layout":
            return F.cross_entropy(ensure_float32(raw), image.argmax(1))
        return l1_loss(raw, image)

    # ---- messages to the user ----

    def list_warnings(self) -> Sequence[str]:
        """Warn if the generator has a high-pass filter for details, but there are no heat maps."""
        if not self.lacks_masks:
            return ()
        own = "heat_maps.use=parts, " if self.config.picture == "layout" else ""
        return (
            "generator.high_pass keeps details of a face where heat maps are set, and heat_maps.use=none sets none: "
            f"the decoder has neither these skips nor its shortcuts. Set {own}heat_maps.use=landmarks "
            "heat_maps.file=FILE or heat_maps.use=files data.heat_maps=true, or train with generator.high_pass=0",
        )

    def suggest_remedy(self, figures: Mapping[str, float], images: int, iteration: int) -> str | None:
        """Suggest a remedy for styles that make no difference and for faces that cannot be restored.

        Args:
            figures: Terms and figures that were just read.
            images: Training images so far.
            iteration: Iterations so far.

        Returns:
            A warning, or None.
        """
        if images < STYLE_ADVICE_IMAGES:
            return None
        # Two one-hot maps differ by 2 in all channels together, so this is the share of the pixels that differ.
        scale = len(self.facts.parts) / 2 if self.config.picture == "layout" else 1.0
        if figures.get("generator_latent/diversity", 1.0) * scale < 0.01:
            return "styles make almost no difference (diversity < 0.01): raise weights.diversity, or let it decay later"
        if figures.get("generator_latent/cycle", 0.0) > 0.5 and self.config.picture == "image":
            return "faces cannot be restored (cycle > 0.5): raise weights.cycle or lower weights.diversity"
        return None

    @property
    def training_networks(self) -> tuple[str, ...]:
        """The discriminator, unless the editor reads the attributes of layouts with it."""
        reads_labels = isinstance(self.condition, PairsCondition) and self.config.picture == "layout"
        return () if reads_labels else ("discriminator",)

    def make_editor(self, networks: Networks, *, attributes: tuple[str, ...]) -> Editor:
        """Make an editor of these domains.

        Args:
            networks: The networks by slot.
            attributes: The attributes of the data.

        Returns:
            The editor.

        Raises:
            ConfigError: There is no editor of this condition on these pictures; its method must override this method.
        """
        if isinstance(self.condition, PairsCondition) and self.config.picture == "layout":
            return LayoutAttributeEditor(networks, self.condition, self.facts, self.heat_maps)
        if isinstance(self.condition, SingleCondition) and self.config.picture == "layout":
            return LayoutReenactor(networks, self.condition, self.facts, self.heat_maps)
        if not isinstance(self.condition, DomainCondition):
            raise ConfigError(
                f"condition {get_component_name(self.config.condition)!r}: the editor of style translation supports "
                "one domain a face, and on layouts pairs of attributes and a single domain; a method with others needs "
                "a subclass of this game that overrides `make_editor`"
            )
        return StyleEditor(networks, self.condition, attributes, self.heat_maps, self.to_picture)
