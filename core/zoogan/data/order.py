"""The order of faces that lie in shards: pure, and near in time for faces of one shard."""

from __future__ import annotations

import bisect
import itertools

import torch
from jaxtyping import Int64
from torch import Tensor

from zoogan.interfaces.draws import derive_seed

KEPT = 4  # windows whose order is kept, so that neighbouring items cost little


class WindowOrder:
    """The order of some faces of a split: item k is a pure function of (seed, name, k).

    Every face comes once an epoch. In each epoch the shards are permuted and cut into windows, and the faces of a
    window are permuted together. So an epoch opens each shard once, at most `window` of them are needed at a time, and
    any item is found at once.

    Args:
        members: Numbers of the faces in the split.
        shards: The shard of each of them.
        window: Shards in a window.
        key: What the order depends on, such as (seed of the run, name of the need).
    """

    def __init__(self, members: Int64[Tensor, " m"], shards: Int64[Tensor, " m"], window: int, *key: object) -> None:
        order = shards.sort(stable=True).indices
        self.members, self.window, self.key = members[order], window, key
        self.shards, counts = shards[order].unique_consecutive(return_counts=True)
        self.ends = counts.cumsum(0)
        self.starts = self.ends - counts
        self._epochs: dict[int, tuple[list[list[int]], list[int]]] = {}
        self._windows: dict[tuple[int, int], Tensor] = {}

    def __len__(self) -> int:
        return len(self.members)

    def _permute(self, n: int, *purpose: object) -> Tensor:
        """Permute 0..n-1 by a seed that depends on the key and a purpose."""
        return torch.randperm(n, generator=torch.Generator().manual_seed(derive_seed(*self.key, *purpose)))

    def _divide(self, epoch: int) -> tuple[list[list[int]], list[int]]:
        """Divide the shards of an epoch into windows; return these and the number of faces until the end of each."""
        if epoch not in self._epochs:
            shards = self._permute(len(self.shards), "shards", epoch).tolist()
            windows = [shards[first : first + self.window] for first in range(0, len(shards), self.window)]
            counts = (self.ends - self.starts).tolist()
            ends = list(itertools.accumulate(sum(counts[shard] for shard in window) for window in windows))
            self._epochs = dict([*self._epochs.items(), (epoch, (windows, ends))][-2:])
        return self._epochs[epoch]

    def locate(self, k: int) -> tuple[int, int, int]:
        """Locate item k: (epoch, window of the epoch, position in the window)."""
        epoch, position = divmod(k, len(self.members))
        ends = self._divide(epoch)[1]
        window = bisect.bisect_right(ends, position)
        return epoch, window, position - (ends[window - 1] if window else 0)

    def get_face(self, k: int) -> int:
        """Get the number of item k's face in the split."""
        epoch, window, position = self.locate(k)
        if (epoch, window) not in self._windows:
            inside = self.list_members(epoch, window)
            permuted = inside[self._permute(len(inside), "window", epoch, window)]
            self._windows = dict([*self._windows.items(), ((epoch, window), permuted)][-KEPT:])
        return int(self._windows[epoch, window][position])

    def list_members(self, epoch: int, window: int) -> Int64[Tensor, " w"]:
        """List the faces in the shards of a window."""
        return torch.cat([self.members[self.starts[s] : self.ends[s]] for s in self._divide(epoch)[0][window]])

    def list_shards(self, epoch: int, window: int) -> list[int]:
        """List the shards of a window; a window after the last one is the first of the next epoch."""
        windows = self._divide(epoch)[0]
        if window == len(windows):
            epoch, window, windows = epoch + 1, 0, self._divide(epoch + 1)[0]
        return [int(self.shards[shard]) for shard in windows[window]]
