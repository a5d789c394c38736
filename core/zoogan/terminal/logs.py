"""The log of the command line on stderr. As a library zoogan only logs; its user decides where to."""

from __future__ import annotations

import logging
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from zoogan.environment import read_variable
from zoogan.errors import ConfigError

LEVELS = ("debug", "info", "warning", "error", "critical")
VARIABLE = "ZOOGAN_LOG_LEVEL"


def read_log_level() -> int:
    """Read the level of the log from ZOOGAN_LOG_LEVEL; by default warnings and errors are logged.

    Raises:
        ConfigError: It is no level.
    """
    text = read_variable(VARIABLE) or "warning"
    if text.lower() not in LEVELS:
        raise ConfigError(f"{VARIABLE}={text}: expected {', '.join(LEVELS[:-1])} or {LEVELS[-1]}")
    return logging.getLevelNamesMapping()[text.upper()]


@contextmanager
def log_to_stderr() -> Iterator[None]:
    """Show the log of everything below `zoogan` on stderr, at the level of ZOOGAN_LOG_LEVEL.

    Raises:
        ConfigError: That is no level.
    """
    level, logger = read_log_level(), logging.getLogger("zoogan")
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(levelname)s %(name)s: %(message)s"))
    former = logger.level
    logger.addHandler(handler)
    logger.setLevel(level)
    try:
        yield
    finally:
        logger.removeHandler(handler)
        logger.setLevel(former)
