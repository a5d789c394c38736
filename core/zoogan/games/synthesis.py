"""Synthesis: a mapping and a generator make faces from noise, one discriminator judges them.

The game of StyleGAN2 (Karras et al. 2020, section 3 and appendix B), and with other networks of SemanticStyleGAN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor
from torch.nn import functional as F

from zoogan.conditions.latent import LatentCondition
from zoogan.config import ConfigError, get_component_name
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.facts import Facts
from zoogan.games.adversarial import AdversarialGame, one_size
from zoogan.games.config import SynthesisConfig
from zoogan.interfaces import Clock, Draws, Editor, Need, Networks, Step, Synthesised, Targets, Turn
from zoogan.losses.penalties import slope
from zoogan.losses.reconstruction import full_precision

IMAGES_BEFORE_ADVICE = 50_000
MEAN_DECAY = 0.998  # of the running mean latent (StyleGAN2-ADA's official code)


class Synthesis(AdversarialGame):
    """Steps `discriminator`, `penalty`, `generator` and `path_length`; the second and the last are lazy regularisers.

    Where the discriminator looks at segmentations too, it judges pairs: the source's segmentation as -1 and 1, the generator's
    as it comes. Then, and only then, segmentations are read.

    Terms: real and fake; penalty; adversarial and mask; path_length. Values for extra terms: image, synthesised,
    real_score and fake_score for the discriminator; synthesised, latents and score for the generator.
    State: `path_mean`, the running mean of path lengths; `mean_latent`, that of w; and p of an adaptive augmentation.
    It tells `real_sign` and `fake_sign`, the mean signs of the discriminator's scores since they were last told, which show
    how much it overfits, and `path_mean`.
    """

    averages: ClassVar[tuple[str, ...]] = ("generator", "mapping")
    condition: LatentCondition
    path_mean: Tensor
    mean_latent: Tensor

    def __init__(self, config: SynthesisConfig, facts: Facts, components: Mapping[str, Any]) -> None:
        super().__init__(config, facts, components)
        self.config = config
        style_dim = one_size(components, ("generator", "mapping"), "latent")
        generator, discriminator = components["generator"], components["discriminator"]
        self.parts: tuple[str, ...] = generator.parts
        self.pairs: bool = config.judge_segmentation and discriminator.classes > 0
        if self.pairs and discriminator.classes != len(self.parts):
            raise ConfigError(
                f"discriminator {get_component_name(config.discriminator)!r} looks at segmentations of {discriminator.classes} "
                f"classes, but generator {get_component_name(config.generator)!r} gives {len(self.parts) or 'none'}: use "
                "networks that fit, or set judge_segmentation to false"
            )
        if config.weights.mask > 0 and not self.parts:
            said = f"generator {get_component_name(config.generator)!r} has no parts"
            raise ConfigError(f"weights.mask: {said}, so there are no masks to compare: set it to 0")
        self.needs: Mapping[str, Need] = {"source": Need(("image", "segmentation") if self.pairs else ("image",))}
        self.latent_dim: int = components["mapping"].latent_dim
        self.register_buffer("path_mean", torch.zeros(()))
        self.register_buffer("mean_latent", torch.zeros(style_dim))
        self._means: dict[str, list[Tensor]] = {}
        self._signs: dict[str, list[Tensor]] = {}

    @property
    def steps(self) -> tuple[Step, ...]:
        """The discriminator, its penalty, the generator and mapping, their regulariser."""
        weights = self.config.weights
        reached = ("generator", "mapping") if self.config.path_trains_mapping else ("generator",)
        penalty = Step(
            "penalty", ("discriminator",), self.penalty_terms, self.penalty_weights,
            every=self.penalty.every, lazy=True,
        )  # fmt: skip
        path = Step("path_length", reached, self.path_terms, self.path_weights, every=weights.path_every, lazy=True)
        return (
            Step("discriminator", ("discriminator",), self.discriminator_terms, self.discriminator_weights),
            *([penalty] if self.penalty.weight > 0 else []),
            Step("generator", ("generator", "mapping"), self.generator_terms, self.generator_weights),
            *([path] if weights.path_length > 0 else []),
        )

    def targets(self, batch: Mapping[str, Mapping[str, Tensor]], draw: Draws) -> Targets:
        """None: faces come from noise."""
        return self.condition.targets(batch["source"], draw)

    # ---- faces from noise ----

    def latents(self, turn: Turn, mapping: Any, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """(w, w+) of drawn noise: w+ of two latents for a share of the faces. rows: of the batch."""
        like, draw = turn.batch["source"]["image"][rows], turn.draw.some(rows)
        generator: Any = turn.networks["generator"]
        latent = mapping(draw.normal("latent", self.latent_dim, like=like))
        latents = generator.extended(latent)
        if self.config.mixing > 0:
            other = mapping(draw.normal("latent2", self.latent_dim, like=like))
            mixes = draw.uniform("mix", like=like) < self.config.mixing
            mixed = generator.mixed(latents, generator.extended(other), draw)
            latents = torch.where(mixes[:, None, None], mixed, latents)
        return latent, latents

    def noise(self, turn: Turn, rows: slice = slice(None)) -> list[Float[Tensor, "_ 1 _ _"]]:
        """The generator's maps of noise, drawn anew for each face."""
        like, draw = turn.batch["source"]["image"][rows], turn.draw.some(rows)
        generator: Any = turn.networks["generator"]
        return [draw.noise(f"noise{k}", 1, *size, like=like) for k, size in enumerate(generator.noise_sizes)]

    def real(self, turn: Turn) -> Tensor:
        """The batch as the discriminator judges it: images, with their segmentations behind them if it looks at pairs."""
        sample = turn.batch["source"]
        if not self.pairs:
            return sample["image"]
        layout = one_hot(sample["segmentation"], len(self.parts), like=sample["image"])
        return torch.cat([sample["image"], layout], 1)

    def fake(self, made: Synthesised) -> Tensor:
        """Made faces, likewise."""
        if not self.pairs:
            return made.image
        assert made.segmentation is not None
        return torch.cat([made.image, made.segmentation], 1)

    def measured(self, shown: Tensor, factor: float) -> Tensor:
        """Pairs with their segmentations times a factor; images as they are."""
        if not self.pairs:
            return shown
        colours = self.facts.channels
        return torch.cat([shown[:, :colours], shown[:, colours:] * factor], 1)

    def judged(self, turn: Turn, discriminator: Any, shown: Tensor, name: str) -> Tensor:
        """The discriminator's scores of augmented images or pairs, in full precision."""
        seen, colours = self.seen(shown, turn, name), self.facts.channels
        pair = (seen[:, :colours], seen[:, colours:]) if self.pairs else (seen,)
        return full_precision(discriminator(*pair))

    # ---- the discriminator's steps ----

    def discriminator_weights(self, clock: Clock) -> dict[str, float]:
        """Real and fake alike."""
        return {"real": 1.0, "fake": 1.0} | self.extra_weights("discriminator")

    def discriminator_terms(self, turn: Turn) -> dict[str, Tensor]:
        """The discriminator learns to tell real faces from made ones, each in a pass of its own: it looks at whole batches."""
        shown, discriminator = self.real(turn), turn.networks["discriminator"]
        with torch.no_grad():
            latent, latents = self.latents(turn, turn.networks["mapping"])
            made: Synthesised = turn.networks["generator"](latents, self.noise(turn))
        real, fake = (
            self.judged(turn, discriminator, shown, "real"),
            self.judged(turn, discriminator, self.fake(made), "fake"),
        )
        terms = self.costs(turn, real, fake)
        self.remember("mean_latent", turn.world.mean(full_precision(latent.detach()).mean(0)))
        for name, score in (("real_sign", real), ("fake_sign", fake)):
            self._signs.setdefault(name, []).append(score.detach().sign().mean())
        image = turn.batch["source"]["image"]
        values = {"image": image, "synthesised": made, "real_score": real, "fake_score": fake}
        return terms | self.extra_terms("discriminator", turn, values)

    def penalty_terms(self, turn: Turn) -> dict[str, Tensor]:
        """The discriminator's gradient with respect to real faces, through the augmentation.

        A segmentation is measured in other units than the image: the discriminator is given it times a number, so that its
        squared gradient counts `segmentation_penalty` times as much.
        """
        shown, score = self.real(turn), turn.eager(turn.networks["discriminator"])
        fake = shown
        if not self.penalty.on_real:
            with torch.no_grad():
                made = turn.networks["generator"](self.latents(turn, turn.networks["mapping"])[1], self.noise(turn))
                fake = self.fake(made)
        unit = self.config.weights.segmentation_penalty**0.5
        penalty = self.penalty(
            lambda x: self.judged(turn, score, self.measured(x, unit), "penalty"),
            self.measured(shown, 1 / unit), self.measured(fake, 1 / unit), turn.draw,
        )  # fmt: skip
        return {"penalty": penalty}

    # ---- the generator's steps ----

    def generator_weights(self, clock: Clock) -> dict[str, float]:
        """The adversarial term, and that of the masks."""
        mask = self.config.weights.mask
        return {"adversarial": 1.0} | ({"mask": mask} if mask > 0 else {}) | self.extra_weights("generator")

    def generator_terms(self, turn: Turn) -> dict[str, Tensor]:
        """Mapping and generator fool the discriminator."""
        _, latents = self.latents(turn, turn.networks["mapping"])
        made: Synthesised = turn.networks["generator"](latents, self.noise(turn))
        score = self.judged(turn, turn.networks["discriminator"], self.fake(made), "synthesised")
        terms = {"adversarial": self.adversarial.generator(score)}
        if self.config.weights.mask > 0:
            terms["mask"] = mask_difference(made)
        return terms | self.extra_terms("generator", turn, {"synthesised": made, "latents": latents, "score": score})

    def path_weights(self, clock: Clock) -> dict[str, float]:
        """As strong as if it played every time."""
        return {"path_length": self.config.weights.path_length * self.config.weights.path_every}

    def path_terms(self, turn: Turn) -> dict[str, Tensor]:
        """A step of one size in w changes the face by as much everywhere (StyleGAN2, section 3.2 and appendix B).

        On every second face of the batch, or its only one. The running mean takes part in the gradient, as in the
        official code; it is that of all processes.
        """
        image = turn.batch["source"]["image"]
        rows = slice(0, max(1, len(image) - len(image) % 2), 2)
        network: Any = turn.networks["generator"]
        generator, mapping = turn.eager(network), turn.eager(turn.networks["mapping"])
        with torch.set_grad_enabled(self.config.path_trains_mapping):
            _, latents = self.latents(turn, mapping, rows)
            latents = network.unrolled(latents)
        if not latents.requires_grad:
            latents = latents.detach().requires_grad_()
        made = generator(latents, self.noise(turn, rows)).image
        direction = turn.draw.some(rows).noise("path", *image.shape[1:], like=image[rows])
        lengths = path_lengths(made, latents, direction)
        decay, before = self.config.weights.path_decay, self.path_mean.to(lengths.dtype)
        mean = before + decay * (turn.world.mean(lengths.mean()) - before)
        self.remember("path_mean", mean.detach())
        self._figures["path_mean"] = mean.detach()
        return {"path_length": (lengths - mean).square().mean()}

    # ---- state ----

    def remember(self, name: str, value: Tensor) -> None:
        """Keep what a micro-batch says of a running mean until the iteration ends."""
        self._means.setdefault(name, []).append(value)

    def after(self, clock: Clock) -> None:
        """Move the running means, and p of an adaptive augmentation."""
        super().after(clock)
        for name, values in self._means.items():
            mean, buffer = torch.stack(values).mean(0), self.get_buffer(name)
            mean = mean.to(buffer.dtype)
            if name == "mean_latent":  # the first batch's, where there was none before
                mean = torch.where(buffer.any(), mean.lerp(buffer, MEAN_DECAY), mean)
            buffer.copy_(mean)
        self._means = {}

    def observe(self) -> Mapping[str, Tensor]:
        """0-d figures: those of the last steps, and means of signs since the last call."""
        self._figures |= {name: torch.stack(signs).mean() for name, signs in self._signs.items()}
        self._signs = {}
        return super().observe()

    # ---- for the person who waits ----

    def advise(self, figures: Mapping[str, float], images: int, iteration: int) -> str | None:
        """What the field's users ran into: a discriminator that knows its few faces by heart."""
        if images >= IMAGES_BEFORE_ADVICE and figures.get("real_sign", 0.0) > 0.95 and not self.augment.every:
            said = "the discriminator is sure of every real face (real_sign > .95), so it may overfit"
            return f"{said}: try a new run with --set augment.use=ada"
        return None

    def editor(self, networks: Networks, *, attributes: tuple[str, ...]) -> Editor:
        """An editor that makes faces of its own."""
        return SynthesisEditor(networks, self.condition, self.mean_latent, self.config.inversion)


def one_hot(labels: UInt8[Tensor, "n h w"], classes: int, *, like: Tensor) -> Float[Tensor, "n k h w"]:
    """A map of classes as 1 where a pixel is of a class, and -1 elsewhere."""
    known = torch.arange(classes, device=labels.device, dtype=labels.dtype)[:, None, None]
    return (labels[:, None] == known).to(like.dtype) * 2 - 1


def mask_difference(made: Synthesised) -> Float[Tensor, ""]:
    """How far the segmentation, averaged over the pixels of a coarse one, is from the coarse masks: the mean square
    (SemanticStyleGAN, section 3.4; official code: train.py)."""
    coarse, segmentation = made.coarse, made.segmentation
    assert coarse is not None and segmentation is not None
    pooled = F.adaptive_avg_pool2d(full_precision(segmentation), (coarse.shape[2], coarse.shape[3]))
    return (full_precision(coarse) - pooled).square().mean()


def path_lengths(
    image: Float[Tensor, "n c h w"], latents: Float[Tensor, "n rows s"], direction: Float[Tensor, "n c h w"]
) -> Float[Tensor, " n"]:
    """How far each face moves along a random direction when its latents do: |J^T y| with y ~ N(0, 1) / sqrt(h w).

    The root of the mean over the rows of w+ of the sum over a row. Twice differentiable.
    """
    scaled = direction / (image.shape[2] * image.shape[3]) ** 0.5
    return slope((image * scaled).sum(), latents).square().sum(2).mean(1).sqrt()
