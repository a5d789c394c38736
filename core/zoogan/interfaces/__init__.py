"""The interfaces that components fill. Torch only; nothing of the rest of zoogan."""

from zoogan.interfaces.condition import Condition, Request, Targets
from zoogan.interfaces.contract import Contract, ContractError
from zoogan.interfaces.discriminator import AttributeDiscriminator, Verdict
from zoogan.interfaces.draws import Draws
from zoogan.interfaces.editor import Column, Edit, Editor, Seed
from zoogan.interfaces.game import Clock, Game, Need, Networks, Step, Turn
from zoogan.interfaces.generator import Edited, ImageEditor
from zoogan.interfaces.loss import AdversarialLoss, Classification, DiscriminatorPenalty, Term
from zoogan.interfaces.metric import Edits, Kind, Measure, Metric, Parser, Reader, Samples, Study, Unavailable
from zoogan.interfaces.sharing import Shared
from zoogan.interfaces.source import Source
from zoogan.interfaces.statistic import Ranking, Ratio, Statistic, Whole
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
from zoogan.interfaces.synthesis import ImageDiscriminator, LatentGenerator, LatentMapping, Synthesised
from zoogan.interfaces.world import Synchronised, World

__all__ = [
    "AdversarialLoss", "AttributeDiscriminator", "Classification", "Clock", "Column", "Condition", "Contract", "ContractError",
    "DiscriminatorPenalty", "Domain", "Draws", "Edit", "Edited", "Editor", "Edits", "Game", "HeatMaps", "ImageDiscriminator",
    "ImageEditor", "Kind", "LatentGenerator", "LatentMapping", "Masks", "Measure", "Metric", "Need", "Networks",
    "Parser", "Ranking", "Ratio", "Reader", "Request", "Samples", "Seed", "Shared", "Source", "Statistic", "Step",
    "Study", "Style", "StyleCondition", "StyleDiscriminator", "StyleEncoder", "StyleMapping", "StyleTranslator",
    "Synchronised", "Synthesised", "Targets", "Term", "Turn", "Unavailable", "Verdict", "Whole", "World",
]  # fmt: skip
