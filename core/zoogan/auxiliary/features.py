"""Networks that turn faces into features, so that sets of faces can be compared."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import ClassVar
from weakref import WeakKeyDictionary

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.auxiliary.config import DistributionConfig
from zoogan.interfaces.metric import Edits, Samples, Study
from zoogan.names import import_object

ROWS = 32  # faces that go through a network at once; the features do not depend on it

# How each backbone is opened: `open(config, study)`.
BACKBONES = {
    "squeezenet": "zoogan.auxiliary.squeezenet:open_squeezenet",
    "inception": "zoogan.auxiliary.inception:open_inception",
}


class Features(ABC):
    """A frozen network with everything that a number through it must tell of itself.

    name: of the network and the layer. weights: sha256 of its weight file. resizer: how faces reach its input size.
    libraries: distributions whose versions matter.
    """

    name: str
    weights: str
    resizer: str
    dimensions: int
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torchvision")

    def __init__(self) -> None:
        # Several metrics look at the same batch; its features live as long as the batch does.
        self._seen: WeakKeyDictionary[Edits | Samples, list[Tensor]] = WeakKeyDictionary()

    @abstractmethod
    def extract(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """The features of a few faces in [-1, 1]."""

    @torch.no_grad()
    def __call__(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n d"]:
        """The features of any number of faces in [-1, 1], on their device."""
        if not len(image):
            return image.new_zeros(0, self.dimensions)
        return torch.cat([self.extract(part) for part in image.split(ROWS)])

    def of(self, shown: Edits | Samples, draws: int = 1) -> Float[Tensor, "_ d"]:
        """The features (draws * n, d) of a batch of edits or samples, on the CPU; computed once however many metrics
        ask. draws: edits of each face by as many seeds, one draw of all faces after the other."""
        known = self._seen.setdefault(shown, [])
        while len(known) < draws:
            known.append(self(picture(shown, len(known))).cpu())
        return torch.cat(known[:draws])


def picture(shown: Edits | Samples, draw: int) -> Float[Tensor, "n 3 h w"]:
    """What there is to look at: of edits the first, or those by a later seed."""
    if isinstance(shown, Samples):
        return shown.image
    return shown.again(shown.seed + draw) if draw else shown.edited


def open_features(config: DistributionConfig, study: Study) -> Features:
    """The backbone that a metric's config names, on the study's device.

    Raises:
        Unavailable: its weights or its library are not here.
    """
    opener: Callable[[DistributionConfig, Study], Features] = import_object(BACKBONES[config.backbone])
    return opener(config, study)
