"""Words of printed commands, so that they work when they are pasted into a shell. Imports no torch."""

from __future__ import annotations

import shlex
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from zoogan.config import read_yaml
from zoogan.errors import ConfigError
from zoogan.plugins.host import get_zoo


def quote_word(word: object) -> str:
    """Quote a word for a shell; a path that begins like an option gets a folder in front.

    Args:
        word: A path, a name or a number.
    """
    text = str(word)
    return shlex.quote(f"./{text}" if isinstance(word, Path) and text.startswith("-") else text)


def quote_run(run: str | Path) -> str:
    """Quote a run for a shell, followed by `--plugin FILE` for each single-file plugin that its config needs.

    Args:
        run: Its folder, or `gallery:NAME`.
    """
    return " ".join([quote_word(run), *(f"--plugin {quote_word(file)}" for file in list_needed_files(Path(run)))])


def format_judge_command(source: str, size: int, *options: object, root: object = None) -> str:
    """Format the command that trains a judge of a source's faces.

    Args:
        source: Name of the source.
        size: Side of the faces in pixels.
        options: Further words of the command.
        root: Folder of the source; None = it needs none.
    """
    words = ["zoo", "judge", "train", "--data", source, *options, *([] if root is None else ["--root", root])]
    words += ["--size", size]
    words += [word for file in list_providing_files({source}) for word in ("--plugin", file)]
    return " ".join(quote_word(word) for word in words)


def list_needed_files(run: Path) -> list[Path]:
    """List the single-file plugins of this process whose methods or components the config of a run names.

    Args:
        run: Its folder; one without a readable config needs none.
    """
    if not get_zoo().files:
        return []
    try:
        return list_providing_files(set(list_texts(read_yaml(run / "config.yaml"))))
    except ConfigError:
        return []


def list_providing_files(words: Collection[str]) -> list[Path]:
    """List the single-file plugins of this process that registered a method or component of one of these names."""
    zoo = get_zoo()
    provided = {info.where: {*info.methods, *(name for _, name in info.components)} for info in zoo.plugins}
    return [file for file in zoo.files if not provided.get(str(file), set()).isdisjoint(words)]


def list_texts(value: Any) -> Iterator[str]:
    """Yield every text in nested values, keys too."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from (str(key), *list_texts(inner))
    elif isinstance(value, list):
        for inner in value:
            yield from list_texts(inner)
