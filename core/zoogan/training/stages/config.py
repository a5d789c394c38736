"""Settings of the stages that the core brings. Imports no torch."""

from __future__ import annotations

from typing import Any, ClassVar, Literal

from pydantic import Field

from zoogan.config import Names, StageConfig
from zoogan.config.models import MAX_BATCH


class TrainedStage(StageConfig):
    """A training of another registered method.

    Functions: `zoogan.training:run_trained_stage` and `zoogan.training:open_trained_stage`, which gives a `LoadedRun`.

    The stage reads the faces of the run to which it belongs: `data` of that run is laid over the recipe of the stage,
    without the settings that say how faces are drawn (batch, balance, flip, random_crop).

    Attributes:
        path: A trained run, or a file of official weights, to copy instead of training.
        method: Id of the method.
        recipe: Name of a recipe; null = the method's own choice for the source.
        set: Settings laid over the recipe and the data, as after `--set`.
    """

    is_joint: ClassVar[bool] = True

    method: str
    recipe: str | None = None
    set: dict[str, Any] = Field(default_factory=dict)


class JudgeStage(StageConfig):
    """A judge: a classifier of attributes, and a parser where the source has segmentations.

    Functions: `zoogan.training:run_judge_stage` and `zoogan.training:open_judge_stage`, which gives a `Judge`.

    Attributes:
        path: A trained judge to copy instead of training.
        iterations: Length of its training in iterations.
        seed: Seed of weights, order and augmentation.
        batch: Faces an iteration.
        backbone: timm's name of the network; null = a narrow resnet10t.
        attributes: Attributes that it reads; null = those of the run.
        parts: Weight of the loss of parts; that of the attributes is 1.
        part_balance: How much rare parts count, from 0 (as they come) to 1 (all parts alike).
        fine: Enlarge faces twice, for parts of one or two pixels; the default network then has half the channels.
        width: Channels of the first maps of the default network; each later level has twice as many. null = 32, or 16
            with `fine`.
    """

    iterations: int = Field(3000, ge=1)
    seed: int = 0
    batch: int = Field(64, ge=2, le=MAX_BATCH)
    backbone: str | None = None
    attributes: Names | None = None
    parts: float = Field(0.3, ge=0)
    part_balance: float = Field(0.0, ge=0, le=1)
    fine: bool = False
    width: int | None = Field(None, ge=8, multiple_of=8)


class DirectionStage(StageConfig):
    """The directions of the run's attributes, fitted on faces of an earlier stage that another stage reads.

    Functions: `zoogan.training:run_direction_stage` and `zoogan.training:open_direction_stage`, which gives the
    directions by attribute. Its `Stage.after` names a stage that gives a `LoadedRun` and one that gives a `Judge`.

    Attributes:
        path: A folder of directions, such as RUN/directions, to copy instead of fitting them.
        fit: How the plane is fitted: logistic, svm (squared hinge) or mean_difference.
        faces: Number of faces to generate.
        share: Share of the faces on each side that the fit uses, those with the surest readings.
        seed: Seed of the first face.
    """

    fit: Literal["logistic", "svm", "mean_difference"] = "logistic"
    faces: int = Field(4000, ge=40, le=1_000_000)
    share: float = Field(0.1, gt=0, le=0.5)
    seed: int = 0
