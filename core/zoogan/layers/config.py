"""Configs of mappings, of augmentations of what the discriminator sees, and of heat maps. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import AfterValidator, BeforeValidator, Field

from zoogan.config import ComponentConfig
from zoogan.config.registry import Registry


class PixelNormMappingConfig(ComponentConfig):
    """From noise to a latent: pixel norm and an MLP of one width (StyleGAN, figure 1).

    style_dim: numbers of a latent, and of the noise. lr_multiplier: how much slower its weights move.
    """

    style_dim: int = Field(512, ge=1)
    layers: int = Field(8, ge=1)
    lr_multiplier: float = Field(0.01, gt=0)


class NoAugmentConfig(ComponentConfig):
    """The discriminator sees images as they are."""

    use: Literal["none"] = "none"


class DiffAugmentConfig(ComponentConfig):
    """DiffAugment (Zhao et al. 2020).

    color: random brightness, saturation and contrast.
    translation: largest shift as a share of the side; 0 is off.
    cutout: side of the square that is blanked as a share of the side; 0 is off.
    """

    use: Literal["diffaugment"] = "diffaugment"
    color: bool = True
    translation: float = Field(0.125, ge=0, lt=1)
    cutout: float = Field(0.5, ge=0, lt=1)


class AdaConfig(ComponentConfig):
    """Adaptive discriminator augmentation (Karras et al. 2020): each change comes with a probability p that adapts.

    target: mean sign of the discriminator's scores of real images that p steers to; above it the discriminator overfits and p grows.
    images: real images that p takes from 0 to 1; 500,000 in the paper, 100,000 in its transfers.
    every: iterations from one adaptation to the next.
    start: p at first.
    fixed: p for good, so that nothing adapts.
    flip, turn, shift: mirror images, quarter turns, moves by whole pixels; geometry: zoom, stretch, rotation, moves;
    color: brightness, contrast, inversion of brightness, hue, saturation. All of them are the paper's `bgc`.
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
"""The sides of the face from the chin up: the landmarks that SMILE leaves out of its heat maps."""
WITHOUT_CONTOUR_AND_CORNERS = (*UPPER_CONTOUR, 33, 46, 76, 82)
"""Those that StarGAN v2 leaves out: also an end of each eyebrow and the corners of the mouth."""


def anywhere(path: Path | None) -> Path | None:
    """A path that means the same file from every folder: a run keeps it."""
    return None if path is None else path.expanduser().absolute()


def numbers(value: Any) -> Any:
    """One number, or a list of numbers."""
    return [value] if isinstance(value, int) else value


class NoHeatMapsConfig(ComponentConfig):
    """No masks."""

    use: Literal["none"] = "none"


class HeatMapFilesConfig(ComponentConfig):
    """Masks that were computed beforehand: `heat_maps/<image>.png` beside the folders of the source `folders`."""

    use: Literal["files"] = "files"


class LandmarkMapsConfig(ComponentConfig):
    """Masks around the 98 landmarks of a face, found by a network that the user brings.

    file: its weights: AdaptiveWingLoss's, or a StarGAN v2 `*_nets_ema.ckpt` with the network inside. sha256: hold the
    file to this. zeroed: landmarks that are left out.
    """

    use: Literal["landmarks"] = "landmarks"
    file: Annotated[Path | None, AfterValidator(anywhere)] = None
    sha256: str | None = Field(None, pattern="^[0-9a-f]{64}$")
    zeroed: Annotated[tuple[Annotated[int, Field(ge=0, lt=98)], ...], BeforeValidator(numbers)] = (
        WITHOUT_CONTOUR_AND_CORNERS
    )


def register(registry: Registry) -> None:
    """Register the augmentations and the heat maps."""
    registry.component("augment", "none", config=NoAugmentConfig, build="zoogan.layers.augment:NoAugment")
    registry.component("augment", "diffaugment", config=DiffAugmentConfig, build="zoogan.layers.augment:DiffAugment")
    registry.component("augment", "ada", config=AdaConfig, build="zoogan.layers.ada:AdaptiveAugment")
    registry.component("heat_maps", "none", config=NoHeatMapsConfig, build="zoogan.auxiliary.heat_maps:NoHeatMaps")
    registry.component("heat_maps", "files", config=HeatMapFilesConfig, build="zoogan.auxiliary.heat_maps:HeatMapFiles")
    registry.component(
        "heat_maps", "landmarks", config=LandmarkMapsConfig, build="zoogan.auxiliary.heat_maps:LandmarkMaps"
    )
