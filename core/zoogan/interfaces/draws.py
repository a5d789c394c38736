"""Random numbers that are the same for any number of processes."""

from __future__ import annotations

import copy
import hashlib
from collections.abc import Callable, Mapping

import torch
from torch import Tensor

from zoogan.interfaces.world import World


def derive_seed(*what: object) -> int:
    """Hash the purpose of a seed, such as (run seed, iteration, step, repeat), to a seed of 56 bits."""
    return int.from_bytes(hashlib.blake2b(repr(what).encode(), digest_size=7).digest(), "little")


def move_like(drawn: Tensor, like: Tensor) -> Tensor:
    """Move a tensor that was drawn on the CPU to the device and dtype of `like`.

    The copy is asynchronous: the host does not wait for a CUDA device. It is safe without pinned memory, because CUDA
    stages the data before the call returns.
    """
    return drawn.to(device=like.device, dtype=like.dtype, non_blocking=like.is_cuda)


class Draws:
    """Named random tensors for one update of one step.

    Each name has its own generator, seeded by (seed, name), so the order of the draws does not matter. Rows are drawn
    for the joint batch on the CPU, and every process and micro-batch takes its own, so the result does not depend on
    world size, accumulation or device.

    Args:
        seed: Seed of this update.
        world: The processes that draw together.
        rows: Rows of the joint batch that this process holds, over all its micro-batches.
        micro_batch: Which of them belong to the present micro-batch.
        injected: Draws by name that replace random ones; golden cases fix `alpha` this way.
    """

    def __init__(
        self, seed: int, world: World, rows: int, micro_batch: slice, injected: Mapping[str, Tensor] | None = None
    ) -> None:
        self.seed, self.world, self.rows, self.micro_batch = seed, world, rows, micro_batch
        self.injected = dict(injected or {})
        self.selected = slice(None)

    def select_rows(self, rows: slice) -> Draws:
        """Make a copy that draws for some rows of the micro-batch only. Injected draws are returned as they are."""
        selection = copy.copy(self)
        selection.selected = rows
        return selection

    def _make_generator(self, name: str) -> torch.Generator:
        """Make the generator of a name."""
        return torch.Generator().manual_seed(derive_seed(self.seed, name))

    def _select_own(self, joint: Tensor) -> Tensor:
        """Select the rows of this process and micro-batch."""
        first = self.world.rank * self.rows
        return joint[first : first + self.rows][self.micro_batch][self.selected]

    def _draw(self, sample: Callable[..., Tensor], name: str, shape: tuple[int, ...], like: Tensor) -> Tensor:
        """Draw for the joint batch on the CPU and return the rows of this process."""
        if like.is_meta:
            return torch.empty((len(like), *shape), dtype=like.dtype, device="meta")
        if name in self.injected:
            return move_like(self.injected[name], like)
        joint = sample((self.world.size * self.rows, *shape), generator=self._make_generator(name), dtype=torch.float32)
        return move_like(self._select_own(joint), like)

    def uniform(self, name: str, *shape: int, like: Tensor) -> Tensor:
        """Draw U(0, 1) of shape (n, *shape).

        Args:
            name: Name of the draw; the same name gives the same numbers.
            shape: Shape of one row.
            like: A tensor of n rows, whose dtype and device the result has.
        """
        return self._draw(torch.rand, name, shape, like)

    def normal(self, name: str, *shape: int, like: Tensor) -> Tensor:
        """Draw N(0, 1) of shape (n, *shape); arguments as of `uniform`."""
        return self._draw(torch.randn, name, shape, like)

    def normal_on_device(self, name: str, *shape: int, like: Tensor) -> Tensor:
        """Draw N(0, 1) on the device of `like`, for large maps. The numbers depend on the kind of device.

        Arguments as of `uniform`.
        """
        if like.device.type in ("cpu", "meta") or name in self.injected:
            return self.normal(name, *shape, like=like)
        # Each process draws the rows of all processes and keeps its own. A generator for each row would avoid that, but
        # needs a kernel launch for each row, changes the noise of every run and saves little: on a CPU all maps of
        # 8 processes at 64 px, 4 faces each, take 1.5 ms (row by row 0.4 ms), and a generator's forward and backward
        # 1.5 s. Not measured on a GPU.
        generator = torch.Generator(like.device).manual_seed(derive_seed(self.seed, name))
        joint = torch.randn(self.world.size * self.rows, *shape, generator=generator, device=like.device)
        return self._select_own(joint).to(like.dtype)

    def permute(self, name: str, rows: Tensor) -> Tensor:
        """Return rows of the joint batch in a random order, (n, ...) -> (n, ...); rows may come from any process."""
        if rows.is_meta:
            return rows.clone()
        joint = self.world.gather(rows)
        if name in self.injected:
            order = self.injected[name].long()
        else:
            order = torch.randperm(len(joint), generator=self._make_generator(name))
        return self._select_own(joint[order.to(rows.device, non_blocking=rows.is_cuda)])
