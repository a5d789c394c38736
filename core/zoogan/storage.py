"""Files that are there whole or not at all. Tensors are safetensors; nothing is a pickle."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Mapping
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor


def cache_folder() -> Path:
    """Where what can be had again is kept: judges, statistics of real faces. `$ZOOGAN_CACHE`, or ~/.cache/zoogan."""
    return Path(os.environ.get("ZOOGAN_CACHE") or Path.home() / ".cache" / "zoogan").expanduser()


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(text)
    draft.replace(path)


def plain(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU copies, none of which shares memory with another."""
    return {key: value.detach().to("cpu", copy=True).contiguous() for key, value in tensors.items()}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> None:
    """A safetensors file with the permissions that the umask asks for (the library leaves 0600). facts: metadata."""
    save_file(plain(tensors), path, dict(facts) if facts else None)
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def digest(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def digest_of(tensors: Mapping[str, Tensor]) -> str:
    """The sha256 of named tensors, in hex: of their names, kinds, shapes and values, wherever they are."""
    found = hashlib.sha256()
    for name, value in sorted(plain(tensors).items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def sync(path: Path) -> None:
    """Make a file or folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some file systems cannot sync folders
        pass
    finally:
        os.close(descriptor)
