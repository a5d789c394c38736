"""To be written."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from zoogan.config import ConfigError, GameConfig, compose_config, merge, read_yaml, validate
from zoogan.config.registry import MethodSpec
from zoogan.plugins.host import PluginHost


def method_of(zoo: PluginHost, model: str | None) -> MethodSpec:
    """The method that `--model` names.

    Raises:
        ConfigError: none given, or none of that name.
    """
    if model is None:
        raise ConfigError(f"--model is missing; methods: {', '.join(sorted(zoo.registry.methods))}")
    return zoo.method(model)


def config_to_start(
    zoo: PluginHost,
    model: str | None,
    out: Path | None,
    recipe: str | None,
    data: str | None,
    config: Path | None,
    sets: dict[str, Any],
) -> tuple[GameConfig, Path]:
    """The config of a new run, and its folder.

    Raises:
        ConfigError: any mistake in it, or a folder that is in use.
    """
    from zoogan.runs.folders import next_run, taken

    spec, files = method_of(zoo, model), [config] if config else []
    layers = [*map(read_yaml, files), sets]
    trainings = [layer["training"] for layer in layers if isinstance(layer.get("training"), dict)]
    origin = ([None] + [training["start_from"] for training in trainings if "start_from" in training])[-1]
    start = None
    if origin is not None:
        from zoogan.training.start import layer_from

        whence = Path(str(origin)).expanduser().resolve()  # a resume may come from another folder
        start = layer_from(spec, zoo.registry, whence)
        sets = merge(sets, {"training": {"start_from": str(whence)}})
    complete = compose_config(spec, zoo.registry, recipe=recipe, source=data, files=files, sets=sets, start=start)
    folder = out or next_run(Path("runs"), f"{spec.name}-{complete.recipe}")
    if why := taken(folder):
        hint = "go on with it by --resume, or choose another" if folder.is_dir() else "choose a folder"
        raise ConfigError(f"--out {folder}: {why}; {hint}")
    return complete, folder


def config_to_resume(
    zoo: PluginHost,
    model: str | None,
    out: Path | None,
    recipe: str | None,
    data: str | None,
    config: Path | None,
    sets: dict[str, Any],
) -> tuple[GameConfig, Path]:
    """The stored config of a run with new `training` settings, and its folder.

    Raises:
        ConfigError: no folder, no run in it, or an option that would make it another run.
    """
    if out is None:
        raise ConfigError("--resume: say which run with --out RUN")
    stored_file = out / "config.yaml"
    if not stored_file.exists():
        raise ConfigError(f"--resume: {out} is not a run (no config.yaml in it)")
    stored = read_yaml(stored_file)
    for group, example in {"data": "root=FOLDER", "training": "iterations=N"}.items():
        if not isinstance(sets.get(group, {}), dict):
            raise ConfigError(
                f"--set {group}: expected single settings, like {group}.{example}, got {group}={sets[group]!r}"
            )
    refused = [
        name for name, value in {"--recipe": recipe, "--data": data, "--config": config}.items() if value is not None
    ]
    refused += [f"--set {key}" for key in sets if key not in ("training", "data")]
    refused += [f"--set data.{key}" for key in sets.get("data", {}) if key not in ("root", "workers")]
    refused += ["--seed"] if "seed" in sets.get("training", {}) else []
    refused += ["--from"] if "start_from" in sets.get("training", {}) else []
    if model not in (None, stored.get("method")):
        refused.append(f"--model {model}")
    if refused:
        raise ConfigError(
            f"--resume goes on with {stored_file} as it is; leave out {', '.join(refused)}, or train a new run"
        )
    spec = method_of(zoo, str(stored.get("method")))
    return validate(spec, zoo.registry, merge(stored, sets)), out
