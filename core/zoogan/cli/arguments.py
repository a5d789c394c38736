"""Options and checks that several verbs share. Imports no torch."""

from __future__ import annotations

import json
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoogan.cli.completion import complete_model
from zoogan.errors import ConfigError
from zoogan.plugins.gallery import find_in_gallery, is_gallery_address

if TYPE_CHECKING:
    from zoogan.plugins.host import PluginHost


Model = Annotated[
    str,
    typer.Argument(metavar="METHOD", autocompletion=complete_model, help="A method of `zoo list`.", show_default=False),
]


def resolve_address(value: Path | list[Path] | None) -> Path | list[Path] | None:
    """Replace each `gallery:NAME` by the folder that it means, before a verb sees it.

    Raises:
        ConfigError: The gallery has nothing of that name.
    """
    if isinstance(value, Path):
        return find_in_gallery(value) if is_gallery_address(value) else value
    return None if value is None else [find_in_gallery(path) if is_gallery_address(path) else path for path in value]


def resolve_run(value: Path | None) -> Path | None:
    """Replace `gallery:NAME`, and `owner/name` of the Hub, by the folder that it means, before a verb sees it.

    Raises:
        ConfigError: Neither the gallery nor the Hub has it.
    """
    from zoogan.runs.hub import parse_hub_address
    from zoogan.runs.locations import find_run_folder

    if value is None or is_gallery_address(value) or value.exists() or parse_hub_address(value) is None:
        return None if value is None else find_in_gallery(value) if is_gallery_address(value) else value
    return find_run_folder(value)


RunFolderArgument = Annotated[
    Path,
    typer.Argument(
        metavar="RUN", callback=resolve_run, help="The run folder, gallery:NAME, or owner/name on the Hugging Face Hub."
        ,
        show_default=False,
    ),
]  # fmt: skip
JudgeFolder = Annotated[
    Path | None,
    typer.Option(
        callback=resolve_address, help="Folder of a judge, or gallery:NAME (default: the cached one for the source)."
    ),
]
PluginFiles = Annotated[
    list[Path] | None,
    typer.Option("--plugin", metavar="FILE", help="Load a single-file plugin too; repeatable.", show_default=False),
]
StageOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--stage",
        metavar="NAME=RUN",
        help="Copy a finished result (a run, a judge, official weights) instead of making this stage; NAME=none leaves "
        "an optional stage out; repeatable.",
        show_default=False,
    ),
]
Device = Annotated[str, typer.Option(help="auto, cpu, cuda or mps.")]
Checkpoint = Annotated[
    str | None, typer.Option(help="An iteration, or best (default: the model at the end of training).")
]
Overwrite = Annotated[bool, typer.Option("--overwrite", help="Replace files that exist.")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON document, for programs.")]


def open_host(files: Sequence[Path] | None) -> PluginHost:
    """Open the plugin host and load the `--plugin` files into it.

    Args:
        files: The files of `--plugin`.

    Returns:
        The host. Installed plugins that failed are reported on stderr.

    Raises:
        ConfigError: One of the files is no working plugin.
    """
    from zoogan.plugins.host import get_zoo

    host = get_zoo()
    earlier = len(host.failures)
    host.load_files(files or ())
    for failure in host.failures[:earlier]:
        print(f"zoo: {failure}", file=sys.stderr)
    if host.failures[earlier:]:
        raise ConfigError("\n".join(str(failure) for failure in host.failures[earlier:]))
    return host


def print_json(document: object) -> None:
    """Print a document for programs: nothing else may go to stdout beside it."""
    print(json.dumps(document, indent=2, ensure_ascii=False))


def print_files(paths: Sequence[Path], as_json: bool, **facts: object) -> None:
    """Print the files that a verb wrote, one a line, or as JSON.

    Args:
        paths: The files.
        as_json: Whether to print JSON.
        facts: What the JSON says beside `files`.
    """
    if as_json:
        print_json({**facts, "files": [str(path) for path in paths]})
        return
    for path in paths:
        typer.echo(str(path))


def announce_opening(*runs: Path | str, is_silent: bool = False) -> None:
    """Say on stderr which runs are opened, since that takes seconds.

    Args:
        runs: The runs, as they were named.
        is_silent: Whether to say nothing, for programs.
    """
    if not is_silent:
        typer.echo(f"Opening {', '.join(map(str, runs))} ...", err=True)


def print_note(note: str) -> None:
    """Print a note for the user on stderr."""
    typer.echo(f"note: {note}", err=True)


def list_typed(context: typer.Context) -> list[str]:
    """List the options that were typed, by their flag.

    Args:
        context: The context of the verb.
    """
    sources = {parameter: context.get_parameter_source(str(parameter.name)) for parameter in context.command.params}
    return [
        parameter.opts[0]
        for parameter, source in sources.items()
        if parameter.param_type_name == "option" and source is not None and source.name == "COMMANDLINE"
    ]


def format_command(context: typer.Context, *flags: str) -> str:
    """Format the command that was typed, with further flags, for a shell.

    Args:
        context: The context of the verb; only options that were typed are repeated.
        flags: Flags to add where they were not typed.
    """
    words = ["zoo", str(context.info_name)]
    for parameter in context.command.params:
        source = context.get_parameter_source(str(parameter.name))
        value = context.params.get(str(parameter.name))
        if source is None or source.name != "COMMANDLINE" or value is None:
            continue
        values = list(value) if isinstance(value, list | tuple) else [value]
        if parameter.param_type_name == "argument":
            words += map(str, values)
        elif isinstance(value, bool):
            words.append(parameter.opts[0])
        else:
            words += [word for item in values for word in (parameter.opts[0], str(item))]
    return shlex.join([*words, *(flag for flag in flags if flag not in words)])


def split_option(text: str | None) -> list[str] | None:
    """Split names with commas; None where there are none."""
    names = [name.strip() for name in (text or "").split(",")]
    return [name for name in names if name] or None


def is_picture(path: Path) -> bool:
    """Return whether a path names an image file rather than a folder."""
    from zoogan.pictures.photo_files import SUFFIXES

    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def check_picture_output(out: Path, sheet: bool) -> None:
    """Check that images can be written to `out`.

    Args:
        out: A folder of images, or the file of a sheet.
        sheet: Whether one sheet is written.

    Raises:
        ConfigError: `out` is a file and should be a folder, or the reverse, or has no suffix of an image.
    """
    if not sheet:
        if out.exists() and not out.is_dir():
            raise ConfigError(f"--out {out}: a file of that name exists; name a folder for the edits")
        return
    from PIL import Image

    if out.is_dir():
        raise ConfigError(f"--out {out}: this is a folder; name a file for --grid, such as {out / 'grid.png'}")
    if Image.registered_extensions().get(out.suffix.lower()) not in Image.SAVE:
        raise ConfigError(f"--out {out}: no picture ends in {out.suffix!r}; name a file like {out.with_suffix('.png')}")
