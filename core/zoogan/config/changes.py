"""Compares the config of a training with the one that its checkpoint was trained with. Imports no torch."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel

from zoogan.config.layers import validate
from zoogan.config.models import GameConfig, list_changeable
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.names import suggest_name

PROCESSES = "processes"  # stands beside the settings: how many processes train together
MISSING = "nothing"


@dataclass(frozen=True)
class TrainingSetup:
    """What decides the numbers of a training beside its weights; a checkpoint keeps it.

    Attributes:
        config: The complete config as values of JSON.
        processes: The processes that train together.
    """

    config: Mapping[str, Any]
    processes: int

    @property
    def config_hash(self) -> str:
        """The sha256 of the config, in hex."""
        return hashlib.sha256(json.dumps(self.config, sort_keys=True).encode()).hexdigest()

    @property
    def joint_batch(self) -> int:
        """Faces of one update: processes * batch * accumulated micro-batches."""
        data, training = self.config.get("data", {}), self.config.get("training", {})
        return self.processes * int(data.get("batch", 1)) * int(training.get("accumulate", 1))

    def describe_batch(self) -> str:
        """Describe the joint batch as a product, such as `16 (1 process x 8 x 2)`."""
        data, training = self.config.get("data", {}), self.config.get("training", {})
        processes = f"{self.processes} process{'' if self.processes == 1 else 'es'}"
        return f"{self.joint_batch} ({processes} x {data.get('batch', 1)} x {training.get('accumulate', 1)})"


def flatten_settings(values: Mapping[str, Any], at: str = "") -> dict[str, Any]:
    """Flatten nested settings to values by key, such as `training.seed`; lists stay values."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        if isinstance(value, Mapping) and value:
            flat |= flatten_settings(value, f"{at}{name}.")
        else:
            flat[f"{at}{name}"] = value
    return flat


def list_changeable_keys(config: BaseModel, at: str = "") -> Iterator[str]:
    """List the keys of all settings in a config that a resumed training may change freely."""
    changeable = list_changeable(type(config))
    for name in type(config).model_fields:
        value = getattr(config, name)
        if name in changeable:
            yield f"{at}{name}"
        elif isinstance(value, BaseModel):
            yield from list_changeable_keys(value, f"{at}{name}.")


def is_covered(key: str, allowed: Collection[str]) -> bool:
    """Return whether one of `allowed` is this key, or a group that holds it."""
    return any(key == other or key.startswith(f"{other}.") for other in allowed)


def check_allowed_keys(config: GameConfig, allow: Collection[str]) -> None:
    """Check that every key of `--allow` is a setting, a group of settings or `processes`.

    Raises:
        ConfigError: Names every unknown key and the nearest known one.
    """
    keys = [*flatten_settings(config.model_dump(mode="json")), PROCESSES]
    groups = {key[:place] for key in keys for place, sign in enumerate(key) if sign == "."}
    known = [*keys, *groups]
    if unknown := [key for key in allow if key not in known]:
        raise ConfigError("\n".join(f"--allow {key}: no such setting{suggest_name(key, known)}" for key in unknown))


def check_same_setup(
    before: TrainingSetup, config: GameConfig, processes: int, registry: Registry, allow: Collection[str], where: str
) -> None:
    """Check that a training goes on with the setup of its checkpoint, as far as that decides its numbers.

    Args:
        before: The setup of the checkpoint.
        config: The config to go on with.
        processes: The processes to go on with.
        registry: Everything that plugins registered.
        allow: Keys, or groups of keys, that may differ.
        where: What goes on, for the message.

    Raises:
        ConfigError: Names every change, with the old and the new value.
    """
    now = TrainingSetup(config.model_dump(mode="json"), processes)
    try:  # settings that are newer than the checkpoint had their defaults there
        stored: Mapping[str, Any] = validate(registry.methods[config.method], registry, before.config).model_dump(
            mode="json"
        )
    except ConfigError:  # a setting that is gone, or an edited plugin
        stored = before.config
    old = flatten_settings(stored) | {PROCESSES: before.processes}
    new = flatten_settings(now.config) | {PROCESSES: processes}
    free = [*list_changeable_keys(config), *allow]
    changed = [key for key in {**old, **new} if old.get(key, MISSING) != new.get(key, MISSING)]
    refused = [key for key in changed if not is_covered(key, free)]
    if not refused:
        return
    lines = [f"  {key}: {format_value(old, key)} -> {format_value(new, key)}" for key in refused]
    if before.joint_batch != now.joint_batch:
        lines.append(f"  so the joint batch: {before.describe_batch()} -> {now.describe_batch()}")
    flags = " ".join(f"--allow {key}" for key in refused)
    raise ConfigError("\n".join([
        f"--resume: {where} would go on otherwise than it was trained:", *lines,
        f"put the old values back, or go on with the new ones: add {flags}",
    ]))  # fmt: skip


def format_value(values: Mapping[str, Any], key: str) -> str:
    """Format the value of a key as `--set` takes it."""
    if key not in values:
        return MISSING
    value = values[key]
    return value if isinstance(value, str) else json.dumps(value)
