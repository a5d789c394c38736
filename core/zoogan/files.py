"""Atomic writing of files and folders, hashes, and readers of weight files. No pickle is executed."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import hashlib
import os
import shutil
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import platformdirs
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoogan.environment import read_variable
from zoogan.errors import ConfigError
from zoogan.foreign_files import explain_unreadable_weights
from zoogan.paths import check_regular_file, expand_path

WRAPPERS = ("state_dict", "model_state_dict")  # keys under which training scripts save networks beside other things
StateDict = dict[str, Tensor]
"""Tensors of a network by name."""


def get_cache_folder() -> Path:
    """Return the folder of everything that can be computed or downloaded again.

    It is $ZOOGAN_CACHE, else $XDG_CACHE_HOME/zoogan, else the platform's place, such as ~/.cache/zoogan on Linux and
    ~/Library/Caches/zoogan on macOS.
    """
    if chosen := read_variable("ZOOGAN_CACHE"):
        return expand_path(chosen)
    shared = Path(os.environ.get("XDG_CACHE_HOME", ""))
    if shared.is_absolute():  # the specification ignores relative paths
        return shared / "zoogan"
    return platformdirs.user_cache_path("zoogan", appauthor=False)


# ---- atomic and durable writing ----


@contextlib.contextmanager
def replace_file(path: Path) -> Iterator[Path]:
    """Write a file so that readers see the old content or the new one, also after a crash.

    Yields the path of a draft beside the target. Without an error the draft is synced to disk and renamed over the
    target; otherwise it is removed and the target stays as it was. The parent folder is created.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.{os.getpid()}.tmp")  # processes that share a cache write the same file
    try:
        yield draft
        sync_file(draft)
        os.replace(draft, path)
        sync_folder(path.parent)
    finally:
        draft.unlink(missing_ok=True)


def write_text_atomically(path: Path, text: str) -> None:
    """Write a text file as UTF-8, see `replace_file`."""
    with replace_file(path) as draft:
        draft.write_text(text, encoding="utf-8")


def write_tensors(path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None) -> None:
    """Write a safetensors file in place, not atomically, for drafts; elsewhere use `write_tensors_atomically`.

    The file gets the permissions of the umask, not the library's 0600.
    """
    save_file(copy_to_cpu(tensors), path, dict(metadata) if metadata else None)
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def write_tensors_atomically(
    path: Path, tensors: Mapping[str, Tensor], metadata: Mapping[str, str] | None = None
) -> None:
    """Write a safetensors file, see `replace_file`."""
    with replace_file(path) as draft:
        write_tensors(draft, tensors, metadata)


@contextlib.contextmanager
def replace_folder(path: Path) -> Iterator[Path]:
    """Write a folder so that the old content or the new one survives an interruption at any moment.

    Yields an empty draft folder beside the target. Without an error the draft is synced to disk, changes places with
    the old folder in one step, and the old folder is removed. Where the system has no such step the old folder is
    renamed aside and the draft takes its place: in between only the old folder exists, under its other name, where
    `find_folder` reads it, and the next write puts it back. One process at a time may write a folder. Missing parent
    folders are created, and removed again after an error.
    """
    missing = [parent for parent in path.parents if not parent.exists()]
    restore_folder(path)
    draft, old = path.parent / f".{path.name}.tmp", _name_aside(path)
    shutil.rmtree(draft, ignore_errors=True)  # left by a write that was killed
    draft.mkdir(parents=True)
    try:
        yield draft
        for file in draft.rglob("*"):
            (sync_folder if file.is_dir() else sync_file)(file)
        sync_folder(draft)
        if not path.exists():
            os.replace(draft, path)
        elif not exchange_folders(draft, path):
            os.replace(path, old)
            os.replace(draft, path)
        sync_folder(path.parent)
    finally:
        shutil.rmtree(draft, ignore_errors=True)
        restore_folder(path)
        if not path.exists():
            for parent in missing:
                with contextlib.suppress(OSError):  # not empty: something else was written there
                    parent.rmdir()


def exchange_folders(one: Path, other: Path) -> bool:
    """Exchange two folders in one step, so that there is no moment without either.

    Returns:
        Whether that was done. Linux and macOS can, on most file systems.
    """
    here, exchange = -100, 2  # AT_FDCWD; RENAME_EXCHANGE of Linux, RENAME_SWAP of macOS
    paths = os.fsencode(one.absolute()), os.fsencode(other.absolute())
    try:
        library = ctypes.CDLL(None)
        if sys.platform.startswith("linux"):
            return bool(library.renameat2(here, paths[0], here, paths[1], exchange) == 0)
        if sys.platform == "darwin":
            return bool(library.renamex_np(*paths, exchange) == 0)
    except (AttributeError, OSError, TypeError):  # an older C library, or a system without one
        pass
    return False


def find_folder(path: Path) -> Path:
    """Return the folder that holds the content: the folder itself, or the renamed old one after an interruption.

    Nothing is renamed, since another process may be between the two renames of `replace_folder`.
    """
    old = _name_aside(path)
    return old if not path.exists() and old.exists() else path


def restore_folder(path: Path) -> None:
    """Finish an interrupted `replace_folder`: put the old folder back if there is no new one, else remove it."""
    old = _name_aside(path)
    if path.exists():
        shutil.rmtree(old, ignore_errors=True)
    elif old.exists():
        os.replace(old, path)
        sync_folder(path.parent)


def _name_aside(path: Path) -> Path:
    """Return the name that a folder has while it is being replaced."""
    return path.parent / f".{path.name}.old"


def sync_file(path: Path) -> None:
    """Make the content of a file durable.

    Raises:
        OSError: The file cannot be written to disk.
    """
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_folder(path: Path) -> None:
    """Make the names in a folder durable, where the file system can."""
    with contextlib.suppress(OSError):  # some file systems cannot sync folders
        sync_file(path)


# ---- tensors and hashes ----


def copy_to_cpu(tensors: Mapping[str, Tensor]) -> StateDict:
    """Copy tensors to the CPU, contiguous and sharing no memory with each other."""
    return {key: value.detach().to("cpu", copy=True).contiguous() for key, value in tensors.items()}


def hash_file(path: Path) -> str:
    """Return the sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def list_checksums(folder: Path) -> dict[str, dict[str, Any]]:
    """List sha256 and size of the files of a folder by name."""
    return {file.name: {"sha256": hash_file(file), "bytes": file.stat().st_size} for file in sorted(folder.iterdir())}


def find_damaged_file(folder: Path, checksums: Mapping[str, Mapping[str, Any]]) -> str | None:
    """Find the first file that is not what `list_checksums` said of it.

    Returns:
        Its name and what is wrong with it; None if all are whole.
    """
    for name, entry in checksums.items():
        file = folder / name
        if not file.exists():
            return f"{name} is missing"
        if file.stat().st_size != entry["bytes"] or hash_file(file) != entry["sha256"]:
            return f"{name} does not match its checksum"
    return None


def list_not_finite(tensors: Mapping[str, Tensor]) -> list[str]:
    """List the names of the tensors that hold NaN or an infinity."""
    floats = {name: x for name, x in tensors.items() if x.is_floating_point() or x.is_complex()}
    return [name for name, x in floats.items() if not bool(torch.isfinite(x).all())]


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """Return the sha256 of named tensors, in hex: of names, types, shapes and values, on any device."""
    digest = hashlib.sha256()
    for name, value in sorted(copy_to_cpu(tensors).items()):
        digest.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        digest.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


# ---- reading weight files ----


def read_weights_file(path: Path) -> Any:
    """Read a safetensors file, or one that `torch.save` wrote; tensors are on the CPU.

    What a training script adds is taken off: a mapping around the networks (`{"state_dict": ...}`), and the prefix of
    `nn.DataParallel`.

    Raises:
        ConfigError: There is no such file, or it cannot be read without executing code.
    """
    path = expand_path(path)
    if not path.exists():
        raise ConfigError(f"{path}: no such file")
    check_regular_file(path, "a file of weights")
    try:
        content = load_file(path) if path.suffix == ".safetensors" else load_torch_file(path)
    except Exception as error:  # damaged files raise many kinds of errors in the readers
        reason = explain_unreadable_weights(path, error)
        raise ConfigError(f"{path}: not a state_dict that can be read without executing code: {reason}") from error
    return unwrap_content(content)


def read_tensors_file(path: Path) -> StateDict:
    """Read a safetensors file of our own.

    Raises:
        ConfigError: It is missing or damaged, or something else under its name, such as a git-lfs pointer.
    """
    try:
        return load_file(path)
    except (OSError, SafetensorError) as error:
        raise ConfigError(f"{path}: cannot be read: {explain_unreadable_weights(path, error)}") from error


def unwrap_content(content: Any) -> Any:
    """Return what a training script saved, without the mapping and the prefixes around the networks.

    Args:
        content: What the file holds.
    """
    if not isinstance(content, Mapping):
        return content
    for name in WRAPPERS:
        if isinstance(content.get(name), Mapping):
            return unwrap_content(content[name])
    if content and all(isinstance(key, str) and key.startswith("module.") for key in content):
        return unwrap_content({key.removeprefix("module."): value for key, value in content.items()})
    return {key: unwrap_content(value) if isinstance(value, Mapping) else value for key, value in content.items()}


def load_torch_file(path: Path) -> Any:
    """Read a file of `torch.save` with the restricted unpickler, which accepts only tensors and plain containers.

    It also accepts `argparse.Namespace`, a plain record in which many official files keep their arguments.
    """
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def as_state_dict(content: Any, path: Path) -> StateDict:
    """Check that content is names and tensors, and remove the prefix of `nn.DataParallel`.

    Args:
        content: What a file holds, or a part of it.
        path: The file, for messages.

    Raises:
        ConfigError: It is anything else.
    """
    is_named = isinstance(content, Mapping) and all(isinstance(key, str) for key in content)
    if not is_named or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise ConfigError(f"{path}: expected a bare state_dict (names and tensors)")
    if all(key.startswith("module.") for key in content):  # saved from inside nn.DataParallel
        return {key.removeprefix("module."): value for key, value in content.items()}
    return dict(content)


def map_layer_names(official: str, ours: str, parts: Sequence[str] = ("weight", "bias")) -> dict[str, str]:
    """Map the official names of one layer's tensors to our names."""
    return {f"{official}.{part}": f"{ours}.{part}" for part in parts}
