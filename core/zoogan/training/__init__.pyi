from .config import AdamConfig as AdamConfig
from .config import ConstantConfig as ConstantConfig
from .config import CosineConfig as CosineConfig
from .config import LinearConfig as LinearConfig
from .optimizers import Optimizer as Optimizer
from .optimizers import Schedule as Schedule
