"""What decides an edit, as text, so that an interrupted one goes on only with the same request."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from zoogan.errors import ConfigError
from zoogan.files import hash_file, hash_tensors
from zoogan.runs.loaded import LoadedRun


def describe_request(
    run: LoadedRun, values: Mapping[str, Any], files: Mapping[str, Path | int | None]
) -> dict[str, str]:
    """Describe everything that decides an edit, as text by option, to tell one request from another.

    Raises:
        ConfigError: A file is missing.
    """
    missing = [f"{file}: no such file" for file in files.values() if isinstance(file, Path) and not file.is_file()]
    if missing:
        raise ConfigError("\n".join(missing))
    about = {"run": f"{'' if run.path is None else run.path.name} ({hash_tensors(run.networks.state_dict())[:12]})"}
    for name, file in files.items():
        if file is not None:
            about[name] = f"{file.name} ({hash_file(file)[:12]})" if isinstance(file, Path) else f"seed {file}"
    texts = {name: json.dumps(value, default=str, sort_keys=True) for name, value in values.items()}
    return about | {
        name: text for name, text in texts.items() if values[name] is not None and values[name] is not False
    }


def check_same_request(place: Path, stored: Mapping[str, str], about: Mapping[str, str], things: str) -> None:
    """Check that an interrupted edit goes on with the request that it began with.

    Args:
        place: The folder or file that remembers it.
        stored: The request that it began with, see `describe_request`.
        about: The request now.
        things: What is there, such as `frames`.

    Raises:
        ConfigError: Names every difference.
    """
    names = [name for name in {**stored, **about} if stored.get(name) != about.get(name)]
    if names:
        lines = [f"{name}: {stored.get(name, 'nothing')} there, {about.get(name, 'nothing')} here" for name in names]
        raise ConfigError("\n".join([
            f"--resume: {place} holds {things} of another request; give the same one, or remove the {things}", *lines,
        ]))  # fmt: skip
