"""Whole jobs with an opened run that write files, for Python and for the command line.

Each takes a LoadedRun, saves its output and returns paths or results. None prints: notes for the user go to the
`notify` argument.
"""

import lazy_loader

__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
