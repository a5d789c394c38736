"""Random numbers that do not show how many processes drew them."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zoogan.interfaces.world import World


def seed_of(*what: object) -> int:
    """A 56-bit seed, a pure function of what it is for: (run seed, iteration, step, repeat...)."""
    return int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=7).digest(), "little")


def sent(drawn: Tensor, like: Tensor) -> Tensor:
    """What was drawn on the CPU, in the type of `like` and where it is.

    CUDA takes it without the host's waiting for what the device has yet to do: it has its own copy when the call
    returns, although not from page-locked memory.
    """
    return drawn.to(device=like.device, dtype=like.dtype, non_blocking=like.is_cuda)


class Draws:
    """Named random tensors for one update of one step.

    Each name has its own generator, seeded by (seed, name): the order of the draws does not matter. Rows are drawn
    for the joint batch on the CPU and every process and micro-batch takes its own, so world size, accumulation and
    device do not show. `injected` overrides draws by name (golden cases fix `alpha` this way).

    Args:
        seed: of this update.
        rows: rows that this process holds of the joint batch, over all its micro-batches.
        part: which of them the present micro-batch is.
    """

    def __init__(
        self, seed: int, world: World, rows: int, part: slice, injected: Mapping[str, Tensor] | None = None
    ) -> None:
        self.seed, self.world, self.rows, self.part = seed, world, rows, part
        self.injected = dict(injected or {})
        self.chosen = slice(None)

    def some(self, chosen: slice) -> Draws:
        """The same draws for some rows of the micro-batch only. What is injected is given as it is."""
        fewer = copy.copy(self)
        fewer.chosen = chosen
        return fewer

    def _generator(self, name: str) -> torch.Generator:
        return torch.Generator().manual_seed(seed_of(self.seed, name))

    def _own(self, joint: Tensor) -> Tensor:
        first = self.world.rank * self.rows
        return joint[first : first + self.rows][self.part][self.chosen]

    def _draw(self, sample: Callable[..., Tensor], name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        if like.is_meta:
            return torch.empty((len(like), *shape), dtype=like.dtype, device="meta")
        if name in self.injected:
            return sent(self.injected[name], like)
        joint = sample((self.world.size * self.rows, *shape), generator=self._generator(name), dtype=torch.float32)
        return sent(self._own(joint), like)

    def uniform(self, name: str, *shape: int, like: Tensor) -> Tensor:
        """U(0, 1) of shape (n, *shape), n the rows of `like`; its dtype and device are those of `like`."""
        return self._draw(torch.rand, name, shape, like)

    def normal(self, name: str, *shape: int, like: Tensor) -> Tensor:
        """N(0, 1) of shape (n, *shape); see `uniform`."""
        return self._draw(torch.randn, name, shape, like)

    def noise(self, name: str, *shape: int, like: Tensor) -> Tensor:
        """N(0, 1) of shape (n, *shape), drawn where `like` is: for large maps, where the kind of device may show."""
        if like.device.type in ("cpu", "meta") or name in self.injected:
            return self.normal(name, *shape, like=like)
        # Each process draws the rows of all and keeps its own. A generator for each row would save that, at a launch a
        # row, and give every run other noise. There is little to save: on a CPU all maps of 8 processes at 64 px, of 4
        # faces each, take 1.5 ms (row by row .4 ms), a generator's forward and backward 1.5 s; not measured on a GPU.
        generator = torch.Generator(like.device).manual_seed(seed_of(self.seed, name))
        joint = torch.randn(self.world.size * self.rows, *shape, generator=generator, device=like.device)
        return self._own(joint).to(like.dtype)

    def permute(self, name: str, rows: Tensor) -> Tensor:
        """Rows of the joint batch in a random order: (n, ...) -> (n, ...); the rows may come from any process."""
        if rows.is_meta:
            return rows.clone()
        joint = self.world.gather(rows)
        if name in self.injected:
            order = self.injected[name].long()
        else:
            order = torch.randperm(len(joint), generator=self._generator(name))
        return self._own(joint[order.to(rows.device, non_blocking=rows.is_cuda)])
