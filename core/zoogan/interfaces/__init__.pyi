from .condition import Condition as Condition
from .condition import Request as Request
from .condition import Targets as Targets
from .contract import Contract as Contract
from .contract import ContractError as ContractError
from .discriminator import AttributeDiscriminator as AttributeDiscriminator
from .discriminator import Verdict as Verdict
from .draws import Draws as Draws
from .draws import derive_seed as derive_seed
from .editor import Column as Column
from .editor import Edit as Edit
from .editor import Editor as Editor
from .editor import Seed as Seed
from .edits import (
    Edits as Edits,
)
from .edits import (
    Samples as Samples,
)
from .fields import FIELDS as FIELDS
from .fields import Field as Field
from .game import (
    Clock as Clock,
)
from .game import (
    Game as Game,
)
from .game import (
    Need as Need,
)
from .game import (
    Networks as Networks,
)
from .game import (
    Sample as Sample,
)
from .game import (
    Step as Step,
)
from .game import (
    Turn as Turn,
)
from .generator import EditedImage as EditedImage
from .generator import ImageEditor as ImageEditor
from .loss import (
    AdversarialLoss as AdversarialLoss,
)
from .loss import (
    Classification as Classification,
)
from .loss import (
    DiscriminatorPenalty as DiscriminatorPenalty,
)
from .loss import (
    Score as Score,
)
from .loss import (
    Scorer as Scorer,
)
from .loss import (
    Term as Term,
)
from .metric import (
    Better as Better,
)
from .metric import (
    DefaultKind as DefaultKind,
)
from .metric import (
    Headline as Headline,
)
from .metric import (
    Measure as Measure,
)
from .metric import (
    Metric as Metric,
)
from .metric import (
    Unavailable as Unavailable,
)
from .network import Network as Network
from .sharing import Shared as Shared
from .source import Source as Source
from .source import Split as Split
from .statistic import Ranking as Ranking
from .statistic import Ratio as Ratio
from .statistic import SetStatistic as SetStatistic
from .statistic import Statistic as Statistic
from .study import (
    AttributeJudge as AttributeJudge,
)
from .study import (
    Kind as Kind,
)
from .study import (
    PartJudge as PartJudge,
)
from .study import (
    Study as Study,
)
from .style import (
    Domain as Domain,
)
from .style import (
    HeatMaps as HeatMaps,
)
from .style import (
    Masks as Masks,
)
from .style import (
    Style as Style,
)
from .style import (
    StyleCondition as StyleCondition,
)
from .style import (
    StyleDiscriminator as StyleDiscriminator,
)
from .style import (
    StyleEncoder as StyleEncoder,
)
from .style import (
    StyleMapping as StyleMapping,
)
from .style import (
    StyleTranslator as StyleTranslator,
)
from .synthesis import (
    ImageDiscriminator as ImageDiscriminator,
)
from .synthesis import (
    Latent as Latent,
)
from .synthesis import (
    LatentGenerator as LatentGenerator,
)
from .synthesis import (
    LatentMapping as LatentMapping,
)
from .synthesis import (
    Latents as Latents,
)
from .synthesis import (
    Noise as Noise,
)
from .synthesis import (
    SynthesisedFace as SynthesisedFace,
)
from .world import SynchronisedLayer as SynchronisedLayer
from .world import World as World
