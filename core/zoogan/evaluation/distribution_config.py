"""Configs of the metrics that hold edits or samples against real faces, or edits against each other. Imports no
torch."""

from __future__ import annotations

from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from zoogan.auxiliary.config import DistributionConfig, InceptionOptions
from zoogan.config import ComponentConfig
from zoogan.config.registry import Registry


class FrechetConfig(DistributionConfig):
    """floor: also say how far other real faces are; doubles the real faces that are read, once."""

    floor: bool = True


class FdSqueezenetConfig(FrechetConfig):
    """Frechet distance (Heusel et al. 2017) on SqueezeNet 1.1 features: small, and not comparable with FID."""

    use: Literal["fd_squeezenet"] = "fd_squeezenet"
    backbone: ClassVar[str] = "squeezenet"


class FidConfig(FrechetConfig, InceptionOptions):
    """Frechet Inception Distance (Heusel et al. 2017)."""

    use: Literal["fid"] = "fid"


class KdSqueezenetConfig(DistributionConfig):
    """Kernel distance (Binkowski et al. 2018) on SqueezeNet 1.1 features: not comparable with KID."""

    use: Literal["kd_squeezenet"] = "kd_squeezenet"
    backbone: ClassVar[str] = "squeezenet"


class KidConfig(InceptionOptions):
    """Kernel Inception Distance (Binkowski et al. 2018), over the whole sets rather than subsets of them."""

    use: Literal["kid"] = "kid"


class PrdcSqueezenetConfig(DistributionConfig):
    """Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020), SqueezeNet features.

    k: the nearest neighbour that a face's ball reaches to; 5 as Naeem et al., Kynkaanniemi et al. take 3.
    """

    use: Literal["prdc_squeezenet"] = "prdc_squeezenet"
    backbone: ClassVar[str] = "squeezenet"
    k: int = Field(5, ge=1)


class LpipsConfig(ComponentConfig):
    """LPIPS v0.1 (Zhang et al. 2018): what an edit loses on the way back, and how much two seeds differ.

    trunk: the network below; alex is the authors' choice for measuring. weights: its ImageNet weights as torchvision
    saved them, where they are not in the folder of metric weights. download: fetch them otherwise (alex 233 MB).
    draws: edits of a face by as many seeds, each pair compared.
    """

    use: Literal["lpips"] = "lpips"
    immaterial: ClassVar[frozenset[str]] = frozenset({"weights", "download"})
    trunk: Literal["alex", "vgg", "squeeze"] = "alex"
    weights: Path | None = None
    download: bool = True
    draws: int = Field(2, ge=2)


class IdentityConfig(ComponentConfig):
    """Cosine similarity of a face and its edit in the features of a network that you name; best a face recogniser.

    backbone: timm's name of it. weights: its safetensors file; by default `<backbone>.safetensors` in the folder of
    metric weights. head: whether the last layer belongs to it, as in networks that embed faces; without, the pooled
    features are compared. options: of timm's create_model, such as img_size. size: side of its input in pixels; mean,
    std: of its input, RGB in [0, 1]; by default what timm knows of the backbone.
    """

    use: Literal["identity"] = "identity"
    immaterial: ClassVar[frozenset[str]] = frozenset({"weights"})
    backbone: str | None = None
    weights: Path | None = None
    head: bool = False
    options: dict[str, Any] = Field(default_factory=dict)
    size: int | None = Field(None, ge=8)
    mean: tuple[float, float, float] | None = None
    std: tuple[float, float, float] | None = None


def register(registry: Registry) -> None:
    """Register these metrics."""
    room = "zoogan.evaluation.metrics."
    registry.component("metric", "fd_squeezenet", config=FdSqueezenetConfig, build=room + "frechet:Frechet")
    registry.component("metric", "fid", config=FidConfig, build=room + "frechet:Frechet")
    registry.component("metric", "kd_squeezenet", config=KdSqueezenetConfig, build=room + "kernel:KernelDistance")
    registry.component("metric", "kid", config=KidConfig, build=room + "kernel:KernelDistance")
    registry.component("metric", "prdc_squeezenet", config=PrdcSqueezenetConfig, build=room + "manifold:Manifold")
    registry.component("metric", "lpips", config=LpipsConfig, build=room + "perceptual:Perceptual")
    registry.component("metric", "identity", config=IdentityConfig, build=room + "identity:Identity")
