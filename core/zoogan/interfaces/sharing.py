"""Values that the steps of one iteration may reuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def tensors_of(value: Any) -> Iterable[Tensor]:
    """Every tensor inside a tensor, tuple, list or dict."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from tensors_of(item)
    elif isinstance(value, dict):
        yield from tensors_of(list(value.values()))


class Shared:
    """`once(key, fn, uses)`: compute a value once an iteration.

    A value dies when the batch changes, when a network in `uses` is stepped, or when a backward went through it (its
    graph is freed). Fused optimisers do not bump tensor versions, so a stale graph would train silently wrong;
    conformance runs every game with sharing on and off and wants equal bits.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self.hits = 0
        self._values: dict[str, tuple[Any, frozenset[str], bool]] = {}

    def once(self, key: str, fn: Callable[[], Any], *, uses: tuple[str, ...], grad: bool = False) -> Any:
        """The value of `fn()`, computed under enable_grad if `grad`, else no_grad.

        A kept value without a graph does not serve a caller that wants one; the other way round it does.
        """
        kept = self._values.get(key)
        if kept is not None and (kept[2] or not grad):
            self.hits += 1
            return kept[0]
        with torch.set_grad_enabled(grad):
            value = fn()
        if self.enabled:
            self._values[key] = (value, frozenset(uses), grad)
            for tensor in tensors_of(value):
                if tensor.requires_grad:
                    tensor.register_hook(lambda _, key=key: self._forget(key))
        return value

    def _forget(self, key: str) -> None:
        self._values.pop(key, None)

    def stepped(self, networks: Iterable[str]) -> None:
        """Drop what used any of these networks."""
        changed = set(networks)
        self._values = {key: kept for key, kept in self._values.items() if not kept[1] & changed}

    def clear(self) -> None:
        """Drop everything: the batch has changed."""
        self._values = {}
