"""Feature matching: a reconstruction must look to the discriminator's layers as the real image does."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces import ImageDiscriminator, Turn
from zoogan.losses.config import FeatureMatchingConfig
from zoogan.losses.reconstruction import l1_loss
from zoogan.losses.terms import WeightedTerm


class FeatureMatching(WeightedTerm):
    """The L1 distances of the discriminator's features of real and reconstructed images, summed over layers.

    The discriminator sees both without augmentation.

    Args:
        config: The weight.
        facts: Unused.

    Source: pix2pixHD (Wang et al. 2018), equation 4.
    """

    default = FeatureMatchingConfig

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Sum the mean absolute differences of the features of each layer.

        Args:
            turn: Gives the discriminator.
            values: `image`, and `real_input` and `fake_input` of the discriminator.

        Returns:
            A 0-d tensor, at least 0; the features of the real images are without a graph.

        Raises:
            ValueError: The step does not compute these values, or the discriminator gives no features.
        """
        if not {"real_input", "fake_input"} <= values.keys():
            raise ValueError(
                f"term {self.name!r} compares reconstructed with real images, which this step does not compute: add it "
                "to the step reconstruction of a method that has one"
            )
        discriminator: Any = turn.networks["discriminator"]
        channels = values["image"].shape[1]
        with torch.no_grad():
            real = compute_features(discriminator, values["real_input"], channels)
        fake = compute_features(discriminator, values["fake_input"], channels)
        return torch.stack([l1_loss(one, other) for one, other in zip(fake, real, strict=True)]).sum()


def compute_features(
    discriminator: ImageDiscriminator, x: Float[Tensor, "n j h w"], channels: int
) -> list[Float[Tensor, "n _ _ _"]]:
    """Compute the discriminator's features of images, or of pairs.

    Args:
        discriminator: The network.
        x: Images (n, channels, h, w), or pairs: images with their segmentations as further channels.
        channels: Channels of an image.

    Returns:
        The features of each layer.

    Raises:
        ValueError: The discriminator gives none.
    """
    segmentation = x[:, channels:] if x.shape[1] > channels else None
    return discriminator.compute_features(x[:, :channels], segmentation)
