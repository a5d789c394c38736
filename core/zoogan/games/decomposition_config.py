"""Config of latent decomposition. Imports no torch."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from zoogan.config import ComponentConfig, ConfigModel, GameConfig, Slot, use_component
from zoogan.games.config import OptimizerSlot


class DecompositionWeights(ConfigModel):
    """Weights of the terms of latent decomposition; a term whose weight is 0 is not computed.

    Attributes:
        inside: Weight of |edit - composite| where the template is.
        scales: Weight of |edit - composite| over the whole image, at full, half and quarter size.
        outside: Weight of |edit - face| where the template is not.
        adversarial: Weight of the frozen discriminator's score of the edit.
        attribute: Weight of the frozen classifier's reading of the attribute in the edit.
        identity: Weight of 1 - cosine between the classifier's features of the edit and of the face.
        size: Weight of the mean square of the offset.
    """

    inside: float = Field(1.0, ge=0)
    scales: float = Field(1.0, ge=0)
    outside: float = Field(1.0, ge=0)
    adversarial: float = Field(0.05, ge=0)
    attribute: float = Field(0.1, ge=0)
    identity: float = Field(0.5, ge=0)
    size: float = Field(1e-3, ge=0)


class DecompositionOptimizers(ConfigModel):
    """The optimizer of the only network that is trained.

    Attributes:
        fusion: Optimizer of the network that computes offsets.
    """

    fusion: OptimizerSlot


class DecompositionConfig(GameConfig):
    """Latent decomposition (SD-GAN): an offset per face repairs the directions of discrete attributes.

    The method has the stages `backbone` (a run that generates faces), `classifier` (a judge), `geometry` (a
    `FaceGeometry`) and `boundary` (directions by attribute). `data.attributes` are the attributes to edit.

    Attributes:
        condition: What an edit should show.
        adversarial: The loss of the backbone's discriminator.
        fusion: The network that computes offsets.
        compositor: What makes the targets of the training.
        basis: How much of the step along the direction an edit takes: 1 = up to the typical face with the attribute, 0
            = none, so that the offset does all.
        truncation: How far from the mean face the faces of the training are, 0 to 1.
        candidates: Latents that are drawn for each face of the training; the first one without the attribute is taken.
        weights: Weights of the terms.
        optimizers: The optimizer.
    """

    condition: Annotated[ComponentConfig, Slot("condition")] = use_component("condition", "decomposition")
    adversarial: Annotated[ComponentConfig, Slot("adversarial_loss")] = use_component(
        "adversarial_loss", "non_saturating"
    )
    fusion: Annotated[ComponentConfig, Slot("latent_offset")]
    compositor: Annotated[ComponentConfig, Slot("compositor")]
    basis: float = Field(1.0, ge=0)
    truncation: float = Field(1.0, gt=0, le=1)
    candidates: int = Field(3, ge=1, le=100)
    weights: DecompositionWeights = DecompositionWeights()
    optimizers: DecompositionOptimizers
