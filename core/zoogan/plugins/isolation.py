"""Isolation of plugins: the checks that each must pass, and explanations of why one failed."""

from __future__ import annotations

import inspect
import traceback
from pathlib import Path
from typing import Any

import pluggy
from pydantic import ValidationError

from zoogan.config.registry import RegistrationError
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.plugins import hooks
from zoogan.plugins.hooks import API_VERSION


class RejectedError(Exception):
    """The host refuses a plugin.

    Args:
        reason: Why, in one sentence.
        hint: What to do about it.
    """

    def __init__(self, reason: str, hint: str) -> None:
        super().__init__(reason)
        self.reason, self.hint = reason, hint


def list_hooks() -> list[str]:
    """Return the names of all hooks, in the order of hooks.py."""
    return [name for name in vars(hooks) if name.startswith("zoo_")]


def list_implemented_hooks(plugin: Any) -> list[str]:
    """Return the names that a plugin marked with @hookimpl."""
    return [name for name in dir(plugin) if getattr(getattr(plugin, name, None), "zoogan_impl", None)]


def check_version(plugin: Any) -> None:
    """Refuse a plugin written for a later plugin API. A plugin without `API_VERSION` is accepted.

    Raises:
        RejectedError: Its API_VERSION is later, or no whole number.
    """
    required = getattr(plugin, "API_VERSION", API_VERSION)
    if not isinstance(required, int):
        raise RejectedError(f"its API_VERSION is {required!r}, not a whole number", f"this is {API_VERSION}")
    if required > API_VERSION:
        raise RejectedError(f"it needs zoogan's plugin API {required}, this is {API_VERSION}", "upgrade zoogan")


def check_hooks(plugin: Any) -> None:
    """Refuse hooks that pluggy would silently ignore (unmarked, misspelt) or refuse in words for insiders.

    Raises:
        RejectedError: A hook is unmarked or unknown, takes unknown arguments, or there is none.
    """
    names, marked = list_hooks(), list_implemented_hooks(plugin)
    unmarked = [n for n in dir(plugin) if n in names and n not in marked and callable(getattr(plugin, n))]
    if unmarked:
        raise RejectedError(
            f"its function {unmarked[0]} is not marked as a hook", "put @zoogan.plugins.hookimpl above it"
        )
    if not marked:
        raise RejectedError(
            "it implements no hook", "write zoo_register(registry) with @zoogan.plugins.hookimpl above it"
        )
    for function in marked:
        name = getattr(plugin, function).zoogan_impl["specname"] or function
        if name not in names:
            reason = f"it implements hook {name!r}, which does not exist{suggest_name(name, names)}"
            raise RejectedError(reason, f"the hooks are {', '.join(names)}")
        passed = list(inspect.signature(getattr(hooks, name)).parameters)
        parameters = inspect.signature(getattr(plugin, function)).parameters.values()
        unknown = [p.name for p in parameters if p.default is p.empty and p.name not in passed]
        if unknown:
            reason = f"its {name} takes {', '.join(map(repr, unknown))}, which the hook does not pass"
            raise RejectedError(reason, f"{name} may take {', '.join(passed)}")


def explain_failure(error: BaseException, distribution: str | None = None) -> tuple[str, str]:
    """Explain why a plugin failed: the reason in one sentence, and what to do about it."""
    remedy = f"report it to the authors of {distribution}" if distribution else "correct the plugin"
    match error:
        case RejectedError():
            return error.reason, error.hint
        case RegistrationError() | ConfigError():
            return get_first_line(error), "rename or correct what it registers"
        case pluggy.PluginValidationError():
            return f"pluggy refuses it: {str(error).splitlines()[-1]}", remedy
        case ModuleNotFoundError() if error.name and error.name.partition(".")[0] != "zoogan":
            missing = error.name.partition(".")[0]
            return f"it needs module {error.name!r}, which is not installed", f"pip install {missing}"
        case ImportError() if (error.name or "").partition(".")[0] == "zoogan":
            message = get_first_line(error).partition(" (")[0]  # without the path of the module
            return f"it was written for another zoogan: {message}", "upgrade zoogan or the plugin"
        case FileNotFoundError() if not error.filename:
            return get_first_line(error), "check the path"
        case SystemExit():
            return f"it tried to end the program (SystemExit{format_place(error)})", remedy
        case SyntaxError():
            where = f"{Path(error.filename).name}:{error.lineno}" if error.filename else "?"
            return f"it is not valid Python: {error.msg} ({where})", remedy
        case ValidationError():
            problem = error.errors()[0]
            path = ".".join(str(part) for part in problem["loc"])
            return f"{error.title}: {path}: {problem['msg']}", remedy
    return f"{type(error).__name__}: {get_first_line(error)}{format_place(error)}", remedy


def get_first_line(error: BaseException) -> str:
    """Return the first line of an error's message."""
    return (str(error).splitlines() or ["no message"])[0]


def format_place(error: BaseException) -> str:
    """Return ` at file.py:3` for the place where an error was raised, or an empty string."""
    frames = traceback.extract_tb(error.__traceback__)
    return f" at {Path(frames[-1].filename).name}:{frames[-1].lineno}" if frames else ""
