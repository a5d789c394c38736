"""`zoo judge`: train a judge of faces, and show how accurate it is."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypeVar

import typer

from zoogan.cli.arguments import Device, Json, PluginFiles, open_host, resolve_address
from zoogan.config import parse_sets
from zoogan.judges.train import JudgePlan, plan_judge, train_judge
from zoogan.terminal.tables import print_table

if TYPE_CHECKING:
    from zoogan.judges.judge import JudgeFacts
    from zoogan.judges.training import JudgeTrainingConfig, Watch

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Judges: networks that read attributes and parts off faces, for metrics.",
)

COLUMNS = ("faces", "positives", "balanced_accuracy", "error", "accuracy", "recall", "specificity", "average_precision")
PART_COLUMNS = ("iou", "recall", "precision", "share")
T = TypeVar("T")


@app.command()
def train(
    data: Annotated[str, typer.Option(help="Source: drawn, celeba, folder.")] = "drawn",
    root: Annotated[Path | None, typer.Option(help="Folder of the source.")] = None,
    attributes: Annotated[
        str, typer.Option(metavar="A,B|all|none", help="Attributes to learn (default: all that the source knows).")
    ] = "all",
    size: Annotated[int, typer.Option(help="Side of the faces in pixels.")] = 64,
    backbone: Annotated[str | None, typer.Option(help="A network of timm (default: a narrow resnet10t).")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Begin with timm's weights (a download).")] = False,
    width: Annotated[
        int | None, typer.Option(help="Channels of the first maps of the default network (default: 32).")
    ] = None,
    iterations: Annotated[int | None, typer.Option(help="Iterations of the training (default: 3000).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of weights, order and augmentation.")] = 0,
    out: Annotated[Path | None, typer.Option(help="Folder of the judge (default: in the cache).")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the judge in the folder.")] = False,
    device: Device = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting of the source, such as data.faces=9000."),
    ] = None,
    plugin: PluginFiles = None,
) -> int:
    """Train a judge, calibrate it on the valid split and score it on the test split.

    If the source has a segmentation, the judge also learns to segment; with --attributes none it learns only that.
    """
    open_host(plugin)
    plan = plan_judge(
        data, root=root, attributes=attributes, size=size, backbone=backbone, pretrained=pretrained,
        width=width, iterations=iterations, seed=seed, out=out, force=force, settings=parse_sets(set_ or []),
        device=device,
    )  # fmt: skip
    typer.echo(describe_plan(plan))
    if not plan.source.count_faces("valid"):
        typer.echo("note: the source has no valid split; the last tenth of train is used to calibrate")
    judge, signal = run_with_progress(lambda watch: train_judge(plan, watch), plan.training)
    if judge is None:
        typer.echo("stopped; nothing was saved")
        return 128 + int(signal)
    print_facts(judge.facts)
    typer.echo(f"judge: {plan.folder}")
    return 0


@app.command()
def show(
    judge: Annotated[Path, typer.Argument(metavar="JUDGE", callback=resolve_address, help="The judge's folder.")],
    as_json: Json = False,
) -> None:
    """Show what a judge reads and how accurate it is."""
    from zoogan.judges.judge import read_judge_facts

    facts = read_judge_facts(judge)
    if as_json:
        print(json.dumps(facts.model_dump(mode="json"), indent=2))
    else:
        print_facts(facts)


def describe_plan(plan: JudgePlan) -> str:
    """Describe the training that is about to begin, in one line."""
    counts = ((len(plan.data.attributes), "attributes"), (len(plan.source.parts), "parts"))
    subject = " and ".join(f"{count} {word}" for count, word in counts if count) or "nothing"
    training = plan.training
    return (
        f"training a judge of {subject} on {plan.source.count_faces('train')} {plan.data.source} "
        f"faces, {plan.data.image_size} px, {training.backbone}; "
        f"{training.iterations} iterations of {training.batch} on {plan.device}"
    )


def run_with_progress(train: Callable[[Watch], T], training: JudgeTrainingConfig) -> tuple[T, int]:
    """Run a training with its progress shown, until it ends or a signal stops it.

    Returns:
        (the result of `train(watch)`, the signal that stopped it or 0).
    """
    from zoogan.terminal.progress import Display
    from zoogan.terminal.signals import StopSignals

    with StopSignals("iteration") as signals, Display(0, training.iterations, training.batch) as display:

        def watch(iteration: int, terms: Mapping[str, float]) -> bool:
            display.advance(iteration)
            if terms:
                display.report(iteration, terms)
            return signals.received is not None

        return train(watch), int(signals.received or 0)


def print_facts(facts: JudgeFacts) -> None:
    """Print the tables of attributes and of parts, and a line on each other head."""
    title = f"{facts.build.backbone} on {facts.source} faces, {facts.build.image_size} px, test split:"
    if facts.table:
        print_attributes(facts, title)
    if facts.pose_error is not None:
        error = facts.pose_error
        angles = ", ".join(f"{a} {error[a]:.2f} ({error[a + '_of_median']:.2f})" for a in ("yaw", "pitch", "roll"))
        print(f"pose, mean absolute error in degrees (of always predicting the median): {angles}")
    if facts.part_table:
        rows = [[name, *(f"{row[c]:.4f}" for c in PART_COLUMNS)] for name, row in facts.part_table.items()]
        print_table(["part", *PART_COLUMNS], rows, "" if facts.table else title)
    if facts.segmentation is not None:
        scores = facts.segmentation
        print(
            f"parts: mean IoU {scores['mean_iou']:.4f} over {scores['classes']:.0f} classes, "
            f"pixels {scores['pixel_accuracy']:.4f}"
        )


def print_attributes(facts: JudgeFacts, title: str) -> None:
    """Print how accurate a judge is on each attribute, and the mean."""
    rows = [
        [name, f"{threshold:.3f}", *(f"{row[c]:.0f}" if c in COLUMNS[:2] else f"{row[c]:.4f}" for c in COLUMNS)]
        for (name, row), threshold in zip(facts.table.items(), facts.thresholds)
    ]
    print_table(["attribute", "threshold", *(c.replace("_", " ") for c in COLUMNS)], rows, title)
    mean = sum(row["balanced_accuracy"] for row in facts.table.values()) / len(facts.table)
    print(f"mean balanced accuracy {mean:.4f}")
