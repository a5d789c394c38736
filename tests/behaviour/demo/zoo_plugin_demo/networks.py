"""Networks and a loss of its own."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_plugin_demo.config import DemoClassification, DemoDiscriminator, DemoGenerator
from zoogan.interfaces import AttributeDiscriminator, Classification, EditedImage, ImageEditor, Verdict
from zoogan.plugins import Facts


class Generator(ImageEditor):
    """The image and the wanted attributes through two convolutions."""

    def __init__(self, config: DemoGenerator, facts: Facts) -> None:
        super().__init__()
        self.first = nn.Conv2d(facts.channels + len(facts.attributes), config.width, 3, padding=1)
        self.last = nn.Conv2d(config.width, facts.channels, 3, padding=1)

    def decode(self, encoded: Tensor, attributes: Tensor) -> EditedImage:
        """The edit."""
        planes = attributes[:, :, None, None].expand(-1, -1, *encoded.shape[2:])
        hidden = torch.tanh(self.first(torch.cat([encoded, planes], 1)))
        return EditedImage(torch.tanh(self.last(hidden)))


class Discriminator(AttributeDiscriminator):
    """One convolution; scores by patch, attributes by image."""

    def __init__(self, config: DemoDiscriminator, facts: Facts) -> None:
        super().__init__()
        self.features = nn.Conv2d(facts.channels, config.width, 4, stride=4)
        self.score = nn.Conv2d(config.width, 1, 1)
        self.attributes = nn.Linear(config.width, len(facts.attributes))

    def forward(self, image: Tensor, attributes: Tensor) -> Verdict:
        """The verdict; the claim is ignored."""
        features = torch.tanh(self.features(image))
        return Verdict(self.score(features), self.attributes(features.mean((2, 3))))


class Squared(Classification):
    """(sigmoid(logit) - label)^2."""

    def __init__(self, config: DemoClassification, facts: Facts | None = None) -> None:
        self.config = config

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """The mean."""
        return (logits.sigmoid() - labels).square().mean()
