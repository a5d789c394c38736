"""The one config system: frozen pydantic models, in layers. Imports no torch."""

from zoogan.config.layers import compose_config as compose_config
from zoogan.config.layers import merge as merge
from zoogan.config.layers import parse_sets as parse_sets
from zoogan.config.layers import parse_value as parse_value
from zoogan.config.layers import read_yaml as read_yaml
from zoogan.config.layers import validate as validate
from zoogan.config.models import ComponentConfig as ComponentConfig
from zoogan.config.models import ConfigModel as ConfigModel
from zoogan.config.models import DataConfig as DataConfig
from zoogan.config.models import GameConfig as GameConfig
from zoogan.config.models import Names as Names
from zoogan.config.models import Slot as Slot
from zoogan.config.models import TrainingConfig as TrainingConfig
from zoogan.config.models import as_list as as_list
from zoogan.config.models import find_slots as find_slots
from zoogan.config.models import get_component_name as get_component_name
from zoogan.config.problems import validate_model as validate_model
from zoogan.config.registry import use_component as use_component
from zoogan.errors import ConfigError as ConfigError
