"""`zoo train`: train a method on faces."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoogan.cli.arguments import Device, PluginFiles, open_host
from zoogan.cli.completion import complete_model
from zoogan.config import parse_sets
from zoogan.devices import check_device_name, shutdown_distributed
from zoogan.training.configure import configure_new_run, configure_resumed_run, merge_options
from zoogan.training.train import FinishedRun, open_training

STOPPED = 128  # plus the signal's number: what shells report of a process that a signal ended


def train(
    model: Annotated[
        str | None, typer.Option(help="The method to train: see `zoo list`.", autocompletion=complete_model)
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Named settings of the method; by default those for the source.")
    ] = None,
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
    iterations: Annotated[int | None, typer.Option(help="Iterations; the same as --set training.iterations=N.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same as --set training.seed=N.")] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RUN", help="Begin with a run's weights; the same as --set training.start_from=RUN."
        ),
    ] = None,
    device: Device = "auto",
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the training of the run in --out.")] = False,
    plugin: PluginFiles = None,
) -> int:
    """Train a method. Without further options: on drawn faces, offline, to the end."""
    zoo = open_host(plugin)
    settings = merge_options(
        parse_sets(set_ or []), iterations=iterations, seed=seed, precision=precision, start_from=from_, root=root
    )
    check_device_name(device)
    configure = configure_resumed_run if resume else configure_new_run
    complete, folder = configure(zoo, model, out=out, recipe=recipe, source=data, config=config, settings=settings)
    training = open_training(zoo, complete, folder, device=device, resume=resume, numbered=out is None)
    if isinstance(training, FinishedRun):
        if training.is_renewed:
            typer.echo(f"{folder}: the model was missing or older than the last checkpoint; it was written again")
        typer.echo(f"{folder} is finished ({training.iterations} iterations); --iterations N makes it longer")
        return 0
    from zoogan.training.summary import describe_outcome, describe_start

    if training.is_main:
        typer.echo(describe_start(training))
    outcome = training.train()
    if training.is_main:
        typer.echo(describe_outcome(training, outcome))
    shutdown_distributed()
    return STOPPED + outcome.signal if outcome.is_stopped and outcome.signal is not None else 0
