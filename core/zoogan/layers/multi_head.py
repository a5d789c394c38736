"""Networks with one head a domain, and the selection among the outputs of the heads."""

from __future__ import annotations

import itertools
from collections import OrderedDict
from collections.abc import Iterable, Sequence

import torch
from jaxtyping import Float, Shaped
from torch import Tensor, nn

from zoogan.layers.activations import LRELU_SLOPE
from zoogan.layers.style_blocks import PreActResidualBlock


def select_heads(
    outputs: Float[Tensor, "n k *d"], domain: Shaped[Tensor, " n *k"], heads: int = 1
) -> Float[Tensor, " n *selected"]:
    """Select the outputs of each row's domains among those of all k heads.

    A fixed number of heads is gathered, so shapes never depend on data.

    Args:
        outputs: Outputs of all heads (n, k, *d).
        domain: Indices (n,) int64, or multi-hot rows (n, k) of 0 and 1.
        heads: How many ones each multi-hot row has.

    Returns:
        (n, *d) for indices; (n, heads, *d) for multi-hot rows, by rising index.

    Raises:
        RuntimeError: A multi-hot row has another number of ones; on a GPU only when the device gets there.
    """
    is_index = domain.dim() == 1
    if is_index:
        place = domain[:, None]
    else:
        ones = (domain != 0).sum(1)
        is_valid = ((ones == heads) | (ones == 0)).all()  # a rehearsal's labels are all 0
        torch._assert_async(
            is_valid, f"domain: the network selects {heads} heads a row, but a row has another number of ones"
        )
        count = domain.shape[1]
        rank = (domain != 0) * count - torch.arange(count, device=domain.device)  # the ones first, in their order
        place = rank.topk(heads, dim=1).indices  # a sort could not be exported
    rest = outputs.shape[2:]
    index = place.view(*place.shape, *(1 for _ in rest)).expand(-1, -1, *rest)
    selected = outputs.gather(1, index)
    return selected[:, 0] if is_index else selected


class DomainHeads(nn.ModuleList):
    """One module a domain, each from the same features (n, f) to (n, d).

    Every head is evaluated, selected or not. The gradient of a head that no row selects is then zero instead of None,
    so that an optimizer's momentum and weight decay act on all heads in every step, as in the official training.

    Args:
        heads: The modules, in the order of the domains.

    Source: StarGAN v2 (Choi et al. 2020), official code.
    """

    def __init__(self, heads: Iterable[nn.Module]) -> None:
        super().__init__(heads)

    def forward(self, features: Float[Tensor, "n f"]) -> Float[Tensor, "n k d"]:
        """Compute the outputs (n, k, d) of all heads; a narrower output repeats until it is as wide as the widest."""
        outputs = [head(features) for head in self]
        widest = max(output.shape[1] for output in outputs)
        return torch.stack([output.repeat(1, widest // output.shape[1]) for output in outputs], 1)


def make_mlp(widths: Sequence[int], *, activate_last: bool) -> nn.Sequential:
    """Make linear layers with a ReLU after each.

    Args:
        widths: Numbers in, between the layers, and out.
        activate_last: Put a ReLU after the last layer too.

    Returns:
        The sequence of layers.
    """
    pairs = list(itertools.pairwise(widths))
    layers = [layer for a, b in pairs for layer in (nn.Linear(a, b), nn.ReLU(inplace=True))]
    return nn.Sequential(*(layers if activate_last else layers[:-1]))


class MultiHeadMLP(nn.Module):
    """A trunk of linear layers, and one head of linear layers a domain.

    Args:
        inputs: Numbers in a latent.
        outputs: Numbers out of each head; one entry a head.
        width: Numbers between the layers.
        shared: Hidden layers in the trunk.
        unshared: Hidden layers in each head.

    Source: StarGAN v2 (Choi et al. 2020): the mapping network.
    """

    def __init__(
        self, inputs: int, outputs: Sequence[int], *, width: int = 512, shared: int = 4, unshared: int = 3
    ) -> None:
        super().__init__()
        self.shared = make_mlp([inputs, *[width] * shared], activate_last=True)
        self.heads = DomainHeads(
            make_mlp([*[width] * (unshared + 1), output], activate_last=False) for output in outputs
        )

    def forward(self, latent: Float[Tensor, "n z"]) -> Float[Tensor, "n k d"]:
        """Map latents (n, inputs) to the outputs (n, k, d) of all heads."""
        return self.heads(self.shared(latent))


class ConvTrunk(nn.Sequential):
    """Map an image to one row of features, without norms.

    A 3x3 convolution, halving residual blocks down to 4 x 4, leaky ReLU, a 4x4 convolution, leaky ReLU.

    Args:
        channels: Channels of the image.
        widths: Channels at each size, largest size first; the smallest size is 4 x 4.

    Attributes:
        outputs: Numbers in a row of features.
        halvings: How many blocks.

    Source: StarGAN v2 (Choi et al. 2020): the style encoder and the discriminator.
    """

    def __init__(self, channels: int, widths: Sequence[int]) -> None:
        down = [PreActResidualBlock(a, b, downsample=True) for a, b in itertools.pairwise(widths)]
        last = widths[-1]
        super().__init__(OrderedDict(
            stem=nn.Conv2d(channels, widths[0], 3, 1, 1),
            blocks=nn.Sequential(*down),
            activation=nn.LeakyReLU(LRELU_SLOPE),
            whole=nn.Conv2d(last, last, 4),
            last=nn.LeakyReLU(LRELU_SLOPE, inplace=True),
            flat=nn.Flatten(),
        ))  # fmt: skip
        self.outputs, self.halvings = last, len(down)
