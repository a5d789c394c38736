"""Editors, one for each game, which edit or generate faces with a trained run."""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
