"""The image-to-image body and the discriminator's trunk that StarGAN and its descendants share."""

from __future__ import annotations

import itertools
from collections import OrderedDict

from jaxtyping import Float
from torch import Tensor, nn

from zoogan.config import ConfigError
from zoogan.layers.norm import normalisation
from zoogan.layers.resample import doubling, halving


def normalised(conv: nn.Module, norm: nn.Module) -> nn.Sequential:
    """Convolution, norm, ReLU; state under `conv` and `norm`."""
    return nn.Sequential(OrderedDict(conv=conv, norm=norm, relu=nn.ReLU(inplace=True)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with norms, the input added, no activation after the sum (He et al. 2016).

    skip: False leaves the sum out.
    """

    def __init__(self, channels: int, norm: str, *, bias: bool, skip: bool = True) -> None:
        super().__init__()
        conv = [nn.Conv2d(channels, channels, 3, 1, 1, bias=bias) for _ in range(2)]
        self.first = normalised(conv[0], normalisation(norm, channels))
        self.second = nn.Sequential(OrderedDict(conv=conv[1], norm=normalisation(norm, channels)))
        self.skip = skip

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """The block."""
        y = self.second(self.first(x))
        return x + y if self.skip else y


class EncoderDecoder(nn.Module):
    """Down by strided convolutions, residual blocks, up again (Johnson et al. 2016; StarGAN, table 4).

    Args:
        inputs, outputs: channels.
        width: channels at full size; each halving doubles them.
        kernel: of the first and the last convolution.
        norm, res_norm: outside and inside the residual blocks; see `normalisation`.
        affine: whether the norms outside have a scale and a shift.
        bias: of every convolution but the last, whose own is `head_bias`.
        upsample: `transpose` or `resize`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        *,
        width: int,
        downsamplings: int,
        blocks: int,
        kernel: int = 7,
        norm: str = "instance",
        res_norm: str = "instance",
        affine: bool = True,
        bias: bool = False,
        head_bias: bool = False,
        upsample: str = "transpose",
        skip: bool = True,
    ) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(downsamplings + 1)]
        steps = list(itertools.pairwise(widths))
        self.stem = normalised(
            nn.Conv2d(inputs, width, kernel, 1, kernel // 2, bias=bias),
            normalisation(norm, width, affine=affine),
        )
        self.down = nn.Sequential(
            *(normalised(halving(a, b, bias), normalisation(norm, b, affine=affine)) for a, b in steps)
        )
        self.residual = nn.Sequential(
            *(ResidualBlock(widths[-1], res_norm, bias=bias, skip=skip) for _ in range(blocks))
        )
        self.up = nn.Sequential(
            *(
                normalised(doubling(upsample, b, a, bias), normalisation(norm, a, affine=affine))
                for a, b in reversed(steps)
            )
        )
        self.head = nn.Conv2d(width, outputs, kernel, 1, kernel // 2, bias=head_bias)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h w"]:
        """(n, inputs, h, w) -> (n, outputs, h, w), unbounded; h and w are multiples of 2 ** downsamplings."""
        return self.head(self.up(self.residual(self.down(self.stem(x)))))


def default_stages(image_size: int) -> int:
    """Halvings of a discriminator's trunk: down to 2 x 2, but at most six (StarGAN's number at 128 px)."""
    return max(1, min(6, image_size.bit_length() - 2))


def check_halvings(who: str, setting: str, halvings: int, image_size: int, *, whole: bool) -> None:
    """Refuse more halvings than the image size allows; `whole`: refuse a remainder too.

    Raises:
        ConfigError: naming the component, the setting and the sizes that fit.
    """
    least = 2**halvings
    if image_size < least or (whole and image_size % least):
        needs = "a multiple of" if whole else "at least"
        raise ConfigError(
            f"{who}: {setting}={halvings} needs an image size of {needs} {least} pixels, got {image_size}"
        )


class StridedTrunk(nn.Sequential):
    """Strided convolutions k4 s2 p1 with LeakyReLU, no norm, doubling in width (StarGAN, table 5)."""

    def __init__(self, inputs: int, *, width: int, stages: int, slope: float) -> None:
        widths = [inputs, *(width * 2**k for k in range(stages))]
        super().__init__(*(
            nn.Sequential(OrderedDict(conv=halving(a, b), relu=nn.LeakyReLU(slope, inplace=True)))
            for a, b in itertools.pairwise(widths)
        ))  # fmt: skip
        self.outputs = widths[-1]


def normal_init(network: nn.Module, std: float = 0.02) -> None:
    """N(0, std) weights and zero biases of every convolution, in place (DCGAN, Radford et al. 2016)."""
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
