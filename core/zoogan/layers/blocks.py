"""Image-to-image networks and discriminator trunks of StarGAN and its descendants."""

from __future__ import annotations

import itertools
from collections import OrderedDict

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.errors import ConfigError
from zoogan.layers.norm import make_norm
from zoogan.layers.resample import make_downsampling_conv, make_upsampling_conv
from zoogan.layers.winograd import Conv3x3


def append_planes(image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"]) -> Float[Tensor, "n channels h w"]:
    """Append one constant plane an attribute to each image.

    Args:
        image: Images (n, c, h, w).
        attributes: Values (n, a).

    Returns:
        Images (n, c + a, h, w).
    """
    planes = attributes.to(image.dtype)[:, :, None, None].expand(-1, -1, *image.shape[2:])
    return torch.cat([image, planes], 1)


def make_conv_norm_relu(conv: nn.Module, norm: nn.Module) -> nn.Sequential:
    """Make a sequence of a convolution, a norm and a ReLU; its state lies under `conv` and `norm`.

    Args:
        conv: The convolution.
        norm: The norm.

    Returns:
        The sequence.
    """
    return nn.Sequential(OrderedDict(conv=conv, norm=norm, relu=nn.ReLU(inplace=True)))


class ResidualBlock(nn.Module):
    """Two 3x3 convolutions with norms; the input is added, without an activation after the sum.

    Args:
        channels: Channels in and out.
        norm: Kind of both norms; see `make_norm`.
        bias: Add a bias to both convolutions.
        skip: Add the input.
        fast: Convolve with `Conv3x3`: faster for wide layers on a CPU, rounded differently.

    Source: He et al. 2016.
    """

    def __init__(self, channels: int, norm: str, *, bias: bool, skip: bool = True, fast: bool = False) -> None:
        super().__init__()
        conv = [
            Conv3x3(channels, channels, bias) if fast else nn.Conv2d(channels, channels, 3, 1, 1, bias=bias)
            for _ in range(2)
        ]
        self.first = make_conv_norm_relu(conv[0], make_norm(norm, channels))
        self.second = nn.Sequential(OrderedDict(conv=conv[1], norm=make_norm(norm, channels)))
        self.skip = skip

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Map (n, channels, h, w) to the same shape."""
        y = self.second(self.first(x))
        return x + y if self.skip else y


class EncoderDecoder(nn.Module):
    """Downsampling convolutions, residual blocks, upsampling convolutions.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        width: Channels at full size; each halving doubles them.
        downsamplings: How often height and width are halved.
        blocks: How many residual blocks.
        kernel: Height and width of the first and the last kernel.
        norm: Kind of the norms outside the residual blocks; see `make_norm`.
        res_norm: Kind of the norms inside the residual blocks.
        affine: Give the norms outside the residual blocks a scale and a shift.
        bias: Add a bias to every convolution but the last.
        head_bias: Add a bias to the last convolution.
        upsample: `transpose` or `resize`; see `make_upsampling_conv`.
        skip: Add the input of each residual block to its output.
        fast: Convolve with `Conv3x3` in the residual blocks.

    Source: Johnson et al. 2016; StarGAN (Choi et al. 2018), table 4.
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
        fast: bool = False,
    ) -> None:
        super().__init__()
        widths = [width * 2**k for k in range(downsamplings + 1)]
        steps = list(itertools.pairwise(widths))
        self.stem = make_conv_norm_relu(
            nn.Conv2d(inputs, width, kernel, 1, kernel // 2, bias=bias),
            make_norm(norm, width, affine=affine),
        )
        self.down = nn.Sequential(
            *(
                make_conv_norm_relu(make_downsampling_conv(a, b, bias), make_norm(norm, b, affine=affine))
                for a, b in steps
            )
        )
        self.residual = nn.Sequential(
            *(ResidualBlock(widths[-1], res_norm, bias=bias, skip=skip, fast=fast) for _ in range(blocks))
        )
        self.up = nn.Sequential(
            *(
                make_conv_norm_relu(make_upsampling_conv(upsample, b, a, bias), make_norm(norm, a, affine=affine))
                for a, b in reversed(steps)
            )
        )
        self.head = nn.Conv2d(width, outputs, kernel, 1, kernel // 2, bias=head_bias)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h w"]:
        """Map (n, inputs, h, w) to (n, outputs, h, w), unbounded; h and w are multiples of 2 ** downsamplings."""
        return self.head(self.up(self.residual(self.down(self.stem(x)))))


def get_default_stages(image_size: int) -> int:
    """Return the default number of halvings in a discriminator's trunk.

    Args:
        image_size: Side of the image in pixels.

    Returns:
        Halvings down to 2 x 2 pixels, at most six (StarGAN's number at 128 px).
    """
    return max(1, min(6, image_size.bit_length() - 2))


def check_halvings(component: str, setting: str, halvings: int, image_size: int, *, exact: bool) -> None:
    """Check that the image can be halved so often.

    Args:
        component: Name of the component, for the message.
        setting: Name of the setting that gives the number, for the message.
        halvings: How often height and width are halved.
        image_size: Side of the image in pixels.
        exact: Refuse a remainder too.

    Raises:
        ConfigError: The image is too small or leaves a remainder.
    """
    smallest = 2**halvings
    if image_size < smallest or (exact and image_size % smallest):
        needs = "a multiple of" if exact else "at least"
        raise ConfigError(
            f"{component}: {setting}={halvings} needs an image size of {needs} {smallest} pixels, got {image_size}"
        )


class StridedTrunk(nn.Sequential):
    """Convolutions k4 s2 p1 with leaky ReLUs and without norms, which double in width.

    Args:
        inputs: Channels of the image.
        width: Channels after the first convolution.
        stages: How many convolutions.
        slope: Of the leaky ReLUs below 0.

    Attributes:
        outputs: Channels after the last convolution.

    Source: StarGAN (Choi et al. 2018), table 5.
    """

    def __init__(self, inputs: int, *, width: int, stages: int, slope: float) -> None:
        widths = [inputs, *(width * 2**k for k in range(stages))]
        super().__init__(*(
            nn.Sequential(OrderedDict(conv=make_downsampling_conv(a, b), relu=nn.LeakyReLU(slope, inplace=True)))
            for a, b in itertools.pairwise(widths)
        ))  # fmt: skip
        self.outputs = widths[-1]


def init_normal(network: nn.Module, std: float = 0.02) -> None:
    """Set the weights of every convolution to N(0, std) and its biases to 0, in place.

    Args:
        network: The network to initialise.
        std: Standard deviation of the weights.

    Source: DCGAN (Radford et al. 2016).
    """
    for layer in network.modules():
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d):
            nn.init.normal_(layer.weight, 0.0, std)
            if layer.bias is not None:
                nn.init.zeros_(layer.bias)
