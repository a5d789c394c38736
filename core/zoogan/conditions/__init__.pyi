from .attributes import AttributeCondition as AttributeCondition
from .config import AttributesConfig as AttributesConfig
from .domain import DomainCondition as DomainCondition
from .latent import LatentCondition as LatentCondition
