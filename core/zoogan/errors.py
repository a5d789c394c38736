"""What the command line tells in one sentence and exit code 2. Imports nothing, so that it costs nothing."""

from __future__ import annotations


class ConfigError(Exception):
    """The user's mistake in a config, an option or a file: every problem at once, one a line."""
