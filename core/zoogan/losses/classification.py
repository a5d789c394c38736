"""Classification losses of attribute logits against labels."""

from __future__ import annotations

from typing import ClassVar

import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zoogan.interfaces import Classification
from zoogan.losses.base import OptionlessLoss


class BinaryClassification(OptionlessLoss, Classification):
    """Binary cross entropy: attributes are independent; the loss is the sum over attributes, not the mean.

    Source: StarGAN (Choi et al. 2018), on CelebA.
    """

    def __call__(self, logits: Float[Tensor, "n a"], labels: Float[Tensor, "n a"]) -> Float[Tensor, ""]:
        """Compute the binary cross entropy, summed over attributes, mean over the batch."""
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum") / len(logits)


class SoftmaxClassification(OptionlessLoss, Classification):
    """Softmax cross entropy: a face shows exactly one of the attributes, and labels are one-hot.

    Source: StarGAN (Choi et al. 2018), on RaFD.
    """

    exclusive: ClassVar[bool] = True

    def __call__(self, logits: Float[Tensor, "n a"], labels: Float[Tensor, "n a"]) -> Float[Tensor, ""]:
        """Compute the cross entropy against the label that is set, mean over the batch."""
        return F.cross_entropy(logits, labels.argmax(1))

    def predict_labels(self, logits: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
        """Return the most likely attribute as one-hot rows; of equals the first."""
        return F.one_hot(logits.argmax(1), logits.shape[1]).to(logits.dtype)
