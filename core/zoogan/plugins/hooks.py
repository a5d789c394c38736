"""The hooks that a plugin may implement (pluggy; prefix `zoo_`). Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from zoogan.config.registry import Registry

# The version of the plugin API. Raised when a hook, a role or a base class changes incompatibly.
API_VERSION = 1

hookspec = pluggy.HookspecMarker("zoogan")
hookimpl = pluggy.HookimplMarker("zoogan")
"""Decorator that marks a function as the implementation of a hook."""


@hookspec
def zoo_register(registry: Registry) -> None:
    """Register methods, components, sources and commands. Called once a plugin; must not import torch. Since API 1."""


@hookspec
def zoo_train_start(run: Path) -> None:
    """Observe that training begins in this run folder, or continues after a resume. Since API 1."""


@hookspec
def zoo_progress(run: Path, clock: Any, terms: Mapping[str, float]) -> None:
    """Observe terms read back from the device (every `log_every` iterations), as plain floats. Since API 1."""


@hookspec
def zoo_checkpoint_saved(run: Path, path: Path) -> None:
    """Observe that a checkpoint is complete on disk. Since API 1."""


@hookspec
def zoo_evaluated(run: Path, report: Mapping[str, Any]) -> None:
    """Observe that a report on the run was written. Since API 1."""


@hookspec
def zoo_train_end(run: Path, outcome: str) -> None:
    """Observe the end of training: `finished`, `stopped` (by a signal) or `failed`. Since API 1."""
