"""Games that ship with the core: which networks train together, and what each step minimises."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
