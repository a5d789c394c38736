"""To be written."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoogan.config import ConfigModel


class InversionConfig(ConfigModel):
    """How the latent of a photo is found; defaults as published for StyleGAN2 (section 5 and appendix D).

    space: `w` = one latent for all rows, `w+` = one for each. noise: whether maps of noise are found too, or are the
    generator's own. lr: of Adam at its height; it rises over the first `ramp_up` of the iterations and falls over the
    last `ramp_down`. jitter: noise on the latent, in units of how far latents are from their mean, until `jitter_until`
    of the iterations. mean_of: so many latents are drawn for both. Weights: noise_weight of the maps' correlation with
    themselves, noise_norm_weight of their mean square, which then holds them instead of the scaling to variance 1 after
    every iteration (the official SemanticStyleGAN has 10), pixel_weight of the mean squared difference, mean_weight of
    that between a latent and the mean one; likeness has 1. tune: then bring the generator nearer to the photo, in
    tune_iterations of Adam with tune_lr, by the likeness plus tune_pixel_weight times the mean squared difference
    (pivotal tuning, Roich et al. 2022).
    """

    iterations: int = Field(1000, ge=1)
    space: Literal["w", "w+"] = "w+"
    noise: Literal["optimised", "fixed"] = "optimised"
    lr: float = Field(0.1, gt=0)
    ramp_up: float = Field(0.05, gt=0, le=1)
    ramp_down: float = Field(0.25, gt=0, le=1)
    jitter: float = Field(0.05, ge=0)
    jitter_until: float = Field(0.75, gt=0, le=1)
    mean_of: int = Field(10_000, ge=2)
    noise_weight: float = Field(1e5, ge=0)
    noise_norm_weight: float = Field(0.0, ge=0)
    pixel_weight: float = Field(0.0, ge=0)
    mean_weight: float = Field(0.0, ge=0)
    tune: bool = False
    tune_iterations: int = Field(200, ge=1)
    tune_lr: float = Field(1e-4, gt=0)
    tune_pixel_weight: float = Field(0.1, ge=0)
