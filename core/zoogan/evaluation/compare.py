"""`zoogan.compare`: runs side by side, on the same faces. Imports torch only when called."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.evaluation.inputs import FACES, check_jinja, choose_metrics, choose_source, open_run
from zoogan.plugins.host import get_zoo
from zoogan.runs.locations import find_run_folder

if TYPE_CHECKING:
    from zoogan.evaluation.measure import MeasureOptions
    from zoogan.evaluation.reports.comparison import ComparedTraining, ComparisonColumn, EvaluatedRun
    from zoogan.interfaces import Kind
    from zoogan.judges.judge import Judge
    from zoogan.runs.loaded import LoadedRun

Show = Callable[[str], object]
"""Shows a person one message."""


@dataclass(frozen=True)
class Comparison:
    """The result of a comparison.

    Attributes:
        entrants: The runs; several seeds of one training are one entrant.
        columns: All numbers; those in a column have equal keys.
        headlines: The columns of the first table.
        folder: Folder of compare.html, compare.json, compare.md and the pictures.
        notes: Messages for the user, whole sentences.
    """

    entrants: list[ComparedTraining]
    columns: list[ComparisonColumn]
    headlines: list[ComparisonColumn]
    folder: Path
    notes: tuple[str, ...] = ()


@dataclass(frozen=True)
class ComparedRun:
    """A run to compare.

    Attributes:
        path: Its folder.
        run: The opened run.
        data: Config of the source that it is measured on.
    """

    path: Path
    run: LoadedRun
    data: Any

    @property
    def name(self) -> str:
        """The name of its folder."""
        return self.path.resolve().name


def compare(
    runs: Sequence[str | Path | LoadedRun],
    *,
    data: str | None = None,
    root: str | Path | None = None,
    metrics: Sequence[str] | None = None,
    judge: str | Path | None = None,
    faces: int = FACES,
    seed: int = 0,
    truncation: float | None = None,
    kind: str | None = None,
    settings: Mapping[str, Any] | None = None,
    out: str | Path = "comparison",
    device: str = "auto",
    command: str = "zoogan.compare",
    show: Show | None = None,
) -> Comparison:
    """Compare runs on the same faces or seeds, and write tables and pictures.

    Without `data` the stored reports of the runs are compared; with it all runs are measured anew.

    Args:
        runs: Run folders, or runs that `zoogan.load` opened; two or more.
        data: Name of a source to measure all runs on.
        root: Folder of the source.
        metrics: As of `evaluate`.
        judge: As of `evaluate`.
        faces: How many held-out faces at most, or how many samples.
        seed: Seed of everything that is drawn.
        truncation: How far from the mean face samples may be, 0 to 1.
        kind: As of `evaluate`; by default the first kind that all runs have.
        settings: As of `evaluate`.
        out: Folder to write into.
        device: auto, cpu, cuda or mps. An opened run is measured where it is.
        command: The command that the pages name as their origin.
        show: Called with each message about the progress; None = print nothing.

    Returns:
        The numbers, the folder and notes.

    Raises:
        ConfigError: The runs cannot be compared, an option is wrong, or no metric could be measured on a run.
    """
    paths = list_paths(runs)
    if data is None and (any((metrics, settings, judge, root, seed)) or truncation is not None or faces != FACES):
        raise ConfigError("these options measure anew, which needs faces: add --data SOURCE")
    check_jinja()
    from zoogan.devices import choose_device
    from zoogan.evaluation.measure import MeasureOptions
    from zoogan.evaluation.metrics.lookup import collect_headlines
    from zoogan.evaluation.reports.comparison import group_entrants, make_columns, read_evaluated_run
    from zoogan.evaluation.reports.comparison_files import write_comparison
    from zoogan.evaluation.reports.comparison_text import choose_headlines

    registry, folder, where = get_zoo().registry, Path(out), choose_device(device)
    opened = [open_run(run, where, registry)[0] for run in runs]
    common = get_common_kind(paths, opened, kind)
    attributes = [] if common == "samples" else list_shared_attributes(paths, opened, common)
    settings = dict(settings or {})
    compared, notes = choose_sources(
        registry, paths, opened, data, None if root is None else Path(root), settings.pop("data", {})
    )
    if data is None:
        evaluated = [read_evaluated_run(find_report(run, common), run.name) for run in compared]
    else:
        only = find_faces_of_all(registry, compared, faces, show) if common == "edits" else None
        measure_options = MeasureOptions(
            judge=None if judge is None else Path(judge), faces=faces, seed=seed, truncation=truncation,
            attributes=attributes, face_numbers=only, kind=common,
        )  # fmt: skip
        evaluated = measure_runs(registry, compared, common, metrics, settings, measure_options, folder, notes, show)
    try:
        opened_judge = None if judge is None else Path(judge)
        pictures = make_comparison_pictures(registry, compared, attributes, seed, truncation, common, opened_judge)
    except ConfigError as error:  # stored reports can be compared without their faces
        notes.append(f"no pictures: {error}")
        pictures = {}
    entrants = group_entrants(evaluated)
    columns = make_columns(entrants)
    headlines = choose_headlines(columns, collect_headlines(registry))
    legend = make_layout_legend(opened)
    write_comparison(folder, entrants, columns, headlines, pictures, command, legend)
    return Comparison(entrants, columns, headlines, folder, tuple(dict.fromkeys(notes)))


def list_paths(runs: Sequence[str | Path | LoadedRun]) -> list[Path]:
    """List the folders of the runs, before any run is opened.

    Raises:
        ConfigError: There are fewer than two, two have the same name, or an opened run has no folder.
    """
    paths = []
    for run in runs:
        path = find_run_folder(run) if isinstance(run, str | Path) else run.path
        if path is None:
            raise ConfigError("runs: an opened run has no folder; pass the path of its folder")
        paths.append(path)
    if len({path.resolve() for path in paths}) < 2:
        raise ConfigError("zoo compare needs two runs or more: zoo compare RUN RUN")
    names = [path.resolve().name for path in paths]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise ConfigError(f"two runs are called {repeated[0]}, so their rows would look alike; rename one")
    return paths


def get_common_kind(paths: Sequence[Path], runs: Sequence[LoadedRun], kind: str | None = None) -> Kind:
    """Get the kind to compare runs by: the given one, or the first that every run has.

    Raises:
        ConfigError: Some runs make faces and some edit them, or a run does not have the given kind.
    """
    from zoogan.evaluation.study import get_kind, list_kinds

    kinds = {path.resolve().name: list_kinds(run.editor) for path, run in zip(paths, runs)}
    if kind is not None:
        asked = [get_kind(run.editor, kind) for run in runs]  # all are checked
        return asked[0]
    shared = [one for one in next(iter(kinds.values())) if all(one in each for each in kinds.values())]
    if shared:
        return shared[0]
    makers, editors = (
        [name for name, each in kinds.items() if ("edits" in each) == is_editor] for is_editor in (False, True)
    )
    raise ConfigError(
        f"{', '.join(makers)}: makes faces; {', '.join(editors)}: edits faces; no metric measures both. Compare "
        "those that make faces with each other, and those that edit them"
    )


def find_report(run: ComparedRun, kind: Kind) -> Path:
    """Find the folder of a run's stored report of a kind."""
    from zoogan.evaluation.describe_run import name_other_kind

    other = name_other_kind(run.run.editor, kind)
    return run.path / (f"report-{other}" if other else "report")


def list_shared_attributes(paths: Sequence[Path], runs: Sequence[LoadedRun], kind: Kind = "edits") -> list[str]:
    """List the attributes that every run edits, in the order of the first.

    Raises:
        ConfigError: There are none.
    """
    named = [run.editor.attributes if kind == "generated" else run.facts.attributes for run in runs]
    shared = [name for name in named[0] if all(name in names for names in named)]
    if not shared:
        edits = "\n".join(f"  {path}: {', '.join(names)}" for path, names in zip(paths, named))
        raise ConfigError(f"these runs have no attribute in common, so nothing can be compared:\n{edits}")
    return shared


def choose_sources(
    registry: Registry,
    paths: Sequence[Path],
    runs: Sequence[LoadedRun],
    data: str | None,
    root: Path | None,
    settings: Mapping[str, Any],
) -> tuple[list[ComparedRun], list[str]]:
    """Choose the source of each run, see `choose_source`; returns the runs with their sources, and notes."""
    compared, notes = [], []
    for path, run in zip(paths, runs):
        config, remarks = choose_source(registry, run, data, root, settings)
        compared.append(ComparedRun(path, run, config))
        notes += remarks
    return compared, notes


def find_faces_of_all(
    registry: Registry, runs: Sequence[ComparedRun], faces: int, show: Show | None
) -> frozenset[int] | None:
    """Find the faces that every run can edit, and show how many there are where some are left out.

    Raises:
        ConfigError: The runs share no face.
    """
    from zoogan.evaluation.study import find_shared_faces

    sources = [registry.build("source", run.data) for run in runs]
    shared = find_shared_faces([run.run.editor for run in runs], sources, faces)
    if shared is not None and show is not None:
        show(f"on the {len(shared)} held-out faces that every one of these runs can edit")
    return shared


def measure_runs(
    registry: Registry,
    runs: Sequence[ComparedRun],
    kind: Kind,
    metrics: Sequence[str] | None,
    settings: Mapping[str, Any],
    options: MeasureOptions,
    out: Path,
    notes: list[str],
    show: Show | None,
) -> list[EvaluatedRun]:
    """Measure all runs with the same metrics.

    Args:
        registry: Sources and metrics.
        runs: The runs with their sources.
        kind: What is measured.
        metrics: Names; None = the default ones.
        settings: Settings of the metrics, by name.
        options: How runs are measured.
        out: Folder of the comparison; each report goes to `out/reports/<run>`.
        notes: Messages for the user are appended to it.
        show: Called with each message about the progress.

    Raises:
        ConfigError: No metric could be measured on a run.
    """
    from zoogan.evaluation.measure import measure_run
    from zoogan.evaluation.metrics.parts import list_parts
    from zoogan.evaluation.reports.comparison import read_evaluated_run

    has_parts = any(list_parts(run.run.editor) for run in runs)
    has_layouts = not any(run.run.editor.makes_images for run in runs)
    configs = choose_metrics(registry, metrics, settings, kind, has_parts, has_layouts)
    evaluated = []
    for run in runs:
        if show is not None:
            show(f"measuring {run.path}")
        folder = out / "reports" / run.name
        result = measure_run(registry, run.run, run.path, run.data, configs, options, out=folder)
        notes += result.notes
        if not result.is_measured:
            reasons = "\n".join(f"  {name}: {reason}" for name, reason in result.report.skipped.items())
            raise ConfigError(f"{run.path}: nothing could be measured, so there is nothing to compare:\n{reasons}")
        evaluated.append(read_evaluated_run(folder))
    return evaluated


def make_layout_legend(runs: Sequence[LoadedRun]) -> list[tuple[str, str]]:
    """List the parts of edits that are segmentations with their colours; none if no run makes such edits."""
    from zoogan.evaluation.part_sheet import make_part_legend

    makers = [run.editor for run in runs if not run.editor.makes_images]
    return make_part_legend(max(makers, key=lambda editor: len(editor.parts))) if makers else []


def make_comparison_pictures(
    registry: Registry,
    runs: Sequence[ComparedRun],
    attributes: Sequence[str],
    seed: int,
    truncation: float | None,
    kind: Kind,
    judge: Path | None,
) -> dict[str, Any]:
    """Make a picture of every run's edits of the same faces for each attribute; of runs that make faces, `samples`.

    Raises:
        ConfigError: A source cannot be opened, or there is no judge for edits of generated faces.
    """
    from zoogan.evaluation.generated_sheets import make_generated_comparison
    from zoogan.evaluation.sheets import make_comparison_sheet, make_sample_sheet
    from zoogan.evaluation.study import open_study

    studies = [
        open_study(
            registry.build("source", run.data), run.data.source, seed=seed, device=run.run.device,
            editor=run.run.editor, truncation=1.0 if truncation is None else truncation, kind=kind,
            judge=find_picture_judge(run, judge) if kind == "generated" else None,
        )
        for run in runs
    ]  # fmt: skip
    editors = [(run.name, run.run.editor) for run in runs]
    if kind == "generated":
        sheets = {name: make_generated_comparison(editors, studies, name) for name in attributes}
    elif kind == "samples":
        sheets = {"samples": make_sample_sheet(editors, studies)}
    else:
        sheets = {name: make_comparison_sheet(editors, studies, name) for name in attributes}
    return {name: sheet for name, sheet in sheets.items() if sheet is not None}


def find_picture_judge(run: ComparedRun, path: Path | None) -> Judge:
    """Find the judge that chooses the generated faces to show.

    Raises:
        ConfigError: There is none, or the named one cannot be opened.
    """
    from zoogan.judges.judge import find_judge

    judge, problem = find_judge(path, run.data.source, run.data.image_size)
    if judge is None:
        raise ConfigError(problem or "no judge chooses the faces; name one by --judge")
    return judge.to(run.run.device)
