"""Settings of editors."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoogan.config import ConfigModel


class InversionConfig(ConfigModel):
    """How the latent of a photo is found.

    Attributes:
        iterations: Iterations of Adam.
        space: `w` = one latent for all rows, `w+` = one for each row.
        noise: `optimised` = the noise maps are found too, `fixed` = the generator's own are used.
        lr: The highest learning rate of Adam.
        ramp_up: The share of the iterations over which the learning rate rises.
        ramp_down: The share of the iterations over which it falls at the end.
        jitter: Noise on the latent, in units of the latents' distance from their mean.
        jitter_until: The share of the iterations after which the jitter ends.
        mean_of: How many latents are drawn for the mean latent and their distance from it.
        noise_weight: Weight of the noise maps' correlation with themselves.
        noise_norm_weight: Weight of the noise maps' mean square. If not 0 it replaces scaling the maps to variance 1
            after every iteration; the official SemanticStyleGAN has 10.
        pixel_weight: Weight of the mean squared difference between face and photo; the likeness has weight 1.
        mean_weight: Weight of the mean squared difference between a latent and the mean latent.
        tune: Tune a copy of the generator to the photo afterwards (pivotal tuning).
        tune_iterations: Iterations of Adam for tuning.
        tune_lr: The learning rate for tuning.
        tune_pixel_weight: Weight of the mean squared difference in tuning; the likeness has weight 1.

    Source: StyleGAN2 (Karras et al. 2020), section 5 and appendix D, for the defaults; pivotal tuning, Roich et al.
        2022.
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
