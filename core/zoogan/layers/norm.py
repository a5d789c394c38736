"""Normalisation: batch statistics over the joint batch, and instance norm in its faster form."""

from __future__ import annotations

from typing import Any, NamedTuple

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
    norm of one channel a group (twice as fast on CPU as torch's own), or, channels last, by rows of pixels.
    """

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__(channels, channels, affine=affine)

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Each channel of each image to mean 0 and variance 1, then scaled and shifted if affine."""
        last = input.is_contiguous(memory_format=torch.channels_last) and not input.is_contiguous()
        if not last or input.dtype != torch.float32:
            return super().forward(input)
        output: Tensor = _NormaliseRows.apply(input, self.eps)
        if self.weight is None or self.bias is None:
            return output
        width = input.shape[3]
        return _pixels(_rows(output) * _along(self.weight, width) + _along(self.bias, width), width)


class _NormaliseRows(torch.autograd.Function):
    """Instance norm of a channels-last tensor, seen as rows (n, h, w * c).

    A scale (n, c, 1, 1) would be broadcast over runs of c numbers, too short for the processor's vectors when networks
    are narrow; laid out along a whole row it is not.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, eps: float) -> Tensor:
        width = input.shape[3]
        output = torch.empty_like(input)  # no view, so that an activation may work in place
        rows, changed = _rows(input), _rows(output)
        mean = _mean(rows, width)
        torch.sub(rows, _along(mean, width), out=changed)
        scale = (_mean(changed.square(), width) + eps).rsqrt()
        changed.mul_(_along(scale, width))
        ctx.save_for_backward(input, mean, scale)
        ctx.eps = eps
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        input, mean, scale = ctx.saved_tensors
        (gradient,) = gradients
        if torch.is_grad_enabled():  # a second derivative is wanted: differentiate what autograd can follow
            centred = input - input.mean((2, 3), keepdim=True)
            output = centred * (centred.square().mean((2, 3), keepdim=True) + ctx.eps).rsqrt()
            return torch.autograd.grad(output, input, gradient, create_graph=True)[0], None
        width = input.shape[3]
        inverse = _along(scale, width)
        output = (_rows(input) - _along(mean, width)).mul_(inverse)
        rows = _rows(gradient)
        along = _along(_mean(rows * output, width), width)
        change = torch.addcmul(rows - _along(_mean(rows, width), width), output, along, value=-1).mul_(inverse)
        return _pixels(change, width), None


def _rows(input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h wc"]:
    """Rows of pixels, channels innermost; no copy if channels last."""
    return input.permute(0, 2, 3, 1).flatten(2)


def _pixels(rows: Float[Tensor, "n h wc"], width: int) -> Float[Tensor, "n c h w"]:
    """The inverse of `_rows`."""
    return rows.unflatten(2, (width, -1)).permute(0, 3, 1, 2)


def _mean(rows: Float[Tensor, "n h wc"], width: int) -> Float[Tensor, "n c"]:
    """The mean of each channel of each image."""
    return rows.mean(1).unflatten(1, (width, -1)).mean(1)


def _along(values: Float[Tensor, "*n c"], width: int) -> Float[Tensor, "#n 1 wc"]:
    """One value a channel, laid out along a row: (c) -> (1, 1, w * c), (n, c) -> (n, 1, w * c)."""
    channels = values.shape[-1]
    return values.view(-1, 1, channels).expand(-1, width, channels).reshape(-1, 1, width * channels)


def normalisation(kind: str, channels: int, *, affine: bool = True) -> nn.Module:
    """`batch` (always affine), `instance` or `group` (one group: all channels of an image) norm."""
    if kind == "batch":
        return BatchNorm2d(channels)
    if kind == "instance":
        return InstanceNorm2d(channels, affine=affine)
    if kind == "group":
        return nn.GroupNorm(1, channels, affine=affine)
    raise ValueError(f"no normalisation is called {kind!r}; known: batch, instance, group")
