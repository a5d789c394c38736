"""Makes a report from the measures of a study: intervals, keys and the rows behind the numbers."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from types import MappingProxyType
from typing import Any

from jaxtyping import Float
from torch import Tensor

from zoogan.evaluation.metric_runner import StudyMeasures
from zoogan.evaluation.reports.bootstrap import RESAMPLES, compute_interval, draw_face_weights, resample
from zoogan.evaluation.reports.report import Key, MeasuredRun, Report, Value, name_statistic
from zoogan.interfaces import Measure, SetStatistic, Study


def build_report(
    findings: StudyMeasures,
    study: Study,
    about: MeasuredRun,
    judge: dict[str, Any] | None,
    date: str,
    options: Mapping[str, dict[str, Any]] = MappingProxyType({}),
) -> Report:
    """Build the report of the measures of a study.

    Args:
        findings: The measures.
        study: What they were measured on.
        about: The run.
        judge: Facts of the judge; None without a judge.
        date: Date of the measuring, ISO 8601.
        options: Options of each metric, as far as they change its numbers.
    """
    weights = draw_face_weights(study.faces, RESAMPLES, study.seed)
    values = [
        make_value(metric, measure, findings, study, weights, options.get(metric, {}))
        for metric, measure in findings.measures
    ]
    return Report(
        date=date, about=about, faces=study.faces, judge=judge, titles=findings.titles, skipped=findings.skipped,
        values=values, left_out=findings.left_out,
    )  # fmt: skip


def make_value(
    metric: str,
    measure: Measure,
    findings: StudyMeasures,
    study: Study,
    weights: Float[Tensor, "resamples faces"],
    options: dict[str, Any],
) -> Value:
    """Make a value of a report: a measure with its interval and key.

    Args:
        metric: Name of the metric.
        measure: One of its measures.
        findings: How many faces were edited, and their digests.
        study: What was measured on.
        weights: See `draw_face_weights`.
        options: Options of the metric, as far as they change its numbers.
    """
    statistic = measure.statistic
    number = statistic.compute()
    low, high = compute_interval(resample(statistic, weights))
    if isinstance(statistic, SetStatistic) and statistic.error is not None and math.isfinite(statistic.error):
        low, high = number - 1.96 * statistic.error, number + 1.96 * statistic.error
        low = low if statistic.lower_bound is None else max(low, statistic.lower_bound)
    return Value(
        name=measure.name, metric=metric, attribute=measure.attribute, value=number if math.isfinite(number) else None,
        low=low, high=high, n=statistic.count_faces(), better=measure.better, note=measure.note,
        kind=name_statistic(statistic), key=make_key(metric, measure, findings, study, options),
    )  # fmt: skip


def make_key(metric: str, measure: Measure, findings: StudyMeasures, study: Study, options: dict[str, Any]) -> Key:
    """Make the key of a measure, see `make_value`."""
    attribute, is_sampled = measure.attribute, study.kind != "edits"
    return Key(
        name=measure.name, metric=metric, attribute=attribute, options=options, backbone=measure.backbone,
        weights=measure.weights, resizer=measure.resizer, reference=measure.reference,
        n=study.faces if is_sampled else findings.edited[attribute], source=study.source_name, split=study.split,
        faces=findings.digests.get(attribute, ""), image_size=study.source.image_size, seed=study.seed,
        versions=get_versions(tuple(measure.libraries)), truncation=study.truncation if is_sampled else None,
        rivals=None if study.kind == "samples" else list_rivals(findings, study, attribute),
    )  # fmt: skip


def list_rivals(findings: StudyMeasures, study: Study, attribute: str | None) -> dict[str, tuple[str, ...]] | None:
    """Find `Key.rivals` of the edits of an attribute, or (None) of all edited attributes."""
    edited = sorted(name for name in findings.edited if name and attribute in (None, name))
    return {name: rivals for name in edited if (rivals := study.list_added_rivals(name))} or None


@cache
def get_versions(libraries: tuple[str, ...]) -> dict[str, str]:
    """Get the installed versions of zoogan, torch and other libraries that can change a number."""
    versions = {}
    for library in ("zoogan", "torch", *libraries):
        try:
            versions[library] = version(library)
        except PackageNotFoundError:
            continue
    return versions


def collect_rows(findings: StudyMeasures) -> dict[str, Tensor]:
    """Collect the rows behind the values of a report, as `<place in the list of values>.<field>`."""
    return {
        f"{place}.{name}": getattr(measure.statistic, name)
        for place, (_, measure) in enumerate(findings.measures)
        for name in type(measure.statistic).arrays
    }
