"""A web editor for trained runs: `zoo demo` and its functions for Python.

It needs no build step and no network, and knows no method: its controls follow `zoogan.describe_editor`.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
