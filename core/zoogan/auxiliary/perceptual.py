"""The perceptual term of reconstructions: LPIPS, whose weights must be in place before a training begins."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.auxiliary.image_distance import ImageDistance, make_lpips_distance
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import SynthesisedFace, Turn, Unavailable
from zoogan.layers.precision import ensure_float32
from zoogan.losses.config import PerceptualConfig
from zoogan.losses.terms import WeightedTerm


class Perceptual(WeightedTerm):
    """LPIPS between photos and their reconstructions, at 256 px where they are larger.

    The network is opened when it is first used: the rehearsal before a training opens it, and a run that was trained
    with it can be opened without the weights. Nothing is downloaded.

    Args:
        config: The weight and the trunk.
        facts: Unused.

    Source: Zhang et al. 2018; as a term, SPADE (Park et al. 2019), appendix A, with distances of VGG-19 features.
    """

    default = PerceptualConfig

    def __init__(self, config: PerceptualConfig | None = None, facts: Facts | None = None) -> None:
        super().__init__(config, facts)
        self.trunk = (config or PerceptualConfig()).trunk
        self._distances: dict[torch.device, ImageDistance] = {}

    def open_distance(self, image: Float[Tensor, "n c h w"]) -> ImageDistance:
        """Return the distance for images of this size and device; it is opened once.

        Args:
            image: The images.

        Raises:
            ConfigError: The library or the weights are missing, or the images are too small.
        """
        if image.device not in self._distances:
            try:
                distance = make_lpips_distance(image.shape[-1], image.device, (self.trunk,))
            except Unavailable as reason:
                raise ConfigError(
                    f"extra_terms: {self.name}: {reason}; or remove the term, the reconstruction has its own L1"
                ) from reason
            self._distances[image.device] = distance
        return self._distances[image.device]

    def __call__(self, turn: Turn, values: Mapping[str, Any]) -> Float[Tensor, ""]:
        """Compute the mean LPIPS of the batch.

        Args:
            turn: Unused.
            values: `image` (n, c, h, w) in [-1, 1], and its reconstruction `synthesised`, a `SynthesisedFace`.

        Returns:
            A 0-d tensor, 0 for equal images.

        Raises:
            ConfigError: See `open_distance`.
            ValueError: The step reconstructs nothing.
        """
        synthesised: SynthesisedFace | None = values.get("synthesised")
        if synthesised is None or "real_input" not in values:
            raise ValueError(
                f"term {self.name!r} compares photos with their reconstructions, which this step does not compute: add "
                "it to the step reconstruction of a method that has one"
            )
        image = values["image"]
        distance = self.open_distance(image).distance
        return ensure_float32(distance(synthesised.image.float(), image.float())).mean()
