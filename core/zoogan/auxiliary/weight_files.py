"""Weight files of the networks that metrics look through: where they lie, how to get them, which they must be.

A number means something only with exactly these weights, so each file is held to its sha256 before it is read.
"""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor

from zoogan.files import get_cache_folder, hash_file
from zoogan.interfaces.metric import Unavailable
from zoogan.interfaces.world import World


@dataclass(frozen=True)
class WeightFile:
    """One file. what: of which network. url: where it may be downloaded; None = it must be put in place by hand."""

    name: str
    sha256: str
    what: str
    url: str | None = None
    source: str = ""


def weights_folder() -> Path:
    """$ZOOGAN_METRIC_WEIGHTS, or `metric_weights` in the cache: $ZOOGAN_CACHE or ~/.cache/zoogan."""
    named = os.environ.get("ZOOGAN_METRIC_WEIGHTS")
    if named:
        return Path(named).expanduser()
    return get_cache_folder() / "metric_weights"


def located(file: WeightFile, given: Path | None, metric: str, world: World, *, download: bool = False) -> Path:
    """The file, checked.

    Args:
        given: where the user says it is. metric: who asks, for messages. download: fetch it if it is nowhere.

    Raises:
        Unavailable: it is nowhere, cannot be fetched, or is another file.
    """
    path = given.expanduser() if given is not None else weights_folder() / file.name
    problem: Unavailable | None = None
    if download and given is None and file.url is not None:
        if world.rank == 0 and not path.is_file():
            try:
                fetch(file, path, metric)
            except Unavailable as error:
                problem = error
        world.barrier()  # the others wait for the file, or for the certainty that there will be none
    if problem is not None:
        raise problem
    if not path.is_file():
        raise Unavailable(f"{path}: no such file, the {file.what} weights. {advice(file, metric)}")
    found = hash_file(path)
    if found != file.sha256:
        raise Unavailable(
            f"{path}: not the {file.what} weights, sha256 {found[:12]}... instead of {file.sha256[:12]}...; "
            f"numbers would be comparable with nobody's. {advice(file, metric)}"
        )
    return path


def advice(file: WeightFile, metric: str) -> str:
    """What a person can do about a missing file."""
    where = file.url or file.source
    return (
        f"Put {file.name} ({where}) into {weights_folder()} or a folder named by ZOOGAN_METRIC_WEIGHTS, "
        f"or say where it is with {metric}.weights=PATH"
    )


def fetch(file: WeightFile, path: Path, metric: str) -> None:
    """Download a file, checked and renamed into place only when it is whole.

    Raises:
        Unavailable: no network, or something else came.
    """
    assert file.url is not None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        torch.hub.download_url_to_file(file.url, str(path), hash_prefix=file.sha256)
    except (URLError, OSError, RuntimeError) as error:
        raise Unavailable(f"the {file.what} weights could not be fetched ({error}). {advice(file, metric)}") from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """What `torch.save` wrote, by the unpickler that executes nothing.

    Raises:
        Unavailable: it cannot be read so.
    """
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # a damaged file can raise nearly anything from inside the reader
        raise Unavailable(f"{path}: not a state_dict that can be read without executing code ({error})") from error
