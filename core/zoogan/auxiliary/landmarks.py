"""The landmark network: heat maps of 98 points of a face. Never trained here.

FAN with adaptive wing loss and one hourglass, as StarGAN v2 uses it for its heat maps.

Source: Wang et al. 2019; StarGAN v2, `wing.py`.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Mapping
from functools import lru_cache

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.errors import ConfigError
from zoogan.files import StateDict, map_layer_names

LANDMARKS = 98
SIDE = 256
"""The side of the images that the network was trained on; its heat maps are a quarter of it."""


class CoordConv(nn.Conv2d):
    """A convolution with three more input channels: row, column and radius of each pixel.

    Source: Liu et al. 2018.

    Args:
        inputs: Input channels, without those three.
        outputs: Output channels.
        kernel: Side of the kernel.
        stride: Stride.
        padding: Padding.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> None:
        super().__init__(inputs + 3, outputs, kernel, stride, padding)

    def forward(self, input: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h2 w2"]:
        """Convolve (n, inputs, h, w) to (n, outputs, h / stride, w / stride)."""
        places = make_coordinates(input.shape[2], input.shape[3], input.device, input.dtype)
        return super().forward(torch.cat([input, places.expand(len(input), -1, -1, -1)], 1))


@lru_cache(maxsize=16)
def make_coordinates(height: int, width: int, device: torch.device, dtype: torch.dtype) -> Float[Tensor, "1 3 h w"]:
    """Make row and column of each pixel in [-1, 1], and its distance from the centre as a share of the largest.

    The result is cached: do not change it in place.
    """
    row = torch.linspace(-1, 1, height, device=device, dtype=dtype)[:, None].expand(height, width)
    column = torch.linspace(-1, 1, width, device=device, dtype=dtype)[None, :].expand(height, width)
    radius = torch.hypot(row, column)
    return torch.stack([row, column, radius / radius.max()])[None]


def make_preactivated_conv(inputs: int, outputs: int, kernel: int) -> nn.Sequential:
    """Make batch norm, ReLU and a convolution without bias; state under `norm` and `conv`."""
    conv = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, bias=False)
    return nn.Sequential(OrderedDict(norm=nn.BatchNorm2d(inputs), relu=nn.ReLU(inplace=True), conv=conv))


class PyramidBlock(nn.Module):
    """Three 3x3 convolutions in a row, the outputs of all of them side by side, plus the input.

    They make a half, a quarter and a quarter of the channels. The input passes a 1x1 convolution where the number of
    channels changes.

    Source: Bulat et al. 2017.

    Args:
        inputs: Input channels.
        outputs: Output channels.
    """

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        half, quarter = outputs // 2, outputs // 4
        sizes = ((inputs, half), (half, quarter), (quarter, quarter))
        self.convs = nn.ModuleList(make_preactivated_conv(i, o, 3) for i, o in sizes)
        self.skip = make_preactivated_conv(inputs, outputs, 1) if inputs != outputs else nn.Identity()

    def forward(self, x: Float[Tensor, "n i h w"]) -> Float[Tensor, "n o h w"]:
        """Compute the features, of the same size."""
        features, y = [], x
        for conv in self.convs:
            y = conv(y)
            features.append(y)
        return torch.cat(features, 1) + self.skip(x)


class Hourglass(nn.Module):
    """Features at half the size, doubled, plus features at full size.

    Source: Newell et al. 2016.

    Args:
        channels: Input and output channels.
        depth: Number of halvings of the image; its side must be a multiple of 2^depth.
    """

    def __init__(self, channels: int, depth: int) -> None:
        super().__init__()
        self.across = PyramidBlock(channels, channels)
        self.down = PyramidBlock(channels, channels)
        self.inner: nn.Module = Hourglass(channels, depth - 1) if depth > 1 else PyramidBlock(channels, channels)
        self.up = PyramidBlock(channels, channels)

    def forward(self, x: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Compute features of the same size."""
        low = self.up(self.inner(self.down(F.avg_pool2d(x, 2))))
        return self.across(x) + F.interpolate(low, scale_factor=2)


class LandmarkNetwork(nn.Module):
    """Heat maps that show where each landmark is: 6,333,603 parameters. To be used in eval.

    Args:
        landmarks: Number of points; one more map shows the outline of the face's parts.
    """

    DEPTH = 4

    def __init__(self, landmarks: int = LANDMARKS) -> None:
        super().__init__()
        self.stem = nn.Sequential(
            OrderedDict(conv=CoordConv(3, 64, 7, 2, 3), norm=nn.BatchNorm2d(64), relu=nn.ReLU(inplace=True))
        )
        self.enter = nn.Sequential(
            PyramidBlock(64, 128), nn.AvgPool2d(2), PyramidBlock(128, 128), PyramidBlock(128, 256)
        )
        self.place = CoordConv(256, 256, 1)
        self.hourglass = Hourglass(256, self.DEPTH)
        self.leave = PyramidBlock(256, 256)
        self.head = nn.Sequential(
            OrderedDict(conv=nn.Conv2d(256, 256, 1), norm=nn.BatchNorm2d(256), relu=nn.ReLU(inplace=True))
        )
        self.maps = nn.Conv2d(256, landmarks + 1, 1)

    def forward(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n maps i j"]:
        """Compute heat maps of a quarter of the image's side.

        Args:
            image: Images in [0, 1], best of side 256 and else of a multiple of 64.

        Returns:
            Maps, unbounded, near 1 on their landmark and near 0 elsewhere; the last is that of the outline.
        """
        x = self.place(self.enter(self.stem(image)))
        return self.maps(self.head(self.leave(self.hourglass(x))))


# ---- the published layout --------------------------------------------------------------------------------------------

NORM = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")


def map_landmark_names() -> dict[str, str]:
    """Map the names in the files of AdaptiveWingLoss and StarGAN v2 to ours, for our one hourglass."""
    names = map_layer_names("conv1.conv", "stem.conv") | map_layer_names("bn1", "stem.norm", NORM)
    names |= map_pyramid_names("conv2", "enter.0", convolves_skip=True)
    names |= map_pyramid_names("conv3", "enter.2")
    names |= map_pyramid_names("conv4", "enter.3", convolves_skip=True)
    names |= map_layer_names("m0.coordconv.conv", "place")
    prefix = "hourglass"
    for level in range(LandmarkNetwork.DEPTH, 0, -1):
        for official, part in (("b1", "across"), ("b2", "down"), ("b3", "up")):
            names |= map_pyramid_names(f"m0.{official}_{level}", f"{prefix}.{part}")
        prefix = f"{prefix}.inner"
    names |= map_pyramid_names("m0.b2_plus_1", prefix)
    names |= map_pyramid_names("top_m_0", "leave")
    names |= map_layer_names("conv_last0", "head.conv") | map_layer_names("bn_end0", "head.norm", NORM)
    return names | map_layer_names("l0", "maps")


def map_pyramid_names(official: str, ours: str, *, convolves_skip: bool = False) -> dict[str, str]:
    """Map the official names of a block to ours.

    Args:
        official: Official name of the block.
        ours: Our name of the block.
        convolves_skip: Whether its numbers of channels differ, so that its skip is a convolution.
    """
    names: dict[str, str] = {}
    for k in range(3):
        names |= map_layer_names(f"{official}.bn{k + 1}", f"{ours}.convs.{k}.norm", NORM)
        names |= map_layer_names(f"{official}.conv{k + 1}", f"{ours}.convs.{k}.conv", ("weight",))
    if convolves_skip:
        names |= map_layer_names(f"{official}.downsample.0", f"{ours}.skip.norm", NORM)
        names |= map_layer_names(f"{official}.downsample.2", f"{ours}.skip.conv", ("weight",))
    return names


def convert_landmark_weights(official: Mapping[str, Tensor]) -> StateDict:
    """Convert published landmark weights to our state_dict; tensors of further hourglasses are left out.

    Raises:
        ConfigError: A tensor is missing or has another shape; names the first.
    """
    with torch.device("meta"):
        expected = LandmarkNetwork().state_dict()
    state: StateDict = {}
    missing, misshapen = [], []
    for name, ours in map_landmark_names().items():
        like = expected[ours]
        if name not in official:
            if name.endswith("num_batches_tracked"):  # only a counter, which older files lack
                state[ours] = torch.zeros(like.shape, dtype=like.dtype, device="cpu")
            else:
                missing.append(name)
        elif official[name].shape != like.shape:
            misshapen.append(f"{name!r} has shape {tuple(official[name].shape)} instead of {tuple(like.shape)}")
        else:
            state[ours] = official[name]
    if missing:
        raise ConfigError(f"not the weights of the 98-landmark network: no {missing[0]!r} and {len(missing) - 1} more")
    if misshapen:
        raise ConfigError(f"not the weights of the 98-landmark network: {misshapen[0]} and {len(misshapen) - 1} more")
    return state
