"""The report: every number with what it depends on, the rows behind it, and a page to read."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Collection, Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict
from safetensors.torch import load_file
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.evaluation.reports.bootstrap import RESAMPLES, face_weights, interval, resampled
from zoogan.evaluation.study import Findings
from zoogan.files import hash_file, replace_text, write_tensors
from zoogan.interfaces import Kind, Measure, Ranking, Ratio, Statistic, Study, Whole

FORMAT = 1
STATISTICS: dict[str, type[Any]] = {"ratio": Ratio, "ranking": Ranking, "whole": Whole}


class Stored(BaseModel):
    """Base of what report.json holds."""

    model_config = ConfigDict(extra="forbid", frozen=True, protected_namespaces=())


class Key(Stored):
    """All that a number depends on besides the run. Numbers with different keys are not comparable.

    options: of the metric. n: how many faces were edited or made. faces: sha256 of the pixels and labels measured on,
    empty for samples. resizer: how faces were fitted to the network that looks. reference: the real faces that edits or
    samples were held against. truncation: of samples; None for edits. rivals: edited attribute -> those that exclude it
    in the run and not in the source, so that its edits clear them; None where there are none.
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
        """A short name of the key."""
        # Where they are not needed, keys are what they were before there were these fields.
        without = {name for name in ("truncation", "rivals") if getattr(self, name) is None}
        return hashlib.sha256(self.model_dump_json(exclude=without).encode()).hexdigest()[:10]

    def differs(self, other: Key) -> list[str]:
        """What two keys disagree about, as `field: this / that`."""
        mine, theirs = self.model_dump(), other.model_dump()
        return [f"{name}: {short(mine[name])} / {short(theirs[name])}" for name in mine if mine[name] != theirs[name]]


def short(value: Any) -> str:
    """A value of a key in a few letters; long digests are cut."""
    text = str(value)
    return f"{text[:10]}…" if len(text) == 64 and " " not in text else text


class Value(Stored):
    """One number.

    metric: the component that told it. low, high: its 95 % interval over the choice of faces (bootstrap), where it has
    one. kind: the statistic whose rows are in `faces.safetensors` under the value's place in the list.
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


class About(Stored):
    """The run that was measured.

    config: sha256 of its settings without the seed, so that seeds of one training are known. data: sha256 of the faces
    and labels that it learnt from, as they are now; None if nobody can tell, and in older reports. images: how many it
    had seen in training. edits_per_second, samples_per_second: on `device`, of what was measured.
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
    device: str

    @property
    def shows(self) -> Kind:
        """What was measured."""
        return "edits" if self.samples_per_second is None else "samples"

    @property
    def speed(self) -> float:
        """Edits or samples a second."""
        return self.samples_per_second or self.edits_per_second or 0.0


class Report(Stored):
    """report.json. titles: metric -> what it is, in a line. skipped: metric -> why there is no number.

    faces: how many held-out faces the study looked at; not every one of them can show every attribute; or how many
    samples. rows: sha256 of `faces.safetensors`.
    """

    format: int = FORMAT
    date: str
    about: About
    faces: int
    judge: dict[str, Any] | None
    titles: dict[str, str]
    skipped: dict[str, str]
    values: list[Value]
    rows: str = ""

    def find(self, name: str, attribute: str | None = None) -> Value | None:
        """The value of a name, for an attribute or over all."""
        return next((v for v in self.values if v.name == name and v.attribute == attribute), None)


@cache
def versions_of(libraries: tuple[str, ...]) -> dict[str, str]:
    """The installed versions of what can change a number: zoogan, torch and these."""
    found = {}
    for library in ("zoogan", "torch", *libraries):
        try:
            found[library] = version(library)
        except PackageNotFoundError:
            continue
    return found


def value_of(
    metric: str, measure: Measure, found: Findings, study: Study, weights: Tensor, options: dict[str, Any]
) -> Value:
    """A measure with its interval and key."""
    statistic, attribute = measure.statistic, measure.attribute
    number = statistic.value()
    low, high = interval(resampled(statistic, weights))
    if isinstance(statistic, Whole) and statistic.error is not None:
        low, high = number - 1.96 * statistic.error, number + 1.96 * statistic.error
        low = low if statistic.least is None else max(low, statistic.least)
    sampled = study.shows == "samples"
    key = Key(
        name=measure.name, metric=metric, attribute=attribute, options=options, backbone=measure.backbone,
        weights=measure.weights, resizer=measure.resizer, reference=measure.reference,
        n=found.edited[None if sampled else attribute], source=study.source_name, split=study.split,
        faces="" if sampled else found.digests[attribute], image_size=study.source.image_size, seed=study.seed,
        versions=versions_of(tuple(measure.libraries)), truncation=study.truncation if sampled else None,
        rivals=None if sampled else rivals_of(found, study, attribute),
    )  # fmt: skip
    return Value(
        name=measure.name, metric=metric, attribute=attribute, value=number if math.isfinite(number) else None,
        low=low, high=high, n=statistic.faces(), better=measure.better, note=measure.note, kind=kind_of(statistic),
        key=key,
    )  # fmt: skip


def rivals_of(found: Findings, study: Study, attribute: str | None) -> dict[str, tuple[str, ...]] | None:
    """`Key.rivals` of the edits of an attribute, or (None) of all that were edited."""
    edited = sorted(name for name in found.edited if name and attribute in (None, name))
    return {name: rivals for name in edited if (rivals := study.further_rivals(name))} or None


def kind_of(statistic: Statistic) -> str:
    """How a statistic is called in a report: `ratio`, `whole`, `ranking:best_f1`.

    Raises:
        TypeError: a class that reports do not know how to keep.
    """
    for name, cls in STATISTICS.items():
        if type(statistic) is cls:
            return f"{name}:{statistic.kind}" if isinstance(statistic, Ranking) else name
    raise TypeError(f"a measure's statistic must be Ratio, Ranking or Whole, got {type(statistic).__name__}")


def report_of(
    found: Findings,
    study: Study,
    about: About,
    judge: dict[str, Any] | None,
    date: str,
    options: Mapping[str, dict[str, Any]] = MappingProxyType({}),
) -> Report:
    """The report of what was found. options: of each metric, as far as they matter."""
    weights = face_weights(study.faces, RESAMPLES, study.seed)
    values = [
        value_of(metric, measure, found, study, weights, options.get(metric, {})) for metric, measure in found.measures
    ]
    return Report(
        date=date, about=about, faces=study.faces, judge=judge, titles=found.titles, skipped=found.skipped,
        values=values,
    )  # fmt: skip


def rows_of(found: Findings) -> dict[str, Tensor]:
    """The rows behind the values, as `<place>.<field>`."""
    return {
        f"{place}.{name}": getattr(measure.statistic, name)
        for place, (_, measure) in enumerate(found.measures)
        for name in type(measure.statistic).arrays
    }


def write_report(folder: Path, report: Report, rows: dict[str, Tensor]) -> Report:
    """report.json and faces.safetensors, each whole or not at all; returns the report with the sha256 of its rows."""
    folder.mkdir(parents=True, exist_ok=True)
    draft = folder / ".faces.tmp"
    write_tensors(draft, rows)
    report = report.model_copy(update={"rows": hash_file(draft)})
    draft.replace(folder / "faces.safetensors")
    replace_text(folder / "report.json", json.dumps(report.model_dump(mode="json"), indent=1))
    return report


def read_report(folder: Path) -> Report:
    """A stored report.

    Raises:
        ConfigError: there is none, or it cannot be read.
    """
    path = folder / "report.json"
    try:
        report = Report.model_validate_json(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ConfigError(f"{folder.parent}: not evaluated yet; run `zoo evaluate {folder.parent}`") from None
    except (OSError, ValueError) as error:
        raise ConfigError(f"{path}: not a report of this version; evaluate the run again ({error})") from error
    if report.format != FORMAT:
        raise ConfigError(f"{path}: format {report.format}, this zoogan reads format {FORMAT}; evaluate the run again")
    return report


def replaced(folder: Path, metrics: Collection[str]) -> list[str]:
    """The metrics of the report in a folder, if there is one, that are not among these."""
    try:
        return sorted({value.metric for value in read_report(folder).values} - set(metrics))
    except ConfigError:
        return []


def read_rows(folder: Path, report: Report) -> list[Statistic]:
    """The statistics behind the values of a report, in their order.

    Raises:
        ConfigError: the file is missing, damaged, or of another report.
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
