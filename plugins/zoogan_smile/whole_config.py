"""Config of the whole method of SMILE: parser, layout stage, and the image stage, which is the run itself."""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from zoogan.config import LayoutUse, Names, StagesConfig
from zoogan.training import JudgeStage, TrainedStage
from zoogan_smile.image_config import SmileImageConfig

PAINTED_PARTS: dict[str, tuple[str, ...]] = {
    "Eyeglasses": ("eye_g",),
    "Wearing_Hat": ("hat",),
    "Bangs": ("hair",),
    "Bald": ("hair",),
    "Wearing_Earrings": ("ear_r",),
}
"""The parts whose code an edit takes from a reference, by attribute (official `demo.py`); Male has none."""


class SmileStages(StagesConfig):
    """The stages before the image stage.

    Attributes:
        parser: Reads parts and attributes off photos; null = layouts come from files.
        layout: Changes attributes on layouts.
    """

    parser: JudgeStage | None = JudgeStage()
    layout: TrainedStage = TrainedStage(method="smile-layout")


class SmileConfig(SmileImageConfig):
    """SMILE: a photo is parsed, its layout edited, and the face painted from the edited layout.

    Attributes:
        stages: Settings of the stages.
        painted_parts: The parts whose code an edit takes from a reference, by attribute. Parts that the data does not
            have are ignored.
        code_truncation: How far the drawn codes of an edit are from their mean, from 0 (always the mean) to 1 (as
            drawn).
    """

    method: Literal["smile"] = "smile"  # type: ignore[assignment]
    stages: SmileStages = SmileStages()
    painted_parts: dict[str, Names] = Field(default_factory=lambda: dict(PAINTED_PARTS))
    code_truncation: float = Field(0.7, ge=0, le=1)

    @property
    def layout_use(self) -> LayoutUse:
        """`needed` without a parser, which reads layouts off photos."""
        return "needed" if self.stages.parser is None else "optional"
