"""The typer app. Verbs are import strings until they are called; plugins add their own."""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cache
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from zoogan.cli.option_checks import add_checks
from zoogan.config.commands import VERBS, Command
from zoogan.names import import_object, suggest_name

OWN = "zoogan"  # the distribution whose verbs are all in VERBS
HELP = {"help_option_names": ["-h", "--help"]}

# New versions of typer contain their own click, old versions use the installed click; both have this base class.
UsageError: type[Exception] = typer.BadParameter.__mro__[1]


class Verbs(TyperGroup):
    """A group whose commands are imported one by one, when asked for."""

    def list_commands(self, ctx: Any) -> list[str]:
        """Return zoo's own verbs in the order of the table, then the plugins' verbs."""
        return [*VERBS, *sorted(load_plugin_commands())]

    def format_commands(self, ctx: Any, formatter: Any) -> None:
        """Write one line for each verb, without importing zoo's own verbs."""
        others = [(name, self.get_command(ctx, name)) for name in sorted(load_plugin_commands())]
        rows = [(name, verb.line) for name, verb in VERBS.items()]
        rows += [(name, command.get_short_help_str(80)) for name, command in others if command is not None]
        with formatter.section("Commands"):
            formatter.write_dl(rows)

    def get_command(self, ctx: Any, cmd_name: str) -> Any:
        """Return the command of a verb, or None. Zoo's own verbs do not load plugins."""
        if cmd_name in VERBS:
            path, plugin = VERBS[cmd_name].build, "zoogan"
        else:
            registered = load_plugin_commands().get(cmd_name)
            if registered is None:
                return None
            path, plugin = registered.build, registered.plugin
        try:
            return import_command(cmd_name, path)
        except (Exception, SystemExit) as error:  # `zoo --help` must work even if a verb cannot be imported
            return make_failing_command(cmd_name, plugin, error)

    def resolve_command(self, ctx: Any, args: list[str]) -> Any:
        """Return the called command; suggest the nearest verb for an unknown one."""
        if args and not args[0].startswith("-") and self.get_command(ctx, args[0]) is None:
            known = self.list_commands(ctx)
            hint = suggest_name(args[0], known)
            raise UsageError(f"no verb is called {args[0]!r}{hint}; verbs: {', '.join(known)}")
        return super().resolve_command(ctx, args)


def load_plugin_commands() -> Mapping[str, Command]:
    """Load the verbs of plugins. If only zoo's own plugins are installed, none is loaded."""
    from zoogan.plugins.discovery import find_candidates

    if all(candidate.distribution == OWN for candidate in find_candidates((), os.environ)):
        return {}
    from zoogan.plugins.host import get_zoo

    return get_zoo().registry.commands


def import_command(name: str, path: str) -> Any:
    """Import a click command from an import string of a typer app or of a function for typer."""
    target = import_object(path)
    if isinstance(target, typer.Typer):
        command: Any = typer.main.get_group(target)
    else:
        app = typer.Typer(add_completion=False, rich_markup_mode=None)
        app.command(name, context_settings=HELP)(target)
        command = typer.main.get_command(app)
    command.name = name
    add_checks(command)
    return command


def make_failing_command(name: str, plugin: str, error: BaseException) -> Any:
    """Make a command that explains why the real one cannot be imported."""
    from zoogan.plugins.isolation import explain_failure

    reason, hint = explain_failure(error)

    def fail() -> None:
        raise RuntimeError(f"plugin {plugin!r} cannot load this command: {reason} ({hint})") from error

    fail.__doc__ = f"(not available: {reason})"
    app = typer.Typer(add_completion=False, rich_markup_mode=None)
    app.command(name, context_settings={"ignore_unknown_options": True, "allow_extra_args": True})(fail)
    return typer.main.get_command(app)


def show_version(value: bool) -> bool:
    """Print the version and exit."""
    if value:
        from zoogan import __version__

        print(f"zoogan {__version__}")
        raise typer.Exit
    return value


@cache
def build_app() -> Any:
    """Build the whole app as a click command."""
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


def format_usage_error(error: Any) -> str:
    """Format a usage error with the usage of the command that it belongs to."""
    message = str(error.format_message())
    if message.startswith("Usage:"):  # a group without a verb prints its help
        return message
    lines = [f"{'zoo' if error.ctx is None else error.ctx.command_path}: {message}"]
    if error.ctx is not None:
        lines += [error.ctx.get_usage(), f"Try '{error.ctx.command_path} --help'."]
    return "\n".join(lines)
