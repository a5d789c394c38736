"""The command line: `zoo VERB ...`, one file a verb. Imports the verb that is called, and no torch."""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Sequence

from zoogan.errors import DiskError, OutOfMemory, ZooganError

WRONG_USE = 2  # the user's mistake: a bad option, setting or file
FAILED = 1
INTERRUPTED = 130  # what shells report after Ctrl-C


def explain_resources(error: Exception, name: str) -> int | None:
    """Explain memory or disk space that ran out where the verb did not do so itself.

    Returns:
        The exit code; None for another error.
    """
    from zoogan.resources import is_disk_full, is_out_of_memory

    if is_disk_full(error):
        where = getattr(error, "filename", None) or "an output"
        print(f"{name}: {where}: the disk is full; free some space, or write elsewhere", file=sys.stderr)
        return DiskError.exit_code
    if is_out_of_memory(error):
        print(
            f"{name}: out of memory; take fewer or smaller pictures at a time, --device cpu, or close other programs",
            file=sys.stderr,
        )
        return OutOfMemory.exit_code
    return None


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command.

    Args:
        argv: The arguments; by default those of the process. `--debug`, anywhere among them, shows tracebacks.

    Returns:
        The exit code: 0, 1 for a failure, 2 for a mistake of the user, that of the error, or the verb's own code.
    """
    from zoogan.cli.app import UsageError, build_app, format_usage_error
    from zoogan.terminal.logs import log_to_stderr

    arguments = list(sys.argv[1:] if argv is None else argv)
    debug = "--debug" in arguments
    arguments = [argument for argument in arguments if argument != "--debug"]
    verb = next((argument for argument in arguments if not argument.startswith("-")), "")
    name = f"zoo {verb}".rstrip()
    try:
        with log_to_stderr():
            result = build_app()(arguments or ["--help"], prog_name="zoo", standalone_mode=False)
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except KeyboardInterrupt:
        return INTERRUPTED
    except SystemExit as error:  # no verb of zoo's own ends the program so
        from zoogan.config.commands import VERBS
        from zoogan.plugins.isolation import format_place

        if verb not in VERBS:
            raise
        print(f"{name}: a plugin tried to end the program (SystemExit{format_place(error)})", file=sys.stderr)
        return FAILED
    except BrokenPipeError:  # `zoo list | head` closes the pipe early, which is no error
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return FAILED
    except Exception as error:
        if debug:
            traceback.print_exc()
        if isinstance(error, UsageError):
            print(format_usage_error(error), file=sys.stderr)
            return WRONG_USE
        if isinstance(error, ZooganError):
            print(f"{name}: {error}", file=sys.stderr)
            return error.exit_code
        if (code := explain_resources(error, name)) is not None:
            return code
        message = (str(error).strip().splitlines() or [""])[0]
        advice = "" if debug else "; run with --debug for the traceback"
        print(f"{name}: {type(error).__name__}{': ' if message else ''}{message}{advice}", file=sys.stderr)
        return FAILED
