"""Build the page of the command line from the verbs' own options. Imports no torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from build_cards import MADE

from zoogan.cli.app import build_app
from zoogan.config.commands import VERBS

HEAD = """# Command line

`zoo VERB --help` prints the same. `--debug` may stand anywhere and shows tracebacks; `zoo --version` prints the
version. `RUN` is a run folder or `gallery:NAME`. Plugins add verbs of their own.
"""


def build_cli() -> str:
    """Build the text of docs/cli.md: a section for each verb, with its arguments and options."""
    app = build_app()
    lines = [HEAD, "| verb | what it does |", "|---|---|"]
    lines += [f"| [`zoo {name}`](#zoo-{name}) | {verb.line} |" for name, verb in VERBS.items()]
    for name in VERBS:
        command = app.get_command(None, name)
        lines += ["", f"## zoo {name}", ""]
        verbs = getattr(command, "commands", None)
        if verbs is None:
            lines += describe_command(command, f"zoo {name}")
            continue
        lines.append(clean(command.help or VERBS[name].line))
        for verb, inner in verbs.items():
            lines += ["", f"### zoo {name} {verb}", "", *describe_command(inner, f"zoo {name} {verb}")]
    return "\n".join(lines) + "\n" + MADE.format(source="the options of the verbs")


def describe_command(command: Any, words: str) -> Iterator[str]:
    """Yield what a command does, how it is called, and the table of its arguments and options."""
    parameters = [parameter for parameter in command.params if not getattr(parameter, "hidden", False)]
    arguments = [format_argument(parameter) for parameter in parameters if parameter.param_type_name == "argument"]
    yield clean(command.help or "")
    yield ""
    yield "```text"
    yield " ".join([words, *arguments, "[OPTIONS]"])
    yield "```"
    yield ""
    yield "| option | what it does | default |"
    yield "|---|---|---|"
    for parameter in parameters:
        meaning = clean(getattr(parameter, "help", None) or "")
        yield f"| {format_names(parameter)} | {meaning} | {format_default(parameter)} |"


def format_argument(parameter: Any) -> str:
    """Format an argument as in the line of usage."""
    name = parameter.metavar or str(parameter.name).upper()
    name = f"{name}..." if parameter.nargs == -1 and not name.endswith("...") else name
    return name if parameter.required or name.startswith("[") else f"[{name}]"


def format_names(parameter: Any) -> str:
    """Format the names of an option, with the name of its value."""
    if parameter.param_type_name == "argument":
        return clean(f"`{format_argument(parameter)}`")
    value = "" if parameter.is_flag else f" {parameter.metavar or str(parameter.name).strip('_').upper()}"
    return clean(", ".join(f"`{name}{value}`" for name in [*parameter.opts, *parameter.secondary_opts]))


def format_default(parameter: Any) -> str:
    """Format the default of an option; empty if there is none."""
    default = parameter.default
    if (
        default in (None, (), [], False)
        or callable(default)
        or not isinstance(default, str | int | float | list | tuple)
    ):
        return ""
    return f"`{default}`"


def clean(text: str) -> str:
    """Put a help text on one line of a table, as Markdown."""
    text = " ".join(text.replace("\b", "").split()).replace("|", "\\|")
    return re.sub(r"<(\w+)>", r"`<\1>`", text)
