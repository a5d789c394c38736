"""The world: the processes that train together."""

from __future__ import annotations

from typing import Any

import torch
import torch.distributed as dist
import torch.distributed.nn.functional as differentiable
from torch import Tensor, nn


class World:
    """Rank and size of this process, and the few collectives that games and layers need.

    With one process every method is the identity, so code written for many processes runs unchanged on a laptop.

    Attributes:
        rank: Number of this process, from 0.
        size: Number of processes.
    """

    def __init__(self) -> None:
        initialised = dist.is_available() and dist.is_initialized()
        self.rank: int = dist.get_rank() if initialised else 0
        self.size: int = dist.get_world_size() if initialised else 1

    @classmethod
    def make_single(cls) -> World:
        """Make a world of this process only, even if others run: for rehearsals and editors."""
        world = cls()
        world.rank, world.size = 0, 1
        return world

    def reduce_mean(self, value: Tensor) -> Tensor:
        """Return the mean over processes, differentiable: every process receives the gradient of the joint mean."""
        if self.size == 1:
            return value
        return differentiable.all_reduce(value.contiguous()) / self.size

    @torch.no_grad()
    def gather(self, rows: Tensor) -> Tensor:
        """Gather the rows of all processes, in rank order: (n, ...) -> (size * n, ...). No gradient."""
        if self.size == 1:
            return rows
        parts = [torch.empty_like(rows) for _ in range(self.size)]
        dist.all_gather(parts, rows.contiguous())
        return torch.cat(parts)

    @torch.no_grad()
    def gather_uneven(self, rows: Tensor) -> Tensor:
        """Gather like `gather`, where processes may have different numbers of rows."""
        if self.size == 1:
            return rows
        counts = self.gather(torch.tensor([len(rows)], device=rows.device))
        padded = rows.new_zeros(int(counts.max()), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = self.gather(padded).unflatten(0, (self.size, len(padded)))  # not -1, which fails if no process has rows
        return torch.cat([part[:count] for part, count in zip(parts, counts.tolist())])

    def gather_objects(self, value: Any) -> list[Any]:
        """Return the `value` of every process, in rank order."""
        if self.size == 1:
            return [value]
        values: list[Any] = [None] * self.size
        dist.all_gather_object(values, value)
        return values

    @torch.no_grad()
    def reduce_max(self, value: Tensor) -> Tensor:
        """Take the elementwise maximum over processes, in place: a flag set in one process is set in all."""
        if self.size > 1:
            dist.all_reduce(value, op=dist.ReduceOp.MAX)
        return value

    @torch.no_grad()
    def average_gradients(self, parameters: list[nn.Parameter]) -> None:
        """Average `.grad` over processes in flat buckets; a gradient that is None on every process stays None.

        The host waits for the device only if this process lacks gradients, to find out whether others have them.
        """
        if self.size == 1:
            return
        for dtype in dict.fromkeys(p.dtype for p in parameters):  # the same order on every process
            bucket = [p for p in parameters if p.dtype == dtype]
            missing = [k for k, p in enumerate(bucket) if p.grad is None]
            present = torch.ones(len(bucket), dtype=dtype, device=bucket[0].device)
            for k in missing:
                present[k] = 0
            rows = [torch.zeros_like(p).flatten() if p.grad is None else p.grad.flatten() for p in bucket]
            flat = torch.cat([present, *rows])
            dist.all_reduce(flat)
            counts, *parts = flat.split([len(bucket), *(p.numel() for p in bucket)])
            elsewhere = counts.tolist() if missing else []
            for k in missing:
                bucket[k].grad = torch.zeros_like(bucket[k]) if elsewhere[k] else None
            for p, part in zip(bucket, parts):
                if p.grad is not None:
                    p.grad.copy_(part.view_as(p) / self.size)

    def barrier(self) -> None:
        """Wait for every process."""
        if self.size > 1:
            dist.barrier()


class SynchronisedLayer:
    """Mixin of layers whose statistics span the joint batch. The trainer sets `world`."""

    world: World | None = None
