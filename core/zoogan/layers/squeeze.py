"""Squeeze-and-excitation, and the residual block of ArcFace's networks that has it.

Source: Hu et al. 2018 (Squeeze-and-Excitation Networks); Deng et al. 2019 (ArcFace), section 3.1.
"""

from __future__ import annotations

from jaxtyping import Float
from torch import Tensor, nn

from zoogan.layers.norm import BatchNorm2d
from zoogan.layers.shapes import Images


class SqueezeExcitation(nn.Module):
    """Scales each channel by a gate in [0, 1], which two linear layers compute from the means of all channels.

    Args:
        channels: Channels in and out.
        reduction: Divides the channels between the two layers, of which at least one is left.

    Source: Hu et al. 2018, section 3; the PReLU between the layers is that of face recognition networks.
    """

    def __init__(self, channels: int, reduction: int = 16) -> None:
        super().__init__()
        hidden = max(1, channels // reduction)
        self.gate = nn.Sequential(nn.Linear(channels, hidden), nn.PReLU(), nn.Linear(hidden, channels), nn.Sigmoid())

    def forward(self, x: Images) -> Images:
        """Scale features (n, channels, h, w)."""
        return x * self.gate(x.mean((2, 3)))[:, :, None, None]


class ImprovedResidualBlock(nn.Module):
    """The block "IR" of ArcFace: norm, 3x3, norm, PReLU, 3x3, norm, squeeze-and-excitation; plus the input; PReLU.

    Both PReLUs are one layer with one slope. The input passes a 1x1 convolution and a norm where its shape changes.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        stride: Of the second convolution.
        reduction: See `SqueezeExcitation`.

    Source: Deng et al. 2019, section 3.1.
    """

    def __init__(self, inputs: int, outputs: int, stride: int = 1, *, reduction: int = 16) -> None:
        super().__init__()
        self.norm1 = BatchNorm2d(inputs)
        self.conv1 = nn.Conv2d(inputs, inputs, 3, 1, 1, bias=False)
        self.norm2 = BatchNorm2d(inputs)
        self.activation = nn.PReLU()
        self.conv2 = nn.Conv2d(inputs, outputs, 3, stride, 1, bias=False)
        self.norm3 = BatchNorm2d(outputs)
        self.squeeze = SqueezeExcitation(outputs, reduction)
        self.shortcut = make_strided_shortcut(inputs, outputs, stride)

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Map (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        y = self.conv1(self.norm1(x))
        y = self.conv2(self.activation(self.norm2(y)))
        y = self.squeeze(self.norm3(y))
        return self.activation(y + self.shortcut(x))


def make_strided_shortcut(inputs: int, outputs: int, stride: int) -> nn.Module:
    """Make the way around a residual block: the identity, or a 1x1 convolution and a norm where the shape changes.

    Args:
        inputs: Channels in.
        outputs: Channels out.
        stride: Of the block.

    Source: He et al. 2016, section 3.3 (option B).
    """
    if stride == 1 and inputs == outputs:
        return nn.Identity()
    return nn.Sequential(nn.Conv2d(inputs, outputs, 1, stride, bias=False), BatchNorm2d(outputs))
