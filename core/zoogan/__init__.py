"""zoogan: a modular zoo of GANs that edit faces on demand.

`zoogan.load(run)` opens a trained run as an editor. Nothing here imports torch until it is used.
"""

from __future__ import annotations

from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any

from zoogan.devices import limit_openmp_spinning

if TYPE_CHECKING:
    from zoogan.runs.opening import load as load

limit_openmp_spinning()

try:
    __version__ = version("zoogan")
except PackageNotFoundError:  # a source tree on PYTHONPATH, never installed
    __version__ = "0+unknown"

# What a plugin was written against. Raised when a hook, a role or a base class changes incompatibly.
API_VERSION = 1

__all__ = ["API_VERSION", "__version__", "load"]


def __getattr__(name: str) -> Any:
    if name == "load":
        from zoogan.runs.opening import load

        return load
    raise AttributeError(f"module 'zoogan' has no attribute {name!r}")
