"""The report of an evaluation and its files: report.json, and faces.safetensors with the rows behind its numbers."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection
from pathlib import Path
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.files import hash_file, replace_file, write_tensors, write_text_atomically
from zoogan.interfaces import Kind, Ranking, Ratio, SetStatistic, Statistic
from zoogan.plugins.pasting import quote_run

FORMAT = 1
STATISTICS: dict[str, type[Any]] = {"ratio": Ratio, "ranking": Ranking, "whole": SetStatistic}


class Stored(BaseModel):
    """Base of everything in report.json."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Key(Stored):
    """Everything that a number depends on besides the run; only numbers with equal keys are comparable.

    Attributes:
        name: Name of the measure.
        metric: The component that computed it.
        attribute: The edited attribute, or the attribute to find; None = all together.
        options: Options of the metric.
        backbone: The network whose features the metric compares; None = no network.
        weights: sha256 of its weights.
        resizer: How faces are resized for it.
        reference: Digest of the real faces that edits or samples are compared with.
        n: How many faces were edited or made; of edits of generated faces, how many were made.
        source: The name of the source.
        split: Split of the source.
        faces: sha256 of the pixels and labels measured on; empty for samples. For edits of generated faces,
            of the judge that chooses them.
        image_size: In pixels.
        seed: Seed of everything that is drawn.
        versions: Versions of the libraries that can change the number.
        truncation: Truncation of samples; None for edits of given faces.
        rivals: edited attribute -> attributes that exclude it in the run and not in the source, so that its edits clear
            them; None where there are none.
    """

    name: str
    metric: str
    attribute: str | None
    options: dict[str, Any]
    backbone: str | None
    weights: str | None
    resizer: str | None
    reference: str | None
    n: int
    source: str
    split: str
    faces: str
    image_size: int
    seed: int
    versions: dict[str, str]
    truncation: float | None = None
    rivals: dict[str, tuple[str, ...]] | None = None

    @property
    def digest(self) -> str:
        """Ten digits of the sha256 of the key."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:10]

    def list_differences(self, other: Key) -> list[str]:
        """List the fields in which two keys differ, as `field: this / that`."""
        mine, theirs = self.model_dump(), other.model_dump()
        return [
            f"{name}: {shorten(mine[name])} / {shorten(theirs[name])}" for name in mine if mine[name] != theirs[name]
        ]


def shorten(value: Any) -> str:
    """Write a value of a key briefly: digests are cut."""
    text = str(value)
    return f"{text[:10]}…" if len(text) == 64 and " " not in text else text


class Value(Stored):
    """One number of a report.

    Attributes:
        name: Name of the measure.
        metric: The component that computed it.
        attribute: As of `Key`.
        value: The number; None where it is not finite.
        low: Lower end of the 95 % interval over the choice of faces (bootstrap); None without an interval.
        high: Upper end of it.
        n: Number of faces that it was computed from.
        better: Which way is good; None = neither.
        note: Explanations, separated by `; `.
        kind: The statistic whose rows are in faces.safetensors under this value's place in the list, such as `ratio`.
        key: What the number depends on.
    """

    name: str
    metric: str
    attribute: str | None
    value: float | None
    low: float | None
    high: float | None
    n: int
    better: Literal["higher", "lower"] | None
    note: str
    kind: str
    key: Key


class MeasuredRun(Stored):
    """The run that was measured.

    Attributes:
        run: Its name.
        method: Method of the run.
        recipe: Recipe of the run.
        config: sha256 of its settings without the seed; equal for seeds of one training.
        data: sha256 of the training faces and labels as they are now; None if they cannot be read or have no stable
            hash.
        seed: Seed of its training.
        iteration: How long it was trained; None for imported weights.
        images: Number of images that it was trained on; None for imported weights.
        attributes: Attributes that it edits.
        parameters: network -> number of parameters.
        edits_per_second: On `device`; None for samples.
        samples_per_second: On `device`; None for edits.
        generated_per_second: Edits of generated faces on `device`; None otherwise.
        device: Where it was measured.
    """

    run: str
    method: str
    recipe: str | None
    config: str
    data: str | None = None
    seed: int
    iteration: int | None
    images: int | None
    attributes: tuple[str, ...]
    parameters: dict[str, int]
    edits_per_second: float | None = None
    samples_per_second: float | None = None
    generated_per_second: float | None = None
    device: str

    @property
    def kind(self) -> Kind:
        """What was measured: edits, samples, or edits of samples."""
        if self.generated_per_second is not None:
            return "generated"
        return "edits" if self.samples_per_second is None else "samples"

    @property
    def product(self) -> str:
        """What was made and counted: edits or samples."""
        return "samples" if self.kind == "samples" else "edits"

    @property
    def speed(self) -> float:
        """Edits or samples a second."""
        return self.samples_per_second or self.edits_per_second or self.generated_per_second or 0.0


class Report(Stored):
    """The content of report.json.

    Attributes:
        format: Format of the file.
        date: Date of the measuring, ISO 8601.
        about: The run.
        faces: Number of held-out faces of the study, whether or not they can show an attribute; or number of
            samples.
        judge: Facts of the judge; None without a judge.
        titles: metric -> its title, one line.
        skipped: metric -> why it has no number.
        values: All numbers.
        rows: sha256 of faces.safetensors.
        left_out: attribute -> number of generated faces that were not edited, because the judge reads it on them.
    """

    format: int = FORMAT
    date: str
    about: MeasuredRun
    faces: int
    judge: dict[str, Any] | None
    titles: dict[str, str]
    skipped: dict[str, str]
    values: list[Value]
    rows: str = ""
    left_out: dict[str, int] = {}

    def find(self, name: str, attribute: str | None = None) -> Value | None:
        """Find a value by its name, of an attribute or (None) over all attributes."""
        return next((v for v in self.values if v.name == name and v.attribute == attribute), None)


def name_statistic(statistic: Statistic) -> str:
    """Name a statistic as reports do: `ratio`, `whole`, `ranking:best_f1`.

    Raises:
        TypeError: Reports cannot store this class.
    """
    for name, cls in STATISTICS.items():
        if type(statistic) is cls:
            return f"{name}:{statistic.kind}" if isinstance(statistic, Ranking) else name
    raise TypeError(
        f"a measure's statistic must be {', '.join(cls.__name__ for cls in STATISTICS.values())}, "
        f"got {type(statistic).__name__}"
    )


# ---- files ----


def write_report(folder: Path, report: Report, rows: dict[str, Tensor]) -> Report:
    """Write report.json and faces.safetensors, each whole or not at all.

    Args:
        folder: Folder of the report; created if it is missing.
        report: The report to write.
        rows: The rows behind its values, see `zoogan.evaluation.build_report.collect_rows`.

    Returns:
        The report with the sha256 of its rows.
    """
    with replace_file(folder / "faces.safetensors") as draft:
        write_tensors(draft, rows)
        report = report.model_copy(update={"rows": hash_file(draft)})
    write_text_atomically(folder / "report.json", json.dumps(report.model_dump(mode="json"), indent=1))
    return report


def read_report(folder: Path) -> Report:
    """Read a stored report.

    Raises:
        ConfigError: There is none, or it cannot be read.
    """
    path = folder / "report.json"
    try:
        report = Report.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(
            f"{folder.parent}: not evaluated yet; run `zoo evaluate {quote_run(folder.parent)}`"
        ) from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a report of this version; evaluate the run again ({error})") from error
    if report.format != FORMAT:
        raise ConfigError(f"{path}: format {report.format}, this zoogan reads format {FORMAT}; evaluate the run again")
    return report


def find_lost_metrics(folder: Path, metrics: Collection[str]) -> list[str]:
    """List the metrics of the report in a folder that are not among `metrics`; none without a report."""
    try:
        return sorted({value.metric for value in read_report(folder).values} - set(metrics))
    except ConfigError:
        return []


def read_rows(folder: Path, report: Report) -> list[Statistic]:
    """Read the statistics behind the values of a report, in their order.

    Raises:
        ConfigError: The file is missing, damaged, or of another report.
    """
    path = folder / "faces.safetensors"
    if not path.is_file() or hash_file(path) != report.rows:
        raise ConfigError(f"{path}: missing, or not the rows of this report.json; evaluate the run again")
    arrays = load_file(path)
    statistics: list[Statistic] = []
    for place, value in enumerate(report.values):
        kind, _, detail = value.kind.partition(":")
        fields: dict[str, Any] = {name: arrays[f"{place}.{name}"] for name in STATISTICS[kind].arrays}
        if detail:
            fields["kind"] = detail
        if kind == "whole":
            fields["number"] = float("nan") if value.value is None else value.value
            if value.value is not None and value.high is not None:
                fields["error"] = (value.high - value.value) / 1.96
        statistics.append(STATISTICS[kind](**fields))
    return statistics
