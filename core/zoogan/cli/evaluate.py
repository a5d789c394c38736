"""`zoo evaluate`: one honest report on a run's edits."""

from __future__ import annotations

import hashlib
import importlib.util
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoogan.cli.arguments import Checkpoint, Device, PluginFiles, open_with
from zoogan.config import ComponentConfig, ConfigError, checked, merge, parse_sets
from zoogan.registry import Registry, nearest

if TYPE_CHECKING:
    from zoogan.evaluation.report import Report
    from zoogan.interfaces import Editor, Study
    from zoogan.training.loaded import LoadedRun

# Settings that change no weight of a run.
IMMATERIAL = {
    "data": ("root", "workers"),
    "training": (
        "log_every", "sample_every", "checkpoint_every", "keep", "trackers", "evaluate_every", "evaluate",
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
    faces: Annotated[int, typer.Option(min=1, help="How many held-out faces, at most.")] = FACES,
    seed: Annotated[int, typer.Option(help="Of everything that draws.")] = 0,
    styles: Annotated[
        str, typer.Option(help="Where styles come from: latent, or reference = other held-out faces.")
    ] = "latent",
    set_: Annotated[
        list[str] | None,
        typer.Option("--set", metavar="KEY=VALUE", help="data.KEY of the source or METRIC.KEY; repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The report's folder; by default RUN/report.")] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Measure a run's edits on held-out faces: report.json, and report.html to read."""
    zoo = open_with(plugin)
    from zoogan.interfaces import World
    from zoogan.training.devices import join_processes, part_processes
    from zoogan.training.run import load

    if styles not in ("latent", "reference"):
        raise ConfigError(f"--styles {styles}: expected latent or reference{nearest(styles, ('latent', 'reference'))}")
    sets = parse_sets(set_ or [])
    chosen = metric_configs(zoo.registry, metrics, {k: v for k, v in sets.items() if k != "data"})
    where = join_processes(device)
    loaded = load(run, checkpoint=checkpoint, device=where, registry=zoo.registry)
    source = source_config(zoo.registry, loaded, data, root, sets.get("data", {}))
    report, folder = measure(
        zoo.registry, loaded, run, source, chosen,
        judge=judge, faces=faces, seed=seed, out=out, device=where, guided=styles == "reference",
    )  # fmt: skip
    if World().rank == 0:
        zoo.notify("zoo_evaluated", run=run, report=report.model_dump(mode="json"))
        tell(report, folder)
    part_processes()


def metric_configs(registry: Registry, names: str | None, sets: Mapping[str, Any]) -> dict[str, ComponentConfig]:
    """The config of each metric asked for, by name.

    Raises:
        ConfigError: unknown metrics, options of metrics that were not asked for, bad options.
    """
    from zoogan.evaluation.config import DEFAULTS

    known = registry.names("metric")
    asked = (
        [name.strip() for name in names.split(",") if name.strip()] if names else [n for n in DEFAULTS if n in known]
    )
    problems = [
        f"--metrics: no metric is called {name!r}{nearest(name, known)}; metrics: {', '.join(known)}"
        for name in asked
        if name not in known
    ]
    problems += [
        f"--set {name}: not among the metrics asked for{nearest(name, asked)}; they are {', '.join(asked)}"
        for name in sets
        if name not in asked
    ]
    configs = {}
    for name in asked:
        if name not in known:
            continue
        try:
            configs[name] = checked(registry.components["metric", name].config, sets.get(name, {}), registry, name)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return configs


def source_config(
    registry: Registry, run: LoadedRun, data: str | None, root: Path | None, sets: Mapping[str, Any]
) -> Any:
    """What to measure on: the run's own data, or another source with the run's size and attributes.

    Raises:
        ConfigError: an unknown source, or settings that it does not have.
    """
    own = run.config.data.model_dump(mode="json")
    name = data or str(own["source"])
    known = registry.names("source")
    if name not in known:
        raise ConfigError(f"--data: no source is called {name!r}{nearest(name, known)}; sources: {', '.join(known)}")
    values = own if name == own["source"] and data is None else {
        "source": name, "image_size": run.facts.image_size, "attributes": list(run.facts.attributes),
    }  # fmt: skip
    if name == "celeba" and own["source"] == "celeba":  # as it was trained: cut alike, and on no face of its training
        values |= {"crop": own["crop"], "split": own["split"]}
    if root is not None:
        values = {**values, "root": str(root.expanduser().resolve())}
    config: Any = checked(registry.components["source", name].config, merge(values, sets), registry, "data")
    wrong = [
        f"data.{key}: the run has {theirs}, got {ours}; a run can only be measured on what it was trained for"
        for key, ours, theirs in (
            ("image_size", config.image_size, run.facts.image_size),
            ("attributes", ", ".join(config.attributes), ", ".join(run.facts.attributes)),
        )
        if ours != theirs
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))
    return config


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
    out: Path | None = None,
    device: Any = "cpu",
    attributes: Sequence[str] | None = None,
    guided: bool = False,
) -> tuple[Report, Path]:
    """Measure a loaded run and write its report (on the main process). Returns the report and its folder.

    guided: styles are those of other faces of the split, for each edit one that shows what is asked for.

    Raises:
        ConfigError: a run that makes faces; an editor that takes no styles from faces is asked to be guided; a judge
            that cannot be opened.
    """
    from zoogan.evaluation.page import report_page, sheet
    from zoogan.evaluation.report import report_of, rows_of, write_report
    from zoogan.evaluation.study import edits_per_second, examine, open_study
    from zoogan.storage import replace_text

    if run.editor.makes_faces:
        raise ConfigError(
            f"{path}: edits of photos are measured here, and this run makes faces; `zoo sample` shows them"
        )
    folder = out or path / ("report-reference" if guided else "report")
    check_pages()
    if folder.exists() and not folder.is_dir():
        raise ConfigError(f"--out {folder}: a file of that name is there")
    source = registry.build("source", data)
    reader = judge_for(judge, data.source, data.image_size)
    if reader is not None:
        reader = reader.to(device)
    study = open_study(source, data.source, faces=faces, seed=seed, device=device, judge=reader)
    built = {name: registry.build("metric", config) for name, config in metrics.items()}
    wanted = list(attributes or source.attributes)
    editor = guided_by(study, run.editor) if guided else run.editor
    found = examine(editor, study, built, wanted)
    options = {
        name: config.model_dump(mode="json", exclude={"use", *getattr(config, "immaterial", ())})
        for name, config in metrics.items()
    }
    about = about_run(run, path, edits_per_second(editor, study), str(device), guided)
    facts = None if reader is None else {**reader.facts.model_dump(mode="json"), "backbone": reader.backbone}
    report = report_of(found, study, about, facts, datetime.now(UTC).isoformat(timespec="seconds"), options)
    if study.world.rank == 0:
        report = write_report(folder, report, rows_of(found))
        sheets = {name: sheet(editor, study, name) for name in wanted}
        pictures = {name: image for name, image in sheets.items() if image is not None}
        replace_text(folder / "report.html", report_page(report, pictures))
    study.world.barrier()
    return report, folder


def guided_by(study: Study, editor: Editor) -> Editor:
    """The editor with the styles of the study's own faces.

    Raises:
        ConfigError: it takes no styles from faces, or a domain has no face.
    """
    from zoogan.data.photo import to_range

    shows = study.source.domain(study.split)[: study.faces] >= 0  # a hat hides the hair whose colour is the domain
    sample = study.source.read(study.split, shows.nonzero().flatten().tolist())
    editor.networks.eval()
    try:
        return editor.guided(to_range(sample["image"]).to(study.device), sample["attributes"].to(study.device))
    except ValueError as error:
        raise ConfigError(f"--styles reference: {error} (the {study.faces} held-out faces were looked at)") from error


def judge_for(path: Path | None, source: str, image_size: int) -> Any:
    """The judge that was named, or that of the source in the cache; None where there is none.

    Raises:
        ConfigError: the named one cannot be opened.
    """
    from zoogan.evaluation.judge import default_judge, load_judge

    if path is not None:
        return load_judge(path)
    found = default_judge(source, image_size)
    try:
        return load_judge(found) if found.is_dir() else None
    except ConfigError as error:  # nobody asked for this one: what needs a judge is left out
        typer.echo(f"note: the judge in the cache cannot be used: {error}", err=True)
        return None


def check_pages() -> None:
    """That reports can be written, before anything is measured.

    Raises:
        ConfigError: jinja2 is missing.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigError('reports need jinja2: pip install "zoogan[evaluate]"')


def about_run(run: LoadedRun, path: Path, speed: float, device: str, guided: bool = False) -> Any:
    """What the report says of the run itself."""
    from zoogan.evaluation.report import About

    settings = run.config.model_dump(mode="json")
    seed = settings["training"].pop("seed")
    for group, names in IMMATERIAL.items():
        for name in names:
            settings[group].pop(name, None)
    return About(
        run=path.resolve().name + (" (reference)" if guided else ""), seed=seed,
        method=run.config.method, recipe=run.config.recipe,
        config=hashlib.sha256(json.dumps([settings, guided], sort_keys=True).encode()).hexdigest(),
        iteration=run.iteration, images=run.images, attributes=run.facts.attributes,
        parameters={name: sum(p.numel() for p in net.parameters()) for name, net in run.networks.items()},
        edits_per_second=speed, device=device,
    )  # fmt: skip


def tell(report: Report, folder: Path) -> None:
    """The values as a table on the terminal, and where the page is."""
    from zoogan.cli.tables import print_table
    from zoogan.evaluation.page import number

    rows = [
        [v.name, v.attribute or "all", number(v.value), "" if v.low is None else f"{number(v.low)} to {number(v.high)}",
         str(v.n), v.note]
        for v in report.values
    ]  # fmt: skip
    print_table(["measure", "attribute", "value", "95 % interval", "faces", "note"], rows, title=report.about.run)
    for name, reason in report.skipped.items():
        typer.echo(f"not measured: {name}: {reason}", err=True)
    typer.echo(f"report: {folder / 'report.html'}")
