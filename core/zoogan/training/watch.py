"""Measuring while training: the curve of a metric, and the best checkpoint by it."""

from __future__ import annotations

import json
import math

import torch

from zoogan.config import ConfigError, GameConfig, validate_model
from zoogan.config.registry import Registry
from zoogan.evaluation.config import DEFAULTS
from zoogan.evaluation.study import examine, open_study, shown_by, unfit
from zoogan.files import replace_text
from zoogan.interfaces import Editor, Source, Unavailable
from zoogan.judges.judge import judge_in_cache
from zoogan.names import suggest_name
from zoogan.runs.run import RunFolder


class Watch:
    """The metrics of `training.evaluate` on a few held-out faces, or samples, always the same ones.

    editor: what is to be measured, now or later: the study is opened for its kind.

    Raises:
        ConfigError: metrics that do not exist or cannot be computed on these faces.
    """

    def __init__(
        self,
        registry: Registry,
        config: GameConfig,
        source: Source,
        device: torch.device,
        run: RunFolder,
        editor: Editor,
    ) -> None:
        self.training, self.run, shows = config.training, run, shown_by(editor)
        self.attributes = source.attributes if shows == "edits" else ()
        known = registry.names("metric")
        unknown = [name for name in self.training.evaluate if name not in known]
        if unknown:
            raise ConfigError(
                f"training.evaluate: no metric is called {unknown[0]!r}{suggest_name(unknown[0], known)}; "
                f"metrics: {', '.join(known)}"
            )
        options = self.training.evaluate_options
        strange = [name for name in options if name not in self.training.evaluate]
        if strange:
            raise ConfigError(
                f"training.evaluate_options.{strange[0]}: not among training.evaluate"
                f"{suggest_name(strange[0], self.training.evaluate)}; it names {', '.join(self.training.evaluate)}"
            )
        judge, trouble = judge_in_cache(config.data.source, source.image_size)
        # Not the test faces, on which the kept checkpoint will be reported, unless there are no others.
        self.study = open_study(
            source, config.data.source, faces=self.training.evaluate_faces, seed=self.training.seed, device=device,
            split="valid" if source.size("valid") else None,
            judge=None if judge is None else judge.to(device), editor=editor,
        )  # fmt: skip
        self.metrics = {
            name: registry.build(
                "metric",
                validate_model(
                    registry.components["metric", name].config,
                    options.get(name, {}),
                    registry,
                    f"training.evaluate_options.{name}",
                ),
            )
            for name in self.training.evaluate
        }
        for name, metric in self.metrics.items():
            if wrong := unfit(metric, shows):
                raise ConfigError(f"training.evaluate: {name}: {wrong}; there are {', '.join(DEFAULTS[shows])}")
            try:
                metric.start(self.study)
            except Unavailable as reason:
                hints = {
                    f"{name}.": f"; here its options are said as training.evaluate_options.{name}.KEY=VALUE",
                    "--judge": f"; a training asks the one in the cache{f': {trouble}' if trouble else ''}",
                }
                said = str(reason) + "".join(hint for mark, hint in hints.items() if mark in str(reason))
                raise ConfigError(f"training.evaluate: {name}: {said}") from reason
        self.directions: dict[str, str | None] = {}
        self.told: set[str] = set()  # what was said to be skipped

    def measure(self, editor: Editor) -> dict[str, float]:
        """The values of this moment, as `measure` (over all attributes) or `measure.Attribute`."""
        found = examine(editor, self.study, self.metrics, self.attributes, strict=True)
        for name, why in found.skipped.items():
            if name not in self.told and self.study.world.rank == 0:
                print(f"note: training.evaluate: {name} is not measured: {why}")
            self.told.add(name)
        values = {}
        for _, measure in found.measures:
            name = measure.name if measure.attribute is None else f"{measure.name}.{measure.attribute}"
            values[name] = measure.statistic.value()
            self.directions[name] = measure.better
        return values

    def better(self, values: dict[str, float]) -> bool:
        """Whether `training.best` is better than at any reading before.

        Raises:
            ConfigError: no measure is called so, or none that has a good direction.
        """
        if self.training.best is None:
            return False
        name = self.chosen(values)
        if not math.isfinite(values[name]):
            return False
        before = json.loads(self.run.best.read_text()) if self.run.best.exists() else {}
        if before.get("measure") != name:
            return True
        higher = self.directions[name] == "higher"
        return bool(values[name] > before["value"] if higher else values[name] < before["value"])

    def chosen(self, values: dict[str, float]) -> str:
        """The value that `training.best` means: over all attributes, or that of the only one."""
        best = str(self.training.best)
        alone = [f"{best}.{self.attributes[0]}"] if len(self.attributes) == 1 else []
        fitting = [name for name in (best, *alone) if self.directions.get(name)]
        if not fitting:
            names = ", ".join(name for name in values if self.directions.get(name))
            raise ConfigError(
                f"training.best: no measure is called {best!r}{suggest_name(best, values)}; there are {names}"
            )
        return fitting[0]

    def remember(self, iteration: int, values: dict[str, float]) -> None:
        """Write down that this iteration is the best."""
        name = self.chosen(values)
        replace_text(self.run.best, json.dumps({"iteration": iteration, "measure": name, "value": values[name]}))
