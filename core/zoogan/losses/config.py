"""Configs of the losses that ship with the core. Imports no torch."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoogan.config import ComponentConfig
from zoogan.config.registry import Registry

# ---- penalties ----


class PenaltyConfig(ComponentConfig):
    """Settings of every penalty of the discriminator.

    Attributes:
        weight: Factor of the penalty.
        every: Compute it in every `every`-th iteration only, that many times as strong.
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


# ---- extra terms, for any step ----


class TermConfig(ComponentConfig):
    """Settings of every extra term.

    Attributes:
        weight: Factor of the term.
    """

    weight: float = Field(1.0, ge=0)


class MaskAreaConfig(TermConfig):
    """Mean of the edit's mask: closes a mask that is open everywhere."""

    use: Literal["mask_area"] = "mask_area"


class MaskVariationConfig(TermConfig):
    """Total variation of the edit's mask: leads to few, smooth regions."""

    use: Literal["mask_variation"] = "mask_variation"


class UnmaskedIdentityConfig(TermConfig):
    """Identity term before the mask is applied, so that it does not close the mask."""

    use: Literal["unmasked_identity"] = "unmasked_identity"


# ---- extra terms of reconstructions ----


class FeatureMatchingConfig(TermConfig):
    """Distance of the discriminator's features of real and reconstructed images (pix2pixHD, equation 4).

    Attributes:
        weight: Factor of the term; 10 as in pix2pixHD, SPADE and SEAN.
    """

    use: Literal["feature_matching"] = "feature_matching"
    weight: float = Field(10.0, ge=0)


class PerceptualConfig(TermConfig):
    """LPIPS between photos and their reconstructions. Its weights must be in place; nothing is downloaded.

    Attributes:
        weight: Factor of the term; SPADE and SEAN use 10, of distances of VGG-19 features.
        trunk: The network whose features are compared.
    """

    use: Literal["perceptual"] = "perceptual"
    weight: float = Field(10.0, ge=0)
    trunk: Literal["vgg", "alex", "squeeze"] = "vgg"


def register(registry: Registry) -> None:
    """Register the losses, penalties, classifications and terms.

    Args:
        registry: Where to register them.
    """
    adversarial = "zoogan.losses.adversarial:"
    registry.component("adversarial_loss", "wgan", build=adversarial + "WganLoss")
    registry.component("adversarial_loss", "non_saturating", build=adversarial + "NonSaturatingLoss")
    registry.component("adversarial_loss", "hinge", build=adversarial + "HingeLoss")
    registry.component("adversarial_loss", "lsgan", build=adversarial + "LsganLoss")

    role, penalties = "discriminator_penalty", "zoogan.losses.penalties:"
    registry.component(role, "none", config=NoPenaltyConfig, build=penalties + "NoPenalty")
    registry.component(role, "gradient", config=GradientPenaltyConfig, build=penalties + "GradientPenalty")
    registry.component(role, "r1", config=R1Config, build=penalties + "R1Penalty")

    classification = "zoogan.losses.classification:"
    registry.component("classification", "binary", build=classification + "BinaryClassification")
    registry.component("classification", "softmax", build=classification + "SoftmaxClassification")

    terms = "zoogan.losses.terms:"
    registry.component("term", "mask_area", config=MaskAreaConfig, build=terms + "MaskArea")
    registry.component("term", "mask_variation", config=MaskVariationConfig, build=terms + "MaskVariation")
    registry.component("term", "unmasked_identity", config=UnmaskedIdentityConfig, build=terms + "UnmaskedIdentity")
    feature_matching = "zoogan.losses.feature_matching:FeatureMatching"
    registry.component("term", "feature_matching", config=FeatureMatchingConfig, build=feature_matching)
    registry.component("term", "perceptual", config=PerceptualConfig, build="zoogan.auxiliary.perceptual:Perceptual")
