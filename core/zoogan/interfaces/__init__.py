"""The interfaces that components fill. Torch only; nothing of the rest of zoogan."""

from zoogan.interfaces.condition import Condition, Request, Targets
from zoogan.interfaces.contract import Contract, ContractError
from zoogan.interfaces.discriminator import AttributeDiscriminator, Verdict
from zoogan.interfaces.draws import Draws
from zoogan.interfaces.editor import Column, Edit, Editor, Seed
from zoogan.interfaces.game import Clock, Game, Need, Networks, Step, Turn
from zoogan.interfaces.generator import EditedImage, ImageEditor
from zoogan.interfaces.loss import AdversarialLoss, Classification, DiscriminatorPenalty, Term
from zoogan.interfaces.metric import (
    AttributeJudge,
    Better,
    DefaultKind,
    Edits,
    Headline,
    Kind,
    Measure,
    Metric,
    PartJudge,
    Samples,
    Study,
    Unavailable,
)
from zoogan.interfaces.sharing import Shared
from zoogan.interfaces.source import Source
from zoogan.interfaces.statistic import Ranking, Ratio, SetStatistic, Statistic
from zoogan.interfaces.style import (
    Domain,
    HeatMaps,
    Masks,
    Style,
    StyleCondition,
    StyleDiscriminator,
    StyleEncoder,
    StyleMapping,
    StyleTranslator,
)
from zoogan.interfaces.synthesis import ImageDiscriminator, LatentGenerator, LatentMapping, SynthesisedFace
from zoogan.interfaces.world import SynchronisedLayer, World

__all__ = [
    "AdversarialLoss", "AttributeDiscriminator", "AttributeJudge", "Better", "Classification", "Clock", "Column",
    "Condition", "Contract", "ContractError", "DefaultKind", "DiscriminatorPenalty", "Domain", "Draws", "Edit",
    "EditedImage", "Editor", "Edits", "Game", "Headline", "HeatMaps", "ImageDiscriminator", "ImageEditor", "Kind",
    "LatentGenerator", "LatentMapping", "Masks", "Measure", "Metric", "Need", "Networks", "PartJudge", "Ranking",
    "Ratio", "Request", "Samples", "Seed", "SetStatistic", "Shared", "Source", "Statistic", "Step", "Study", "Style",
    "StyleCondition", "StyleDiscriminator", "StyleEncoder", "StyleMapping", "StyleTranslator", "SynchronisedLayer",
    "SynthesisedFace", "Targets", "Term", "Turn", "Unavailable", "Verdict", "World",
]  # fmt: skip
