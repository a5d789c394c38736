"""The environment variables that zoogan reads; all begin with `ZOOGAN_`. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping

VARIABLES = {
    "ZOOGAN_CACHE": "the folder of judges, features and downloads",
    "ZOOGAN_METRIC_WEIGHTS": "the folder of the published weights of metrics",
    "ZOOGAN_MAX_PIXELS": "the most pixels of one picture",
    "ZOOGAN_PLUGINS": "modules or .py files to load as plugins",
    "ZOOGAN_DISABLE_PLUGINS": "names of plugins to leave out",
    "ZOOGAN_LOG_LEVEL": "how much the command line logs on stderr",
}
"""What each variable is, by name; docs/environment.md explains them."""

FORMER_NAMES = {"ZOOGAN_PLUGINS": "ZOO_PLUGINS", "ZOOGAN_DISABLE_PLUGINS": "ZOO_DISABLE_PLUGINS"}


def read_variable(name: str, environment: Mapping[str, str] = os.environ) -> str:
    """Read one of `VARIABLES`, or else its former name.

    Args:
        name: The variable.
        environment: All variables by name.

    Returns:
        Its value; empty if it is not set.
    """
    if name not in VARIABLES:
        raise KeyError(f"{name} is no variable of zoogan; add it to VARIABLES and to docs/environment.md")
    return environment.get(name) or environment.get(FORMER_NAMES.get(name, ""), "")
