"""Synthesis: a mapping and a generator make faces from noise, one discriminator judges them.

Source: StyleGAN2 (Karras et al. 2020), section 3 and appendix B; with other networks SemanticStyleGAN.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, ClassVar

import torch
from jaxtyping import Float, UInt8
from torch import Tensor

from zoogan.conditions.latent import LatentCondition
from zoogan.config import get_component_name
from zoogan.editors.region_editor import RegionEditor
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.games.adversarial import AdversarialGame, get_common_style_dim
from zoogan.games.config import SynthesisConfig
from zoogan.interfaces import Clock, Draws, Editor, Latents, Need, Networks, Step, SynthesisedFace, Targets, Turn
from zoogan.layers.layout import make_layout
from zoogan.layers.precision import ensure_float32
from zoogan.losses.synthesis import compute_path_lengths, mask_loss

OVERFIT_ADVICE_IMAGES = 50_000
MEAN_LATENT_DECAY = 0.998  # of the running mean latent (StyleGAN2-ADA's official code)


class Synthesis(AdversarialGame):
    """The game of StyleGAN2 and SemanticStyleGAN.

    Steps: `discriminator`, `penalty`, `generator` and `path_length`; the second and the last are lazy regularisers.

    A discriminator that can judge segmentations gets pairs: images with the segmentation of the source as -1 and 1, or
    with the generator's as it is. A generator that takes layouts paints those of the batch, in codes from noise; else
    segmentations are read for pairs only.

    Terms of `discriminator`: real, fake. Of `penalty`: penalty. Of `generator`: adversarial, mask. Of `path_length`:
    path_length. Values for extra terms: image, synthesised, real_score and fake_score for the discriminator;
    synthesised, latents and score for the generator.

    Figures: `real_sign` and `fake_sign`, the mean signs of the discriminator's scores since they were last collected,
    which show how much it overfits; `path_mean`.

    Args:
        config: The complete config of the run.
        facts: Facts about the data.
        components: The built component of each slot, by name of the slot.

    Attributes:
        path_mean: Running mean of path lengths.
        mean_latent: Running mean of w (style_dim,).

    Raises:
        ConfigError: The networks differ in `style_dim`, the discriminator's classes are not the generator's parts, or
            `weights.mask` needs parts that the generator lacks.

    Source: StyleGAN2 (Karras et al. 2020), section 3 and appendix B.
    """

    averages: ClassVar[tuple[str, ...]] = ("generator", "mapping")
    condition: LatentCondition
    path_mean: Tensor
    mean_latent: Tensor

    def __init__(self, config: SynthesisConfig, facts: Facts, components: Mapping[str, Any]) -> None:
        super().__init__(config, facts, components)
        self.config = config
        style_dim = get_common_style_dim(components, ("generator", "mapping"), "latent")
        generator, discriminator = components["generator"], components["discriminator"]
        self.parts: tuple[str, ...] = generator.parts
        self.judges_pairs: bool = config.judge_segmentation and discriminator.classes > 0
        if self.judges_pairs and discriminator.classes != len(self.parts):
            raise ConfigError(
                f"discriminator {get_component_name(config.discriminator)!r} looks at segmentations of "
                f"{discriminator.classes} classes, but generator {get_component_name(config.generator)!r} gives "
                f"{len(self.parts) or 'none'}: use networks that fit, or set judge_segmentation to false"
            )
        generator_name, weights = get_component_name(config.generator), config.weights
        if weights.mask > 0 and (not self.parts or generator.takes_layout):
            raise ConfigError(
                f"weights.mask: generator {generator_name!r} makes no masks of parts that could be compared: set it to "
                "0"
            )
        if weights.segmentation_penalty == 0 and not components["penalty"].on_real and not generator.takes_layout:
            raise ConfigError(
                f"weights.segmentation_penalty=0: penalty {get_component_name(config.penalty)!r} compares real and "
                "generated pairs, whose segmentations differ: set it above 0, or use penalty.use=r1"
            )
        if weights.path_length > 0 and not getattr(config.generator, "reads_latents", True):
            raise ConfigError(
                f"weights.path_length: no layer of generator {generator_name!r} reads latents with these settings: set "
                "weights.path_length=0 and mixing=0"
            )
        self.takes_layout: bool = generator.takes_layout
        maps = ("layout",) if self.takes_layout else ("segmentation",) if self.judges_pairs else ()
        self.needs: Mapping[str, Need] = {"source": Need(("image", *maps))}
        self.latent_dim: int = components["mapping"].latent_dim
        self.register_buffer("path_mean", torch.zeros(()))
        self.register_buffer("mean_latent", torch.zeros(style_dim))
        self._means: dict[str, list[Tensor]] = {}
        self._signs: dict[str, list[Tensor]] = {}

    @property
    def steps(self) -> tuple[Step, ...]:
        """The steps `discriminator`, `penalty`, `generator` and `path_length`."""
        weights = self.config.weights
        path_trains = ("generator", "mapping") if self.config.path_trains_mapping else ("generator",)
        penalty = Step(
            "penalty", ("discriminator",), self.compute_penalty_terms, self.get_penalty_weights,
            every=self.penalty.every, lazy=True,
        )  # fmt: skip
        path_length = Step(
            "path_length", path_trains, self.compute_path_length_terms, self.get_path_length_weights,
            every=weights.path_every, lazy=True,
        )  # fmt: skip
        return (
            Step("discriminator", ("discriminator",), self.compute_discriminator_terms, self.get_discriminator_weights),
            *([penalty] if self.penalty.weight > 0 else []),
            Step("generator", ("generator", "mapping"), self.compute_generator_terms, self.get_generator_weights),
            *([path_length] if weights.path_length > 0 else []),
        )

    def draw_targets(self, batch: Mapping[str, Mapping[str, Tensor]], draw: Draws) -> Targets:
        """Draw no targets: faces come from noise."""
        return self.condition.draw_targets(batch["source"], draw)

    # ---- faces from noise ----

    def sample_latents(self, turn: Turn, mapping: Any, rows: slice = slice(None)) -> tuple[Tensor, Tensor]:
        """Map drawn noise to latents, and mix two latents for a share of the faces.

        Args:
            turn: Everything that terms may read.
            mapping: The mapping network, or a callable that runs it.
            rows: Rows of the batch.

        Returns:
            (w (n, style_dim), w+ (n, rows, style_dim)).

        Source: StyleGAN (Karras et al. 2019), section 3.1: style mixing.
        """
        like, draw = turn.batch["source"]["image"][rows], turn.draw.select_rows(rows)
        generator: Any = turn.networks["generator"]
        latent = mapping(draw.normal("latent", self.latent_dim, like=like))
        latents = generator.repeat_latent(latent)
        if self.config.mixing > 0:
            other = mapping(draw.normal("latent2", self.latent_dim, like=like))
            mixes = draw.uniform("mix", like=like) < self.config.mixing
            mixed = generator.mix_latents(latents, generator.repeat_latent(other), draw)
            latents = torch.where(mixes[:, None, None], mixed, latents)
        return latent, latents

    def sample_noise(self, turn: Turn, rows: slice = slice(None)) -> list[Float[Tensor, "_ 1 _ _"]]:
        """Draw the generator's maps of noise, N(0, 1), anew for each face.

        Args:
            turn: Everything that terms may read.
            rows: Rows of the batch.

        Returns:
            A map (n, 1, h, w) for each of `generator.noise_sizes`.
        """
        like, draw = turn.batch["source"]["image"][rows], turn.draw.select_rows(rows)
        generator: Any = turn.networks["generator"]
        return [draw.normal_on_device(f"noise{k}", 1, *size, like=like) for k, size in enumerate(generator.noise_sizes)]

    def generate(
        self, turn: Turn, latents: Latents, rows: slice = slice(None), generator: Any = None
    ) -> SynthesisedFace:
        """Generate the faces of latents, with drawn noise, from the layouts of the batch if the generator takes them.

        Args:
            turn: Everything that terms may read.
            latents: w+ (n, rows, style_dim).
            rows: Rows of the batch.
            generator: A callable that runs the generator; None = the network itself.
        """
        generator = turn.networks["generator"] if generator is None else generator
        noise = self.sample_noise(turn, rows)
        if not self.takes_layout:
            return generator(latents, noise)
        return generator(latents, noise, turn.batch["source"]["layout"][rows])

    # ---- inputs of the discriminator: images, or pairs (an image with its segmentation as further channels) ----

    def make_real_input(self, turn: Turn) -> Tensor:
        """Return real images (n, c, h, w), or real pairs (n, c + parts, h, w)."""
        sample = turn.batch["source"]
        if not self.judges_pairs:
            return sample["image"]
        if self.takes_layout:
            return torch.cat([sample["image"], 2 * sample["layout"] - 1], 1)
        layout = make_one_hot_maps(sample["segmentation"], len(self.parts), like=sample["image"])
        return torch.cat([sample["image"], layout], 1)

    def make_fake_input(self, synthesised: SynthesisedFace) -> Tensor:
        """Return generated images, or generated pairs."""
        if not self.judges_pairs:
            return synthesised.image
        assert synthesised.segmentation is not None
        return torch.cat([synthesised.image, synthesised.segmentation], 1)

    def scale_segmentation(self, x: Tensor, factor: float) -> Tensor:
        """Multiply the segmentations of pairs by a factor; images stay as they are."""
        if not self.judges_pairs:
            return x
        channels = self.facts.channels
        return torch.cat([x[:, :channels], x[:, channels:] * factor], 1)

    def score(self, turn: Turn, discriminator: Any, x: Tensor, name: str) -> Tensor:
        """Augment images or pairs, and score them.

        Args:
            turn: Everything that terms may read.
            discriminator: The network, or a callable that runs it.
            x: Images or pairs.
            name: Prefix of the names of the augmentation's draws.

        Returns:
            Scores (n, 1) in full precision, unbounded.
        """
        augmented, channels = self.augment_for_discriminator(x, turn, name), self.facts.channels
        inputs = (augmented[:, :channels], augmented[:, channels:]) if self.judges_pairs else (augmented,)
        return ensure_float32(discriminator(*inputs))

    # ---- the discriminator's steps ----

    def get_discriminator_weights(self, clock: Clock) -> dict[str, float]:
        """Return 1 for real and fake, and the weights of the extra terms."""
        return {"real": 1.0, "fake": 1.0} | self.get_extra_weights("discriminator")

    def compute_discriminator_terms(self, turn: Turn) -> dict[str, Tensor]:
        """Train the discriminator to tell real from generated faces.

        Real and generated faces need separate forwards, because the minibatch deviation compares the images of a batch.
        """
        discriminator = turn.networks["discriminator"]
        synthesised = self.generate_fakes(turn)
        real = self.score(turn, discriminator, self.make_real_input(turn), "real")
        fake = self.score(turn, discriminator, self.make_fake_input(synthesised), "fake")
        terms = self.compute_discriminator_losses(turn, real, fake)
        self.record_signs(real, fake)
        image = turn.batch["source"]["image"]
        values = {"image": image, "synthesised": synthesised, "real_score": real, "fake_score": fake}
        return terms | self.compute_extra_terms("discriminator", turn, values)

    @torch.no_grad()
    def generate_fakes(self, turn: Turn) -> SynthesisedFace:
        """Generate the faces that the discriminator learns to tell from real ones, without a graph."""
        latent, latents = self.sample_latents(turn, turn.networks["mapping"])
        self.record_mean("mean_latent", turn.world.reduce_mean(ensure_float32(latent).mean(0)))
        return self.generate(turn, latents)

    def compute_penalty_terms(self, turn: Turn) -> dict[str, Tensor]:
        """Compute the penalty of the discriminator's gradient with respect to faces, through the augmentation.

        The segmentation is divided by a factor and the scorer multiplies it again, so that its squared gradient counts
        `segmentation_penalty` times as much as that of the image; with 0 only the image is differentiated.
        """
        real, discriminator = self.make_real_input(turn), turn.make_eager(turn.networks["discriminator"])
        fake = real
        if not self.penalty.on_real:
            fake = self.make_fake_input(self.generate_fakes(turn))
        weight, channels = self.config.weights.segmentation_penalty, self.facts.channels
        if weight == 0:
            maps = real[:, channels:]
            penalty = self.penalty(
                lambda x: self.score(turn, discriminator, torch.cat([x, maps], 1), "penalty"),
                real[:, :channels], fake[:, :channels], turn.draw,
            )  # fmt: skip
            return {"penalty": penalty}
        unit = weight**0.5
        penalty = self.penalty(
            lambda x: self.score(turn, discriminator, self.scale_segmentation(x, unit), "penalty"),
            self.scale_segmentation(real, 1 / unit), self.scale_segmentation(fake, 1 / unit), turn.draw,
        )  # fmt: skip
        return {"penalty": penalty}

    # ---- the generator's steps ----

    def get_generator_weights(self, clock: Clock) -> dict[str, float]:
        """Return the weights of the adversarial term, of the masks and of the extra terms."""
        mask = self.config.weights.mask
        return {"adversarial": 1.0} | ({"mask": mask} if mask > 0 else {}) | self.get_extra_weights("generator")

    def compute_generator_terms(self, turn: Turn) -> dict[str, Tensor]:
        """Train mapping and generator to fool the discriminator."""
        _, latents = self.sample_latents(turn, turn.networks["mapping"])
        synthesised = self.generate(turn, latents)
        score = self.score(turn, turn.networks["discriminator"], self.make_fake_input(synthesised), "synthesised")
        terms = {"adversarial": self.adversarial.generator_loss(score)}
        if self.config.weights.mask > 0:
            terms["mask"] = mask_loss(synthesised)
        values = {"synthesised": synthesised, "latents": latents, "score": score}
        return terms | self.compute_extra_terms("generator", turn, values)

    def get_path_length_weights(self, clock: Clock) -> dict[str, float]:
        """Return the weight of the path-length penalty, as strong as if it were computed in every iteration."""
        return {"path_length": self.config.weights.path_length * self.config.weights.path_every}

    def compute_path_length_terms(self, turn: Turn) -> dict[str, Tensor]:
        """Train the generator so that a step of one size in w changes every face equally.

        Computed on every second face of the batch, or on its only one. The running mean takes part in the gradient, as
        in the official code; it is that of all processes.

        Source: StyleGAN2 (Karras et al. 2020), section 3.2 and appendix B.
        """
        image = turn.batch["source"]["image"]
        rows = slice(0, max(1, len(image) - len(image) % 2), 2)
        network: Any = turn.networks["generator"]
        generator, mapping = turn.make_eager(network), turn.make_eager(turn.networks["mapping"])
        with torch.set_grad_enabled(self.config.path_trains_mapping):
            _, latents = self.sample_latents(turn, mapping, rows)
            latents = network.expand_rows(latents)
        if not latents.requires_grad:
            latents = latents.detach().requires_grad_()
        fake = self.generate(turn, latents, rows, generator).image
        direction = turn.draw.select_rows(rows).normal_on_device("path", *image.shape[1:], like=image[rows])
        lengths = compute_path_lengths(fake, latents, direction)
        decay, before = self.config.weights.path_decay, self.path_mean.to(lengths.dtype)
        mean = before + decay * (turn.world.reduce_mean(lengths.mean()) - before)
        self.record_mean("path_mean", mean.detach())
        self._figures["path_mean"] = mean.detach()
        return {"path_length": (lengths - mean).square().mean()}

    # ---- state ----

    def record_signs(self, real: Tensor, fake: Tensor) -> None:
        """Record the signs of scores of real and of generated faces for the figures `real_sign` and `fake_sign`."""
        for name, score in (("real_sign", real), ("fake_sign", fake)):
            self._signs.setdefault(name, []).append(score.detach().sign().mean())

    def record_mean(self, name: str, value: Tensor) -> None:
        """Record the contribution of a micro-batch to a running mean until the iteration ends.

        Args:
            name: Name of the buffer.
            value: The mean over the micro-batch, of the shape of the buffer.
        """
        self._means.setdefault(name, []).append(value)

    def get_records(self) -> dict[str, list[Tensor]]:
        """Return the contributions to running means since the last iteration."""
        return self._means

    def end_iteration(self, clock: Clock) -> None:
        """Update the running means, and adapt the augmentation."""
        super().end_iteration(clock)
        for name, values in self._means.items():
            mean, buffer = torch.stack(values).mean(0), self.get_buffer(name)
            mean = mean.to(buffer.dtype)
            if name == "mean_latent":  # its first value is the mean of the first batch
                mean = torch.where(buffer.any(), mean.lerp(buffer, MEAN_LATENT_DECAY), mean)
            buffer.copy_(mean)
        self._means = {}

    def collect_figures(self) -> Mapping[str, Tensor]:
        """Return the 0-d figures of the last steps, and the means of signs since the last call."""
        self._figures |= {name: torch.stack(signs).mean() for name, signs in self._signs.items()}
        self._signs = {}
        return super().collect_figures()

    # ---- messages to the user ----

    def suggest_remedy(self, figures: Mapping[str, float], images: int, iteration: int) -> str | None:
        """Suggest an adaptive augmentation for a discriminator that overfits.

        Args:
            figures: Terms and figures that were just read.
            images: Training images so far.
            iteration: Iterations so far.

        Returns:
            A warning, or None.
        """
        if images >= OVERFIT_ADVICE_IMAGES and figures.get("real_sign", 0.0) > 0.95 and not self.augment.every:
            return (
                "the discriminator is sure of every real face (real_sign > 0.95), so it may overfit: "
                "try a new run with --set augment.use=ada"
            )
        return None

    @property
    def training_networks(self) -> tuple[str, ...]:
        """The discriminator."""
        return ("discriminator",)

    def make_editor(self, networks: Networks, *, attributes: tuple[str, ...]) -> Editor:
        """Make an editor that generates faces, or paints layouts if the generator takes them."""
        if self.takes_layout:
            return RegionEditor(networks, self.facts, self.mean_latent)
        return SynthesisEditor(networks, self.condition, self.mean_latent, self.config.inversion)


def make_one_hot_maps(labels: UInt8[Tensor, "n h w"], classes: int, *, like: Tensor) -> Float[Tensor, "n k h w"]:
    """Turn segmentations into one map a class.

    Args:
        labels: Class of every pixel (n, h, w).
        classes: How many classes there are.
        like: A tensor that gives the dtype.

    Returns:
        Maps (n, classes, h, w): 1 where a pixel is of the class, -1 elsewhere.
    """
    return make_layout(labels, classes, like.dtype) * 2 - 1
