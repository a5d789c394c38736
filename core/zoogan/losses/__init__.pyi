from .adversarial import (
    HingeLoss as HingeLoss,
)
from .adversarial import (
    LsganLoss as LsganLoss,
)
from .adversarial import (
    NonSaturatingLoss as NonSaturatingLoss,
)
from .adversarial import (
    WganLoss as WganLoss,
)
from .base import OptionlessLoss as OptionlessLoss
from .classification import BinaryClassification as BinaryClassification
from .classification import SoftmaxClassification as SoftmaxClassification
from .config import (
    GradientPenaltyConfig as GradientPenaltyConfig,
)
from .config import (
    MaskAreaConfig as MaskAreaConfig,
)
from .config import (
    MaskVariationConfig as MaskVariationConfig,
)
from .config import (
    NoPenaltyConfig as NoPenaltyConfig,
)
from .config import (
    PenaltyConfig as PenaltyConfig,
)
from .config import (
    R1Config as R1Config,
)
from .config import (
    TermConfig as TermConfig,
)
from .config import (
    UnmaskedIdentityConfig as UnmaskedIdentityConfig,
)
from .penalties import (
    GradientPenalty as GradientPenalty,
)
from .penalties import (
    NoPenalty as NoPenalty,
)
from .penalties import (
    R1Penalty as R1Penalty,
)
from .penalties import (
    WeightedPenalty as WeightedPenalty,
)
from .penalties import (
    compute_gradient as compute_gradient,
)
from .reconstruction import l1_loss as l1_loss
from .reconstruction import multiscale_l1 as multiscale_l1
from .terms import (
    MaskArea as MaskArea,
)
from .terms import (
    MaskVariation as MaskVariation,
)
from .terms import (
    UnmaskedIdentity as UnmaskedIdentity,
)
from .terms import (
    WeightedTerm as WeightedTerm,
)
