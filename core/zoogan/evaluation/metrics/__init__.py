"""Metrics: a file each, registered by import strings. Imports no torch."""

from __future__ import annotations

from zoogan.config.registry import Registry

METRICS = {
    "edit_error": "edit_error:EditError",
    "truth": "truth:Truth",
    "composite": "composite:CompositeMatch",
    "inverted": "inverted:InvertedEditError",
    "success": "success:Success",
    "preservation": "preservation:Preservation",
    "locality": "locality:Locality",
    "reconstruction": "reconstruction:Reconstruction",
    "diversity": "diversity:Diversity",
    "pose": "pose:Pose",
    "segmentation": "segmentation:Segmentation",
    "layout": "layout:Layout",
    "frequency": "frequency:Frequency",
    "mask_agreement": "mask_agreement:MaskAgreement",
    "part_leak": "part_leak:PartLeak",
    "fd_squeezenet": "frechet:FrechetSqueezeNet",
    "fid": "frechet:FrechetInception",
    "kd_squeezenet": "kernel:KernelSqueezeNet",
    "kid": "kernel:KernelInception",
    "prdc_squeezenet": "manifold:PrecisionRecallSqueezeNet",
    "lpips": "lpips:Lpips",
    "identity": "identity:Identity",
}


def register(registry: Registry) -> None:
    """Register the core's metrics."""
    for name, build in METRICS.items():
        registry.metric(name, f"{__name__}.{build}")
