from .layers import (
    compose_config as compose_config,
)
from .layers import (
    merge as merge,
)
from .layers import (
    parse_sets as parse_sets,
)
from .layers import (
    parse_value as parse_value,
)
from .layers import (
    read_yaml as read_yaml,
)
from .layers import (
    validate as validate,
)
from .models import (
    ComponentConfig as ComponentConfig,
)
from .models import (
    ConfigModel as ConfigModel,
)
from .models import (
    DataConfig as DataConfig,
)
from .models import (
    GameConfig as GameConfig,
)
from .models import (
    Names as Names,
)
from .models import (
    Slot as Slot,
)
from .models import (
    TrainingConfig as TrainingConfig,
)
from .models import (
    as_list as as_list,
)
from .models import (
    find_slots as find_slots,
)
from .models import (
    get_component_name as get_component_name,
)
from .problems import validate_model as validate_model
from .registry import use_component as use_component
