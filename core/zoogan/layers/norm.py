"""Normalisation: batch statistics over the joint batch, and instance norm in its faster form."""

from __future__ import annotations

from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from zoogan.interfaces import Synchronised, World


class Statistics(NamedTuple):
    """Mean and unbiased variance of a batch, by channel; without a graph."""

    mean: Float[Tensor, "c"]
    variance: Float[Tensor, "c"]


class BatchNorm2d(nn.BatchNorm2d, Synchronised):
    """torch's BatchNorm2d whose batch is that of all processes together; the same state_dict.

    With one process (`world` unset, or of size 1) it is torch's own. Every process must hold as many rows.

    records: keep the statistics of the last training batch in `last`, so that `replay` can apply their update
    again.
    """

    records: bool = False
    last: Statistics | None = None

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Normalise by the batch in training, by the running statistics otherwise."""
        joint = self.world is not None and self.world.size > 1
        if not self.training or not (joint or self.records):
            return super().forward(input)
        self._check_input_dim(input)
        if self.world is not None and self.world.size > 1:
            output, statistics = self._jointly(input, self.world)
        else:
            # Buffers of our own with momentum 1 receive exactly the batch's statistics. The running ones must
            # not be handed to F.batch_norm here: autograd would keep them, and `replay` changes them before
            # the backward.
            dtype = torch.float32 if self.running_mean is None else self.running_mean.dtype
            mean = torch.zeros(self.num_features, device=input.device, dtype=dtype)
            statistics = Statistics(mean, torch.zeros_like(mean))
            output = F.batch_norm(input, *statistics, self.weight, self.bias, True, 1.0, self.eps)
        if self.records:
            self.last = statistics
        self.replay(statistics)
        return output

    @torch.no_grad()
    def replay(self, statistics: Statistics) -> None:
        """Move the running statistics as a forward of a batch with these statistics does."""
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else self.num_batches_tracked.float().reciprocal()
        for running, seen in ((self.running_mean, statistics.mean), (self.running_var, statistics.variance)):
            running.mul_(1 - share).add_(seen * share)

    def _jointly(self, input: Float[Tensor, "n c h w"], world: World) -> tuple[Float[Tensor, "n c h w"], Statistics]:
        # One reduction of mean and mean square. Both are taken about the running mean, which is the same
        # everywhere: far from zero, the mean square minus the squared mean would lose all its digits.
        x = input if input.dtype == torch.float64 else input.float()
        known = self.running_mean
        centre = x.new_zeros(self.num_features) if known is None else known.clone()
        offset = x - centre.view(1, -1, 1, 1)
        moments = world.mean(torch.stack([offset.mean((0, 2, 3)), offset.square().mean((0, 2, 3))]))
        mean, variance = moments[0], moments[1] - moments[0].square()
        scale = (variance + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        output = (offset * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)).to(input.dtype)
        count = world.size * input.numel() / self.num_features
        return output, Statistics((mean + centre).detach(), variance.detach() * (count / (count - 1)))


def synchronised(network: nn.Module) -> nn.Module:
    """Turn every plain `nn.BatchNorm2d` of a network into ours, in place; returns the network.

    Raises:
        ValueError: another kind of BatchNorm, which would silently train on each process's rows alone.
    """
    for name, layer in network.named_modules():
        if type(layer) is nn.BatchNorm2d:
            # In place: parameters, buffers, hooks and everybody's references to the layer stay.
            layer.__class__ = BatchNorm2d
        elif isinstance(layer, _BatchNorm) and not isinstance(layer, Synchronised):
            kind = type(layer).__name__
            raise ValueError(f"{name} is a {kind}, whose batch cannot span processes: use BatchNorm2d or one process")
    return network


def couples_batch(network: nn.Module) -> bool:
    """Whether the outputs of a training batch depend on each other: there is a BatchNorm in the network."""
    return any(isinstance(layer, _BatchNorm) for layer in network.modules())


class InstanceNorm2d(nn.GroupNorm):
    """Instance norm (Ulyanov et al. 2016), eps 1e-5, without running statistics, so that eval is as training.

    Its state, if affine: weight, bias. The same maths in the form that is fastest for the memory layout: as a group
    norm of one channel a group (twice as fast on CPU as torch's own), or, channels last, written out (group norm would
    copy).
    """

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__(channels, channels, affine=affine)

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Each channel of each image to mean 0 and variance 1, then scaled and shifted if affine."""
        last = input.is_contiguous(memory_format=torch.channels_last) and not input.is_contiguous()
        if not last or input.dtype != torch.float32:
            return super().forward(input)
        centred = input - input.mean((2, 3), keepdim=True)
        scale = (centred.square().mean((2, 3), keepdim=True) + self.eps).rsqrt()
        if self.weight is None or self.bias is None:
            return centred * scale
        return centred * (scale * self.weight.view(1, -1, 1, 1)) + self.bias.view(1, -1, 1, 1)


def normalisation(kind: str, channels: int, *, affine: bool = True) -> nn.Module:
    """`batch` (always affine), `instance` or `group` (one group: all channels of an image) norm."""
    if kind == "batch":
        return BatchNorm2d(channels)
    if kind == "instance":
        return InstanceNorm2d(channels, affine=affine)
    if kind == "group":
        return nn.GroupNorm(1, channels, affine=affine)
    raise ValueError(f"no normalisation is called {kind!r}; known: batch, instance, group")
