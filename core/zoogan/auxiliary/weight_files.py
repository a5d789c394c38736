"""Finds, downloads and checks the weight files of the networks that metrics use.

Numbers are comparable only with exactly these weights, so the sha256 of each file is checked before it is read.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from urllib.error import URLError

import torch
from torch import Tensor

from zoogan.environment import read_variable
from zoogan.files import get_cache_folder, hash_file, replace_file
from zoogan.foreign_files import explain_unreadable_weights
from zoogan.interfaces import Unavailable, World
from zoogan.paths import expand_path


@dataclass(frozen=True)
class WeightFile:
    """A published weight file.

    Attributes:
        name: Its file name.
        sha256: Its sha256.
        title: Name of its network, for messages.
        url: Where it may be downloaded; None = it must be put in place by hand.
        source: Where it comes from, for files without a URL.
    """

    name: str
    sha256: str
    title: str
    url: str | None = None
    source: str = ""


def get_weights_folder() -> Path:
    """Return the folder of metric weights: $ZOOGAN_METRIC_WEIGHTS, or `metric_weights` in the cache folder."""
    folder = read_variable("ZOOGAN_METRIC_WEIGHTS")
    if folder:
        return expand_path(folder)
    return get_cache_folder() / "metric_weights"


def find_weight_file(
    file: WeightFile, given: Path | None, metric: str, world: World, *, download: bool = False
) -> Path:
    """Find a weight file and check its sha256.

    Args:
        file: The file.
        given: Path from the user; None = in the folder of metric weights.
        metric: Name of the metric, for messages.
        world: The processes; the first one downloads and the others wait.
        download: Download the file if it is missing and nothing was given.

    Raises:
        Unavailable: The file is missing, cannot be downloaded, or is another file.
    """
    path = expand_path(given) if given is not None else get_weights_folder() / file.name
    problem: Unavailable | None = None
    if download and given is None and file.url is not None:
        if world.rank == 0 and not path.is_file():
            try:
                download_weights(file, path, metric)
            except Unavailable as error:
                problem = error
        world.barrier()  # the others wait until the download has finished or failed
    if problem is not None:
        raise problem
    if not path.is_file():
        raise Unavailable(f"{path}: no such file, the {file.title} weights. {explain_weights(file, metric)}")
    digest = hash_file(path)
    if digest != file.sha256:
        raise Unavailable(
            f"{path}: not the {file.title} weights, sha256 {digest[:12]}... instead of {file.sha256[:12]}...; "
            f"its numbers would not be comparable. {explain_weights(file, metric)}"
        )
    return path


def explain_weights(file: WeightFile, metric: str) -> str:
    """Explain how to get a missing file and where to put it."""
    origin = file.url or file.source
    return (
        f"Put {file.name} ({origin}) into {get_weights_folder()} or a folder named by ZOOGAN_METRIC_WEIGHTS, "
        f"or give its path with {metric}.weights=PATH"
    )


def download_weights(file: WeightFile, path: Path, metric: str) -> None:
    """Download a file, which is checked and renamed into place when it is whole.

    Raises:
        Unavailable: There is no network, or another file came.
    """
    assert file.url is not None
    try:
        with replace_file(path) as draft:
            torch.hub.download_url_to_file(file.url, str(draft), hash_prefix=file.sha256)
    except (URLError, OSError, RuntimeError) as error:
        message = f"the {file.title} weights could not be fetched ({error}). {explain_weights(file, metric)}"
        raise Unavailable(message) from error


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Read a state_dict that `torch.save` wrote, with the unpickler that executes nothing.

    Raises:
        Unavailable: It cannot be read this way.
    """
    try:
        return dict(torch.load(path, map_location="cpu", weights_only=True))
    except Exception as error:  # damaged files raise many kinds of errors in the reader
        reason = explain_unreadable_weights(path, error)
        raise Unavailable(f"{path}: not a state_dict that can be read without executing code: {reason}") from error
