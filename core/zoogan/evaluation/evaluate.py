"""`zoogan.evaluate`: measure one run and write its report. Imports torch only when called."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoogan.errors import ConfigError
from zoogan.evaluation.inputs import FACES, check_jinja, check_styles, choose_metrics, choose_source, open_run
from zoogan.plugins.gallery import check_outside_gallery, name_gallery_entry
from zoogan.plugins.host import get_zoo
from zoogan.runs.hub import name_fetched_run

if TYPE_CHECKING:
    from zoogan.config.registry import Registry
    from zoogan.evaluation.measure import Evaluation
    from zoogan.interfaces import Kind
    from zoogan.runs.loaded import LoadedRun

log = logging.getLogger("zoogan.evaluation")


def evaluate(
    run: str | Path | LoadedRun,
    *,
    data: str | None = None,
    root: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    judge: str | Path | None = None,
    faces: int = FACES,
    seed: int = 0,
    styles: str = "latent",
    truncation: float | None = None,
    kind: str | None = None,
    inverted: int = 0,
    iterations: int | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path | None = None,
    checkpoint: int | str | None = None,
    device: str = "auto",
) -> Evaluation:
    """Measure a run's edits of held-out faces, or the faces that it makes, and write a report.

    `zoogan.evaluate("runs/x", faces=100, metrics=["edit_error"]).report.find("edit_error").value`. Under
    `torchrun` the processes share the work, and the main process writes.

    Args:
        run: A run folder, `gallery:NAME`, or a run that `zoogan.load` opened.
        data: Name of the source to measure on; by default the run's own.
        root: Folder of the source.
        metrics: Names; by default all that need no download.
        judge: Folder of a judge; by default the cached one of the source.
        faces: How many held-out faces at most, or how many samples.
        seed: Seed of everything that is drawn.
        styles: Where styles come from: `latent`, or `reference` = other held-out faces.
        truncation: How far from the mean face samples may be, 0 to 1; by default 1.
        kind: What is measured: `generated`, edits of faces that the run generates, `samples`, or `edits` of held-out
            faces; by default the first of these that the run can do.
        inverted: For kind `generated`: how many held-out drawn faces are inverted and edited too, which is slow.
        iterations: Iterations of these inversions; by default 200.
        settings: Settings of the source under `data`, of metrics under their names: {"data": {"faces": 9000}}.
        out: Folder of the report; by default RUN/report, or a folder beside it for other faces, seeds or modes;
            reports/NAME/report for a run of the gallery.
        checkpoint: An iteration or `best`; by default the final model.
        device: auto, cpu, cuda or mps. An opened run is measured where it is.

    Returns:
        The report, its folder and notes. Nothing was written if no metric has a number (`is_measured`).

    Raises:
        ConfigError: An option is wrong, or the run cannot be measured on these faces.
    """
    check_styles(styles)
    check_jinja()
    if out is not None:
        check_outside_gallery(Path(out), f"--out {out}")
    if out is not None and Path(out).exists() and not Path(out).is_dir():
        raise ConfigError(f"--out {out}: a file of that name exists; name a folder")
    from zoogan.devices import join_processes
    from zoogan.evaluation.describe_run import describe_mode, name_other_kind, name_report_folder
    from zoogan.evaluation.measure import Evaluation, MeasureOptions, measure_run
    from zoogan.evaluation.metrics.parts import list_parts
    from zoogan.evaluation.reports.report import find_lost_metrics
    from zoogan.evaluation.study import get_kind
    from zoogan.interfaces import World

    zoo = get_zoo()
    opened, run_folder = open_run(run, join_processes(device), zoo.registry, checkpoint)
    settings = dict(settings or {})
    data_settings = settings.pop("data", {})
    measured, has_parts = get_kind(opened.editor, kind), bool(list_parts(opened.editor))
    has_layouts = not opened.editor.makes_images
    metrics, settings = add_inverted_faces(zoo.registry, metrics, settings, measured, inverted, iterations)
    configs = choose_metrics(zoo.registry, metrics, settings, measured, has_parts, has_layouts)
    source, notes = choose_source(zoo.registry, opened, data, None if root is None else Path(root), data_settings)
    is_guided = styles == "reference"
    if checkpoint is None:
        checkpoint = get_checkpoint(opened, run_folder)
    mode = describe_mode(is_guided, truncation, name_other_kind(opened.editor, kind))
    name = name_report_folder(opened, source, None if checkpoint is None else str(checkpoint), seed, mode)
    folder = choose_report_folder(run_folder, name) if out is None else Path(out)
    lost = find_lost_metrics(folder, configs)
    options = MeasureOptions(
        judge=None if judge is None else Path(judge),
        faces=faces,
        seed=seed,
        is_guided=is_guided,
        truncation=truncation,
        kind=measured,
    )
    result = measure_run(zoo.registry, opened, run_folder, source, configs, options, out=folder)
    notes += result.notes
    log.info("measured %s: %d numbers, in %s", run_folder, len(result.report.values), folder)
    if World().rank == 0 and result.is_measured:
        zoo.notify_observers("zoo_evaluated", run=run_folder, report=result.report.model_dump(mode="json"))
        if lost:
            notes.append(f"replaced the report in {folder}, which had {', '.join(lost)} too; --out keeps both")
    return Evaluation(result.report, folder, tuple(notes), result.parts)


def add_inverted_faces(
    registry: Registry,
    metrics: Sequence[str] | None,
    settings: Mapping[str, Any],
    kind: Kind,
    inverted: int,
    iterations: int | None,
) -> tuple[Sequence[str] | None, dict[str, Any]]:
    """Add the metric of inverted faces and its settings, if `inverted` asks for it.

    Returns:
        The names of the metrics, None = the default ones; and the settings.

    Raises:
        ConfigError: `iterations` without `inverted`, or another kind than edits of generated faces.
    """
    if not inverted:
        if iterations is not None:
            raise ConfigError(f"--iterations {iterations}: counts those of inversions; add --inverted N, their faces")
        return metrics, dict(settings)
    if kind != "generated":
        raise ConfigError(
            f"--inverted {inverted}: is for runs that edit the faces they generate, measured so; remove it"
        )
    from zoogan.evaluation.metrics.lookup import list_default_metrics

    names = [*(metrics or list_default_metrics(registry, kind))]
    options = {"faces": inverted} | ({} if iterations is None else {"iterations": iterations})
    own = {**settings.get("inverted", {}), **options}
    return [*names, *(["inverted"] if "inverted" not in names else [])], {**settings, "inverted": own}


def choose_report_folder(run_folder: Path, name: str) -> Path:
    """Return where a report is written: in the run folder, or in `reports/RUN` for a run of the gallery or the Hub."""
    entry = name_fetched_run(run_folder) or name_gallery_entry(run_folder)
    return run_folder / name if entry is None else Path("reports") / entry / name


def get_checkpoint(run: LoadedRun, run_folder: Path) -> int | None:
    """Get the iteration of an opened run's checkpoint; None if it is the final model."""
    from zoogan.runs.folder import RunFolder

    length = RunFolder(run_folder).read_model_length()
    return None if length is None or length.iteration == run.iteration else run.iteration
