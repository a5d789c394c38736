"""zoogan: a modular zoo of GANs that edit faces on demand.

`zoogan.train(...)` trains a method and `zoogan.load(run)` opens a trained run. Nothing here imports torch until it is
used.
"""

import logging
from importlib.metadata import PackageNotFoundError, version

import lazy_loader

from zoogan.devices import limit_openmp_spinning

limit_openmp_spinning()
logging.getLogger(__name__).addHandler(logging.NullHandler())

try:
    __version__ = version("zoogan")  # the version of the installed package
except PackageNotFoundError:  # a source tree on PYTHONPATH, never installed
    __version__ = "0+unknown"

_get_public_name, _, __all__ = lazy_loader.attach_stub(__name__, __file__)
__all__ += ["__version__"]

# What people type who know other libraries, and what it is called here.
_OTHER_WORDS = {
    "create_model": 'zoogan.load("RUN") opens a trained run, zoogan.train("sagan") trains a new one',
    "from_pretrained": 'zoogan.load("RUN") opens a trained run',
    "list_models": "zoogan.list_methods() lists the methods",
    "load_model": 'zoogan.load("RUN") opens a trained run',
}


def __getattr__(name: str) -> object:
    """Import a public name when it is first used; name the right one for a word of another library."""
    try:
        return _get_public_name(name)
    except AttributeError:
        if name not in _OTHER_WORDS:
            raise
        raise AttributeError(f"module 'zoogan' has no attribute {name!r}: {_OTHER_WORDS[name]}") from None


def __dir__() -> list[str]:
    """List the public names."""
    return sorted(__all__)
