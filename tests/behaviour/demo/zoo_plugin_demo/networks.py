"""The networks and the classification loss of the demo method."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo_plugin_demo.config import DemoClassification, DemoDiscriminator, DemoGenerator
from zoogan.interfaces import AttributeDiscriminator, Classification, DiscriminatorOutput, EditedImage, ImageEditor
from zoogan.plugins import Facts


class Generator(ImageEditor):
    """Two convolutions of the image and the target attributes."""

    def __init__(self, config: DemoGenerator, facts: Facts) -> None:
        super().__init__()
        self.first = nn.Conv2d(facts.channels + len(facts.attributes), config.width, 3, padding=1)
        self.last = nn.Conv2d(config.width, facts.channels, 3, padding=1)

    def decode(self, encoded: Tensor, attributes: Tensor) -> EditedImage:
        """Edit the image: (n, channels, h, w) and (n, attributes) -> an image of the same shape."""
        planes = attributes[:, :, None, None].expand(-1, -1, *encoded.shape[2:])
        hidden = torch.tanh(self.first(torch.cat([encoded, planes], 1)))
        return EditedImage(torch.tanh(self.last(hidden)))


class Discriminator(AttributeDiscriminator):
    """One convolution, then a score for each patch and attribute logits for each image."""

    def __init__(self, config: DemoDiscriminator, facts: Facts) -> None:
        super().__init__()
        self.features = nn.Conv2d(facts.channels, config.width, 4, stride=4)
        self.score = nn.Conv2d(config.width, 1, 1)
        self.attributes = nn.Linear(config.width, len(facts.attributes))

    def forward(self, image: Tensor, attributes: Tensor) -> DiscriminatorOutput:
        """Score patches and read attributes of images; the given attributes are ignored."""
        features = torch.tanh(self.features(image))
        return DiscriminatorOutput(self.score(features), self.attributes(features.mean((2, 3))))


class Squared(Classification):
    """The mean of (sigmoid(logit) - label)^2."""

    def __init__(self, config: DemoClassification, facts: Facts | None = None) -> None:
        self.config = config

    def __call__(self, logits: Tensor, labels: Tensor) -> Tensor:
        """Compute the loss of logits and labels, both (n, attributes)."""
        return (logits.sigmoid() - labels).square().mean()
