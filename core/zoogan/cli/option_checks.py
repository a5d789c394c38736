"""Checks of every verb's options before it runs: given once, finite, and paths that files can have. No torch."""

from __future__ import annotations

import copy
import math
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from zoogan.errors import ConfigError
from zoogan.paths import explain_path, shorten

MAX_NUMBER = 2**63  # torch's seeds and sizes have 64 bits


def add_checks(command: Any) -> None:
    """Let a command, and every command below it, refuse options that mean nothing before it runs.

    Args:
        command: A click command.
    """
    for below in getattr(command, "commands", {}).values():
        add_checks(below)
    parse, invoke = command.parse_args, command.invoke

    def check_and_parse(context: Any, arguments: list[str]) -> Any:
        if not hasattr(command, "commands"):
            _raise(list_repeated_options(command, context, arguments))
        return parse(context, arguments)

    def check_and_invoke(context: Any) -> Any:
        _raise([problem for parameter in command.params for problem in list_value_problems(parameter, context.params)])
        return invoke(context)

    command.parse_args, command.invoke = check_and_parse, check_and_invoke


def list_repeated_options(command: Any, context: Any, arguments: Sequence[str]) -> list[str]:
    """List the options that were given with several values, of which only one can count.

    Args:
        command: A click command.
        context: Its context.
        arguments: What follows it on the command line.
    """
    twin = copy.copy(command)  # its parser collects every value
    twin.params = [copy.copy(parameter) for parameter in command.params]
    for parameter in twin.params:
        parameter.multiple = parameter.param_type_name == "option"
    given, _, _ = twin.make_parser(context).parse_args(args=list(arguments))
    problems = []
    for parameter in command.params:
        option, values = parameter.opts[0], given.get(parameter.name)
        if parameter.param_type_name != "option" or not isinstance(values, list):
            continue
        if not parameter.multiple:
            problems += _describe_contradiction(option, values)
        elif is_named(parameter):
            items = [str(value).partition("=") for value in values]
            for name in dict.fromkeys(item[0] for item in items):
                problems += _describe_contradiction(f"{option} {name}", [item[2] for item in items if item[0] == name])
    return problems


def is_named(parameter: Any) -> bool:
    """Return whether each value of an option is NAME=VALUE."""
    return (parameter.metavar or "").startswith("NAME=") and "," not in parameter.metavar


def _describe_contradiction(option: str, values: Sequence[object]) -> list[str]:
    """Describe that an option has several values; nothing where they are equal."""
    distinct = [shorten(str(value), 40) for value in dict.fromkeys(values)]
    times = "twice" if len(values) == 2 else f"{len(values)} times"
    return [f"{option} is given {times}, as {' and as '.join(distinct)}; keep one"] if len(distinct) > 1 else []


def list_value_problems(parameter: Any, given: Any) -> Iterator[str]:
    """List what is wrong with the values of one option or argument.

    Args:
        parameter: The click parameter.
        given: All values by name of the parameter.
    """
    value = given.get(parameter.name)
    name = parameter.opts[0] if parameter.param_type_name == "option" else parameter.name.upper()
    for one in value if isinstance(value, list | tuple) else [value]:
        if isinstance(one, Path) and (reason := explain_path(one)):
            yield f"{name} {shorten(str(one))}: {reason}; name another path"
        elif isinstance(one, float) and not math.isfinite(one):
            yield f"{name} {one}: expected a finite number"
        elif isinstance(one, int) and not -MAX_NUMBER <= one < MAX_NUMBER:
            yield f"{name} {shorten(str(one), 40)}: expected a whole number of at most 64 bits"


def _raise(problems: Sequence[str]) -> None:
    if problems:
        raise ConfigError("\n".join(problems))
