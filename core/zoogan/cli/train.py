"""`zoo train`: train a method on faces."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from zoogan.cli.arguments import Device, PluginFiles, open_with
from zoogan.cli.completion import complete_model
from zoogan.config import ConfigError, GameConfig, merge, parse_sets
from zoogan.evaluation.truth import truth_told
from zoogan.plugins.host import PluginHost
from zoogan.training.begin import config_to_resume, config_to_start


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


def start(zoo: PluginHost, config: GameConfig, folder: Path, device: str, resume: bool, numbered: bool = False) -> int:
    """Open the session, train, and say what can be done with the run. Returns the exit code."""
    from zoogan.devices import shutdown_distributed
    from zoogan.runs.checkpoints import iteration_of, newest_valid
    from zoogan.runs.run import RunFolder, renew_model

    path = newest_valid(folder / "checkpoints")[0] if resume else None
    if path is not None:
        newest = iteration_of(path)
        if newest >= config.training.iterations:
            if os.environ.get("RANK", "0") == "0" and renew_model(RunFolder(folder), path, zoo.registry):
                typer.echo(f"{folder}: the model was missing, or not that of the last checkpoint; written anew")
            typer.echo(f"{folder} is finished ({newest} iterations); --iterations N makes it longer")
            return 0
    from zoogan.training.session import Session

    session = Session(zoo, config, RunFolder(folder), device=device, resume=resume, numbered=numbered)
    if session.main:
        typer.echo(headline(session))
    outcome = session.train()
    code = 128 + outcome.signal if outcome.signal is not None and outcome.reason == "stopped" else 0
    if not session.main:
        shutdown_distributed()
        return code
    if outcome.reason == "stopped":
        typer.echo(
            f"stopped and saved at iteration {outcome.iteration}; go on with\n"
            f"  zoo train --out {session.run.path} --resume"
        )
    else:
        typer.echo(farewell(session))
    shutdown_distributed()
    return code


def headline(session: Any) -> str:
    """What is about to be trained, in three lines."""
    from zoogan import __version__

    config, trainer = session.config, session.trainer
    joint = trainer.rows * trainer.world.size
    sizes = ", ".join(
        f"{name} {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"
        for name, network in trainer.networks.items()
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
    from zoogan.evaluation.metrics.parts import parts_made
    from zoogan.runs.run import load

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
