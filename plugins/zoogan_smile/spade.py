"""The generator of SPADE (Park et al. 2019), a baseline of SMILE's paper; with codes of the parts that of SEAN."""

from __future__ import annotations

from itertools import pairwise

from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan import ConfigError
from zoogan.interfaces import Latents, LayoutGenerator, Noise, SynthesisedFace
from zoogan.layers import (
    Conv3x3,
    SeanNorm,
    SpadeNorm,
    SpadeResidualBlock,
    init_xavier,
    leaky_relu,
    resize_layout,
)
from zoogan.plugins import Facts
from zoogan_smile.image_config import SpadeGeneratorConfig
from zoogan_smile.image_networks import check_parts

INIT_GAIN = 0.02  # official: --init_type xavier --init_variance 0.02


class SpadeGenerator(LayoutGenerator):
    """Paints layouts, in [-1, 1] (tanh): residual blocks whose norms read the layout, with nearest doublings between.

    w+ has a row for each block. The first row also makes the features of the smallest size, if they are made of the
    latent. Without codes and with a start from the layout the latents have no effect.

    Args:
        config: Settings of the network.
        facts: Image size, channels and parts.

    Raises:
        ConfigError: The data has no parts, or the image size cannot be halved so often.

    Source: SPADE (Park et al. 2019), section 3 and appendix A; SEAN (Zhu et al. 2020), section 3.3.
    """

    def __init__(self, config: SpadeGeneratorConfig, facts: Facts) -> None:
        super().__init__()
        parts, widths = check_parts("generator", facts), config.widths
        doublings = len(widths) - 1
        start = facts.image_size >> doublings
        if start << doublings != facts.image_size:
            raise ConfigError(
                f"generator.widths: {len(widths)} widths halve {facts.image_size} px {doublings} times, which "
                "leaves no whole number of pixels; use an image size that is a power of two, or fewer widths"
            )
        self.parts, self.code_dim, self.style_dim = facts.parts, config.code_dim, parts * config.code_dim
        self.start_side = start
        self.start: nn.Module = (
            Conv3x3(parts, widths[0]) if config.start == "layout" else nn.Linear(self.style_dim, widths[0] * start**2)
        )

        def make_norm(channels: int, reads_codes: bool) -> SpadeNorm:
            if reads_codes:
                return SeanNorm(channels, parts, config.code_dim, norm=config.norm, hidden=config.hidden)
            return SpadeNorm(channels, parts, norm=config.norm, hidden=config.hidden)

        def make_block(inputs: int, outputs: int, is_last: bool) -> SpadeResidualBlock:
            reads = config.codes == "all" or (config.codes == "below_full_size" and not is_last)
            return SpadeResidualBlock(inputs, outputs, lambda channels: make_norm(channels, reads))

        sizes = [0, *[1] * config.middle_blocks, *range(2, len(widths))]  # of each block, as doublings
        outputs = [widths[size] for size in sizes]
        self.doubles = tuple(before < size for before, size in pairwise([0, *sizes]))
        blocks = [make_block(a, b, size == doublings) for size, (a, b) in zip(sizes, pairwise([widths[0], *outputs]))]
        self.blocks = nn.ModuleList(blocks)
        self.rows = len(blocks)
        self.rgb = Conv3x3(widths[-1], facts.channels)
        init_xavier(self, INIT_GAIN)
        if config.spectral:
            for block in blocks:
                block.add_spectral_norm()

    def make_start(self, latents: Latents, layout: Float[Tensor, "n k h w"]) -> Float[Tensor, "n w s s"]:
        """Make the features of the smallest size, of the layout or of the first row of the latents."""
        side = self.start_side
        if isinstance(self.start, nn.Linear):
            return self.start(latents[:, 0]).unflatten(1, (-1, side, side))
        return self.start(resize_layout(layout, side, side))

    def forward(
        self, latents: Latents, noise: Noise | None = None, layout: Float[Tensor, "n k h w"] | None = None
    ) -> SynthesisedFace:
        """Paint layouts.

        Args:
            latents: w+ (n, rows, parts * code_dim).
            noise: Ignored, as this network takes none.
            layout: One-hot layouts (n, k, s, s).

        Returns:
            Faces (n, c, s, s) in [-1, 1], and the layout as -1 and 1.

        Raises:
            ValueError: There is no layout.
        """
        if layout is None:
            raise ValueError("this generator paints layouts: give one for each face")
        codes = latents.unflatten(2, (len(self.parts), self.code_dim))
        x = self.make_start(latents, layout)
        for k, (block, doubles) in enumerate(zip(self.blocks, self.doubles)):
            x = F.interpolate(x, scale_factor=2.0, mode="nearest") if doubles else x
            x = block(x, layout, codes[:, k])
        return SynthesisedFace(self.rgb(leaky_relu(x)).tanh(), segmentation=2 * layout - 1)
