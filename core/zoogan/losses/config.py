"""Configs of the losses that ship with the core. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoogan.config import ComponentConfig
from zoogan.config.registry import Registry

# ---- adversarial losses ----


class WganConfig(ComponentConfig):
    """Wasserstein discriminator (Arjovsky et al. 2017); wants a gradient penalty."""

    use: Literal["wgan"] = "wgan"


class NonSaturatingConfig(ComponentConfig):
    """Non-saturating logistic loss (Goodfellow et al. 2014), from logits."""

    use: Literal["non_saturating"] = "non_saturating"


class HingeConfig(ComponentConfig):
    """Hinge loss (Lim and Ye 2017)."""

    use: Literal["hinge"] = "hinge"


class LsganConfig(ComponentConfig):
    """Least squares (Mao et al. 2017, equation 9 with labels 0 and 1)."""

    use: Literal["lsgan"] = "lsgan"


# ---- penalties ----


class PenaltyConfig(ComponentConfig):
    """What every penalty of the discriminator has.

    every: play it in every `every`-th iteration only, that many times as strong.
    """

    weight: float = Field(1.0, ge=0)
    every: int = Field(1, ge=1)


class NoPenaltyConfig(PenaltyConfig):
    """No penalty."""

    use: Literal["none"] = "none"
    weight: float = Field(0.0, ge=0, le=0)


class GradientPenaltyConfig(PenaltyConfig):
    """Gradient norms near 1 between real and fake images (WGAN-GP, Gulrajani et al. 2017)."""

    use: Literal["gradient"] = "gradient"
    weight: float = Field(10.0, ge=0)


class R1Config(PenaltyConfig):
    """Small gradients on real images (Mescheder et al. 2018), lazily (StyleGAN2, appendix B)."""

    use: Literal["r1"] = "r1"
    every: int = Field(16, ge=1)


# ---- classification ----


class BinaryConfig(ComponentConfig):
    """Each attribute yes or no by itself; summed over attributes."""

    use: Literal["binary"] = "binary"


class SoftmaxConfig(ComponentConfig):
    """Exactly one of the attributes is shown (labels are one-hot)."""

    use: Literal["softmax"] = "softmax"


# ---- terms that any step can be given ----


class TermConfig(ComponentConfig):
    """What every extra term has."""

    weight: float = Field(1.0, ge=0)


class MaskAreaConfig(TermConfig):
    """Mean of the edit's mask: pulls a mask that is open everywhere shut."""

    use: Literal["mask_area"] = "mask_area"


class MaskVariationConfig(TermConfig):
    """Total variation of the edit's mask: few, smooth regions."""

    use: Literal["mask_variation"] = "mask_variation"


class UnmaskedIdentityConfig(TermConfig):
    """The identity term before the mask hides anything, so that it does not pull the mask shut."""

    use: Literal["unmasked_identity"] = "unmasked_identity"


def register(registry: Registry) -> None:
    """Register the losses, penalties, classifications and terms."""
    for config, name in (
        (WganConfig, "Wgan"),
        (NonSaturatingConfig, "NonSaturating"),
        (HingeConfig, "Hinge"),
        (LsganConfig, "Lsgan"),
    ):
        use = config.model_fields["use"].default
        registry.component("adversarial_loss", use, config=config, build=f"zoogan.losses.adversarial:{name}")
    penalties = "zoogan.losses.penalties:"
    registry.component("discriminator_penalty", "none", config=NoPenaltyConfig, build=penalties + "NoPenalty")
    registry.component(
        "discriminator_penalty", "gradient", config=GradientPenaltyConfig, build=penalties + "GradientPenalty"
    )
    registry.component("discriminator_penalty", "r1", config=R1Config, build=penalties + "R1")
    classification = "zoogan.losses.classification:"
    registry.component("classification", "binary", config=BinaryConfig, build=classification + "Binary")
    registry.component("classification", "softmax", config=SoftmaxConfig, build=classification + "Softmax")
    terms = "zoogan.losses.terms:"
    registry.component("term", "mask_area", config=MaskAreaConfig, build=terms + "MaskArea")
    registry.component("term", "mask_variation", config=MaskVariationConfig, build=terms + "MaskVariation")
    registry.component("term", "unmasked_identity", config=UnmaskedIdentityConfig, build=terms + "UnmaskedIdentity")
