"""`zoo evaluate`: one honest report on a run's edits, or on the faces that it makes."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoogan.cli.arguments import Checkpoint, Device, PluginFiles, open_with
from zoogan.cli.measuring import (
    check_learnt,
    check_pages,
    guided_by,
    judge_for,
    labelled,
    metric_configs,
    source_config,
)
from zoogan.cli.photos import tell_wanted
from zoogan.config import ComponentConfig, ConfigError, parse_sets
from zoogan.registry import Registry, nearest

if TYPE_CHECKING:
    from zoogan.evaluation.report import Report
    from zoogan.interfaces import Source
    from zoogan.training.loaded import LoadedRun

# Settings that change no weight of a run.
IMMATERIAL = {
    "data": ("root", "workers"),
    "training": (
        "log_every", "sample_every", "checkpoint_every", "keep", "threads", "trackers", "evaluate_every", "evaluate",
        "evaluate_faces", "best",
    ),
}  # fmt: skip
FACES = 500


def evaluate(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    data: Annotated[str | None, typer.Option(help="The source to measure on; by default the run's own.")] = None,
    root: Annotated[Path | None, typer.Option(help="The folder of the source.")] = None,
    metrics: Annotated[
        str | None, typer.Option(help="Names with commas; by default all that need no download.")
    ] = None,
    judge: Annotated[Path | None, typer.Option(help="A judge's folder; by default the one for the source.")] = None,
    faces: Annotated[int, typer.Option(min=1, help="How many held-out faces at most, or how many samples.")] = FACES,
    seed: Annotated[int, typer.Option(help="Of everything that draws.")] = 0,
    styles: Annotated[
        str, typer.Option(help="Where styles come from: latent, or reference = other held-out faces.")
    ] = "latent",
    truncation: Annotated[
        float | None, typer.Option(min=0, max=1, help="How far from the mean face samples may be; by default 1.")
    ] = None,
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="data.KEY of the source or METRIC.KEY; repeatable."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(help="The report's folder; by default RUN/report, or one beside it for other faces or seeds."),
    ] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Measure a run's edits of held-out faces, or the faces that it makes: report.json, and report.html to read."""
    zoo = open_with(plugin)
    from zoogan.evaluation.parts import parts_made
    from zoogan.evaluation.report import replaced
    from zoogan.evaluation.study import shown_by
    from zoogan.interfaces import World
    from zoogan.training.devices import join_processes, part_processes
    from zoogan.training.run import load

    if styles not in ("latent", "reference"):
        raise ConfigError(f"--styles {styles}: expected latent or reference{nearest(styles, ('latent', 'reference'))}")
    sets = parse_sets(set_ or [])
    where = join_processes(device)
    loaded = load(run, checkpoint=checkpoint, device=where, registry=zoo.registry)
    settings = {k: v for k, v in sets.items() if k != "data"}
    shows, parts = shown_by(loaded.editor), bool(parts_made(loaded.editor))
    chosen = metric_configs(zoo.registry, metrics, settings, shows, parts)
    source = source_config(zoo.registry, loaded, data, root, sets.get("data", {}))
    guided = styles == "reference"
    apart = apart_from(loaded, source, checkpoint, seed)
    folder = out or run / "-".join(["report", *way_of(guided, truncation).split(), *apart])
    before = replaced(folder, chosen) if World().rank == 0 else []
    report, folder = measure(
        zoo.registry, loaded, run, source, chosen,
        judge=judge, faces=faces, seed=seed, out=folder, device=where, guided=guided, truncation=truncation,
    )  # fmt: skip
    measured = not chosen.keys() <= report.skipped.keys()
    if World().rank == 0 and measured:
        zoo.notify("zoo_evaluated", run=run, report=report.model_dump(mode="json"))
        tell(report, folder, parts_made(loaded.editor))
        if before:
            lost = ", ".join(before)
            typer.echo(f"note: replaced the report in {folder}, which had {lost} too; --out keeps both", err=True)
    part_processes()
    if not measured:
        if World().rank == 0:
            tell_skipped(report)
        asked = f"--metrics {metrics}: " if metrics else ""
        raise ConfigError(f"{asked}nothing could be measured, for the reasons said above; no report was written")


def measure(
    registry: Registry,
    run: LoadedRun,
    path: Path,
    data: Any,
    metrics: Mapping[str, ComponentConfig],
    *,
    judge: Path | None = None,
    faces: int = FACES,
    seed: int = 0,
    out: Path,
    device: Any = "cpu",
    attributes: Sequence[str] | None = None,
    guided: bool = False,
    truncation: float | None = None,
    only: frozenset[int] | None = None,
) -> tuple[Report, Path]:
    """Measure a loaded run and write its report (on the main process), unless it has no number at all. Returns the
    report and its folder.

    guided: styles are those of other faces of the split, for each edit one that shows what is asked for. truncation:
    of samples, 0 to 1. only: numbers of the faces to edit, where not all that the run serves.

    Raises:
        ConfigError: an editor that takes no styles from faces is asked to be guided, or one that makes no faces to
            truncate them; a judge that cannot be opened.
    """
    from zoogan.evaluation.page import report_page, sample_sheet, sheet
    from zoogan.evaluation.part_sheet import legend, part_sheet
    from zoogan.evaluation.report import report_of, rows_of, write_report
    from zoogan.evaluation.study import examine, faces_per_second, open_study, shown_by
    from zoogan.storage import replace_text

    shows = shown_by(run.editor)
    if truncation is not None and shows == "edits":
        raise ConfigError(f"--truncation {truncation:g}: {path} edits faces and makes none that could be truncated")
    truncation = 1.0 if truncation is None else truncation
    way = way_of(guided, truncation)
    check_pages()
    if out.exists() and not out.is_dir():
        raise ConfigError(f"--out {out}: a file of that name is there")
    reader = judge_for(judge, data.source, data.image_size)
    if reader is not None:
        reader = reader.to(device)
    source = registry.build("source", data) if shows == "edits" else labelled(registry, data, reader)
    if reader is not None and judge is None:
        check_learnt(reader.facts, source)
    study = open_study(
        source, data.source, faces=faces, seed=seed, device=device, judge=reader, editor=run.editor,
        truncation=truncation, only=only,
    )  # fmt: skip
    if study.world.rank == 0:
        tell_wanted(run, source.fields)
    built = {name: registry.build("metric", config) for name, config in metrics.items()}
    wanted = list(attributes or source.attributes) if shows == "edits" else []
    editor = guided_by(study, run.editor) if guided else run.editor
    found = examine(editor, study, built, wanted)
    options = {
        name: config.model_dump(mode="json", exclude={"use", *getattr(config, "immaterial", ())})
        for name, config in metrics.items()
    }
    about = about_run(run, path, {f"{shows}_per_second": faces_per_second(editor, study)}, str(device), way)
    own = source if shows == "edits" and data == run.config.data else None
    about = about.model_copy(update={"data": learnt_from(registry, run, own)})
    facts = None if reader is None else {**reader.facts.model_dump(mode="json"), "backbone": reader.backbone}
    report = report_of(found, study, about, facts, datetime.now(UTC).isoformat(timespec="seconds"), options)
    if study.world.rank == 0 and not metrics.keys() <= report.skipped.keys():
        report = write_report(out, report, rows_of(found))
        sheets = {name: sheet(editor, study, name) for name in wanted}
        if shows == "samples":
            sheets = {"samples": sample_sheet([("samples", editor)], [study]), "parts": part_sheet(editor, study)}
        pictures = {name: image for name, image in sheets.items() if image is not None}
        replace_text(out / "report.html", report_page(report, pictures, legend(editor)))
    study.world.barrier()
    return report, out


def way_of(guided: bool, truncation: float | None) -> str:
    """In what way a run was asked to work, where it is not the usual one: `reference`, `truncation 0.7`."""
    return "reference" if guided else "" if truncation in (None, 1) else f"truncation {truncation:g}"


def apart_from(run: LoadedRun, data: Any, checkpoint: str | None, seed: int) -> list[str]:
    """What an evaluation looks at, where it is not what `zoo evaluate RUN` looks at: its report lies in a folder of its
    own, and takes no other's place."""
    from zoogan.interfaces.source import LOADING

    other, own = (config.model_dump(mode="json", exclude=LOADING) for config in (data, run.config.data))
    if own["root"] is None:  # an imported run says what its weights saw, not where that lies
        own["root"] = other["root"]
    named = [data.source, data.root.name] if data.root and other["root"] != own["root"] else [data.source]
    return [
        *(["checkpoint", checkpoint] if checkpoint is not None else []),
        *(["data", *named] if other != own else []),
        *(["seed", str(seed)] if seed else []),
    ]


def about_run(run: LoadedRun, path: Path, speed: dict[str, float], device: str, way: str) -> Any:
    """What the report says of the run itself, and of the way in which it was asked to work."""
    from zoogan.evaluation.report import About

    settings = run.config.model_dump(mode="json")
    seed = settings["training"].pop("seed")
    for group, names in IMMATERIAL.items():
        for name in names:
            settings[group].pop(name, None)
    told = [way == "reference", *([way] if way.startswith("truncation") else [])]
    return About(
        run=path.resolve().name + (f" ({way})" if way else ""), seed=seed,
        method=run.config.method, recipe=run.config.recipe,
        config=hashlib.sha256(json.dumps([settings, *told], sort_keys=True).encode()).hexdigest(),
        iteration=run.iteration, images=run.images, attributes=run.facts.attributes,
        parameters={name: sum(p.numel() for p in net.parameters()) for name, net in run.networks.items()},
        device=device, **speed,
    )  # fmt: skip


def learnt_from(registry: Registry, run: LoadedRun, source: Source | None) -> str | None:
    """Tells the faces and labels that a run learnt from: seeds of one training have the same, even as copies. source:
    theirs, if it is open. None where they are not there any more, or cannot be told from others."""
    try:
        source = source or registry.build("source", run.config.data)
        pictures = source.fingerprint("train", dated=False)
    except (ConfigError, OSError):
        return None
    labels = source.labels("train").byte().contiguous().numpy().tobytes()
    return None if pictures is None else hashlib.sha256(pictures.encode() + labels).hexdigest()


def tell(report: Report, folder: Path, parts: Collection[str] = ()) -> None:
    """The values as a table on the terminal, and where the page is. parts: whose rows are left to the page: they are
    many, and what is told of all parts together stands here."""
    from zoogan.cli.tables import print_table
    from zoogan.evaluation.page import number

    rows = [
        [v.name, v.attribute or "all", number(v.value), "" if v.low is None else f"{number(v.low)} to {number(v.high)}",
         str(v.n), v.note]
        for v in report.values
        if v.attribute not in parts
    ]  # fmt: skip
    print_table(["measure", "attribute", "value", "95 % interval", "faces", "note"], rows, title=report.about.run)
    tell_skipped(report)
    typer.echo(f"report: {folder / 'report.html'}")


def tell_skipped(report: Report) -> None:
    """Which metrics have no number, and why."""
    for name, reason in report.skipped.items():
        typer.echo(f"not measured: {name}: {reason}", err=True)
