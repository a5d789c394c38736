"""The roles that components fill, and the types that they exchange. Imports torch and nothing else of zoogan."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
