"""Configs of mappings, of augmentations before the discriminator, and of heat maps. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from zoogan.config import ComponentConfig, Names
from zoogan.config.registry import Registry
from zoogan.paths import expand_path


class PixelNormMappingConfig(ComponentConfig):
    """From noise to a latent: pixel norm and an MLP of one width.

    Attributes:
        style_dim: Numbers of a latent, and of the noise.
        layers: Linear layers.
        lr_multiplier: Factor of the learning rate of these layers.

    Source: StyleGAN (Karras et al. 2019), figure 1b.
    """

    style_dim: int = Field(512, ge=1)
    layers: int = Field(8, ge=1, le=100)
    lr_multiplier: float = Field(0.01, gt=0)


class DiffAugmentConfig(ComponentConfig):
    """DiffAugment (Zhao et al. 2020).

    Attributes:
        color: Change brightness, saturation and contrast at random.
        translation: Largest shift as a share of the side; 0 = off.
        cutout: Side of the square that is blanked, as a share of the side; 0 = off.
    """

    use: Literal["diffaugment"] = "diffaugment"
    color: bool = True
    translation: float = Field(0.125, ge=0, lt=1)
    cutout: float = Field(0.5, ge=0, lt=1)


class AdaConfig(ComponentConfig):
    """Adaptive discriminator augmentation (Karras et al. 2020): each change comes with a probability p that adapts.

    All changes together are `bgc` of the paper.

    Attributes:
        target: Mean sign of the discriminator's scores of real images, in [-1, 1]; p grows while it is above.
        images: Number of real images in which p can rise from 0 to 1; the paper has 500,000, and 100,000 for transfer.
        every: Iterations from one adaptation of p to the next.
        start: The first p.
        fixed: A constant p, which never adapts; null = p adapts.
        flip: Mirror images.
        turn: Turn images by quarters.
        shift: Move images by whole pixels.
        geometry: Zoom, stretch, rotate and move images.
        color: Change brightness, contrast, hue and saturation, and invert brightness.
    """

    use: Literal["ada"] = "ada"
    target: float = Field(0.6, ge=-1, le=1)
    images: int = Field(500_000, ge=1)
    every: int = Field(4, ge=1)
    start: float = Field(0.0, ge=0, le=1)
    fixed: float | None = Field(None, ge=0, le=1)
    flip: bool = True
    turn: bool = True
    shift: bool = True
    geometry: bool = True
    color: bool = True


UPPER_CONTOUR = (*range(8), *range(25, 33))
"""Landmarks of the sides of the face from the chin up, which SMILE leaves out of its heat maps."""
WITHOUT_CONTOUR_AND_CORNERS = (*UPPER_CONTOUR, 33, 46, 76, 82)
"""Landmarks that StarGAN v2 leaves out: also one end of each eyebrow and the corners of the mouth."""


def to_absolute_path(path: Path | None) -> Path | None:
    """Make a path absolute, because a run keeps it and may be used from any folder.

    Args:
        path: A path that may begin with `~`; None stays None.

    Returns:
        The absolute path.
    """
    return None if path is None else expand_path(path).absolute()


def to_number_list(value: Any) -> Any:
    """Put a single number in a list; leave all other values to pydantic.

    Args:
        value: The value before validation.

    Returns:
        A list, or `value` itself.
    """
    return [value] if isinstance(value, int) else value


class LandmarkMapsConfig(ComponentConfig):
    """Heat maps around the 98 landmarks of a face, found by a network whose weights the user provides.

    Attributes:
        file: Weights of AdaptiveWingLoss, or a StarGAN v2 `*_nets_ema.ckpt` that contains the network.
        sha256: Refuse a file that has another hash; null = accept any.
        zeroed: Indices of the landmarks to leave out, 0 to 97; null = StarGAN v2's, or with `inverted` none besides
            those that it leaves out itself.
        inverted: Keep everything but the moving parts: 1 minus the sum of chin, brows, eyes and lips, which SMILE calls
            general heat maps. For re-enactment.
    """

    use: Literal["landmarks"] = "landmarks"
    file: Annotated[Path | None, AfterValidator(to_absolute_path)] = None
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    zeroed: Annotated[tuple[Annotated[int, Field(ge=0, lt=98)], ...] | None, BeforeValidator(to_number_list)] = None
    inverted: bool = False


class PartMapsConfig(ComponentConfig):
    """Masks read off the layout of a face: its small parts, widened. No network, and exact.

    They take the place of landmark heat maps; neither SMILE nor StarGAN v2 has them.

    Attributes:
        parts: The parts whose detail is kept; those that the data does not have are ignored.
        margin: Pixels by which the masks reach beyond the parts, as a share of the image's side.
        inverted: Keep the detail of everything else instead. For re-enactment, where `parts` are those that move.
    """

    use: Literal["parts"] = "parts"
    parts: Names = ("nose", "l_eye", "r_eye", "l_brow", "r_brow", "mouth", "u_lip", "l_lip")
    margin: float = Field(1 / 32, ge=0, le=0.5)
    inverted: bool = False


def register(registry: Registry) -> None:
    """Register the augmentations and the heat maps.

    Args:
        registry: Where to register them.
    """
    registry.component("augment", "none", build="zoogan.layers.augment:NoAugment")
    registry.component("augment", "diffaugment", config=DiffAugmentConfig, build="zoogan.layers.augment:DiffAugment")
    registry.component("augment", "ada", config=AdaConfig, build="zoogan.layers.ada:AdaptiveAugment")
    registry.component("region_encoder", "none", build="zoogan.layers.regions:NoRegionEncoder")
    heat_maps = "zoogan.auxiliary.heat_maps:"
    registry.component("heat_maps", "none", build=heat_maps + "NoHeatMaps")
    # Heat maps that were computed beforehand: `heat_maps/<image>.png` beside the folders of the source `folders`.
    registry.component("heat_maps", "files", build=heat_maps + "HeatMapFiles")
    registry.component("heat_maps", "parts", config=PartMapsConfig, build="zoogan.auxiliary.part_maps:PartMaps")
    registry.component("heat_maps", "landmarks", config=LandmarkMapsConfig, build=heat_maps + "LandmarkMaps")
