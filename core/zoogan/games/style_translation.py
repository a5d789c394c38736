"""Style translation: one generator redraws a face in a domain and a style, from noise or from another face.

The game of StarGAN v2 (Choi et al. 2020, section 3) and of SMILE's layout stage (Romero et al. 2021, section 3.1). What
tells them apart are choices of its config: which passes play, what the style encoder learns from, what the picture is.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, ClassVar

import torch
from torch import Tensor
from torch.nn import functional as F

from zoogan.conditions.domain import DomainCondition
from zoogan.config import ConfigError, get_component_name
from zoogan.editors.style_editor import StyleEditor
from zoogan.facts import Facts
from zoogan.games.adversarial import AdversarialGame, one_size
from zoogan.games.config import StyleTranslationConfig
from zoogan.interfaces import (
    Clock,
    Draws,
    Editor,
    HeatMaps,
    Masks,
    Need,
    Networks,
    Step,
    StyleCondition,
    Targets,
    Turn,
)
from zoogan.losses.reconstruction import full_precision, l1

IMAGES_BEFORE_ADVICE = 5000


class StyleTranslation(AdversarialGame):
    """Steps `discriminator_latent`, `discriminator_reference`, `generator_latent`, `generator_reference`, as far as
    their passes play, all on one batch.

    Terms of a discriminator's step: real, fake, penalty. Terms of a generator's step: adversarial, style (the style encoder
    reads the style that was asked for), diversity (how far two styles lie apart; its weight is negative and decays) and
    cycle. It tells `change`, mean |translated - source|. Values for extra terms: image, own, domain, translated, and
    for the generator's steps style and cycled.
    """

    averages: ClassVar[tuple[str, ...]] = ("generator", "mapping", "style_encoder")
    needs: Mapping[str, Need]
    condition: StyleCondition

    def __init__(self, config: StyleTranslationConfig, facts: Facts, components: Mapping[str, Any]) -> None:
        if not isinstance(components["condition"], StyleCondition):
            raise ConfigError(
                f"condition {get_component_name(config.condition)!r} tells no domains, which style translation asks for: "
                "set condition.use=domain"
            )
        super().__init__(config, facts, components)
        self.config, self.looks = config, len(config.passes)
        self.heat_maps: HeatMaps = components["heat_maps"]
        self.lacks_masks: bool = components["generator"].takes_masks and self.heat_maps.nowhere
        self.latent_dim: int = components["mapping"].latent_dim
        one_size(components, ("generator", "mapping", "style_encoder"), "style")
        self.needs = self.needed(config.picture)

    def needed(self, picture: str) -> dict[str, Need]:
        """What is read of the faces: pictures, the labels that the condition goes by, and heat maps from files.

        Of the references nothing but labels, where they give no styles.

        Raises:
            ConfigError: second references, but faces are not drawn by domain.
        """
        label, sampler = self.condition.label, self.condition.sampler
        styles = "reference" in self.config.passes
        if styles and sampler != "domains":
            raise ConfigError(
                f"passes: a reference comes with another face of its domain, but condition "
                f"{get_component_name(self.config.condition)!r} draws no faces by domain: set passes=latent"
            )
        masks = () if self.heat_maps.field is None else (self.heat_maps.field,)
        return {
            "source": Need((picture, label, *masks), sampler),
            "reference": Need((picture, f"{picture}2", label) if styles else (label,), sampler),
        }

    @property
    def steps(self) -> tuple[Step, ...]:
        """The discriminator's passes, then the generator's. With a latent the whole family learns, with a reference only what
        `reference_trains` names: the style encoder would learn to hide the picture in its code."""
        ways = self.config.passes
        trains: dict[str, tuple[str, ...]] = {
            "latent": ("generator", "mapping", "style_encoder"),
            "reference": self.config.reference_trains,
        }
        return (
            *(
                Step(
                    f"discriminator_{way}", ("discriminator",),
                    partial(self.discriminator_terms, way), partial(self.discriminator_weights, way),
                    keeps_graph_of=("generator", "mapping") if way == "latent" else (),
                )
                for way in ways
            ),
            *(
                Step(
                    f"generator_{way}", trains[way],
                    partial(self.generator_terms, way), partial(self.generator_weights, way),
                )
                for way in ways
            ),
        )  # fmt: skip

    def targets(self, batch: Mapping[str, Mapping[str, Tensor]], draw: Draws) -> Targets:
        """The reference's domains, and two latents N(0, 1) for each face; the same in all passes."""
        like = batch["source"][self.config.picture]
        latents = {name: draw.normal(name, self.latent_dim, like=like) for name in ("latent", "latent2")}
        return self.condition.targets(batch["reference"], draw) | latents

    # ---- the discriminator's steps ----

    def discriminator_weights(self, way: str, clock: Clock) -> dict[str, float]:
        """One weight for real and fake, and the penalty's."""
        weights = {"real": self.config.weights.discriminator, "fake": self.config.weights.discriminator}
        return weights | self.penalty_weights(clock) | self.extra_weights(f"discriminator_{way}")

    def discriminator_terms(self, way: str, turn: Turn) -> dict[str, Tensor]:
        """The discriminator learns to tell real faces of a domain from translated ones."""
        image, own, domain = self.faces(turn)
        step = f"generator_{way}"
        _, translated = self.translate(turn, way, keep_graph=way == "latent" and step in turn.later)
        fake, discriminator = translated.detach(), turn.networks["discriminator"]
        penalty = on_real = None
        if self.penalised(turn.clock):
            eager, told = turn.eager(discriminator), []

            def score(x: Tensor) -> Tensor:
                """Of a picture before its augmentation, and, where it shows several domains, the sum of their scores
                (SMILE's official code)."""
                told.append(eager(self.seen(x, turn, "real"), own))
                return told[-1].reshape(len(x), -1).sum(1)

            penalty = self.penalty(score, image, fake, turn.draw)
            if self.penalty.on_real:  # it has just judged the real faces, with a graph to the discriminator
                on_real = told[-1]
        on_real = discriminator(self.seen(image, turn, "real"), own) if on_real is None else on_real
        on_fake = discriminator(self.seen(fake, turn, "fake"), domain)
        terms = self.costs(turn, on_real, on_fake) | ({} if penalty is None else {"penalty": penalty})
        values = {"image": image, "own": own, "domain": domain, "translated": translated}
        return terms | self.extra_terms(f"discriminator_{way}", turn, values)

    # ---- the generator's steps ----

    def diversity_weight(self, clock: Clock) -> float:
        """Falls linearly to 0: a function of the iteration, so that a resume does not start it anew."""
        weights = self.config.weights
        return weights.diversity * max(0.0, 1 - clock.iteration / (weights.diversity_decay or clock.iterations))

    def generator_weights(self, way: str, clock: Clock) -> dict[str, float]:
        """A term whose weight is 0 is left out."""
        weights = self.config.weights
        named = {"style": weights.style, "diversity": -self.diversity_weight(clock), "cycle": weights.cycle}
        terms = {"adversarial": 1.0} | {name: weight for name, weight in named.items() if weight}
        return terms | self.extra_weights(f"generator_{way}")

    def generator_terms(self, way: str, turn: Turn) -> dict[str, Tensor]:
        """The generator fools the discriminator, in the style asked for, and so that the face can be restored."""
        image, own, domain = self.faces(turn)
        generator, encoder = turn.networks["generator"], turn.networks["style_encoder"]
        style, translated = self.translate(turn, way, keep_graph=True)
        score = turn.networks["discriminator"](self.seen(translated, turn, "translated"), domain)
        terms = {"adversarial": self.adversarial.generator(full_precision(score))}
        if self.config.weights.style:
            terms["style"] = l1(encoder(translated, domain), style)
        cycled = None
        if self.config.weights.cycle:
            kept = encoder(image, own)
            kept = kept.detach() if self.config.detach_cycle_style else kept
            # Masks from files stay those of the source: a translated face keeps its landmarks.
            read = self.masks(turn) if self.heat_maps.field else self.heat_maps(translated.detach())
            cycled = generator(translated, kept, read)
            terms["cycle"] = self.restored(cycled, image)
        if self.diversity_weight(turn.clock):
            # Last, because it runs the decoder without a graph: autocast of torch before 2.11 would hand the weights
            # that were cast there, without one, to whoever came after.
            terms["diversity"] = self.difference(turn, translated, self.second(turn, way))
        self._figures = {"change": (translated.detach() - image).abs().mean()}
        values = {"image": image, "own": own, "domain": domain, "style": style, "translated": translated}
        values |= {} if cycled is None else {"cycled": cycled}
        return terms | self.extra_terms(f"generator_{way}", turn, values)

    def difference(self, turn: Turn, one: Tensor, other: Tensor) -> Tensor:
        """Mean |one - other|; outside the heat maps alone, if the config says so and there are any."""
        masks = self.masks(turn) if self.config.diversity_outside_masks else None
        if masks is None:
            return l1(one, other)
        free = 1 - F.interpolate(masks[0], one.shape[-2:], mode="bilinear").to(one.dtype)
        apart = (full_precision(free) * (full_precision(one) - full_precision(other))).abs().sum()
        return apart / turn.world.mean((free > 0).sum().to(apart.dtype) * one.shape[1]).clamp(min=1)

    def shown(self, raw: Tensor) -> Tensor:
        """The generator's output as the other networks see it: an image, or the shares of the classes of a layout."""
        return raw.softmax(1) if self.config.picture == "layout" else raw

    def restored(self, raw: Tensor, image: Tensor) -> Tensor:
        """How far the restored picture is from the source: L1, or cross entropy with the classes of a layout."""
        if self.config.picture == "layout":
            return F.cross_entropy(full_precision(raw), image.argmax(1))
        return l1(raw, image)

    # ---- shared by both ----

    def faces(self, turn: Turn) -> tuple[Tensor, Tensor, Tensor]:
        """Source pictures, their own domains and the target domains of the turn, as the condition tells them."""
        source = turn.batch["source"]
        return source[self.config.picture], self.condition.domain(source), turn.targets["domain"]

    def style(self, turn: Turn, way: str, which: str = "") -> Tensor:
        """The style asked for, from the latent or the reference; which: `2` for the second one."""
        domain = turn.targets["domain"]
        if way == "latent":
            return turn.networks["mapping"](turn.targets[f"latent{which}"], domain)
        return turn.networks["style_encoder"](turn.batch["reference"][f"{self.config.picture}{which}"], domain)

    def masks(self, turn: Turn) -> Masks | None:
        """The heat maps of the source faces, read once a batch."""
        if self.heat_maps.field is not None:
            both = turn.batch["source"][self.heat_maps.field]
            return both[:, :1], both[:, 1:]
        return turn.shared.once("masks", lambda: self.heat_maps(self.faces(turn)[0]), uses=())

    def encoded(self, turn: Turn, keep_graph: bool) -> Any:
        """What the generator needs of the source faces, once for all that is made of them."""
        generator: Any = turn.networks["generator"]
        return self.made_once(
            turn, "encoded", lambda: generator.encode(self.faces(turn)[0]), ("generator",), keep_graph
        )

    def translate(self, turn: Turn, way: str, keep_graph: bool) -> tuple[Tensor, Tensor]:
        """(style, translated picture), shared between the discriminator's and the generator's step of a way.

        The discriminator changes nothing that they depend on, so what it judged may serve the generator, graph and all.
        """
        generator: Any = turn.networks["generator"]

        def made() -> tuple[Tensor, Tensor]:
            encoded, style = self.encoded(turn, keep_graph), self.style(turn, way)
            return style, self.shown(generator(self.faces(turn)[0], style, self.masks(turn), encoded))

        source = "mapping" if way == "latent" else "style_encoder"
        return self.made_once(turn, f"translated {way}", made, ("generator", source), keep_graph)

    @torch.no_grad()
    def second(self, turn: Turn, way: str) -> Tensor:
        """The same faces in the second style, to be different from; carries no graph."""
        generator: Any = turn.networks["generator"]
        image, encoded = self.faces(turn)[0], self.encoded(turn, keep_graph=False)
        return self.shown(generator(image, self.style(turn, way, "2"), self.masks(turn), encoded))

    # ---- for the person who waits ----

    def notes(self) -> Sequence[str]:
        """That the generator could keep details of a face, and is never told where."""
        if not self.lacks_masks:
            return ()
        return (
            "generator.high_pass keeps details of a face where heat maps say, and heat_maps.use=none says nowhere: the "
            "decoder has neither these skips nor its shortcuts. Give it heat_maps.use=landmarks heat_maps.file=FILE or "
            "heat_maps.use=files data.heat_maps=true, or train with generator.high_pass=0",
        )

    def advise(self, figures: Mapping[str, float], images: int, iteration: int) -> str | None:
        """What the field's users ran into: styles that make no difference, and a face that is lost."""
        if images < IMAGES_BEFORE_ADVICE:
            return None
        if figures.get("generator_latent/diversity", 1.0) < 0.01:
            return "styles make almost no difference (diversity < .01): raise weights.diversity, or let it decay later"
        if figures.get("generator_latent/cycle", 0.0) > 0.5 and self.config.picture == "image":
            return "faces cannot be restored (cycle > .5): raise weights.cycle or lower weights.diversity"
        return None

    def editor(self, networks: Networks, *, attributes: tuple[str, ...]) -> Editor:
        """An editor of these domains.

        Raises:
            ConfigError: a condition of several domains a face: whoever brings it brings an editor.
        """
        if not isinstance(self.condition, DomainCondition):
            raise ConfigError(
                f"condition {get_component_name(self.config.condition)!r}: the editor of style translation knows one "
                "domain a face; a method with others plays a subclass of this game with an `editor` of its own"
            )
        return StyleEditor(networks, self.condition, attributes, self.heat_maps, self.shown)
