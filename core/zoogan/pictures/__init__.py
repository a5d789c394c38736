"""Photos and other pictures: reading, cropping, laying edits over photos, and saving."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
