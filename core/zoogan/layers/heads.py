"""Networks with a head for each domain, and the choice among what the heads say."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from zoogan.layers.style import SLOPE, ResBlock


def select(
    outputs: Float[Tensor, "n k *d"], domain: Shaped[Tensor, "n *k"], heads: int = 1
) -> Float[Tensor, "n *selected"]:
    """Of the outputs of all k heads those of each row's domains.

    Gathered at places of a known number, so that shapes never depend on data.

    Args:
        domain: an index (n,) int64 -> (n, *d); or (n, k) of 0 and 1 -> (n, heads, *d), by rising index.
        heads: how many ones each row of the latter has.

    Raises:
        RuntimeError: a row has another number of ones; on a GPU when the device comes to it.
    """
    if domain.dim() == 1:
        place, given = domain[:, None], True
    else:
        ones = (domain != 0).sum(1)
        right = ((ones == heads) | (ones == 0)).all()  # a rehearsal's labels are all 0
        torch._assert_async(right, f"domain: the network selects {heads} heads a row, but a row has not as many ones")
        order = domain.to(torch.uint8).argsort(dim=1, descending=True, stable=True)  # the ones first, in their order
        place, given = order[:, :heads], False
    rest = outputs.shape[2:]
    index = place.view(*place.shape, *(1 for _ in rest)).expand(-1, -1, *rest)
    chosen = outputs.gather(1, index)
    return chosen[:, 0] if given else chosen


class Heads(nn.ModuleList):
    """One module a domain, each from the same features (n, f) to (n, d).

    Every head is evaluated, chosen or not: one that no row chose has then a gradient of zero, not none, so that an
    optimizer's momentum and weight decay act on all of them in every step, as in the official training.
    """

    def __init__(self, heads: Iterable[nn.Module]) -> None:
        super().__init__(heads)

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n k d"]:
        """What every head says; where widths differ, the narrower ones repeat until they are as wide as the widest."""
        said = [head(features) for head in self]
        widest = max(output.shape[1] for output in said)
        return torch.stack([output.repeat(1, widest // output.shape[1]) for output in said], 1)


def mlp(widths: Sequence[int], *, last: bool) -> nn.Sequential:
    """Linear layers with a ReLU after each; last: after the last one too."""
    pairs = list(itertools.pairwise(widths))
    layers = [layer for a, b in pairs for layer in (nn.Linear(a, b), nn.ReLU(inplace=True))]
    return nn.Sequential(*(layers if last else layers[:-1]))


class MultiHeadMLP(nn.Module):
    """A trunk of linear layers and a head of them for each domain (StarGAN v2's mapping network).

    Args:
        inputs: numbers in a latent.
        outputs: numbers that each head gives; one entry a head.
        width: of all layers between.
        shared, unshared: how many of them belong to all, to each head.
    """

    def __init__(
        self, inputs: int, outputs: Sequence[int], *, width: int = 512, shared: int = 4, unshared: int = 3
    ) -> None:
        super().__init__()
        self.shared = mlp([inputs, *[width] * shared], last=True)
        self.heads = Heads(mlp([*[width] * (unshared + 1), output], last=False) for output in outputs)

    def forward(self, latent: Float[Tensor, "n z"]) -> Float[Tensor, "n k d"]:
        """What every head makes of each latent."""
        return self.heads(self.shared(latent))


class ConvTrunk(nn.Sequential):
    """From an image to one row of features: 3x3, halving residual blocks down to 4 x 4, LReLU, 4x4, LReLU.

    The body of StarGAN v2's style encoder and discriminator; no norms. outputs: the number of features. halvings: of blocks.

    Args:
        channels: of the image.
        widths: channels at each size, largest first; the smallest size is 4 x 4.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        down = [ResBlock(a, b, downsample=True) for a, b in itertools.pairwise(widths)]
        last = widths[-1]
        super().__init__(OrderedDict(
            stem=nn.Conv2d(channels, widths[0], 3, 1, 1),
            blocks=nn.Sequential(*down),
            activation=nn.LeakyReLU(SLOPE),
            whole=nn.Conv2d(last, last, 4),
            last=nn.LeakyReLU(SLOPE, inplace=True),
            flat=nn.Flatten(),
        ))  # fmt: skip
        self.outputs, self.halvings = last, len(down)
