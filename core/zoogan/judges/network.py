"""What a judge looks with: a timm backbone, and one light head each for attributes, pose and parts."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.config import ConfigError, ConfigModel
from zoogan.names import suggest_name

BACKBONE = "resnet10t"
# Half of resnet10t's width: a quarter of its work, and small faces need no more.
NARROW: dict[str, Any] = {"channels": [32, 64, 128, 256], "stem_width": 16}
SMALL = 96  # px: at and below, a backbone made for 224 px would halve the faces too often
WIDTH = 32  # channels of the pose and part heads


class Build(ConfigModel):
    """All that shapes a judge's network.

    backbone, options: timm's name and arguments. zoom: how many times faces are enlarged for it. pooled: whether a
    pooling right behind the stem is kept. mean, std: of its input, by channel, for faces in [-1, 1]. attributes: how
    many, 0 = none. pose: whether it tells pose. classes: parts that it tells apart, 0 = none.
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


def plan(
    name: str, image_size: int, attributes: int, *, pose: bool = False, classes: int = 0, pretrained: bool = False
) -> Build:
    """The build for faces of a size. Small faces are seen finer: without the stem's pooling, or else enlarged.

    Raises:
        ConfigError: timm is missing, or knows no such backbone.
    """
    options = NARROW if name == BACKBONE and not pretrained else {}
    with torch.random.fork_rng(devices=[]):  # a look at the network, whose weights nobody needs
        trunk = pyramid(name, options)
    small = image_size <= SMALL
    dropped = small and not pretrained and hasattr(trunk, "maxpool")
    known = getattr(trunk, "pretrained_cfg", {}) or {}
    centred = {"mean": (0.5,) * 3, "std": (0.5,) * 3} | ({k: known[k] for k in ("mean", "std")} if pretrained else {})
    return Build(
        backbone=name,
        options=options,
        image_size=image_size,
        zoom=2 if small and not dropped else 1,
        pooled=not dropped,
        mean=tuple(2 * m - 1 for m in centred["mean"]),
        std=tuple(2 * s for s in centred["std"]),
        attributes=attributes,
        pose=pose,
        classes=classes,
    )


def pyramid(name: str, options: dict[str, Any], pretrained: bool = False) -> Any:
    """timm's network as a pyramid of feature maps.

    Raises:
        ConfigError: timm is missing, knows no such network or has no pyramid for it; its weights cannot be had.
    """
    try:
        import timm
    except ImportError as error:
        raise ConfigError('a judge looks through timm, which is not here: pip install "zoogan[evaluate]"') from error
    if not timm.is_model(name):
        raise ConfigError(f"--backbone {name}: timm has no such network{suggest_name(name, timm.list_models())}")
    try:
        return timm.create_model(name, pretrained=pretrained, features_only=True, **options)
    except Exception as error:  # what a download raises depends on the library below timm
        said = (str(error).strip().splitlines() or [type(error).__name__])[0]
        if pretrained:
            raise ConfigError(
                f"--pretrained: the weights of {name} cannot be had here ({said}); go online once (they are kept), or "
                "leave it out and train from scratch"
            ) from error
        raise ConfigError(f"--backbone {name}: it gives no feature maps at several scales ({said})") from error


class Parts(nn.Module):
    """A decoder over the pyramid: coarse maps are enlarged onto finer ones, pixels are shuffled out at the end."""

    def __init__(self, channels: list[int], classes: int) -> None:
        super().__init__()
        self.sides = nn.ModuleList(nn.Conv2d(c, WIDTH, 1) for c in channels)
        self.blend = nn.Sequential(nn.BatchNorm2d(WIDTH), nn.ReLU(), nn.Conv2d(WIDTH, WIDTH, 3, padding=1), nn.ReLU())
        self.out = nn.Conv2d(WIDTH, 4 * classes, 1)

    def forward(self, maps: list[Tensor], size: int) -> Float[Tensor, "n c s s"]:
        """Logits of each class at the size of the faces."""
        merged = self.sides[-1](maps[-1])
        for side, finer in zip(reversed(self.sides[:-1]), reversed(maps[:-1])):
            merged = side(finer) + F.interpolate(merged, finer.shape[-2:], mode="bilinear", align_corners=False)
        logits = F.pixel_shuffle(self.out(self.blend(merged)), 2)
        if logits.shape[-1] == size:
            return logits
        return F.interpolate(logits, (size, size), mode="bilinear", align_corners=False)


class JudgeNetwork(nn.Module):
    """Faces (n, 3, s, s) in [-1, 1] to maps, and maps to attributes (logits), pose (degrees) and parts (logits).

    Raises:
        ConfigError: see `pyramid`.
    """

    mean: Tensor
    std: Tensor
    pose_mean: Tensor
    pose_spread: Tensor

    def __init__(self, build: Build, *, pretrained: bool = False) -> None:
        super().__init__()
        self.build = build
        self.trunk = pyramid(build.backbone, build.options, pretrained)
        if not build.pooled:
            self.trunk.maxpool = nn.Identity()
        channels: list[int] = list(self.trunk.feature_info.channels())
        self.register_buffer("mean", torch.tensor(build.mean).view(3, 1, 1), persistent=False)
        self.register_buffer("std", torch.tensor(build.std).view(3, 1, 1), persistent=False)
        with torch.no_grad():
            found = [m.shape[1] for m in self.eval().maps(torch.zeros(1, 3, build.image_size, build.image_size))]
        if found != channels:  # some transformers put channels last
            raise ConfigError(f"--backbone {build.backbone}: its maps are not laid out (n, channels, h, w)")
        pooled = 2 * sum(channels[-2:])
        if build.attributes:
            self.attributes = nn.Sequential(nn.LayerNorm(pooled), nn.Linear(pooled, build.attributes))
        if build.pose:
            self.squeeze = nn.Sequential(nn.Conv2d(channels[-1], WIDTH, 1), nn.BatchNorm2d(WIDTH), nn.ReLU())
            self.pose = nn.Linear(16 * WIDTH, 3)
            self.register_buffer("pose_mean", torch.zeros(3))
            self.register_buffer("pose_spread", torch.ones(3))
        self.parts = Parts(channels, build.classes) if build.classes else None
        self.train()

    def maps(self, image: Float[Tensor, "n 3 s s"]) -> list[Tensor]:
        """The pyramid, finest first."""
        if self.build.zoom > 1:
            image = F.interpolate(image, scale_factor=self.build.zoom, mode="bilinear", align_corners=False)
        return list(self.trunk((image - self.mean) / self.std))

    def read_attributes(self, maps: list[Tensor]) -> Float[Tensor, "n a"]:
        """Logits. Means tell what is all over a face, maxima what is small, such as earrings."""
        if not self.build.attributes:
            return maps[0].new_zeros(len(maps[0]), 0)
        return self.attributes(torch.cat([pool for m in maps[-2:] for pool in (m.mean((2, 3)), m.amax((2, 3)))], 1))

    def read_pose(self, maps: list[Tensor]) -> Float[Tensor, "n 3"]:
        """Yaw, pitch and roll in degrees."""
        where = F.adaptive_avg_pool2d(self.squeeze(maps[-1]), 4).flatten(1)
        return self.pose(where) * self.pose_spread + self.pose_mean

    def read_parts(self, maps: list[Tensor]) -> Float[Tensor, "n c s s"]:
        """Logits of each class."""
        assert self.parts is not None
        return self.parts(maps, self.build.image_size)
