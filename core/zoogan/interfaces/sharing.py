"""Values that the steps of one iteration may reuse."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

import torch
from torch import Tensor


def iterate_tensors(value: Any) -> Iterable[Tensor]:
    """Yield every tensor inside a tensor, tuple, list or dict."""
    if isinstance(value, Tensor):
        yield value
    elif isinstance(value, tuple | list):
        for item in value:
            yield from iterate_tensors(item)
    elif isinstance(value, dict):
        yield from iterate_tensors(list(value.values()))


class Shared:
    """A cache of values that are computed once an iteration.

    A value is dropped when the batch changes, when a network that it used is updated, or when a backward pass has freed
    its graph. torch does not detect a stale graph here, because fused optimizers do not increase tensor versions.
    Therefore the conformance suite trains every game with sharing on and off, and requires equal bits.

    Args:
        enabled: False = compute every value anew.
    """

    def __init__(self, enabled: bool = True) -> None:
        self.enabled = enabled
        self.hits = 0
        self._values: dict[str, tuple[Any, frozenset[str], bool]] = {}

    def compute_once(self, key: str, fn: Callable[[], Any], *, uses: tuple[str, ...], grad: bool = False) -> Any:
        """Return the value of `fn()`, from the cache if it is there.

        If the caller needs a graph and the cached value has none, the value is computed again.

        Args:
            key: Name of the value.
            fn: Computes the value.
            uses: Networks that the value depends on.
            grad: Compute it with gradients enabled.
        """
        cached = self._values.get(key)
        if cached is not None and (cached[2] or not grad):
            self.hits += 1
            return cached[0]
        with torch.set_grad_enabled(grad):
            value = fn()
        if self.enabled:
            self._values[key] = (value, frozenset(uses), grad)
            for tensor in iterate_tensors(value):
                if tensor.requires_grad:
                    tensor.register_hook(lambda _, key=key: self._forget(key))
        return value

    def _forget(self, key: str) -> None:
        """Drop one value."""
        self._values.pop(key, None)

    def drop_values_of(self, networks: Iterable[str]) -> None:
        """Drop the values that used any of these networks, which were updated."""
        changed = set(networks)
        self._values = {key: cached for key, cached in self._values.items() if not cached[1] & changed}

    def clear(self) -> None:
        """Drop every value: the batch has changed."""
        self._values = {}
