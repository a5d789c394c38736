"""zoogan: a modular zoo of GANs that edit faces on demand.

`zoogan.train(...)` trains a method and `zoogan.load(run)` opens a trained run. Nothing here imports torch until it is
used.
"""

from importlib.metadata import PackageNotFoundError, version

import lazy_loader

from zoogan.devices import limit_openmp_spinning

limit_openmp_spinning()

try:
    __version__ = version("zoogan")  # the version of the installed package
except PackageNotFoundError:  # a source tree on PYTHONPATH, never installed
    __version__ = "0+unknown"

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]
