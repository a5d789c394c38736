"""Measures one opened run and writes its report: the steps that `evaluate` and `compare` share."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import torch
from jaxtyping import UInt8
from torch import Tensor

from zoogan.config import ComponentConfig
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.evaluation.build_report import build_report, collect_rows
from zoogan.evaluation.describe_run import describe_mode, describe_run, hash_training_data, name_other_kind
from zoogan.evaluation.generated_sheets import make_generated_sheet
from zoogan.evaluation.inputs import (
    FACES,
    describe_judge_mismatch,
    describe_missing_fields,
    find_own_judge,
    guide_editor,
    open_labelled_source,
)
from zoogan.evaluation.metric_runner import StudyMeasures, measure_speed, run_metrics
from zoogan.evaluation.metrics.parts import list_parts
from zoogan.evaluation.part_sheet import make_part_legend, make_part_sheet
from zoogan.evaluation.reports.page import render_report
from zoogan.evaluation.reports.report import MeasuredRun, Report, write_report
from zoogan.evaluation.sheets import make_edit_sheet, make_sample_sheet
from zoogan.evaluation.study import get_kind, open_study
from zoogan.files import write_text_atomically
from zoogan.interfaces import Editor, Kind, Source, Study
from zoogan.judges.judge import Judge, find_judge
from zoogan.plugins.pasting import format_judge_command, quote_run
from zoogan.runs.loaded import LoadedRun


@dataclass(frozen=True)
class MeasureOptions:
    """How a run is measured.

    Attributes:
        judge: Folder of the judge; None = the cached one of the source, if there is one.
        faces: How many held-out faces at most, or how many samples.
        seed: Seed of everything that is drawn.
        is_guided: Take the style of each edit from another face of the split that has the requested attribute.
        truncation: How far from the mean face samples may be, 0 to 1; None = 1.
        attributes: Attributes to edit; None = all of the source.
        face_numbers: Numbers of the faces to edit; None = all that the run can edit.
        kind: What is measured, see `get_kind`; None = the run's default.
    """

    judge: Path | None = None
    faces: int = FACES
    seed: int = 0
    is_guided: bool = False
    truncation: float | None = None
    attributes: Sequence[str] | None = None
    face_numbers: frozenset[int] | None = None
    kind: Kind | None = None


@dataclass(frozen=True)
class Evaluation:
    """The result of an evaluation.

    Attributes:
        report: All numbers, and why others are missing.
        folder: Folder of the report's files; they were written if anything was measured.
        notes: Messages for the user, whole sentences.
        parts: Parts of the faces that the run makes; none for most runs.
    """

    report: Report
    folder: Path
    notes: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()

    @property
    def is_measured(self) -> bool:
        """Whether any metric has a number."""
        return bool(self.report.titles)


@dataclass(frozen=True)
class PreparedStudy:
    """A study that is ready to be measured.

    Attributes:
        study: The faces or samples, with the judge.
        editor: Editor of the run, with the styles of the study's faces where it is guided.
        source: The faces.
        judge: Or None.
        attributes: Attributes to edit; none for samples.
        notes: Messages for the user.
    """

    study: Study
    editor: Editor
    source: Source
    judge: Judge | None
    attributes: tuple[str, ...]
    notes: tuple[str, ...]


def measure_run(
    registry: Registry,
    run: LoadedRun,
    run_folder: Path,
    data: Any,
    metrics: Mapping[str, ComponentConfig],
    options: MeasureOptions,
    *,
    out: Path,
) -> Evaluation:
    """Measure an opened run and write its report on the main process, unless no metric has a number.

    Args:
        registry: Sources and metrics.
        run: The run to measure, on its own device.
        run_folder: Its folder, which gives it its name.
        data: Config of the source.
        metrics: The config of each metric.
        options: How it is measured.
        out: Folder of the report.

    Raises:
        ConfigError: `truncation` is set for a run that edits faces, `is_guided` for a run that takes no styles from
            faces, or the judge cannot be opened.
    """
    prepared = prepare_study(registry, run, run_folder, data, options)
    study = prepared.study
    built = {name: registry.build("metric", config) for name, config in metrics.items()}
    findings = run_metrics(prepared.editor, study, built, prepared.attributes)
    about = describe_measured_run(registry, run, run_folder, data, options, prepared)
    report = build_report(
        findings, study, about, describe_judge(prepared.judge), datetime.now(UTC).isoformat(timespec="seconds"),
        describe_metric_options(metrics),
    )  # fmt: skip
    if study.world.rank == 0 and findings.titles:
        report = write_report_folder(out, report, findings, prepared)
    study.world.barrier()
    return Evaluation(report, out, prepared.notes, list_parts(prepared.editor))


def prepare_study(
    registry: Registry, run: LoadedRun, run_folder: Path, data: Any, options: MeasureOptions
) -> PreparedStudy:
    """Open the source, the judge and the study, see `measure_run`."""
    kind = get_kind(run.editor, options.kind)
    if options.truncation is not None and kind == "edits":
        raise ConfigError(
            f"--truncation {options.truncation:g}: {run_folder} edits faces, and only samples can be truncated"
        )
    if kind == "edits" and not run.editor.attributes:
        raise ConfigError(
            f"{run_folder} edits no attributes, and edits are measured by attribute; look at them with "
            f"`zoo edit {quote_run(run_folder)} --grid`"
        )
    judge, problem = find_judge(options.judge, data.source, data.image_size)
    notes = [problem]
    if problem := find_own_judge(judge, run.stages):
        if options.judge is not None:
            raise ConfigError(f"--judge {options.judge}: {problem}")
        judge, notes = None, [problem]
    if judge is None and kind == "generated":
        raise ConfigError(explain_missing_judge(data, notes))
    if judge is not None:
        judge = judge.to(run.device)
    source = registry.build("source", data) if kind == "edits" else open_labelled_source(registry, data, judge)
    if judge is not None and options.judge is None:
        notes.append(describe_judge_mismatch(judge.facts, source))
    check_source_parts(run.editor, source, data.source)
    study = open_study(
        source, data.source, faces=options.faces, seed=options.seed, device=run.device, judge=judge, editor=run.editor,
        truncation=1.0 if options.truncation is None else options.truncation, only=options.face_numbers,
        kind=kind,
    )  # fmt: skip
    notes.append(describe_missing_fields(run.editor, source.fields))
    editor = guide_editor(study, run.editor) if options.is_guided else run.editor
    attributes = () if kind == "samples" else tuple(options.attributes or study.edited_attributes)
    return PreparedStudy(study, editor, source, judge, attributes, tuple(note for note in notes if note))


def explain_missing_judge(data: Any, notes: Sequence[str | None]) -> str:
    """Explain why edits of generated faces cannot be measured without a judge, and what to do.

    Args:
        data: Config of the source.
        notes: Why the judge that there is cannot be used.
    """
    reason = next((f" ({note})" for note in notes if note), "")
    command = format_judge_command(data.source, data.image_size, root=data.root)
    return (
        "edits of generated faces are measured by what a judge reads, as these faces have no labels, and there is no "
        f"judge{reason}: `{command}` makes one, or name one by "
        "--judge; --kind samples measures the unedited faces"
    )


def check_source_parts(editor: Editor, source: Source, name: str) -> None:
    """Check that a source has the layouts that an editor needs, or the same parts where it reads them if it can.

    Raises:
        ConfigError: The faces have no segmentations, or other parts.
    """
    if not editor.needs_layout and ("segmentation" not in editor.mask_fields or "segmentation" not in source.fields):
        return
    if "segmentation" not in source.fields:
        raise ConfigError(
            f"--data {name}: this run edits maps of parts, and these faces have none; name faces with segmentations, "
            "such as --data drawn, or --data folder with --set data.label_maps=FOLDER"
        )
    if source.parts != editor.parts:
        raise ConfigError(
            f"data.label_set: the run's parts are {', '.join(editor.parts)}; these faces have {', '.join(source.parts)}"
            "; choose the label set that the run was trained with"
        )


def describe_measured_run(
    registry: Registry,
    run: LoadedRun,
    run_folder: Path,
    data: Any,
    options: MeasureOptions,
    prepared: PreparedStudy,
) -> MeasuredRun:
    """Describe the run for its report, with its speed and the hash of its training data; see `measure_run`."""
    kind = prepared.study.kind
    speed = {f"{kind}_per_second": measure_speed(prepared.editor, prepared.study)}
    mode = describe_mode(options.is_guided, options.truncation, name_other_kind(run.editor, options.kind))
    about = describe_run(run, run_folder, speed, str(run.device), mode)
    training_source = prepared.source if kind == "edits" and data == run.config.data else None
    return about.model_copy(update={"data": hash_training_data(registry, run, training_source)})


def describe_judge(judge: Judge | None) -> dict[str, Any] | None:
    """Describe the judge for a report."""
    return None if judge is None else {**judge.facts.model_dump(mode="json"), "backbone": judge.backbone}


def describe_metric_options(metrics: Mapping[str, ComponentConfig]) -> dict[str, dict[str, Any]]:
    """Collect the options of each metric that change its numbers."""
    return {
        name: config.model_dump(mode="json", exclude={"use", *getattr(config, "immaterial", ())})
        for name, config in metrics.items()
    }


def write_report_folder(folder: Path, report: Report, findings: StudyMeasures, prepared: PreparedStudy) -> Report:
    """Write report.json, faces.safetensors and report.html; returns the report with the sha256 of its rows."""
    report = write_report(folder, report, collect_rows(findings))
    page = render_report(report, findings.headlines, make_pictures(prepared), make_part_legend(prepared.editor))
    write_text_atomically(folder / "report.html", page)
    return report


@torch.no_grad()
def make_pictures(prepared: PreparedStudy) -> dict[str, UInt8[Tensor, "3 h w"]]:
    """Make the pictures of a report: of edits by attribute; for samples, `samples` and `parts`."""
    editor, study = prepared.editor, prepared.study
    if study.kind == "generated":
        readable = study.judge.attributes if study.judge is not None else ()
        sheets = {name: make_generated_sheet(editor, study, name) for name in prepared.attributes if name in readable}
    elif study.kind == "samples":
        sheets = {"samples": make_sample_sheet([("samples", editor)], [study]), "parts": make_part_sheet(editor, study)}
    else:
        sheets = {name: make_edit_sheet(editor, study, name) for name in prepared.attributes}
    return {name: sheet for name, sheet in sheets.items() if sheet is not None}
