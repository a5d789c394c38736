"""Count FLOPs and operator calls of code that runs on the meta device: shapes only, nothing is computed."""

from __future__ import annotations

from typing import Any

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils.flop_counter import flop_registry

aten = torch.ops.aten


class CountWork(TorchDispatchMode):
    """Counts the work inside: `flops` (two for a multiply-add; convolutions and matrix products) and `calls`.

    A plain dispatch mode, because torch's FlopCounterMode refuses `autograd.grad`. Each gradient of a convolution
    counts as one forward: torch's own formula multiplies that of a grouped weight by the groups.
    """

    def __init__(self) -> None:
        super().__init__()
        self.flops = self.calls = 0

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        out = func(*args, **kwargs)
        self.calls += not func.is_view
        packet = func.overloadpacket
        if packet is aten.convolution_backward:
            self.flops += count_convolution_backward(args)
        elif packet in flop_registry:
            self.flops += flop_registry[packet](*args, **kwargs, out_val=out)
        return out


def count_convolution_backward(args: Any) -> int:
    """Count one forward for each of the two gradients that are needed."""
    gradient, image, weight, _, _, _, _, transposed, _, _, needed = args
    # A convolution multiplies its whole weight once for each pixel of its smaller map: of the input if transposed.
    pixels = image.shape[2:] if transposed else gradient.shape[2:]
    forward = 2 * image.shape[0] * pixels.numel() * weight.numel()
    return forward * (int(needed[0]) + int(needed[1]))
