"""Discovery of plugins, without importing them: the core, entry points, ZOOGAN_PLUGINS, `--plugin`."""

from __future__ import annotations

import importlib
import importlib.util
import os
import re
import sys
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from importlib import metadata
from pathlib import Path
from types import ModuleType
from typing import Any

from zoogan.environment import read_variable

GROUP = "zoogan.plugins"


@dataclass(frozen=True)
class Candidate:
    """A plugin that was discovered, not imported yet.

    Attributes:
        name: Its name.
        load: Imports it; may raise anything.
        where: Where it was discovered, for messages.
        distribution: The package that it came with.
        version: Version of that package.
    """

    name: str
    load: Callable[[], Any]
    where: str
    distribution: str | None = None
    version: str | None = None


def find_candidates(files: Sequence[Path], environment: Mapping[str, str]) -> Iterator[Candidate]:
    """Yield every plugin in loading order: the core's own, entry points by name, ZOOGAN_PLUGINS, files."""
    yield make_core_candidate()
    for entry in sorted(metadata.entry_points(group=GROUP), key=lambda entry: (entry.name, entry.value)):
        name, version = (entry.dist.name, entry.dist.version) if entry.dist else (None, None)
        yield Candidate(entry.name, entry.load, f"entry point {entry.value}", name, version)
    for name in split_names(read_variable("ZOOGAN_PLUGINS", environment)):
        if name.endswith(".py"):
            yield make_file_candidate(Path(name))
        else:
            yield Candidate(name, partial(importlib.import_module, name), f"module {name} of ZOOGAN_PLUGINS")
    for path in files:
        yield make_file_candidate(path)


def make_core_candidate() -> Candidate:
    """Make the candidate of the core's own components, which are loaded like every plugin."""
    load = partial(importlib.import_module, "zoogan.builtin")
    try:
        version = metadata.version("zoogan")
    except metadata.PackageNotFoundError:  # a source tree on PYTHONPATH, never installed
        version = None
    return Candidate("zoogan", load, "zoogan.builtin", "zoogan", version)


def split_names(text: str) -> list[str]:
    """Split `a,b` or `a:b` (`a;b` on Windows) into names, in order."""
    return [part.strip() for part in re.split(f"[,{re.escape(os.pathsep)}]", text) if part.strip()]


def make_file_candidate(path: Path) -> Candidate:
    """Make the candidate of a single-file plugin, named after the file."""
    return Candidate(path.stem, partial(import_file, path), str(path))


def import_file(path: Path) -> ModuleType:
    """Import a file under a module name of its own, so that two files called `plugin.py` do not collide.

    The module stays in sys.modules, where the import strings of its components (`f"{__name__}:build"`) are resolved.

    Raises:
        FileNotFoundError: The file does not exist.
        ImportError: It is no Python file.
    """
    path = path.resolve()
    name = f"zoogan_plugin_{path.stem}_{zlib.crc32(bytes(path)):08x}"
    if name in sys.modules:
        return sys.modules[name]
    if not path.is_file():
        raise FileNotFoundError(f"no file {path}")
    spec = importlib.util.spec_from_file_location(name, path)
    if spec is None or spec.loader is None:
        raise ImportError(f"{path} is no Python file")
    module = sys.modules[name] = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except BaseException:
        del sys.modules[name]
        raise
    return module
