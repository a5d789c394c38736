"""Masks of the small parts of a face, read off its layout."""

from __future__ import annotations

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import HeatMaps, Masks
from zoogan.layers.config import PartMapsConfig
from zoogan.names import suggest_name


class PartMaps(HeatMaps):
    """The small parts of a layout, such as nose and mouth, and a margin around them; or everything else.

    Coarse and fine masks are equal.

    They replace landmark heat maps, are exact and need no network. No paper describes them.

    Args:
        config: The parts, and the margin.
        facts: The parts of the data, and the size of the image.

    Raises:
        ConfigError: The data has none of these parts.
    """

    reads = "layout"

    def __init__(self, config: PartMapsConfig, facts: Facts) -> None:
        self.columns = [facts.parts.index(part) for part in config.parts if part in facts.parts]
        if not self.columns:
            raise ConfigError(
                f"heat_maps.parts: none of {', '.join(config.parts)} is a part of the data"
                f"{suggest_name(config.parts[0], facts.parts) if config.parts else ''}; its parts: "
                f"{', '.join(facts.parts) or 'none'}. Name some of them, or set heat_maps.use=none"
            )
        self.margin, self.inverted = round(config.margin * facts.image_size), config.inverted

    @torch.no_grad()
    def __call__(self, picture: Float[Tensor, "n k h w"]) -> Masks:
        """Make the masks (n, 1, h, w) of layouts (n, k, h, w): 1 on the parts and within the margin, else 0.

        With `inverted` it is the other way round.

        Args:
            picture: Layouts, or class probabilities, which give the sum of the probabilities of the parts.
        """
        # Indexing with a list would copy it to the device, and the host would wait.
        mask = torch.stack([picture[:, column] for column in self.columns], 1).sum(1, keepdim=True).clamp(0, 1)
        if self.margin:
            mask = F.max_pool2d(mask, 2 * self.margin + 1, stride=1, padding=self.margin)
        mask = 1 - mask if self.inverted else mask
        return mask, mask
