"""To be written."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoogan.cli.photos import tell_wanted
from zoogan.config import ComponentConfig, ConfigError
from zoogan.config.registry import Registry
from zoogan.evaluation.inputs import check_learnt, check_pages, guided_by, judge_for, labelled

if TYPE_CHECKING:
    from zoogan.evaluation.reports.report import Report
    from zoogan.interfaces import Source
    from zoogan.runs.loaded import LoadedRun


# Settings that change no weight of a run.
IMMATERIAL = {
    "data": ("root", "workers"),
    "training": (
        "log_every", "sample_every", "checkpoint_every", "keep", "threads", "trackers", "evaluate_every", "evaluate",
        "evaluate_faces", "best",
    ),
}  # fmt: skip
FACES = 500


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
    from zoogan.evaluation.reports.page import report_page, sample_sheet, sheet
    from zoogan.evaluation.reports.part_sheet import legend, part_sheet
    from zoogan.evaluation.reports.report import report_of, rows_of, write_report
    from zoogan.evaluation.study import examine, faces_per_second, open_study, shown_by
    from zoogan.files import replace_text

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
    from zoogan.evaluation.reports.report import About

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
        parameters={name: sum(p.numel() for p in network.parameters()) for name, network in run.networks.items()},
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
