"""`zoo train`: train a method on faces."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoogan.cli.arguments import Device, Json, PluginFiles, StageOptions, open_host, print_json
from zoogan.cli.completion import complete_model
from zoogan.config import parse_sets
from zoogan.devices import check_device_name, is_main_process, shutdown_distributed
from zoogan.errors import SIGNALLED
from zoogan.terminal.messages import hide_message
from zoogan.training.configure import (
    check_allow,
    check_options,
    configure_new_run,
    configure_resumed_run,
    merge_options,
    parse_stages,
)
from zoogan.training.opening import FinishedRun
from zoogan.training.train import EndedTraining, run_training

if TYPE_CHECKING:
    from zoogan.training.session import Session


def train(
    model: Annotated[
        str | None, typer.Option(help="The method to train: see `zoo list`.", autocompletion=complete_model)
    ] = None,
    recipe: Annotated[
        str | None, typer.Option(help="Named settings of the method; by default those for source and device.")
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
    out: Annotated[Path | None, typer.Option(help="The run folder; by default runs/<model>-<data>-<NNN>.")] = None,
    iterations: Annotated[int | None, typer.Option(help="Iterations; the same as --set training.iterations=N.")] = None,
    seed: Annotated[int | None, typer.Option(help="The same as --set training.seed=N.")] = None,
    from_: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="RUN", help="Begin with a run's weights; the same as --set training.start_from=RUN."
        ),
    ] = None,
    stage: StageOptions = None,
    device: Device = "auto",
    precision: Annotated[str | None, typer.Option(help="fp32 or bf16.")] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Continue the training of the run in --out.")] = False,
    allow: Annotated[
        list[str] | None,
        typer.Option(
            metavar="KEY",
            help="With --resume: go on although this setting, or `processes`, differs from the checkpoint's; "
            "repeatable.",
            show_default=False,
        ),
    ] = None,
    plugin: PluginFiles = None,
    as_json: Json = False,
) -> int:
    """Train a method. Without further options: on drawn faces, offline, to the end."""
    zoo = open_host(plugin)
    sets = parse_sets(set_ or [])
    check_options(sets, source=data, iterations=iterations, seed=seed, precision=precision, start_from=from_, root=root)
    settings = merge_options(
        sets, iterations=iterations, seed=seed, precision=precision, start_from=from_, root=root,
        stages=parse_stages(stage or []),
    )  # fmt: skip
    check_device_name(device)
    allowed = tuple(allow or ())
    check_allow(allowed, resume)
    show = partial(typer.echo, err=as_json) if is_main_process() else hide_message
    configure = (
        partial(configure_resumed_run, allow=allowed)
        if resume
        else partial(configure_new_run, device=device, show=show)
    )
    complete, folder = configure(zoo, model, out=out, recipe=recipe, source=data, config=config, settings=settings)
    ended = run_training(
        zoo, complete, folder, device=device, resume=resume, numbered=out is None, quiet=as_json, show=show,
        announce=partial(print_start, is_stderr=as_json), allow=allowed,
    )  # fmt: skip
    if is_main_process():
        if as_json:
            print_json(make_document(ended))
        else:
            typer.echo(describe_end(ended))
    shutdown_distributed()
    if isinstance(ended, FinishedRun):
        return 0
    outcome = ended.outcome
    return SIGNALLED + outcome.signal if outcome.is_stopped and outcome.signal is not None else 0


def make_document(ended: EndedTraining | FinishedRun) -> dict[str, Any]:
    """Make the JSON of a training: the run, and how it ended."""
    if isinstance(ended, FinishedRun):
        return {"run": str(ended.folder), "outcome": "finished", "iteration": ended.iterations}
    outcome = ended.outcome
    return {"run": str(ended.folder), "outcome": outcome.reason, "iteration": outcome.iteration, "stage": ended.stage}


def describe_end(ended: EndedTraining | FinishedRun) -> str:
    """Describe how a training ended, or that there was nothing left to train."""
    if isinstance(ended, FinishedRun):
        renewed = f"{ended.folder}: the model was missing or older than the last checkpoint; it was written again\n"
        finished = f"{ended.folder} is finished ({ended.iterations} iterations); --iterations N makes it longer"
        return (renewed if ended.is_renewed else "") + finished
    from zoogan.training.summary import describe_outcome

    return describe_outcome(ended)


def print_start(session: Session, *, is_stderr: bool = False) -> None:
    """Print the sizes of a training before its first iteration."""
    from zoogan.training.summary import describe_start

    if session.is_main:
        typer.echo(describe_start(session), err=is_stderr)
