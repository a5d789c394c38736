"""The complete config of a training and its run folder, from options and settings. Does not import torch itself."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from zoogan.config import DataConfig, GameConfig, compose_config, merge, read_yaml, validate
from zoogan.config.changes import check_allowed_keys, flatten_settings, is_covered
from zoogan.config.layers import choose_recipe, find_cpu_recipe, is_start_layer
from zoogan.config.models import list_changeable
from zoogan.config.registry import MethodSpec
from zoogan.config.stages import check_stage_names
from zoogan.devices import choose_device
from zoogan.errors import ConfigError
from zoogan.plugins.gallery import check_outside_gallery, resolve_path
from zoogan.plugins.host import PluginHost
from zoogan.runs.locations import (
    choose_run_folder,
    explain_occupied_folder,
    is_finished_run,
    is_run_folder,
    locate,
    make_run_stem,
)
from zoogan.terminal.messages import Show, hide_message

FIXED_TRAINING = ("seed", "start_from")  # settings of `training` that a resumed training keeps
SHORT_OPTIONS = {
    "iterations": "training.iterations",
    "seed": "training.seed",
    "precision": "training.precision",
    "start_from": "training.start_from",
    "root": "data.root",
}
"""The settings that options of `zoo train` are short for."""
CHANGEABLE_DATA = tuple(list_changeable(DataConfig))


def get_method(zoo: PluginHost, name: str | None) -> MethodSpec:
    """Get the method that `--model` names.

    Raises:
        ConfigError: No name was given, or no method has this name.
    """
    if name is None:
        raise ConfigError(f"--model is missing; methods: {', '.join(sorted(zoo.registry.methods))}")
    return zoo.get_method(name)


def merge_options(
    settings: Mapping[str, Any],
    *,
    iterations: int | None = None,
    seed: int | None = None,
    precision: str | None = None,
    start_from: str | Path | None = None,
    root: str | Path | None = None,
    stages: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Merge options that are short for single settings into other settings.

    Args:
        settings: nested, as in a config file; `data` may be the name of a source.
        iterations: `training.iterations`.
        seed: `training.seed`.
        precision: `training.precision`.
        start_from: `training.start_from`; made absolute.
        root: `data.root`; made absolute.
        stages: by name a path, which is `stages.<name>.path`; None or "none", which leaves the stage out; or settings.

    Returns:
        The merged settings. Options that are None change nothing.
    """
    options: dict[str, dict[str, Any]] = {
        "training": {
            "iterations": iterations,
            "seed": seed,
            "precision": precision,
            "start_from": None if start_from is None else str(locate(start_from)),
        },
        "data": {"root": make_absolute(root)},
    }
    settings = merge(settings, {"stages": {name: nest_path(value) for name, value in stages.items()}} if stages else {})
    given = {group: {k: v for k, v in values.items() if v is not None} for group, values in options.items()}
    return dict(merge(nest_source(settings), {group: values for group, values in given.items() if values}))


def check_options(sets: Mapping[str, Any], *, source: str | None = None, **options: Any) -> None:
    """Check that `--set` does not contradict options, and sets nothing that only an option can choose.

    Args:
        sets: nested, as `parse_sets` returns them.
        source: the value of `--data`.
        **options: values by option; the settings that they are short for are in `SHORT_OPTIONS`.

    Raises:
        ConfigError: Names every contradiction.
    """
    problems = [
        f"--set {name}: this is no setting; choose it with {option}"
        for name, option in {"method": "--model", "recipe": "--recipe"}.items()
        if name in sets
    ]
    given: dict[str, tuple[str, Any]] = {"data.source": ("--data", source)}
    given |= {
        SHORT_OPTIONS[name]: (f"--{name}".replace("start_from", "from"), value) for name, value in options.items()
    }
    for key, (option, value) in given.items():
        group, _, name = key.partition(".")
        inner = nest_source(sets).get(group)
        if value is None or not isinstance(inner, Mapping) or name not in inner or str(inner[name]) == str(value):
            continue
        problems.append(f"{option} {value} and --set {key}={inner[name]} contradict each other; keep one")
    if problems:
        raise ConfigError("\n".join(problems))


def nest_source(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Write `{"data": "celeba"}` as `{"data": {"source": "celeba"}}`, so that layers merge by key."""
    data = settings.get("data")
    return {**settings, "data": {"source": data}} if isinstance(data, str) else dict(settings)


def nest_path(value: Any) -> Any:
    """Write what `--stage` names as settings: a path as `{"path": path}`, `none` as None."""
    if value is None or value == "none":
        return None
    return {"path": str(locate(value))} if isinstance(value, str | Path) else value


def parse_stages(options: Sequence[str]) -> dict[str, str]:
    """Parse `["backbone=RUN", "parser=none"]` of `--stage`.

    Raises:
        ConfigError: An item has no `=`.
    """
    pairs = [option.partition("=") for option in options]
    if problems := [f"--stage {name}: expected NAME=RUN, or NAME=none" for name, _, value in pairs if not value]:
        raise ConfigError("\n".join(problems))
    return {name: value for name, _, value in pairs}


def locate_stages(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Make the paths of stages absolute in settings, because a resume may come from another folder."""
    stages = settings.get("stages")
    if not isinstance(stages, Mapping):
        return dict(settings)
    located = {
        name: {**value, "path": str(locate(value["path"]))}
        if isinstance(value, Mapping) and isinstance(value.get("path"), str | Path)
        else value
        for name, value in stages.items()
    }
    return {**settings, "stages": located}


def make_absolute(path: str | Path | None) -> str | None:
    """Make a path absolute, with `~` expanded and `gallery:NAME` replaced; None stays None."""
    return None if path is None else str(resolve_path(path).resolve())


def configure_new_run(
    zoo: PluginHost,
    method: str | None,
    *,
    out: Path | None = None,
    recipe: str | None = None,
    source: str | None = None,
    config: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
    show: Show = hide_message,
) -> tuple[GameConfig, Path]:
    """Make the complete config of a new run and choose its folder.

    Args:
        zoo: plugins and the registry.
        method: as `--model` names it.
        out: the run folder; None takes the next free runs/<method>-<recipe>-<NNN>, or, where the data have a folder and
            no recipe is named, runs/<method>-<folder>-<image size>-<NNN>.
        recipe: None takes the method's recipe for the source, on a CPU a small one.
        source: where the faces come from; None means drawn faces.
        config: a YAML file, laid over the recipe.
        settings: nested, laid over all others.
        device: that will train: auto, cpu, cuda or mps.
        show: told which recipe was taken for a CPU.

    Raises:
        ConfigError: The config has mistakes (all of them are named), or the folder is in use.
    """
    spec, files, settings = get_method(zoo, method), [config] if config else [], locate_stages(settings or {})
    layers = [*map(read_yaml, files), settings]
    groups = [layer["training"] for layer in layers if isinstance(layer.get("training"), dict)]
    origin = ([None] + [group["start_from"] for group in groups if "start_from" in group])[-1]
    start = None
    if origin is not None:
        from zoogan.training.origin import make_start_layer

        path = locate(str(origin))  # a resume may come from another folder
        start = make_start_layer(spec, zoo.registry, path)
        settings = merge(settings, {"training": {"start_from": str(path)}})
    for layer in layers:
        if isinstance(stages := layer.get("stages", {}), Mapping):
            check_stage_names(spec.name, spec.stages, stages)

    chosen, place = recipe, source or "drawn"
    if recipe is None and (chosen := choose_device_recipe(spec, place, device, started=is_start_layer(start))):
        usual = choose_recipe(spec, place, started=is_start_layer(start))
        show(f"recipe {chosen}: small enough for a CPU; with a GPU it would be {usual} (--recipe {usual})")
        source = place

    def complete_config() -> GameConfig:
        return compose_config(spec, zoo.registry, recipe=chosen, source=source, files=files, sets=settings, start=start)

    complete = complete_config()
    if any(getattr(stage, "path", None) for _, stage in complete.stages):
        from zoogan.training.stages.given import make_given_layer

        if given := make_given_layer(zoo, spec, complete):
            start = merge(given, start or {})
            complete = complete_config()
    if out is not None:
        check_outside_gallery(out, f"--out {out}")
    root = None if recipe else complete.data.root
    stem = make_run_stem(spec.name, str(complete.recipe), root, complete.data.image_size)
    folder = out or choose_run_folder(Path("runs"), stem)
    if reason := explain_occupied_folder(folder, ignores_lock=True):
        raise ConfigError(f"--out {folder}: {reason}; {advise_on_occupied_folder(folder)}")
    return complete, folder


def advise_on_occupied_folder(folder: Path) -> str:
    """Say what to do about a folder in which no new run can begin, see `explain_occupied_folder`."""
    if is_finished_run(folder):
        return "train it longer with --resume --iterations N, or choose another folder"
    if is_run_folder(folder):
        return "go on with it by --resume, or choose another folder"
    return "name an empty or new folder"


def choose_device_recipe(spec: MethodSpec, source: str, device: str, started: bool = False) -> str | None:
    """Choose the recipe of a training on a CPU; None where the device makes no difference.

    Args:
        spec: the method.
        source: name of the source.
        device: auto, cpu, cuda or mps. Only where it matters is torch asked what `auto` means.
        started: whether the training starts from a run.
    """
    name = find_cpu_recipe(spec, source, started)
    if name is None or (device != "auto" and device.partition(":")[0] != "cpu"):
        return None
    return name if device != "auto" or choose_device(device).type == "cpu" else None


def configure_resumed_run(
    zoo: PluginHost,
    method: str | None,
    *,
    out: Path | None = None,
    recipe: str | None = None,
    source: str | None = None,
    config: Path | None = None,
    settings: Mapping[str, Any] | None = None,
    allow: Collection[str] = (),
) -> tuple[GameConfig, Path]:
    """Read the stored config of a run and lay new `training` settings over it.

    Args:
        zoo: plugins and the registry.
        method: None, or the run's own.
        out: the run folder; must be given.
        recipe: must be None, because a resumed run keeps its recipe.
        source: must be None.
        config: must be None.
        settings: of `training`, and `data.root` and `data.workers`; the same below `stages.<name>.set`, and
            `stages.<name>.iterations`, of stages that are not complete; and what `allow` names.
        allow: keys of settings, or groups of them, that may change although they decide the numbers of the training.

    Raises:
        ConfigError: No folder, no run in it, a run of the gallery, or an option that a resumed run cannot change.
    """
    settings = settings or {}
    if out is None:
        raise ConfigError("--resume: say which run with --out RUN")
    check_outside_gallery(out, f"--out {out}")
    stored_file = out / "config.yaml"
    if not stored_file.exists():
        raise ConfigError(f"--resume: {out} is not a run (no config.yaml in it)")
    stored = read_yaml(stored_file)
    for group, example in {
        "data": "root=FOLDER",
        "training": "iterations=N",
        "stages": "NAME.set.training.iterations=N",
    }.items():
        if not isinstance(settings.get(group, {}), Mapping):
            raise ConfigError(
                f"--set {group}: expected single settings, like {group}.{example}, got {group}={settings[group]!r}"
            )
    training = settings.get("training", {})
    options = {"--recipe": recipe, "--data": source, "--config": config}
    refused = [name for name, value in options.items() if value is not None]
    others = {key: value for key, value in settings.items() if key not in ("training", "data", "stages")}
    others |= {"data": {key: x for key, x in settings.get("data", {}).items() if key not in CHANGEABLE_DATA}}
    unnamed = [key for key in flatten_settings(others) if key != "data" and not is_covered(key, allow)]
    refused += [f"--set {key}" for key in unnamed]
    refused += ["--seed"] if "seed" in training and not is_covered("training.seed", allow) else []
    refused += ["--from"] if "start_from" in training else []
    if method not in (None, stored.get("method")):
        refused.append(f"--model {method}")
    spec = get_method(zoo, str(stored.get("method")))
    stages = settings.get("stages", {})
    check_stage_names(spec.name, spec.stages, stages)
    refused += list_refused_stages(out, stages) if stages else []
    if refused:
        flags = " ".join(f"--allow {key}" for key in unnamed)
        other = f", add {flags}" if unnamed else ""
        raise ConfigError(
            f"--resume goes on with {stored_file} as it is; leave out {', '.join(refused)}{other}, or train a new run"
        )
    complete = validate(spec, zoo.registry, merge(stored, settings))
    check_allowed_keys(complete, allow)
    return complete, out


def check_allow(allow: Collection[str], resume: bool) -> None:
    """Check that `--allow` is used with `--resume`.

    Raises:
        ConfigError: It is not.
    """
    if allow and not resume:
        raise ConfigError(f"--allow {' --allow '.join(allow)}: has an effect with --resume only; leave it out")


def list_refused_stages(folder: Path, stages: Mapping[str, Any]) -> list[str]:
    """List the options of stages that a resumed run cannot change.

    Args:
        folder: of the run.
        stages: new settings by stage.
    """
    from zoogan.runs.stage_records import read_records

    records = read_records(folder)
    refused: list[str] = []
    for name, settings in stages.items():
        if name in records and records[name].is_complete:
            refused.append(f"the settings of stage {name}, which is {records[name].state}")
        elif not isinstance(settings, Mapping):
            refused.append(f"--stage {name}={'none' if settings is None else settings}")
        else:
            refused += [f"--stage {name}" for key in settings if key == "path"]
            refused += [f"--set stages.{name}.{key}" for key in settings if key not in ("path", "set", "iterations")]
            below = settings.get("set", {})
            for group, inner in (below if isinstance(below, Mapping) else {"set": None}).items():
                keys = list(inner) if isinstance(inner, Mapping) else [""]
                allowed = [key not in FIXED_TRAINING if group == "training" else key in CHANGEABLE_DATA for key in keys]
                fits = group in ("training", "data")
                refused += [
                    f"--set stages.{name}.set.{group}.{key}".rstrip(".")
                    for key, is_allowed in zip(keys, allowed)
                    if not (fits and is_allowed and key)
                ]
    return refused
