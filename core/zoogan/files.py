"""Files that are there whole or not at all. Tensors are safetensors; nothing is a pickle."""

from __future__ import annotations

import argparse
import hashlib
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoogan.errors import ConfigError


def get_cache_folder() -> Path:
    """Where what can be had again is kept: judges, statistics of real faces. `$ZOOGAN_CACHE`, or ~/.cache/zoogan."""
    return Path(os.environ.get("ZOOGAN_CACHE") or Path.home() / ".cache" / "zoogan").expanduser()


def replace_text(path: Path, text: str) -> None:
    """Write a file whole or not at all."""
    draft = path.with_name(f".{path.name}.tmp")
    draft.write_text(text)
    draft.replace(path)


def copy_to_cpu(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Contiguous CPU copies, none of which shares memory with another."""
    return {key: value.detach().to("cpu", copy=True).contiguous() for key, value in tensors.items()}


def write_tensors(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str] | None = None) -> None:
    """A safetensors file with the permissions that the umask asks for (the library leaves 0600). facts: metadata."""
    save_file(copy_to_cpu(tensors), path, dict(facts) if facts else None)
    umask = os.umask(0)
    os.umask(umask)
    path.chmod(0o666 & ~umask)


def hash_file(path: Path) -> str:
    """The sha256 of a file, in hex."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def hash_tensors(tensors: Mapping[str, Tensor]) -> str:
    """The sha256 of named tensors, in hex: of their names, kinds, shapes and values, wherever they are."""
    found = hashlib.sha256()
    for name, value in sorted(copy_to_cpu(tensors).items()):
        found.update(f"{name} {value.dtype} {tuple(value.shape)}".encode())
        found.update(value.flatten().view(torch.uint8).numpy().tobytes())
    return found.hexdigest()


def sync_to_disk(path: Path) -> None:
    """Make a file or folder durable."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    except OSError:  # some file systems cannot sync folders
        pass
    finally:
        os.close(descriptor)


StateDict = dict[str, Tensor]


def read_weights_file(path: Path) -> Any:
    """What a safetensors file or one of `torch.save` holds, tensors on the CPU.

    Raises:
        ConfigError: no such file, or one that cannot be read without executing code.
    """
    if not path.is_file():
        raise ConfigError(f"{path}: no such file")
    try:
        return load_file(path) if path.suffix == ".safetensors" else load_torch_file(path)
    except Exception as error:  # a damaged file can raise nearly anything from inside the readers
        reason = str(error).strip().splitlines() or [type(error).__name__]
        raise ConfigError(f"{path}: not a state_dict that can be read without executing code: {reason[0]}") from error


def as_state_dict(content: Any, path: Path) -> StateDict:
    """`content`, read from a file or a part of one, if it is names and tensors; without nn.DataParallel's prefix.

    Raises:
        ConfigError: it is anything else; names the file.
    """
    named = isinstance(content, Mapping) and all(isinstance(key, str) for key in content)
    if not named or not content or not all(isinstance(value, Tensor) for value in content.values()):
        raise ConfigError(f"{path}: expected a bare state_dict (names and tensors)")
    if all(key.startswith("module.") for key in content):  # saved from inside nn.DataParallel
        return {key.removeprefix("module."): value for key, value in content.items()}
    return dict(content)


def load_torch_file(path: Path) -> Any:
    """What `torch.save` wrote, by the unpickler that knows tensors and plain containers only.

    And `argparse.Namespace`, a plain record, in which many official files keep their arguments.
    """
    with torch.serialization.safe_globals([argparse.Namespace]):
        return torch.load(path, map_location="cpu", weights_only=True)


def map_layer_names(official: str, ours: str, parts: Sequence[str] = ("weight", "bias")) -> dict[str, str]:
    """Official name -> our name for the tensors of one layer."""
    return {f"{official}.{part}": f"{ours}.{part}" for part in parts}
