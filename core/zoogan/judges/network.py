"""The network of a judge: a timm backbone, and one light head each for attributes, pose and parts."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.config import ConfigModel
from zoogan.errors import ConfigError
from zoogan.names import suggest_name

BACKBONE = "resnet10t"
NETWORK_WIDTH = 32
"""Channels of the first maps of the default backbone: half of resnet10t's, as small faces need no more."""
FINE_WIDTH = 16
"""The same for `fine` maps, which have four times the pixels."""
SMALL = 96  # px: at and below, a backbone made for 224 px would halve the faces too often
WIDTH = 32  # channels of the pose and part heads


class JudgeNetworkConfig(ConfigModel):
    """Everything that shapes a judge's network.

    Attributes:
        backbone: timm's name of it.
        options: timm's arguments for it.
        image_size: Side of the faces in pixels.
        zoom: How many times faces are enlarged for the backbone.
        pooled: Whether the pooling right behind the stem is kept.
        mean: Mean of its input by channel, for faces in [-1, 1].
        std: Std of its input by channel, for faces in [-1, 1].
        attributes: How many it reads, 0 = none.
        pose: Whether it reads pose.
        classes: Number of parts that it segments, 0 = none.
    """

    backbone: str
    options: dict[str, Any]
    image_size: int
    zoom: int
    pooled: bool
    mean: tuple[float, float, float]
    std: tuple[float, float, float]
    attributes: int
    pose: bool
    classes: int


def plan_network(
    name: str,
    image_size: int,
    attributes: int,
    *,
    pose: bool = False,
    classes: int = 0,
    pretrained: bool = False,
    fine: bool = False,
    width: int | None = None,
) -> JudgeNetworkConfig:
    """Plan the network for faces of a size.

    For small faces the maps must be finer: the stem's pooling is left out if it has one, else the faces are enlarged.

    Args:
        name: timm's name of the backbone.
        image_size: Side of the faces in pixels.
        attributes: How many it reads.
        pose: Whether it reads pose.
        classes: Number of parts that it segments.
        pretrained: Whether the backbone begins with timm's weights.
        fine: Whether faces are enlarged twice, for parts of one or two pixels; the default backbone then has half the
            channels, and maps of the size of the faces.
        width: Channels of the first maps of the default backbone, a multiple of 8; each later level has twice as many.
            None = 32, or 16 with `fine`.

    Raises:
        ConfigError: timm is missing, or has no such backbone; or `width` is given with another one.
    """
    is_default = name == BACKBONE and not pretrained
    if width is not None and not is_default:
        raise ConfigError(
            f"width {width}: only the default network without pretrained weights has a width; leave it out"
        )
    width = width or (FINE_WIDTH if fine else NETWORK_WIDTH)
    options = {"channels": [width, 2 * width, 4 * width, 8 * width], "stem_width": width // 2} if is_default else {}
    with torch.random.fork_rng(devices=[]):  # only the shapes are read; the weights are not used
        trunk = make_trunk(name, options)
    is_small = image_size <= SMALL
    drops_pooling = is_small and not pretrained and hasattr(trunk, "maxpool")
    statistics = {"mean": (0.5,) * 3, "std": (0.5,) * 3}
    if pretrained:
        timm_config = getattr(trunk, "pretrained_cfg", {}) or {}
        statistics |= {key: timm_config[key] for key in statistics}
    return JudgeNetworkConfig(
        backbone=name,
        options=options,
        image_size=image_size,
        zoom=2 if fine or (is_small and not drops_pooling) else 1,
        pooled=not drops_pooling,
        mean=tuple(2 * m - 1 for m in statistics["mean"]),
        std=tuple(2 * s for s in statistics["std"]),
        attributes=attributes,
        pose=pose,
        classes=classes,
    )


def make_trunk(name: str, options: dict[str, Any], pretrained: bool = False) -> Any:
    """Make timm's network as a pyramid of feature maps.

    Args:
        name: timm's name of it.
        options: Options of timm's create_model.
        pretrained: Whether it begins with timm's weights, which may need a download.

    Raises:
        ConfigError: timm is missing, has no such network or no pyramid for it, or its weights cannot be downloaded.
    """
    try:
        import timm
    except ImportError as error:
        raise ConfigError("a judge needs timm: pip install timm") from error
    if not timm.is_model(name):
        raise ConfigError(f"--backbone {name}: timm has no such network{suggest_name(name, timm.list_models())}")
    try:
        return timm.create_model(name, pretrained=pretrained, features_only=True, **options)
    except Exception as error:  # downloads can raise many kinds of errors
        reason = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if pretrained:
            raise ConfigError(
                f"--pretrained: the weights of {name} cannot be downloaded ({reason}); go online once, "
                "or leave it out and train from scratch"
            ) from error
        raise ConfigError(f"--backbone {name}: it gives no feature maps at several scales ({reason})") from error


class PartDecoder(nn.Module):
    """Decodes the pyramid into parts: coarse maps are enlarged onto finer ones, and pixels are shuffled out at the end.

    Args:
        channels: Channels of the maps, finest first.
        classes: How many parts.
    """

    def __init__(self, channels: list[int], classes: int) -> None:
        super().__init__()
        self.sides = nn.ModuleList(nn.Conv2d(c, WIDTH, 1) for c in channels)
        self.blend = nn.Sequential(nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU())
        self.out = nn.Conv2d(WIDTH, 4 * classes, 1)

    def forward(self, maps: list[Tensor], size: int) -> Float[Tensor, "n c s s"]:
        """Compute the logits of each class.

        Args:
            maps: The pyramid, finest first.
            size: Side of the result in pixels.
        """
        merged = self.sides[-1](maps[-1])
        for side, finer in zip(reversed(self.sides[:-1]), reversed(maps[:-1])):
            merged = side(finer) + F.interpolate(merged, finer.shape[-2:], mode="bilinear", align_corners=False)
        logits = F.pixel_shuffle(self.out(self.blend(merged)), 2)
        if logits.shape[-1] == size:
            return logits
        return F.interpolate(logits, (size, size), mode="bilinear", align_corners=False)


class JudgeNetwork(nn.Module):
    """Turns faces into a pyramid of maps, and maps into attributes (logits), pose (degrees) and parts (logits).

    Args:
        build: Its shape.
        pretrained: Whether the backbone begins with timm's weights.

    Raises:
        ConfigError: see `make_trunk`.
    """

    mean: Tensor
    std: Tensor
    pose_mean: Tensor
    pose_spread: Tensor

    def __init__(self, build: JudgeNetworkConfig, *, pretrained: bool = False) -> None:
        super().__init__()
        self.build = build
        self.trunk = make_trunk(build.backbone, build.options, pretrained)
        if not build.pooled:
            self.trunk.maxpool = nn.Identity()
        channels: list[int] = list(self.trunk.feature_info.channels())
        self.register_buffer("mean", torch.tensor(build.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(build.std).view(3, 1, 1), persistent=False)
        with torch.no_grad():
            maps = self.eval().compute_maps(torch.zeros(1, 3, build.image_size, build.image_size))
        if [m.shape[1] for m in maps] != channels:  # some transformers put channels last
            raise ConfigError(f"--backbone {build.backbone}: its maps are not laid out (n, channels, h, w)")
        pooled = 2 * sum(channels[-2:])
        if build.attributes:
            self.attributes = nn.Sequential(nn.LayerNorm(pooled), nn.Linear(pooled, build.attributes))
        if build.pose:
            self.squeeze = nn.Sequential(nn.Conv2d(channels[-1], WIDTH, 1), nn.BatchNorm2d(WIDTH), nn.ReLU())
            self.pose = nn.Linear(16 * WIDTH, 3)
            self.register_buffer("pose_mean", torch.zeros(3))
            self.register_buffer("pose_spread", torch.ones(3))
        self.parts = PartDecoder(channels, build.classes) if build.classes else None
        self.train()

    def compute_maps(self, image: Float[Tensor, "n 3 s s"]) -> list[Tensor]:
        """Compute the pyramid of faces in [-1, 1], finest map first."""
        if self.build.zoom > 1:
            image = F.interpolate(image, scale_factor=self.build.zoom, mode="bilinear", align_corners=False)
        return list(self.trunk((image - self.mean) / self.std))

    def pool_features(self, maps: list[Tensor]) -> Float[Tensor, "n f"]:
        """Pool the two coarsest maps.

        Means over the map show features of the whole face, maxima small ones such as earrings.
        """
        return torch.cat([pool for m in maps[-2:] for pool in (m.mean((2, 3)), m.amax((2, 3)))], 1)

    def classify_features(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n a"]:
        """Compute the logits of attributes from pooled features."""
        return self.attributes(features) if self.build.attributes else features[:, :0]

    def read_attributes(self, maps: list[Tensor]) -> Float[Tensor, "n a"]:
        """Compute the logits of attributes."""
        return self.classify_features(self.pool_features(maps))

    def read_pose(self, maps: list[Tensor]) -> Float[Tensor, "n 3"]:
        """Compute yaw, pitch and roll in degrees."""
        places = F.adaptive_avg_pool2d(self.squeeze(maps[-1]), 4).flatten(1)
        return self.pose(places) * self.pose_spread + self.pose_mean

    def read_parts(self, maps: list[Tensor]) -> Float[Tensor, "n c s s"]:
        """Compute the logits of each part at the size of the faces."""
        assert self.parts is not None
        return self.parts(maps, self.build.image_size)
