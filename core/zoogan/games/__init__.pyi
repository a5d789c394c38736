from .adversarial import AdversarialGame as AdversarialGame
from .attribute_editing import AttributeEditing as AttributeEditing
from .config import (
    AdversarialConfig as AdversarialConfig,
)
from .config import (
    AttributeEditingConfig as AttributeEditingConfig,
)
from .config import (
    Cadence as Cadence,
)
from .config import (
    EditingOptimizers as EditingOptimizers,
)
from .config import (
    EditingWeights as EditingWeights,
)
from .config import (
    OptimizerSlot as OptimizerSlot,
)
from .config import (
    StyleOptimizers as StyleOptimizers,
)
from .config import (
    StyleTranslationConfig as StyleTranslationConfig,
)
from .config import (
    StyleWeights as StyleWeights,
)
from .config import (
    SynthesisConfig as SynthesisConfig,
)
from .config import (
    SynthesisOptimizers as SynthesisOptimizers,
)
from .config import (
    SynthesisWeights as SynthesisWeights,
)
from .style_translation import StyleTranslation as StyleTranslation
from .synthesis import Synthesis as Synthesis
