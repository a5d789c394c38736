"""Heat maps of facial landmarks: masks of the details that the high-pass skips of a style translator keep.

Source: StarGAN v2, `wing.py`; SMILE (Romero et al. 2021) for re-enactment.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.auxiliary.landmarks import LANDMARKS, SIDE, LandmarkNetwork, convert_landmark_weights
from zoogan.config import ComponentConfig
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.files import StateDict, as_state_dict, hash_file, read_weights_file
from zoogan.interfaces import ContractError, HeatMaps, Masks
from zoogan.layers.config import WITHOUT_CONTOUR_AND_CORNERS, LandmarkMapsConfig
from zoogan.paths import expand_path

THRESHOLD = 0.1


class Region(NamedTuple):
    """A part of the face.

    Attributes:
        name: Its name.
        landmarks: Its first and its last landmark.
        down: By how many of 256 rows its maps are moved, around the edge; negative = up.
        power: Power that sharpens the maps; below 1 it widens them.
        fine: Whether the fine mask shows it too.
    """

    name: str
    landmarks: tuple[int, int]
    down: int = 0
    power: float = 1
    fine: bool = True

    @property
    def channels(self) -> range:
        """Channels of its heat maps."""
        return range(self.landmarks[0], self.landmarks[1] + 1)


REGIONS = (
    Region("upper contour, right", (0, 7)),
    Region("chin", (8, 24), power=3, fine=False),
    Region("upper contour, left", (25, 32)),
    Region("eyebrows", (33, 50), down=7, power=2, fine=False),
    Region("top of the nose", (51, 51)),
    Region("bridge of the nose", (52, 54), down=-4),
    Region("nostrils", (55, 59), down=-8, power=4),
    Region("eyes", (60, 75), down=8, power=3),
    Region("below the eyes", (60, 75), down=24),
    Region("right corner of the mouth", (76, 76), fine=False),
    Region("upper lip", (77, 81), down=8, power=4, fine=False),
    Region("left corner of the mouth", (82, 82), fine=False),
    Region("lower lip", (83, 87), down=-8, power=4, fine=False),
    Region("inner lips", (88, 95), down=2, power=3, fine=False),
    Region("pupils", (96, 97)),
)
"""Every landmark, the eyes twice; `make_masks` leaves out the zeroed ones."""

MOVING_REGIONS = (
    Region("chin", (8, 24), down=-6, power=0.1),
    Region("eyebrows", (33, 50), power=0.5),
    Region("eyes", (60, 75)),
    Region("upper lip and corners of the mouth", (76, 82), power=0.1),
    Region("lower lip", (83, 87), down=8, power=0.01),
    Region("inner lips", (88, 95), power=0.1),
)
"""The landmarks that re-enactment moves: the general heat maps of SMILE, before they are inverted."""


def normalise_maps(maps: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c 256 256"]:
    """Resize raw heat maps to full size, set values below the threshold to 0 and scale each map to 0..1."""
    maps = F.interpolate(maps, (SIDE, SIDE), mode="bilinear", align_corners=True)
    maps = torch.where(maps < THRESHOLD, 0.0, maps)
    low, high = maps.amin((2, 3), keepdim=True), maps.amax((2, 3), keepdim=True)
    return (maps - low) / (high - low + 1e-6)


@torch.no_grad()
def make_masks(
    maps: Float[Tensor, "n 98 h w"],
    zeroed: Collection[int] = WITHOUT_CONTOUR_AND_CORNERS,
    regions: Sequence[Region] = REGIONS,
    *,
    inverted: bool = False,
) -> tuple[Float[Tensor, "n 1 256 256"], Float[Tensor, "n 1 256 256"]]:
    """Make a coarse and a fine mask of raw heat maps.

    The masks are sums over the landmarks, or 1 minus these sums, cut off at 0 and 1; where a sum is not a number they
    are 0.

    Args:
        maps: Raw heat maps of the landmarks, of any size.
        zeroed: Landmarks that are left out.
        regions: The regions of the landmarks.
        inverted: Subtract the sums from 1.

    Returns:
        The coarse and the fine mask, in [0, 1].
    """
    # Powers and sums work pixel by pixel, so a region can be moved last, as one map instead of many.
    # Region by region, because all landmarks at full size at once would take 100 MB an image.
    sums = [maps.new_zeros(len(maps), 1, SIDE, SIDE) for _ in range(2)]
    for region in regions:
        channels = [channel for channel in region.channels if channel not in zeroed]
        if not channels:
            continue
        # Indexing with a list would copy it to the device, and the host would wait.
        chosen = torch.stack([maps[:, channel] for channel in channels], 1)
        part = normalise_maps(chosen).pow(region.power).sum(1, keepdim=True).roll(region.down, 2)
        sums[0] += part
        if region.fine:
            sums[1] += part
    sums = [1 - total for total in sums] if inverted else sums
    coarse, fine = (total.nan_to_num(nan=0.0).clamp(0, 1) for total in sums)
    return coarse, fine


class NoHeatMaps(HeatMaps):
    """No masks: no detail of the image is kept.

    Args:
        config: Unused.
        facts: Unused.
    """

    reads, is_empty = None, True

    def __init__(self, config: ComponentConfig | None = None, facts: Facts | None = None) -> None:
        self.config = config

    def __call__(self, image: Float[Tensor, "n c h w"]) -> None:
        """Return None."""
        return None


class HeatMapFiles(HeatMaps):
    """Masks from files, which the source reads with its faces. Faces from elsewhere have no masks.

    Args:
        config: Unused.
        facts: Unused.
    """

    field, reads = "heat_maps", None

    def __init__(self, config: ComponentConfig | None = None, facts: Facts | None = None) -> None:
        self.config = config

    def __call__(self, image: Float[Tensor, "n c h w"]) -> None:
        """Return None: the masks come with the sample."""
        return None


class LandmarkMaps(HeatMaps):
    """Masks around the landmarks of a face, which a network finds.

    The network is read from the user's file when it is first used, and moves to the device of the images. It is not
    trained and is part of no state_dict.

    Args:
        config: Names the file of the network's weights.
        facts: Unused.

    Raises:
        ConfigError: No file is given, it does not exist, or its sha256 is another one.
    """

    network: LandmarkNetwork | None = None

    def __init__(self, config: LandmarkMapsConfig, facts: Facts | None = None) -> None:
        if config.file is None:
            raise ConfigError(
                "heat_maps.file: not given, but heat_maps.use=landmarks needs the weights of a 98-landmark network. "
                "Name your own copy: the landmark weights that AdaptiveWingLoss publishes, or the *_nets_ema.ckpt of "
                "a released StarGAN v2 that was trained with masks. Without one, generator.high_pass=0 "
                "heat_maps.use=none trains without masks"
            )
        self.file = expand_path(config.file)
        if not self.file.is_file():
            raise ConfigError(f"heat_maps.file: {self.file}: no such file")
        if config.sha256 is not None and (digest := hash_file(self.file)) != config.sha256:
            raise ConfigError(f"heat_maps.sha256: {self.file} is another file, its sha256 is {digest}")
        default = () if config.inverted else WITHOUT_CONTOUR_AND_CORNERS
        self.zeroed = frozenset(default if config.zeroed is None else config.zeroed)
        self.regions, self.inverted = MOVING_REGIONS if config.inverted else REGIONS, config.inverted

    @torch.no_grad()
    def __call__(self, image: Float[Tensor, "n c h w"]) -> Masks:
        """Make the masks of images, (n, 1, 256, 256) in [0, 1], at least in float32.

        On torch's `meta` device nothing is read, and the masks are empty.

        Args:
            image: RGB images of any size, nominally in [-1, 1].

        Raises:
            ContractError: The images do not have three channels.
            ConfigError: The file contains other weights.
        """
        if image.shape[1] != 3:
            raise ContractError(f"heat maps are found in RGB, but the image has shape {tuple(image.shape)}")
        dtype = torch.promote_types(image.dtype, torch.float32)
        if image.is_meta:
            coarse, fine = (image.new_empty(len(image), 1, SIDE, SIDE, dtype=dtype) for _ in range(2))
            return coarse, fine
        coarse, fine = make_masks(self.compute_maps(image), self.zeroed, self.regions, inverted=self.inverted)
        return coarse.to(dtype), fine.to(dtype)

    @torch.no_grad()
    def compute_maps(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 98 64 64"]:
        """Compute raw heat maps of the landmarks, unbounded, in float32, of images of any size in [-1, 1]."""
        if self.network is None:
            self.network = load_landmark_network(self.file)
        if self.network.maps.weight.device != image.device:
            self.network.to(image.device)
        with torch.autocast(image.device.type, enabled=False):  # the threshold and the powers enlarge rounding
            resized = F.interpolate(image.float(), (SIDE, SIDE), mode="bilinear", align_corners=False)
            return self.network(resized * 0.5 + 0.5)[:, :LANDMARKS]


# ---- the user's file -------------------------------------------------------------------------------------------------


def load_landmark_network(path: Path) -> LandmarkNetwork:
    """Load the network of a file, on the CPU, frozen, in eval.

    Raises:
        ConfigError: See `read_landmark_weights` and `convert_landmark_weights`; names the file.
    """
    with torch.device("cpu"):  # also inside another device context, such as that of a rehearsal
        state = read_landmark_weights(path)
        network = LandmarkNetwork()
        try:
            network.load_state_dict(convert_landmark_weights(state), strict=True)
        except ConfigError as error:
            raise ConfigError(f"{path}: {error}") from error
    return network.eval().requires_grad_(False)


def read_landmark_weights(path: Path) -> StateDict:
    """Read the state_dict of a safetensors file or one of `torch.save`.

    It may be bare, under `state_dict` (AdaptiveWingLoss), or under `fan` (StarGAN v2's networks).

    Raises:
        ConfigError: There is no such file, or it contains no such state_dict.
    """
    content = read_weights_file(path)
    if isinstance(content, Mapping):
        nested = [key for key in ("fan", "state_dict") if isinstance(content.get(key), Mapping)]
        content = content[nested[0]] if nested else content
        if not nested and any(isinstance(value, Mapping) for value in content.values()):
            raise ConfigError(
                f"{path}: contains {', '.join(map(str, content))}, but neither 'fan' nor 'state_dict'; "
                "a StarGAN v2 that was trained without masks has no landmark network"
            )
    return as_state_dict(content, path)
