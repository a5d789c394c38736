"""Measuring while training: the curve of a metric, and the best checkpoint by it."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from zoogan.config import TrainingConfig, validate_model
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.evaluation.inputs import find_own_judge
from zoogan.evaluation.metric_runner import explain_mismatch, run_metrics
from zoogan.evaluation.metrics.lookup import list_default_metrics
from zoogan.evaluation.study import list_kinds, open_study
from zoogan.files import write_text_atomically
from zoogan.interfaces import Editor, Kind, Metric, Unavailable
from zoogan.judges.judge import load_cached_judge
from zoogan.names import suggest_name
from zoogan.training.prepare import Prepared


class PeriodicEvaluation:
    """Measures the metrics of `training.evaluate` during training, always on the same held-out faces or samples.

    The faces are of the valid split if the source has one, because the chosen checkpoint is later reported on the test
    split.

    Args:
        prepared: the training.

    Raises:
        ConfigError: A metric does not exist or cannot be computed on these faces.
    """

    def __init__(self, prepared: Prepared) -> None:
        config, source, composition = prepared.config, prepared.source, prepared.composition
        editor = composition.game.make_editor(composition.networks, attributes=composition.facts.attributes)
        check_metric_names(config.training, prepared.registry)
        metrics = {name: build_metric(config.training, name, prepared.registry) for name in config.training.evaluate}
        kind = choose_kind(editor, list(metrics.values()))
        self.training, self.folder, self.show = config.training, prepared.folder, prepared.show
        self.attributes = {"edits": source.attributes, "samples": (), "generated": editor.attributes}[kind]
        judge, self.judge_problem = load_cached_judge(config.data.source, source.image_size)
        if problem := find_own_judge(judge, composition.stages):
            judge, self.judge_problem = None, problem
        self.study = open_study(
            source, config.data.source, faces=self.training.evaluate_faces, seed=self.training.seed,
            device=prepared.device, split="valid" if source.count_faces("valid") else None,
            judge=None if judge is None else judge.to(prepared.device), editor=editor, kind=kind,
        )  # fmt: skip
        self.metrics = metrics
        for name, metric in self.metrics.items():
            if problem := explain_mismatch(metric, kind, editor):
                layouts = not editor.makes_images
                others = ", ".join(list_default_metrics(prepared.registry, kind, layouts=layouts))
                raise ConfigError(f"training.evaluate: {name}: {problem}; there are {others}")
            try:
                metric.start(self.study)
            except Unavailable as reason:
                raise ConfigError(f"training.evaluate: {name}: {reason}{self.make_hint(name, str(reason))}") from reason
        self.directions: dict[str, str | None] = {}
        self.reported: set[str] = set()  # metrics that were reported as skipped

    def make_hint(self, name: str, reason: str) -> str:
        """Explain how options that a message mentions are written as settings of a training."""
        problem = f": {self.judge_problem}" if self.judge_problem else ""
        hints = {
            f"{name}.": f"; here its options are written as training.evaluate_options.{name}.KEY=VALUE",
            "--judge": f"; a training uses the cached judge{problem}",
        }
        return "".join(hint for mark, hint in hints.items() if mark in reason)

    def measure(self, editor: Editor) -> dict[str, float]:
        """Measure an editor.

        Returns:
            Values named `measure` (over all attributes) or `measure.Attribute`.
        """
        result = run_metrics(editor, self.study, self.metrics, self.attributes, strict=True)
        for name, reason in result.skipped.items():
            if name not in self.reported and self.study.world.rank == 0:
                self.show(f"note: training.evaluate: {name} is not measured: {reason}")
            self.reported.add(name)
        values = {}
        for _, measure in result.measures:
            name = measure.name if measure.attribute is None else f"{measure.name}.{measure.attribute}"
            values[name] = measure.statistic.compute()
            self.directions[name] = measure.better
        return values

    def is_best(self, values: dict[str, float]) -> bool:
        """Whether `training.best` is better than at any measuring before.

        Raises:
            ConfigError: as `get_best_name`.
        """
        if self.training.best is None:
            return False
        name = self.get_best_name(values)
        if not math.isfinite(values[name]):
            return False
        before = self.folder.read_best()
        if before.get("measure") != name:
            return True
        higher = self.directions[name] == "higher"
        return bool(values[name] > before["value"] if higher else values[name] < before["value"])

    def get_best_name(self, values: dict[str, float]) -> str:
        """Get the value that `training.best` means: over all attributes, or that of the only one.

        Raises:
            ConfigError: No measure has this name, or it has no direction in which it is better.
        """
        best = str(self.training.best)
        alone = [f"{best}.{self.attributes[0]}"] if len(self.attributes) == 1 else []
        fitting = [name for name in (best, *alone) if self.directions.get(name)]
        if not fitting:
            names = ", ".join(name for name in values if self.directions.get(name))
            raise ConfigError(
                f"training.best: no measure is called {best!r}{suggest_name(best, values)}; there are {names}"
            )
        return fitting[0]

    def write_best(self, iteration: int, values: dict[str, float]) -> None:
        """Write into the run folder that an iteration is the best so far."""
        name = self.get_best_name(values)
        content = {"iteration": iteration, "measure": name, "value": values[name]}
        write_text_atomically(self.folder.best, json.dumps(content))


def build_metric(training: TrainingConfig, name: str, registry: Registry) -> Any:
    """Build a metric with its `training.evaluate_options`."""
    options = training.evaluate_options.get(name, {})
    config = registry.components["metric", name].config
    return registry.build("metric", validate_model(config, options, registry, f"training.evaluate_options.{name}"))


def choose_kind(editor: Editor, metrics: Sequence[Metric]) -> Kind:
    """Choose the first kind of an editor that all metrics measure; the editor's default where there is none."""
    kinds = list_kinds(editor)
    return next((kind for kind in kinds if all(kind in metric.kinds for metric in metrics)), kinds[0])


def check_metric_names(training: TrainingConfig, registry: Registry) -> None:
    """Check the names in `training.evaluate` and `training.evaluate_options`.

    Raises:
        ConfigError: A metric does not exist, or has options without being measured.
    """
    metrics = registry.list_names("metric")
    unknown = [name for name in training.evaluate if name not in metrics]
    if unknown:
        raise ConfigError(
            f"training.evaluate: no metric is called {unknown[0]!r}{suggest_name(unknown[0], metrics)}; "
            f"metrics: {', '.join(metrics)}"
        )
    stray = [name for name in training.evaluate_options if name not in training.evaluate]
    if stray:
        raise ConfigError(
            f"training.evaluate_options.{stray[0]}: not among training.evaluate"
            f"{suggest_name(stray[0], training.evaluate)}; it names {', '.join(training.evaluate)}"
        )
