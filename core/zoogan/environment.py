"""The environment variables that zoogan reads; all begin with `ZOOGAN_`. Imports no torch."""

from __future__ import annotations

import os
from collections.abc import Mapping

from zoogan.errors import ConfigError

VARIABLES = {
    "ZOOGAN_CACHE": "the folder of judges, features and downloads",
    "ZOOGAN_METRIC_WEIGHTS": "the folder of the published weights of metrics",
    "ZOOGAN_MAX_PIXELS": "the most pixels of one picture",
    "ZOOGAN_PLUGINS": "modules or .py files to load as plugins",
    "ZOOGAN_DISABLE_PLUGINS": "names of plugins to leave out",
    "ZOOGAN_STRICT_PLUGINS": "whether a broken plugin is an error",
    "ZOOGAN_LOG_LEVEL": "how much the command line logs on stderr",
}
"""What each variable is, by name; docs/environment.md explains them."""

FORMER_NAMES = {
    "ZOOGAN_PLUGINS": "ZOO_PLUGINS",
    "ZOOGAN_DISABLE_PLUGINS": "ZOO_DISABLE_PLUGINS",
    "ZOOGAN_STRICT_PLUGINS": "ZOO_STRICT_PLUGINS",
}
SWITCHES = {"": False, "0": False, "false": False, "no": False, "off": False}
SWITCHES |= {"1": True, "true": True, "yes": True, "on": True}


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


def read_switch(name: str, environment: Mapping[str, str] = os.environ) -> bool:
    """Read one of `VARIABLES` that is on (1, true, yes, on) or off (0, false, no, off, not set).

    Args:
        name: The variable.
        environment: All variables by name.

    Raises:
        ConfigError: It has another value.
    """
    text = read_variable(name, environment).strip()
    if text.lower() not in SWITCHES:
        raise ConfigError(f"{name}={text}: expected 1 or 0")
    return SWITCHES[text.lower()]
