"""The official network that computes offsets, with its faults, so that it computes what official weights do."""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan import ConfigError
from zoogan.interfaces import LatentOffset, Latents
from zoogan.layers import (
    BatchNorm2d,
    ImprovedResidualBlock,
    InstanceNorm2d,
    LocallyConnected,
    SeanNorm,
    make_strided_shortcut,
    pool_regions,
)
from zoogan.plugins import Facts
from zoogan_sd_gan.fusion_config import SdGanOfficialOffsetConfig
from zoogan_sd_gan.networks import GEOMETRY_CHANNELS, count_rows

HALVINGS = 4
STRIDES = (1, 2, 2, 2)
"""Of the stages of the face encoder, after a pooling that halves; those of the composite's all have 2."""


class OfficialFeatures(NamedTuple):
    """What the official network computes before the regressor.

    Attributes:
        face: Features of the face.
        composite: Features of the composite.
        codes: A code of each colour channel of the face.
        fused: The features of the composite, scaled and shifted by those of the face and the codes.
    """

    face: Float[Tensor, "n s h w"]
    composite: Float[Tensor, "n s h w"]
    codes: Float[Tensor, "n c s"]
    fused: Float[Tensor, "n s h w"]


class FaceEncoder(nn.Module):
    """Eight blocks of ArcFace's kind without a head; halves four times.

    Args:
        channels: Channels of an image.
        widths: Channels of the four stages.

    Source: official `model.py`, `arcfacenet`.
    """

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.norm = BatchNorm2d(widths[0])
        self.activation = nn.PReLU()
        self.stages = nn.Sequential(
            *(
                nn.Sequential(ImprovedResidualBlock(a, b, stride), ImprovedResidualBlock(b, b))
                for (a, b), stride in zip(pairwise([widths[0], *widths]), STRIDES)
            )
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d | nn.Linear):
                nn.init.xavier_normal_(layer.weight)

    def forward(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n s h2 w2"]:
        """Map images to features of a sixteenth of their height and width."""
        return self.stages(F.max_pool2d(self.activation(self.norm(self.conv(image))), 2))


class BasicBlock(nn.Module):
    """ResNet's basic block: 3x3, norm, ReLU, 3x3, norm; plus the input; ReLU.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        stride: Of the first convolution.

    Source: He et al. 2016.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm1 = BatchNorm2d(outputs)
        self.conv2 = nn.Conv2d(outputs, outputs, 3, 1, 1, bias=False)
        self.norm2 = BatchNorm2d(outputs)
        self.shortcut = make_strided_shortcut(inputs, outputs, stride)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Map (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        y = self.norm2(self.conv2(self.norm1(self.conv1(x)).relu_()))
        return (y + self.shortcut(x)).relu_()


class CompositeEncoder(nn.Module):
    """The trunk of ResNet-18 with a 3x3 stem, without a pooling; halves four times.

    Args:
        channels: Channels of an image.
        widths: Channels of the four stages.

    Source: official `model.py`, `masknet`.
    """

    def __init__(self, channels: int, widths: tuple[int, ...]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, widths[0], 3, 1, 1, bias=False)
        self.norm = BatchNorm2d(widths[0])
        self.stages = nn.Sequential(
            *(nn.Sequential(BasicBlock(a, b, 2), BasicBlock(b, b)) for a, b in pairwise([widths[0], *widths]))
        )
        for layer in self.modules():
            if isinstance(layer, nn.Conv2d):
                nn.init.kaiming_normal_(layer.weight, mode="fan_out", nonlinearity="relu")

    def forward(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n s h2 w2"]:
        """Map images to features of a sixteenth of their height and width, at least 0."""
        return self.stages(self.norm(self.conv(image)).relu_())


class CodeEncoder(nn.Module):
    """Convolutions over the geometry, then the mean of the features over each region.

    Fault kept: the regions are the colour channels of the face, where a value is not 0, which it is practically
    everywhere, so that all codes are nearly the same.

    Args:
        channels: Channels of the geometry.
        style_dim: Numbers in a code.

    Source: official `model.py`, `encoder`; SEAN (Zhu et al. 2020), section 3.1.
    """

    def __init__(self, channels: int, style_dim: int) -> None:
        super().__init__()
        a, b, c, d = (style_dim >> k for k in (4, 3, 2, 1))
        convolutions: list[nn.Module] = [
            nn.Conv2d(channels, a, 3, 1, 1, padding_mode="reflect"),
            nn.Conv2d(a, b, 3, 2, 1),
            nn.Conv2d(b, c, 3, 2, 1),
            nn.ConvTranspose2d(c, d, 3, 2, 1, 1),
        ]
        self.body = nn.Sequential(
            *(
                nn.Sequential(conv, InstanceNorm2d(width, affine=False), nn.LeakyReLU(0.2, inplace=True))
                for conv, width in zip(convolutions, (a, b, c, d))
            ),
            nn.Conv2d(d, style_dim, 3, 1, 1, padding_mode="reflect"),
        )

    def forward(
        self, geometry: Float[Tensor, "n g s s"], face: Float[Tensor, "n c h w"]
    ) -> Float[Tensor, "n c style_dim"]:
        """Compute a code of each colour channel of the faces, in [-1, 1]."""
        codes, _ = pool_regions(self.body(geometry).tanh(), find_nonzero(face))
        return codes


class Regressor(nn.Module):
    """Two locally connected layers: one over the pixels, one over the channels; then an instance norm of each row.

    Fault kept: after the norm each row has the length that the norm learned, whatever the face. The weights start
    unscaled, as published.

    Args:
        style_dim: Channels in, and numbers in a row.
        pixels: Pixels of the features.
        rows: Rows out.

    Source: official `localconntect.py`.
    """

    def __init__(self, style_dim: int, pixels: int, rows: int) -> None:
        super().__init__()
        self.over_pixels = LocallyConnected(pixels, style_dim, style_dim, std=1.0)
        self.over_channels = LocallyConnected(style_dim, pixels, rows, std=1.0)
        self.norm = nn.GroupNorm(rows, rows)  # an instance norm of rows

    def forward(self, x: Float[Tensor, "n s h w"]) -> Latents:
        """Map features (n, style_dim, h, w) to offsets (n, rows, style_dim)."""
        y = self.over_pixels(x.flatten(2)).relu()
        return self.norm(self.over_channels(y.mT).relu())


class SdGanOfficialOffset(LatentOffset):
    """Computes offsets as the official network does, whose faults are kept; the mask is not read.

    The layers of it that nothing reads (`noise_var`, `fc_mu3` to `fc_mu18`) are left out. All widths follow the length
    of a latent; the number of pixels, and with it the last layers, the image size.

    Args:
        config: Settings of the network.
        facts: Image size and channels.

    Raises:
        ConfigError: The image size is no multiple of 16 or too small, or the number of rows is open.

    Source: SD-GAN (Zhou et al. 2022), official `model.py`.
    """

    def __init__(self, config: SdGanOfficialOffsetConfig, facts: Facts) -> None:
        super().__init__()
        side = facts.image_size >> HALVINGS
        if side << HALVINGS != facts.image_size or side < 2:
            raise ConfigError(
                f"fusion: sd-gan-official halves images {HALVINGS} times to at least 2 x 2 pixels, which "
                f"{facts.image_size} px do not allow; take a multiple of 16 from 32 px, or fusion.use=sd-gan"
            )
        dim = self.style_dim = config.style_dim
        self.rows, self.geometry_channels = count_rows(config.rows, facts.image_size), GEOMETRY_CHANNELS
        widths = tuple(dim >> k for k in (3, 2, 1, 0))
        self.face = FaceEncoder(facts.channels, widths)
        self.composite = CompositeEncoder(facts.channels, widths)
        self.codes = CodeEncoder(GEOMETRY_CHANNELS, dim)
        self.fusion = SeanNorm(dim, facts.channels, dim, norm="instance", hidden=dim, kernel=5, guide=dim)
        self.regressor = Regressor(dim, side * side, self.rows)

    def compute_features(
        self,
        face: Float[Tensor, "n c h w"],
        composite: Float[Tensor, "n c h w"],
        geometry: Float[Tensor, "n g s s"] | None,
    ) -> OfficialFeatures:
        """Compute everything before the regressor.

        Fault kept: the regions of the codes are the first channels of the face's features where they are not 0, and
        the last one that is not hides the others, so that practically only the last code counts.

        Args:
            face: See `forward`.
            composite: See `forward`.
            geometry: See `forward`.

        Raises:
            ValueError: There is no geometry.
        """
        if geometry is None:
            raise ValueError(
                "this network reads the shape of faces: give their geometry, or take fusion.use=sd-gan, which can do "
                "without"
            )
        of_face, of_composite, codes = self.face(face), self.composite(composite), self.codes(geometry, face)
        regions = select_last(of_face[:, : codes.shape[1]] != 0).to(of_face.dtype)
        return OfficialFeatures(of_face, of_composite, codes, self.fusion(of_composite, regions, codes, guide=of_face))

    def forward(
        self,
        face: Float[Tensor, "n c h w"],
        composite: Float[Tensor, "n c h w"],
        mask: Float[Tensor, "n 1 h w"],
        geometry: Float[Tensor, "n g s s"] | None = None,
    ) -> Latents:
        """Compute offsets (n, rows, style_dim), of which each row has the length that a norm learned.

        Args:
            face: Faces (n, c, h, w) meant for [-1, 1].
            composite: The same faces with a template laid on.
            mask: Ignored.
            geometry: The shape of the faces (n, 9, s, s), with s a multiple of 4 from 8 (official: 128).

        Raises:
            ValueError: There is no geometry.
        """
        return self.regressor(self.compute_features(face, composite, geometry).fused)


def find_nonzero(image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Return 1 where an image is not exactly 0, and 0 elsewhere."""
    return (image != 0).to(image.dtype)


def select_last(regions: Bool[Tensor, "n k h w"]) -> Bool[Tensor, "n k h w"]:
    """Leave to each pixel the last of its regions."""
    later = regions.flip(1).cumsum(1).flip(1)
    return regions & (later == 1)
