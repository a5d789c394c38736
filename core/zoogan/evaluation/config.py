"""Configs of the metrics. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoogan.config import ComponentConfig
from zoogan.config.registry import Registry
from zoogan.evaluation import distribution_config


class EditErrorConfig(ComponentConfig):
    """L1 to the true redraw inside its region, as a share of what there was to change; drawn faces only."""

    use: Literal["edit_error"] = "edit_error"


class TruthConfig(ComponentConfig):
    """L1, PSNR and SSIM against the true redraw, inside its region and outside; drawn faces only."""

    use: Literal["truth"] = "truth"


class SuccessConfig(ComponentConfig):
    """Whether a judge sees what was asked for: accuracy, balanced accuracy, average precision, best F1."""

    use: Literal["success"] = "success"


class PreservationConfig(ComponentConfig):
    """Whether a judge reads every other attribute as before."""

    use: Literal["preservation"] = "preservation"


class LocalityConfig(ComponentConfig):
    """How much changes outside the attribute's true region and outside the method's own mask."""

    use: Literal["locality"] = "locality"


class ReconstructionConfig(ComponentConfig):
    """The edit taken back (cycle), and a face asked to stay as it is (identity)."""

    use: Literal["reconstruction"] = "reconstruction"


class DiversityConfig(ComponentConfig):
    """How much edits with different seeds differ, or samples, beside real faces."""

    use: Literal["diversity"] = "diversity"


class PoseConfig(ComponentConfig):
    """How far the head turns, as a judge reads it."""

    use: Literal["pose"] = "pose"


class SegmentationConfig(ComponentConfig):
    """Mean intersection over union with the segmentation of the true redraw, as a judge reads it."""

    use: Literal["segmentation"] = "segmentation"


class FrequencyConfig(ComponentConfig):
    """How often a judge sees each attribute on samples, against how often it does on real faces."""

    use: Literal["frequency"] = "frequency"


class MaskAgreementConfig(ComponentConfig):
    """Whether the segmentation of samples is what a judge reads off their pictures."""

    use: Literal["mask_agreement"] = "mask_agreement"


class PartLeakConfig(ComponentConfig):
    """What a part of a sample changes elsewhere when it is replaced. faces: how many samples are looked at."""

    use: Literal["part_leak"] = "part_leak"
    faces: int = Field(100, ge=1)


BUILDS: dict[str, tuple[type[ComponentConfig], str]] = {
    "edit_error": (EditErrorConfig, "zoogan.evaluation.metrics.edit_error:EditError"),
    "truth": (TruthConfig, "zoogan.evaluation.metrics.edit_error:Truth"),
    "success": (SuccessConfig, "zoogan.evaluation.metrics.judged:Success"),
    "preservation": (PreservationConfig, "zoogan.evaluation.metrics.judged:Preservation"),
    "locality": (LocalityConfig, "zoogan.evaluation.metrics.locality:Locality"),
    "reconstruction": (ReconstructionConfig, "zoogan.evaluation.metrics.reconstruction:Reconstruction"),
    "diversity": (DiversityConfig, "zoogan.evaluation.metrics.reconstruction:Diversity"),
    "pose": (PoseConfig, "zoogan.evaluation.metrics.judged:Pose"),
    "segmentation": (SegmentationConfig, "zoogan.evaluation.metrics.judged:Segmentation"),
    "frequency": (FrequencyConfig, "zoogan.evaluation.metrics.frequency:Frequency"),
    "mask_agreement": (MaskAgreementConfig, "zoogan.evaluation.metrics.mask_agreement:MaskAgreement"),
    "part_leak": (PartLeakConfig, "zoogan.evaluation.metrics.part_leak:PartLeak"),
}

# What `zoo evaluate` measures unless asked otherwise, in the order of the report.
SETS = ("fd_squeezenet", "kd_squeezenet", "prdc_squeezenet")
DEFAULTS: dict[str, tuple[str, ...]] = {
    "edits": (
        "edit_error", "truth", "success", "preservation", "locality", "reconstruction", "diversity", "pose",
        "segmentation", *SETS,
    ),
    "samples": (*SETS, "frequency", "diversity"),
}  # fmt: skip
OF_PARTS = ("mask_agreement", "part_leak")  # and these of samples with parts


def register(registry: Registry) -> None:
    """Register the metrics."""
    for name, (config, build) in BUILDS.items():
        registry.component("metric", name, config=config, build=build)
    distribution_config.register(registry)
