from .stages import StageContext as StageContext
from .stages import StageStopped as StageStopped
