"""Networks that turn faces into features, so that sets of faces can be compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from pathlib import Path
from typing import ClassVar
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces import Edits, Samples, World
from zoogan.names import import_object

ROWS = 32  # faces that go through a network at once; the features do not depend on it

# Backbone -> import string of a function, called as `open_backbone(device, world, metric, weights, download)`.
BACKBONES = {
    "squeezenet": "zoogan.auxiliary.squeezenet:open_squeezenet",
    "inception": "zoogan.auxiliary.inception:open_inception",
}


class Features(ABC):
    """A frozen network that computes features, with the facts about it that are part of a measure's key.

    Attributes:
        name: Name of the network and the layer.
        weights: sha256 of its weight file.
        resizer: How faces are resized to its input size.
        dimensions: Length of a feature vector.
        libraries: Distributions whose versions matter.
    """

    name: str
    weights: str
    resizer: str
    dimensions: int
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision")

    def __init__(self) -> None:
        # Several metrics measure the same batch; its features are cached as long as the batch exists.
        self._batches: WeakKeyDictionary[Edits | Samples, list[Tensor]] = WeakKeyDictionary()

    @abstractmethod
    def extract(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Compute the features of at most ROWS faces in [-1, 1]."""

    @torch.no_grad()
    def __call__(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """Compute the features of any number of faces in [-1, 1], on their device."""
        if not len(image):
            return image.new_zeros(0, self.dimensions)
        return torch.cat([self.extract(part) for part in image.split(ROWS)])

    def extract_batch(self, batch: Edits | Samples, draws: int = 1) -> Float[Tensor, "_ d"]:
        """Return the features of a batch on the CPU; they are cached for other metrics.

        Args:
            batch: Edits or samples.
            draws: Edits of each face, each with another seed.

        Returns:
            Features (draws * n, d), one draw of all faces after the other.
        """
        features = self._batches.setdefault(batch, [])
        while len(features) < draws:
            features.append(self(make_draw(batch, len(features))).cpu())
        return torch.cat(features[:draws])


def make_draw(batch: Edits | Samples, draw: int) -> Float[Tensor, "n 3 h w"]:
    """Return the images of a batch: for draw 0 the edits or samples themselves, else edits with a later seed."""
    if isinstance(batch, Samples):
        return batch.image
    return batch.edit_with_seed(batch.seed + draw) if draw else batch.edited_image


def open_features(
    backbone: str,
    device: torch.device,
    world: World,
    *,
    metric: str,
    weights: Path | None = None,
    download: bool = False,
) -> Features:
    """Open a backbone, which all metrics share.

    Args:
        backbone: A key of BACKBONES.
        device: Device of the network.
        world: The processes; the first one downloads.
        metric: Name of the metric, for messages.
        weights: Its weight file; None = in the folder of metric weights.
        download: Download the weights if they are missing, where that is possible.

    Raises:
        Unavailable: Its weights or its library are missing.
    """
    open_backbone: Callable[..., Features] = import_object(BACKBONES[backbone])
    return open_backbone(device, world, metric, weights, download)
