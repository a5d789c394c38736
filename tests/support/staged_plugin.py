"""A method of two stages as a single-file plugin: a job that measures colours, a training, and the run itself.

The run is StarGAN's game with a term more: the colours of the edits, as the frozen generator of the stage `backbone` (a
SaGAN) shows them, stay near the mean that the job `colours` measured.
"""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import torch
from safetensors.torch import load_file
from torch import Tensor

from zoogan.composition import StageContext
from zoogan.config import StageConfig, StagesConfig
from zoogan.files import write_tensors
from zoogan.games import AttributeEditing
from zoogan.interfaces import Turn
from zoogan.pictures.photo import normalize_image
from zoogan.plugins import MethodSpec, Registry, Stage, hookimpl
from zoogan.training import TrainedStage
from zoogan_stargan.config import StarganConfig

SMALL = {"generator": {"width": 4}, "discriminator": {"width": 4}}


class ColoursStage(StageConfig):
    """Settings of the job: how many faces it reads."""

    faces: int = 8


class StagedStages(StagesConfig):
    """The two stages."""

    colours: ColoursStage | None = ColoursStage()
    backbone: TrainedStage = TrainedStage(
        method="sagan", recipe="drawn-64",
        set={**SMALL, "data": {"batch": 4}, "training": {"iterations": 3, "log_every": 1, "sample_every": 0}},
    )  # fmt: skip


class StagedConfig(StarganConfig):
    """StarGAN after two stages."""

    method: Literal["staged"] = "staged"  # type: ignore[assignment]
    stages: StagedStages = StagedStages()


class Colours:
    """The mean colour of some faces."""

    def __init__(self, mean: Tensor) -> None:
        self.mean = mean


def run_colours(context: StageContext) -> None:
    """Measure the mean colour."""
    config: Any = context.config
    source = context.registry.build("source", context.parent.data)
    context.check_signal()
    if os.environ.get("FAIL_COLOURS"):
        raise ValueError("no colours today")
    mean = normalize_image(source.read("train", range(config.faces))["image"]).mean((0, 2, 3))
    with context.write_folder() as draft:
        write_tensors(draft / "colours.safetensors", {"mean": mean})
        (draft / "colours.json").write_text(json.dumps({"faces": config.faces}))


def open_colours(context: StageContext) -> Colours:
    """Read the mean colour; grey if untrained."""
    if context.untrained:
        return Colours(torch.zeros(3, device=context.device))
    return Colours(load_file(context.folder / "colours.safetensors")["mean"].to(context.device))


class StagedGame(AttributeEditing):
    """StarGAN's game and one term of the stages."""

    def __init__(self, config: StagedConfig, facts: Any, components: Mapping[str, Any]) -> None:
        super().__init__(config, facts, components)
        self.stages = components["stages"]

    def get_extra_weights(self, step: str) -> dict[str, float]:
        return super().get_extra_weights(step) | ({"colour": 1.0} if step == "generator" else {})

    def compute_extra_terms(self, step: str, turn: Turn, values: Mapping[str, Any]) -> dict[str, Tensor]:
        terms = super().compute_extra_terms(step, turn, values)
        if step == "generator":
            seen = self.stages["backbone"].networks["generator"](values["edited"].image, values["target"]).image
            mean = self.stages["colours"].mean.to(seen) if "colours" in self.stages else seen.new_zeros(3)
            terms["colour"] = (seen.mean((2, 3)) - mean).square().mean()
        return terms

    def make_editor(self, networks: Any, *, attributes: tuple[str, ...]) -> Any:
        editor: Any = super().make_editor(networks, attributes=attributes)
        editor.colours = self.stages.get("colours", SimpleNamespace(mean=None))
        return editor


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register the method."""
    stages = (
        Stage("colours", run=f"{__name__}:run_colours", open=f"{__name__}:open_colours", optional=True),
        Stage(
            "backbone",
            run="zoogan.training:run_trained_stage",
            open="zoogan.training:open_trained_stage",
            after=("colours",),
        ),
    )
    game, recipes = f"{__name__}:StagedGame", Path(__file__).with_name("staged_recipes")
    registry.method(MethodSpec("staged", StagedConfig, game, recipes, "Staged", stages=stages))
