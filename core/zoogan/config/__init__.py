"""The config system: frozen pydantic models, and the layers of settings that a config is made of. Imports no torch."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
