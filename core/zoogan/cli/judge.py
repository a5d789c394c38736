"""`zoo judge`: train a judge of faces, and show how right it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoogan.cli.arguments import Device, Json, PluginFiles, open_host
from zoogan.config import ConfigError, DataConfig, merge, parse_sets, validate_model
from zoogan.terminal.tables import print_table

if TYPE_CHECKING:
    from zoogan.config.registry import Registry
    from zoogan.judges.judge import JudgeFacts

app = typer.Typer(
    add_completion=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
    help="Judges: networks that read attributes and parts off faces, for metrics.",
)

# What drawn faces are drawn like for a judge: rare things often enough to be learnt, and each with equal odds for men
# and women, so that no attribute can be read off another.
DRAWN: dict[str, Any] = {
    "faces": 20_000,
    "held_out": 2000,
    "workers": 1,
    "probabilities": {
        "Male": 0.5, "Bald": 0.15, "Bangs": 0.25, "Wearing_Hat": 0.15, "Wearing_Earrings": 0.35, "No_Beard": 0.65,
        "Face_Mask": 0.15, "Smiling": 0.5, "Mouth_Slightly_Open": 0.45, "Eyeglasses": 0.35, "Blond_Hair": 0.2,
        "Black_Hair": 0.22, "Brown_Hair": 0.25,
    },
    "cooccurrence": {
        "Eyeglasses": {"Male": 0.35}, "Bald": {"Male": 0.15}, "Bangs": {"Male": 0.25}, "Wearing_Hat": {"Male": 0.15},
        "Wearing_Earrings": {"Male": 0.35}, "No_Beard": {"Male": 0.65}, "Smiling": {"Male": 0.5},
        "Mouth_Slightly_Open": {"Smiling": 0.45}, "Blond_Hair": {"Male": 0.2}, "Black_Hair": {"Male": 0.22},
    },
}  # fmt: skip
COLUMNS = ("faces", "positives", "balanced_accuracy", "error", "accuracy", "recall", "specificity", "average_precision")
PART_COLUMNS = ("iou", "recall", "precision", "share")


@app.command()
def train(
    data: Annotated[str, typer.Option(help="The source: drawn, celeba, folder.")] = "drawn",
    root: Annotated[Path | None, typer.Option(help="The folder of the source.")] = None,
    attributes: Annotated[
        str, typer.Option(metavar="A,B|all|none", help="What to learn; by default all that the source knows.")
    ] = "all",
    size: Annotated[int, typer.Option(help="Side of the faces in pixels.")] = 64,
    backbone: Annotated[str | None, typer.Option(help="A network of timm; by default a narrow resnet10t.")] = None,
    pretrained: Annotated[bool, typer.Option("--pretrained", help="Begin with timm's weights (a download).")] = False,
    iterations: Annotated[int | None, typer.Option(help="How long.")] = None,
    seed: Annotated[int, typer.Option(help="Of weights, order and augmentation.")] = 0,
    out: Annotated[Path | None, typer.Option(help="The judge's folder; by default in the cache.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Replace the judge in the folder.")] = False,
    device: Device = "auto",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="One setting of the source, such as data.faces=9000."),
    ] = None,
    plugin: PluginFiles = None,
) -> int:
    """Train a judge, calibrate it on the valid split and tell how right it is on the test split.

    Where the source has a segmentation it learns to segment too; with --attributes none that alone.
    """
    registry = open_host(plugin).registry
    config = data_config(registry, data, root, attributes, size, set_ or [])
    from zoogan.devices import choose_device
    from zoogan.judges.judge import check_judge_folder, get_judge_folder, save_judge
    from zoogan.judges.training import JudgeTrainingConfig, fit_judge

    if iterations is not None and iterations < 1:
        raise ConfigError(f"--iterations {iterations}: expected 1 or more")
    given = {"backbone": backbone, "iterations": iterations, "seed": seed, "pretrained": pretrained}
    lesson = JudgeTrainingConfig.model_validate({key: value for key, value in given.items() if value is not None})
    folder = out or get_judge_folder(data, config.image_size)
    check_judge_folder(folder, force)
    source = registry.build("source", config)
    where = choose_device(device)
    typer.echo(
        f"training a judge of {what_of(len(config.attributes), len(source.parts))} on {source.count_faces('train')} {data} "
        f"faces, {config.image_size} px, {lesson.backbone}; {lesson.iterations} iterations of {lesson.batch} on {where}"
    )
    if not source.count_faces("valid"):
        typer.echo("note: the source has no valid split; the last tenth of train is held out to calibrate on")
    judge, stopped = watched(lambda watch: fit_judge(source, config, lesson, device=where, watch=watch), lesson)
    if judge is None:
        typer.echo("stopped; nothing was saved")
        return 128 + int(stopped)
    print_facts(save_judge(judge, folder, force=force).facts)
    typer.echo(f"judge: {folder}")
    return 0


@app.command()
def show(
    judge: Annotated[Path, typer.Argument(metavar="JUDGE", help="The judge's folder.")], as_json: Json = False
) -> None:
    """Show what a judge reads and how right it is."""
    from zoogan.judges.judge import read_judge_facts

    facts = read_judge_facts(judge)
    if as_json:
        print(json.dumps(facts.model_dump(mode="json"), indent=2))
    else:
        print_facts(facts)


def data_config(
    registry: Registry, source: str, root: Path | None, attributes: str, size: int, sets: list[str]
) -> DataConfig:
    """The config of the source that a judge learns from.

    Raises:
        ConfigError: no such source, a setting that is none of the source's, a root that is missing.
    """
    from zoogan.names import import_object, suggest_name

    known = registry.names("source")
    if source not in known:
        raise ConfigError(
            f"--data {source}: no source is called that{suggest_name(source, known)}; known: {', '.join(known)}"
        )
    typed = parse_sets(sets)
    if set(typed) - {"data"} or not isinstance(typed.get("data", {}), dict):
        raise ConfigError("--set: only settings of the source can be set here, like data.faces=9000")
    said = typed.get("data", {}).get("source", source)
    if said != source:
        raise ConfigError(f"--set data.source={said}: the source is named by --data, which is {source}; --data {said}?")
    component = registry.components["source", source]
    options = {"image_size": size, "root": root and str(root.expanduser().resolve())}
    values = merge(DRAWN if source == "drawn" else {}, {k: v for k, v in options.items() if v is not None})
    values = merge(values, typed.get("data", {}))
    values["source"] = source
    if attributes != "all":
        names = "" if attributes == "none" else attributes
        values["attributes"] = [name.strip() for name in names.split(",") if name.strip()]
    config = validate_model(component.config, values, registry, "data")
    assert isinstance(config, DataConfig)
    if attributes == "all" and "attributes" not in typed.get("data", {}):
        tell = getattr(import_object(component.build), "list_attributes", None)  # a plugin's source may be a function
        config = config.model_copy(update={"attributes": tell(config)} if tell else {})
    return config


def what_of(attributes: int, parts: int) -> str:
    """What a judge learns, in words."""
    told = [f"{count} {word}" for count, word in ((attributes, "attributes"), (parts, "parts")) if count]
    return " and ".join(told) or "nothing"


def watched(work: Any, lesson: Any) -> tuple[Any, int]:
    """(what `work(watch)` returns, the signal that stopped it or 0), with its progress shown."""
    from zoogan.terminal.progress import Display
    from zoogan.terminal.signals import StopSignals

    with StopSignals() as signals, Display(0, lesson.iterations, lesson.batch) as display:

        def watch(iteration: int, terms: Any) -> bool:
            display.advance(iteration)
            if terms:
                display.report(iteration, terms)
            return signals.received is not None

        return work(watch), int(signals.received or 0)


def print_facts(facts: JudgeFacts) -> None:
    """The tables of attributes and of parts, and a line on each other head."""
    title = f"{facts.build.backbone} on {facts.source} faces, {facts.build.image_size} px, test split:"
    if facts.table:
        print_attributes(facts, title)
    if facts.pose_error is not None:
        e = facts.pose_error
        told = ", ".join(f"{a} {e[a]:.2f} ({e[a + '_of_median']:.2f})" for a in ("yaw", "pitch", "roll"))
        print(f"pose, mean absolute error in degrees (of always telling the median): {told}")
    if facts.part_table:
        rows = [[name, *(f"{row[c]:.4f}" for c in PART_COLUMNS)] for name, row in facts.part_table.items()]
        print_table(["part", *PART_COLUMNS], rows, "" if facts.table else title)
    if facts.segmentation is not None:
        s = facts.segmentation
        print(f"parts: mean IoU {s['mean_iou']:.4f} over {s['classes']:.0f} classes, pixels {s['pixel_accuracy']:.4f}")


def print_attributes(facts: JudgeFacts, title: str) -> None:
    """How right it is on each attribute, and the mean."""
    rows = [
        [name, f"{threshold:.3f}", *(f"{row[c]:.0f}" if c in COLUMNS[:2] else f"{row[c]:.4f}" for c in COLUMNS)]
        for (name, row), threshold in zip(facts.table.items(), facts.thresholds)
    ]
    print_table(["attribute", "threshold", *(c.replace("_", " ") for c in COLUMNS)], rows, title)
    mean = sum(row["balanced_accuracy"] for row in facts.table.values()) / len(facts.table)
    print(f"mean balanced accuracy {mean:.4f}")
