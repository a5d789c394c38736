"""`zoo train`: train a method on faces."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from zoogan.cli.arguments import Device, PluginFiles, open_with
from zoogan.cli.completion import complete_model
from zoogan.config import ConfigError, GameConfig, compose_config, merge, parse_sets, read_yaml, validate
from zoogan.plugins import Zoo
from zoogan.registry import MethodSpec


def train(
    model: Annotated[
        str | None, typer.Option(help="The method to train: see `zoo list`.", autocompletion=complete_model)
    ] = None,
    recipe: Annotated[str | None, typer.Option(help="Named values; by default the method's for the source.")] = None,
    data: Annotated[
        str | None, typer.Option(help="The source: drawn (default), celeba, celebamask_hq, folder, folders.")
    ] = None,
    root: Annotated[Path | None, typer.Option(help="The folder of the source.")] = None,
    config: Annotated[Path | None, typer.Option(help="A YAML file of settings, laid over the recipe.")] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting, such as training.seed=1; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The run folder; by default runs/<model>-<recipe>-<NNN>.")] = None,
    iterations: Annotated[int | None, typer.Option(help="How long; the same as --set training.iterations=N.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same as --set training.seed=N.")] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RUN", help="Begin with a run's weights; the same as --set training.start_from=RUN."
        ),
    ] = None,
    device: Device = "auto",
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in --out.")] = False,
    plugin: PluginFiles = None,
) -> int:
    """Train a method. Without further options: on drawn faces, offline, to the end."""
    zoo = open_with(plugin)
    shortcuts: dict[str, dict[str, Any]] = {
        "training": {
            "iterations": iterations,
            "seed": seed,
            "precision": precision,
            "start_from": from_ and str(from_.expanduser().resolve()),
        },
        "data": {"root": root and str(root.expanduser().resolve())},
    }
    given = {group: {k: v for k, v in values.items() if v is not None} for group, values in shortcuts.items()}
    typed = parse_sets(set_ or [])
    if isinstance(typed.get("data"), str):
        typed["data"] = {"source": typed["data"]}
    sets = merge(typed, {group: values for group, values in given.items() if values})
    if device not in ("auto", "cpu", "cuda", "mps"):
        raise ConfigError(f"--device {device}: expected auto, cpu, cuda or mps")
    if resume:
        complete, folder = config_to_resume(zoo, model, out, recipe, data, config, sets)
    else:
        complete, folder = config_to_start(zoo, model, out, recipe, data, config, sets)
    return start(zoo, complete, folder, device, resume, numbered=out is None)


def method_of(zoo: Zoo, model: str | None) -> MethodSpec:
    """The method that `--model` names.

    Raises:
        ConfigError: none given, or none of that name.
    """
    if model is None:
        raise ConfigError(f"--model is missing; methods: {', '.join(sorted(zoo.registry.methods))}")
    return zoo.method(model)


def config_to_start(
    zoo: Zoo,
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
    from zoogan.training.folders import next_run, taken

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
    zoo: Zoo,
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


def start(zoo: Zoo, config: GameConfig, folder: Path, device: str, resume: bool, numbered: bool = False) -> int:
    """Open the session, train, and say what can be done with the run. Returns the exit code."""
    from zoogan.training.checkpoints import iteration_of, newest_valid
    from zoogan.training.devices import part_processes
    from zoogan.training.run import Run, renew_model

    path = newest_valid(folder / "checkpoints")[0] if resume else None
    if path is not None:
        newest = iteration_of(path)
        if newest >= config.training.iterations:
            if os.environ.get("RANK", "0") == "0" and renew_model(Run(folder), path, zoo.registry):
                typer.echo(f"{folder}: the model was missing, or not that of the last checkpoint; written anew")
            typer.echo(f"{folder} is finished ({newest} iterations); --iterations N makes it longer")
            return 0
    from zoogan.training.session import Session

    session = Session(zoo, config, Run(folder), device=device, resume=resume, numbered=numbered)
    if session.main:
        typer.echo(headline(session))
    outcome = session.train()
    code = 128 + outcome.signal if outcome.signal is not None and outcome.reason == "stopped" else 0
    if not session.main:
        part_processes()
        return code
    if outcome.reason == "stopped":
        typer.echo(
            f"stopped and saved at iteration {outcome.iteration}; go on with\n"
            f"  zoo train --out {session.run.path} --resume"
        )
    else:
        typer.echo(farewell(session))
    part_processes()
    return code


def headline(session: Any) -> str:
    """What is about to be trained, in three lines."""
    from zoogan import __version__

    config, trainer = session.config, session.trainer
    joint = trainer.rows * trainer.world.size
    sizes = ", ".join(
        f"{name} {sum(p.numel() for p in net.parameters()) / 1e6:.2f} M" for name, net in trainer.nets.items()
    )
    verb = f"going on at iteration {trainer.iteration}" if trainer.iteration else "training"
    return (
        f"zoogan {__version__}: {verb} {config.method} ({config.recipe}) on {config.data.source} faces, "
        f"{', '.join([f'{session.facts.image_size} px', *session.facts.attributes])}\n"
        f"{sizes} parameters; {joint} images an update"
        + (
            f" ({config.data.batch} x {config.training.accumulate} x {trainer.world.size} processes)"
            if joint != config.data.batch
            else ""
        )
        + f"; {config.training.iterations} iterations on {trainer.device}, {config.training.precision}\n"
        f"run: {session.run.path}"
    )


def farewell(session: Any) -> str:
    """Where the grid is, how to make or edit a face, and, where the source knows the truth, how good the edits are."""
    from zoogan.evaluation.parts import parts_made
    from zoogan.training.run import load

    run = session.run
    grids = sorted(run.samples.glob("*.png"))
    loaded = load(run.path, device=session.accelerator.device, registry=session.zoo.registry)
    lines = ["", f"finished: {run.path}"]
    if grids:
        lines.append(f"  samples      {grids[-1]}")
    name = session.facts.attributes[0] if session.facts.attributes else "NAME"
    parts = parts_made(loaded.editor)
    if parts:
        part = "hair" if "hair" in parts else parts[-1]
        lines.append(f"  make faces   zoo sample {run.path}")
        lines.append(f"  edit them    zoo edit {run.path} --seed 0 --part {part} --from-seed 1")
        lines.append(f"  take apart   zoo parts {run.path} --seed 0")
    elif loaded.editor.makes_faces:
        lines.append(f"  make faces   zoo sample {run.path}")
        lines.append(f"  edit them    zoo direction {run.path} --attribute {name}, once, and then")
        lines.append(f"               zoo edit {run.path} --seed 0 --attribute {name}=1")
    else:
        lines.append(f"  edit a photo zoo edit {run.path} PHOTO --attribute {name}=1")
    lines += truth_told(session, loaded.editor)
    lines.append(f"  measure it   zoo evaluate {run.path}")
    return "\n".join(lines)


def truth_told(session: Any, editor: Any) -> list[str]:
    """How far held-out edits are from the truth, a line an attribute; nothing where the source does not know it, or
    where faces are made and not edited."""
    from zoogan.evaluation.edit_error import EditError
    from zoogan.evaluation.locality import Locality
    from zoogan.evaluation.study import examine, open_study
    from zoogan.interfaces import World

    if editor.makes_faces or not (session.source.size("test") or session.source.size("valid")):
        return []
    alone = World.alone()  # the other processes have gone home
    device, name = session.accelerator.device, session.config.data.source
    study = open_study(session.source, name, device=device, world=alone, editor=editor)
    metrics = {"edit_error": EditError(), "locality": Locality()}
    if session.source.redraw(study.split, [0]) is None:
        return []
    found = examine(editor, study, metrics, session.facts.attributes)
    told = {(measure.name, measure.attribute): measure.statistic for _, measure in found.measures}
    lines = []
    for name in session.facts.attributes:
        named = {way: (f"edit_error.{way}", name) for way in ("adding", "removing")}
        ways = {way: told[key] for way, key in named.items() if key in told and told[key].faces()}
        if ("edit_error", name) in told:
            parts = ", ".join(f"{way} {statistic.value():.3f}" for way, statistic in ways.items())
            lines.append(
                f"  {name}: edit error {told['edit_error', name].value():.3f} ({parts}; 1 = no edit, 0 = the true "
                f"redraw), L1 outside {told['outside_truth.l1', name].value():.4f}, on "
                f"{told['edit_error', name].faces()} held-out faces"
            )
    return lines
