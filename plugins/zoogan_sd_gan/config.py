"""Config of SD-GAN: an offset per face that repairs the direction of a discrete attribute. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

from zoogan.config import ComponentConfig, DataConfig, Slot, StageConfig, StagesConfig, TrainingConfig
from zoogan.data import DrawnData
from zoogan.games import DecompositionConfig, DecompositionOptimizers
from zoogan.training import AdamConfig, DirectionStage, JudgeStage, LinearConfig, TrainedStage
from zoogan_sd_gan.compositor_config import TemplateCompositorConfig
from zoogan_sd_gan.fusion_config import SdGanOffsetConfig


class GeometryStage(StageConfig):
    """Where heads are, and the shape of faces.

    Attributes:
        path: The folder of a finished stage to copy instead of making one.
        use: The shape that a network with `fusion.geometry` reads. none = none; head = that of a head placed on the
            face; unsup3d = that of unsup3d's networks, read from `weights`; unsup3d-train = that of such networks,
            trained on faces of the backbone.
        weights: File of unsup3d's official weights, such as checkpoint030.pth.
        placement: Learn where heads are, from drawn faces; null = where templates are placed by it.
        faces: Drawn faces on which this is learnt.
        iterations: Length of the training of unsup3d's networks.
        batch: Faces in an iteration of it.
        width: Channels of these networks at full size; official: 64.
        seed: Seed of what is drawn.
    """

    use: Literal["none", "head", "unsup3d", "unsup3d-train"] = "none"
    weights: Path | None = None
    placement: bool | None = None
    faces: int = Field(3000, ge=100)
    iterations: int = Field(20_000, ge=1)
    batch: int = Field(64, ge=1)
    width: int = Field(64, ge=64, multiple_of=16)
    seed: int = 0


class EditorStage(TrainedStage):
    """A run that edits photos, whose edits are the composites of `compositor.use=editor`.

    Attributes:
        method: Id of its method.
    """

    method: str = "sagan"


class SdGanStages(StagesConfig):
    """The stages before the offsets are learnt.

    Attributes:
        backbone: A run that generates faces, some of them with the attributes.
        classifier: A judge, which reads attributes and parts; it may not measure the run. null = none, where no weight
            and no template needs it.
        geometry: Where heads are, and the shape of faces.
        boundary: The directions of the attributes; null = none, so that the offset does all.
        editor: A run that edits photos, for `compositor.use=editor`; null = none.
    """

    backbone: TrainedStage = TrainedStage(method="stylegan2")
    classifier: JudgeStage | None = JudgeStage(iterations=2000, seed=1)
    geometry: GeometryStage = GeometryStage()
    boundary: DirectionStage | None = DirectionStage()
    editor: EditorStage | None = None


class SdGanConfig(DecompositionConfig):
    """SD-GAN: discrete attributes, such as masks and glasses, by a direction and an offset for each face.

    Attributes:
        stages: Settings of the stages.
    """

    method: Literal["sd-gan"] = "sd-gan"
    data: Annotated[DataConfig, Slot("source")] = DrawnData(attributes=("Face_Mask",))
    fusion: Annotated[ComponentConfig, Slot("latent_offset")] = SdGanOffsetConfig()
    compositor: Annotated[ComponentConfig, Slot("compositor")] = TemplateCompositorConfig()
    optimizers: DecompositionOptimizers = DecompositionOptimizers(
        fusion=AdamConfig(lr=1e-4, betas=(0.9, 0.999), schedule=LinearConfig(start=0.7))
    )
    stages: SdGanStages = SdGanStages()
    training: TrainingConfig = TrainingConfig(
        iterations=30_000, average=0.999, sample_every=1000, checkpoint_every=1000
    )
