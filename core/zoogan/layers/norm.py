"""Normalisation: batch statistics over the joint batch, and instance norm in its faster form."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.modules.batchnorm import _BatchNorm

from zoogan.interfaces import SynchronisedLayer, World


class BatchStatistics(NamedTuple):
    """Mean and unbiased variance of a batch, by channel; without a graph.

    Attributes:
        mean: Mean of each channel.
        variance: Unbiased variance of each channel.
    """

    mean: Float[Tensor, " c"]
    variance: Float[Tensor, " c"]


class BatchNorm2d(nn.BatchNorm2d, SynchronisedLayer):
    """Torch's BatchNorm2d over the joint batch of all processes; its state_dict is torch's.

    With one process (`world` unset, or of size 1) it is torch's own. Every process must hold equally many rows.

    Attributes:
        records_statistics: Keep the statistics of the last training batch, so that `update_running_statistics` can
            apply them again.
        last_statistics: Those statistics.
    """

    records_statistics: bool = False
    last_statistics: BatchStatistics | None = None

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Normalise by the batch in training, by the running statistics otherwise."""
        is_joint = self.world is not None and self.world.size > 1
        if not self.training or not (is_joint or self.records_statistics):
            return super().forward(input)
        self._check_input_dim(input)
        if self.world is not None and self.world.size > 1:
            output, statistics = self._normalise_jointly(input, self.world)
        else:
            # Fresh buffers with momentum 1 receive exactly the batch's statistics. F.batch_norm must not get the
            # running ones: autograd would keep them, and they change before the backward.
            dtype = torch.float32 if self.running_mean is None else self.running_mean.dtype
            mean = torch.zeros(self.num_features, device=input.device, dtype=dtype)
            statistics = BatchStatistics(mean, torch.zeros_like(mean))
            output = F.batch_norm(input, *statistics, self.weight, self.bias, True, 1.0, self.eps)
        if self.records_statistics:
            self.last_statistics = statistics
        self.update_running_statistics(statistics)
        return output

    @torch.no_grad()
    def update_running_statistics(self, statistics: BatchStatistics) -> None:
        """Update the running statistics as a forward of a batch with these statistics does.

        Args:
            statistics: Those of the batch.
        """
        if self.running_mean is None or self.running_var is None or self.num_batches_tracked is None:
            return
        self.num_batches_tracked.add_(1)
        share = self.momentum if self.momentum is not None else self.num_batches_tracked.float().reciprocal()
        for running, value in ((self.running_mean, statistics.mean), (self.running_var, statistics.variance)):
            running.mul_(1 - share).add_(value * share)

    def _normalise_jointly(
        self, input: Float[Tensor, "n c h w"], world: World
    ) -> tuple[Float[Tensor, "n c h w"], BatchStatistics]:
        """Normalise by the statistics of the joint batch, and return them."""
        # One reduction of mean and mean square. Both are taken about the running mean, which is the same
        # everywhere: far from zero, the mean square minus the squared mean would lose all its digits.
        x = input if input.dtype == torch.float64 else input.float()
        centre = x.new_zeros(self.num_features) if self.running_mean is None else self.running_mean.clone()
        offset = x - centre.view(1, -1, 1, 1)
        moments = world.reduce_mean(torch.stack([offset.mean((0, 2, 3)), offset.square().mean((0, 2, 3))]))
        mean, variance = moments[0], moments[1] - moments[0].square()
        scale = (variance + self.eps).rsqrt()
        scale = scale if self.weight is None else scale * self.weight
        shift = -mean * scale if self.bias is None else self.bias - mean * scale
        output = (offset * scale.view(1, -1, 1, 1) + shift.view(1, -1, 1, 1)).to(input.dtype)
        count = world.size * input.numel() / self.num_features
        return output, BatchStatistics((mean + centre).detach(), variance.detach() * (count / (count - 1)))


def convert_batch_norms(network: nn.Module) -> nn.Module:
    """Turn every plain `nn.BatchNorm2d` of a network into `BatchNorm2d` of this module, in place.

    Args:
        network: The network to convert.

    Returns:
        The same network.

    Raises:
        ValueError: The network has another kind of BatchNorm, which would silently use each process's rows alone.
    """
    for name, layer in network.named_modules():
        if type(layer) is nn.BatchNorm2d:
            # In place: parameters, buffers, hooks and references to the layer stay valid.
            layer.__class__ = BatchNorm2d
        elif isinstance(layer, _BatchNorm) and not isinstance(layer, SynchronisedLayer):
            kind = type(layer).__name__
            raise ValueError(f"{name} is a {kind}, whose batch cannot span processes: use BatchNorm2d or one process")
    return network


def has_batch_norm(network: nn.Module) -> bool:
    """Tell whether a network has a BatchNorm, so that the outputs of a training batch depend on each other.

    Args:
        network: The network.

    Returns:
        True if any of its layers is a BatchNorm of any kind.
    """
    return any(isinstance(layer, _BatchNorm) for layer in network.modules())


class InstanceNorm2d(nn.GroupNorm):
    """Instance norm with eps 1e-5 and without running statistics, so that eval is the same as training.

    Its state, if affine, is weight and bias. The form depends on the memory layout: a group norm of one channel a group
    (twice as fast on a CPU as torch's own), or, channels last, rows of pixels.

    Args:
        channels: Channels in and out.
        affine: Learn a scale and a shift of each channel.

    Source: Ulyanov et al. 2016.
    """

    def __init__(self, channels: int, affine: bool) -> None:
        super().__init__(channels, channels, affine=affine)

    def forward(self, input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
        """Bring each channel of each image to mean 0 and variance 1, then scale and shift it if affine."""
        is_channels_last = input.is_contiguous(memory_format=torch.channels_last) and not input.is_contiguous()
        if not is_channels_last or input.dtype != torch.float32:
            return super().forward(input)
        output: Tensor = _NormaliseRows.apply(input, self.eps)
        if self.weight is None or self.bias is None:
            return output
        width = input.shape[3]
        return _from_rows(
            _to_rows(output) * _repeat_along_row(self.weight, width) + _repeat_along_row(self.bias, width), width
        )


class _NormaliseRows(torch.autograd.Function):
    """Instance norm of a channels-last tensor, seen as rows (n, h, w * c).

    A scale (n, c, 1, 1) is broadcast over only c consecutive numbers, too few for vector instructions in narrow
    networks. Repeating it along a whole row is faster.
    """

    @staticmethod
    def forward(ctx: Any, input: Tensor, eps: float) -> Tensor:
        """Normalise (n, c, h, w) in channels-last layout."""
        width = input.shape[3]
        output = torch.empty_like(input)  # no view, so that an activation may work in place
        rows, changed = _to_rows(input), _to_rows(output)
        mean = _average_channels(rows, width)
        torch.sub(rows, _repeat_along_row(mean, width), out=changed)
        scale = (_average_channels(changed.square(), width) + eps).rsqrt()
        changed.mul_(_repeat_along_row(scale, width))
        ctx.save_for_backward(input, mean, scale)
        ctx.eps = eps
        return output

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None]:
        """Return the gradient with respect to the input."""
        input, mean, scale = ctx.saved_tensors
        (gradient,) = gradients
        if torch.is_grad_enabled():  # for a second derivative, use operations that autograd can differentiate
            centred = input - input.mean((2, 3), keepdim=True)
            output = centred * (centred.square().mean((2, 3), keepdim=True) + ctx.eps).rsqrt()
            return torch.autograd.grad(output, input, gradient, create_graph=True)[0], None
        width = input.shape[3]
        inverse = _repeat_along_row(scale, width)
        output = (_to_rows(input) - _repeat_along_row(mean, width)).mul_(inverse)
        rows = _to_rows(gradient)
        along = _repeat_along_row(_average_channels(rows * output, width), width)
        change = torch.addcmul(
            rows - _repeat_along_row(_average_channels(rows, width), width), output, along, value=-1
        ).mul_(inverse)
        return _from_rows(change, width), None


def _to_rows(input: Float[Tensor, "n c h w"]) -> Float[Tensor, "n h wc"]:
    """View an image as rows of pixels, channels innermost; no copy if channels last."""
    return input.permute(0, 2, 3, 1).flatten(2)


def _from_rows(rows: Float[Tensor, "n h wc"], width: int) -> Float[Tensor, "n c h w"]:
    """Undo `_to_rows`."""
    return rows.unflatten(2, (width, -1)).permute(0, 3, 1, 2)


def _average_channels(rows: Float[Tensor, "n h wc"], width: int) -> Float[Tensor, "n c"]:
    """Average each channel of each image."""
    return rows.mean(1).unflatten(1, (width, -1)).mean(1)


def _repeat_along_row(values: Float[Tensor, "*n c"], width: int) -> Float[Tensor, "#n 1 wc"]:
    """Repeat one value a channel along a row: (c) to (1, 1, w * c), (n, c) to (n, 1, w * c)."""
    channels = values.shape[-1]
    return values.view(-1, 1, channels).expand(-1, width, channels).reshape(-1, 1, width * channels)


def make_norm(kind: str, channels: int, *, affine: bool = True) -> nn.Module:
    """Make a normalisation layer.

    Args:
        kind: `batch` (always affine), `instance`, or `group` (one group of all channels of an image).
        channels: Channels in and out.
        affine: Learn a scale and a shift of each channel.

    Returns:
        The layer.

    Raises:
        ValueError: The kind is unknown.
    """
    if kind == "batch":
        return BatchNorm2d(channels)
    if kind == "instance":
        return InstanceNorm2d(channels, affine=affine)
    if kind == "group":
        return nn.GroupNorm(1, channels, affine=affine)
    raise ValueError(f"no normalisation is called {kind!r}; choose batch, instance or group")
