"""SemanticStyleGAN's networks: a generator of parts, and a discriminator of images with segmentations.

Source: Shi et al. 2022, section 3.
"""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan import ConfigError
from zoogan.interfaces import Draws, ImageDiscriminator, LatentGenerator, Latents, Noise, SynthesisedFace
from zoogan.layers import DiscriminatorHead, DiscriminatorTrunk, compute_synthesis_widths
from zoogan.plugins import Facts
from zoogan_semantic_stylegan.config import NAME, SemanticStyleGANDiscriminatorConfig, SemanticStyleGANGeneratorConfig
from zoogan_semantic_stylegan.parts import (
    PartComposition,
    PartFeatures,
    PartGenerators,
    Places,
    Positions,
    make_coordinate_grid,
)
from zoogan_semantic_stylegan.render import Renderer


class SemanticStyleGANGenerator(LatentGenerator):
    """Generates a face and its segmentation from latents, both unbounded.

    Rows of w+: `shared_layers` for the coarse structure of all parts but the background, then two for each part, its
    shape and its texture. Unrolled, each layer of each part has a row of its own; the layers of a part lie together.

    Args:
        config: Settings of the network.
        facts: Image size, channels, parts and the transparent ones among them.

    Raises:
        ConfigError: Fewer than two parts, sizes that are no rising powers of two, or latents whose kind would be
            ambiguous.
    """

    place: Tensor
    source: Tensor

    def __init__(self, config: SemanticStyleGANGeneratorConfig, facts: Facts) -> None:
        super().__init__()
        parts = len(facts.parts)
        side = min(64, facts.image_size // 2) if config.coarse_size is None else config.coarse_size
        first = max(4, side // 4) if config.render_from is None else config.render_from
        if parts < 2:
            raise ConfigError(
                f"{NAME} makes faces of parts, and this source has {parts or 'none'}: "
                "use one that has segmentations (drawn, celebamask_hq, folder with data.label_maps), or start from a "
                "trained run and adapt it to pictures without: --from RUN"
            )
        widths = compute_synthesis_widths(facts.image_size, config.channel_multiplier, config.max_width)
        if not 4 <= first < side < facts.image_size or first.bit_count() != 1 or side.bit_count() != 1:
            raise ConfigError(
                f"{NAME} needs powers of two that rise from 4: generator.render_from {first}, generator.coarse_size "
                f"{side}, data.image_size {facts.image_size}"
            )
        self.config, self.parts, self.style_dim, self.side = config, facts.parts, config.style_dim, side
        self.rows, self.layers = config.shared_layers + 2 * parts, parts * config.part_layers
        if self.rows == self.layers:
            raise ConfigError(
                f"generator: {parts} parts with {config.part_layers} layers make {self.layers} rows unrolled, as "
                "many as w+ has, which is ambiguous: change part_layers or shared_layers by one"
            )
        shared = config.shared_layers
        coarse = {"coarse": {"shape": tuple(range(shared))}} if shared else {}
        self.part_rows = coarse | {
            part: {"shape": (shared + 2 * k,), "texture": (shared + 2 * k + 1,)} for k, part in enumerate(self.parts)
        }
        frequencies = facts.image_size.bit_length() - 1 if config.frequencies is None else config.frequencies
        self.positions = Positions(frequencies, config.part_width)
        self.part_generators = PartGenerators(
            parts, config.part_layers, config.shape_layers, config.part_width, config.style_dim, config.detach_texture
        )
        transparent = tuple(facts.parts.index(part) for part in facts.transparent)
        self.composition = PartComposition(parts, config.part_width, config.feature_width, transparent)
        self.renderer = Renderer(
            config.feature_width, side, first, widths[first.bit_length() - 3 :],
            facts.channels, parts, refine=config.refine, noise=config.noise,
        )  # fmt: skip
        self.noise_sizes = self.renderer.noise_sizes
        self.add_fixed_noise()
        self.register_buffer("place", make_coordinate_grid(side), persistent=False)
        self.register_buffer("source", torch.tensor(self.list_source_rows()), persistent=False)

    def list_source_rows(self) -> list[int]:
        """List the row of w+ from which each unrolled row comes."""
        shared, shape, layers = self.config.shared_layers, self.config.shape_layers, self.config.part_layers
        rows: list[int] = []
        for part in range(len(self.parts)):
            own = shared + 2 * part
            coarse = list(range(shared)) if part else [own] * shared
            rows += coarse + [own] * (shape - shared) + [own + 1] * (layers - shape)
        return rows

    def expand_rows(self, latents: Latents) -> Float[Tensor, "n layers s"]:
        """Unroll w+ to (n, parts * part_layers, style_dim); unrolled latents are returned unchanged.

        Raises:
            ValueError: The latents are neither w+ nor unrolled.
        """
        if latents.shape[1] == self.layers:
            return latents
        if latents.shape[1] != self.rows:
            raise ValueError(
                f"latents of {latents.shape[1]} rows: expected {self.rows}, or {self.layers} of the layers of all parts"
            )
        return latents.index_select(1, self.source)

    def mix_latents(self, one: Latents, other: Latents, draw: Draws) -> Latents:
        """Mix the parts of two faces.

        For each part of each face, with equal probability: shape and texture of `one`, its shape with the texture of
        `other`, or both of `other`. The coarse structure is that of `one`.

        Source: mix_styles of the official code.
        """
        kind = (draw.uniform("parts", len(self.parts), like=one) * 3).floor().clamp(max=2)
        from_other = torch.stack([kind == 2, kind >= 1], 2).flatten(1)  # shape, texture of each part
        coarse = from_other.new_zeros(len(one), self.config.shared_layers)
        return torch.where(torch.cat([coarse, from_other], 1)[..., None], other, one)

    def compute_part_features(self, latents: Latents, places: Places | None = None) -> PartFeatures:
        """Compute the features and the depth of each part.

        Args:
            latents: w+, or unrolled.
            places: x and y of each pixel for each part, to move or scale a part; None = the grid for all.
        """
        positions = self.positions(self.place if places is None else places)
        return self.part_generators(self.expand_rows(latents), positions, (self.side, self.side))

    def forward(self, latents: Latents, noise: Noise | None = None) -> SynthesisedFace:
        """Generate faces with their segmentation.

        Args:
            latents: w+ (n, rows, style_dim), or unrolled.
            noise: Maps of N(0, 1), two for each doubling of the renderer; empty for a network without noise. None = the
                network's own.

        Returns:
            Image (n, c, s, s), segmentation (n, k, s, s), coarse and depth (n, k, coarse_size, coarse_size).
        """
        return self.generate_parts(latents, noise)

    def generate_parts(
        self,
        latents: Latents,
        noise: Noise | None = None,
        *,
        visible: Float[Tensor, "#n k"] | None = None,
        places: Places | None = None,
    ) -> SynthesisedFace:
        """Generate a face of some parts only.

        Args:
            latents: See `forward`.
            noise: See `forward`.
            visible: (n, k) or (1, k); 1 = the part may show, 0 = it is left out and its coarse mask is exactly -1.
                None = all parts.
            places: See `compute_part_features`.
        """
        features = self.compute_part_features(latents, places)
        masks = self.composition.compute_masks(features.depth, visible)
        coarse = 2 * masks - 1
        noise = self.get_fixed_noise() if noise is None else noise
        maps: list[Tensor | None] = [*noise] if noise else [None] * (2 * len(self.renderer.stages))
        image, segmentation = self.renderer(self.composition(features.hidden, masks), coarse, maps)
        return SynthesisedFace(image, segmentation, coarse, features.depth)


class SemanticStyleGANDiscriminator(ImageDiscriminator):
    """Residual halvings of the image and of the segmentation, each down to 4 x 4; one head scores their sum.

    Args:
        config: Settings of the network.
        facts: Image size, channels and parts; without parts there is no branch for segmentations.

    Source: SemanticStyleGAN, section 3.4.
    """

    def __init__(self, config: SemanticStyleGANDiscriminatorConfig, facts: Facts) -> None:
        super().__init__()
        widths = compute_synthesis_widths(facts.image_size, config.channel_multiplier, config.max_width)
        self.classes = len(facts.parts)
        self.trunk = DiscriminatorTrunk(facts.channels, widths[::-1])
        self.segmentation_trunk = DiscriminatorTrunk(self.classes, widths[::-1]) if self.classes else None
        self.head = DiscriminatorHead(widths[0], widths[0], config.group)

    def forward(
        self, image: Float[Tensor, "n c h w"], segmentation: Float[Tensor, "n k h w"] | None = None
    ) -> Float[Tensor, "n 1"]:
        """Score images with their segmentations.

        Args:
            image: Images (n, c, s, s) in [-1, 1].
            segmentation: Segmentations (n, k, s, s), -1 or 1; None = score the images alone.

        Returns:
            Scores (n, 1), unbounded.
        """
        x = self.trunk(image)
        if segmentation is not None:
            assert isinstance(self.segmentation_trunk, nn.Module)
            x = x + self.segmentation_trunk(segmentation)
        return self.head(x)
