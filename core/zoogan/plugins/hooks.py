"""The hooks that a plugin may implement (pluggy; prefix `zoo_`). Imports no torch."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pluggy

if TYPE_CHECKING:
    from zoogan.config.registry import Registry

hookspec = pluggy.HookspecMarker("zoogan")
hookimpl = pluggy.HookimplMarker("zoogan")


@hookspec
def zoo_register(registry: Registry) -> None:
    """Register methods, components, sources and commands. Called once a plugin; must not import torch. Since 1."""


@hookspec
def zoo_train_start(run: Path) -> None:
    """Training in this run folder begins, or goes on after a resume. Since 1."""


@hookspec
def zoo_progress(run: Path, clock: Any, terms: Mapping[str, float]) -> None:
    """Terms were read back from the device (every `log_every` iterations), as plain floats. Since 1."""


@hookspec
def zoo_checkpoint_saved(run: Path, path: Path) -> None:
    """A checkpoint is complete on disk. Since 1."""


@hookspec
def zoo_evaluated(run: Path, report: Mapping[str, Any]) -> None:
    """A report on the run was written. Since 1."""


@hookspec
def zoo_train_end(run: Path, outcome: str) -> None:
    """Training ended: `finished`, `stopped` (signal) or `failed`. Since 1."""
