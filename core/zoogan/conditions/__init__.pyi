from .attributes import AttributeCondition as AttributeCondition
from .config import AttributesConfig as AttributesConfig
from .config import PairsConfig as PairsConfig
from .domain import DomainCondition as DomainCondition
from .latent import LatentCondition as LatentCondition
from .pairs import PairsCondition as PairsCondition
from .pairs import make_pairs as make_pairs
from .single import SingleCondition as SingleCondition
