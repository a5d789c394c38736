"""Where runs are: finding the folder of a run, and choosing that of a new one. Imports no torch."""

from __future__ import annotations

import json
import re
from pathlib import Path

from zoogan.config import read_yaml
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.plugins.gallery import resolve_path
from zoogan.runs.hub import fetch_run, parse_hub_address
from zoogan.runs.lock import LOCK

CONFIG_DRAFTS = ".config.yaml.*.tmp"  # left by a training that was killed while it wrote its first file

RUN_FILES = ("config.yaml", "facts.json")  # what makes a folder a run


def is_run_folder(folder: Path) -> bool:
    """Return whether a folder holds a run."""
    return all((folder / name).is_file() for name in RUN_FILES)


def find_run_folder(run: str | Path) -> Path:
    """Find the folder of the run that a person names.

    Args:
        run: The path of a run folder, or of its `model` folder or `config.yaml`; or `gallery:NAME`; or `owner/name` or
            `owner/name@revision` on the Hugging Face Hub, unless there is a folder `owner` here. A path may begin with
            `~`.

    Raises:
        ConfigError: There is no run; says what was tried.
    """
    path = resolve_path(run)
    if path.exists():
        return find_enclosing_run(path)
    address = parse_hub_address(run)
    if address is not None and not path.parent.is_dir():
        try:
            return fetch_run(address)
        except ConfigError as error:
            raise ConfigError(f"{run}: not a run: there is no folder {path.absolute()}, and {error}") from error
    beside = [folder.name for folder in path.parent.iterdir()] if path.parent.is_dir() else []
    raise ConfigError(f"{run}: not a run: there is no folder {path.absolute()}{suggest_name(path.name, beside)}")


def locate(text: str | Path) -> Path:
    """Return the absolute path that a text means: of a file or folder, `gallery:NAME`, or a run fetched from the Hub.

    Args:
        text: What a person typed; `owner/name` means a run on the Hub only where no folder `owner` is here. It need not
            be a run.

    Raises:
        ConfigError: Neither the gallery nor the Hub has it.
    """
    path = resolve_path(text)
    is_address = parse_hub_address(text) is not None and not path.parent.is_dir()
    return (find_run_folder(text) if is_address else path).resolve()


def find_enclosing_run(path: Path) -> Path:
    """Return the run that a path is, or whose model or config it is.

    Raises:
        ConfigError: It is none; names the run around it, or those in it.
    """
    if is_run_folder(path):
        return path if path.name else path.resolve()
    above = next((folder for folder in path.absolute().parents if is_run_folder(folder)), None)
    if above is not None and path.name in ("model", *RUN_FILES):
        return path.parent if path.parent.name else above
    inside = sorted(file.parent.name for file in path.glob(f"*/{RUN_FILES[0]}")) if path.is_dir() else []
    hint = f"; did you mean {str(above)!r}?" if above else f"; runs in it: {', '.join(inside)}" if inside else ""
    raise ConfigError(f"{path}: not a run (no {' and '.join(RUN_FILES)} in it){hint}")


def make_run_stem(method: str, recipe: str, root: str | Path | None, image_size: int) -> str:
    """Make the name of a run without its number: of the method, and of the data or else the recipe.

    Args:
        method: The name of the method.
        recipe: The name of the recipe.
        root: The folder of the faces; None = they have none.
        image_size: In pixels.

    Returns:
        Such as `stylegan2-photos-64`, or `stylegan2-drawn-32` for faces without a folder.
    """
    name = re.sub(r"[^A-Za-z0-9]+", "-", Path(root).name if root is not None else "").strip("-")[:40].rstrip("-")
    return f"{method}-{name}-{image_size}" if name else f"{method}-{recipe}"


def choose_run_folder(parent: Path, stem: str) -> Path:
    """Return `parent/stem-001`, or the path with the first number after those in use."""
    matches = (re.fullmatch(rf"{re.escape(stem)}-(\d+)", path.name) for path in parent.glob(f"{stem}-*"))
    return parent / f"{stem}-{max((int(match[1]) for match in matches if match), default=0) + 1:03d}"


def create_run_folder(path: Path) -> Path:
    """Create the folder that `choose_run_folder` named, or the next free number if another training has taken it."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:  # such as a link to a disk that is not there
        raise ConfigError(f"{path.parent}: cannot be written: {error.strerror or error}") from error
    while True:
        try:
            path.mkdir()
        except FileExistsError:
            path = choose_run_folder(path.parent, path.name.rpartition("-")[0])
        else:
            return path


def is_finished_run(folder: Path) -> bool:
    """Return whether a folder holds a run whose model has all planned iterations, or came from elsewhere."""
    try:
        model = json.loads((folder / "model" / "config.json").read_text())
        planned = read_yaml(folder / "config.yaml")["training"]["iterations"]
        return bool(model.get("iteration") is None or model["iteration"] >= planned)
    except (ConfigError, OSError, ValueError, LookupError, TypeError, AttributeError):  # missing or damaged
        return False


def explain_occupied_folder(folder: Path, *, ignores_lock: bool = False) -> str | None:
    """Return why nothing can be written to a folder; None if it is empty or missing.

    Args:
        folder: The folder.
        ignores_lock: Whether the folder may hold a lock and the draft of a config, which a killed training leaves. For
            trainings alone, which find out by locking it whether somebody holds it.
    """
    if folder.exists() and not folder.is_dir():
        return "a file of that name exists"
    files = list(folder.iterdir()) if folder.is_dir() else []
    others = [file for file in files if not (file.name == LOCK or file.match(CONFIG_DRAFTS))]
    if is_run_folder(folder):
        return f"the folder already holds a {'finished ' if is_finished_run(folder) else ''}run"
    if others:
        return "the folder already holds files"
    return "the folder is in use" if files and not ignores_lock else None
