"""The typer app, built lazily: verbs are import strings until they are called, and plugins add their own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from zoogan.config.commands import VERBS, Command
from zoogan.names import import_object, suggest_name

OWN = "zoogan"  # the distribution whose verbs are all in VERBS
HELP = {"help_option_names": ["-h", "--help"]}

# Newer typers carry a click of their own, older ones use the installed one; this ancestor is there in both.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class Verbs(TyperGroup):
    """A group whose commands are imported one by one, when asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """zoo's own verbs in the order of the table, then the plugins'."""
        return [*VERBS, *sorted(contributed())]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """The verbs with a line each; those of zoo's own are not imported for it."""
        others = [(name, self.get_command(ctx, name)) for name in sorted(contributed())]
        rows = [(name, verb.line) for name, verb in VERBS.items()]
        rows += [(name, command.get_short_help_str(80)) for name, command in others if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """The command of a verb, or None. Own verbs do not wait for plugins."""
        if cmd_name in VERBS:
            path, plugin = VERBS[cmd_name].build, "zoogan"
        else:
            found = contributed().get(cmd_name)
            if found is None:
                return None
            path, plugin = found.build, found.plugin
        try:
            return command(cmd_name, path)
        except Exception as error:  # one verb that cannot be imported must not take `zoo --help` down
            return broken(cmd_name, plugin, error)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """The called command; an unknown verb is told the nearest one."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            known = self.list_commands(ctx)
            hint = suggest_name(args[0], known)
            raise UsageError(f"no verb is called {args[0]!r}{hint}; verbs: {', '.join(known)}")
        return super().resolve_command(ctx, args)


def contributed() -> Mapping[str, Command]:
    """The plugins' verbs. Where no plugin but zoo's own is installed, none is loaded to know that there are none."""
    from zoogan.plugins.discovery import candidates

    if all(candidate.distribution == OWN for candidate in candidates((), os.environ)):
        return {}
    from zoogan.plugins.host import get_zoo

    return get_zoo().registry.commands


def command(name: str, path: str) -> Any:
    """The click command of an import string: a function for typer, or a typer app."""
    target = import_object(path)
    if isinstance(target, typer.Typer):
        made: Any = typer.main.get_group(target)
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, context_settings=HELP)(target)
        made = typer.main.get_command(app)
    made.name = name
    return made


def broken(name: str, plugin: str, error: Exception) -> Any:
    """A command that says why the real one cannot be had."""
    from zoogan.plugins.isolation import explain

    reason, hint = explain(error)

    def fail() -> None:
        raise RuntimeError(f"plugin {plugin!r} cannot load this command: {reason} ({hint})") from error

    fail.__doc__ = f"(not available: {reason})"
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(fail)
    return typer.main.get_command(app)


def show_version(value: bool) -> bool:
    """Print the version and leave."""
    if value:
        from zoogan import __version__

        print(f"zoogan {__version__}")
        raise typer.Exit
    return value


@cache
def build() -> Any:
    """The whole app as a click command."""
    app = typer.Typer(cls=Verbs, rich_markup_mode=None, context_settings=HELP)

    @app.callback()
    def zoo(
        version: Annotated[
            bool, typer.Option("--version", callback=show_version, is_eager=True, help="Print the version.")
        ] = False,
        debug: Annotated[bool, typer.Option("--debug", help="Show tracebacks; may stand anywhere.")] = False,
    ) -> None:
        """A modular zoo of GANs that edit faces on demand."""

    return typer.main.get_command(app)


def usage_text(error: Any) -> str:
    """A usage error in plain words, with the usage of the command that it belongs to."""
    said = str(error.format_message())
    if said.startswith("Usage:"):  # a group that was called without a verb: all that it says is its help
        return said
    lines = [f"zoo: {said}"]
    if error.ctx is not None:
        lines += [error.ctx.get_usage(), f"Try '{error.ctx.command_path} --help'."]
    return "\n".join(lines)
