"""Reads and checks the photos for a run, and names the output files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from jaxtyping import UInt8
from torch import Tensor

from zoogan.config.layers import read_recipe
from zoogan.errors import ConfigError
from zoogan.names import join_problems
from zoogan.paths import cut_text
from zoogan.pictures.opening import describe_missing_photo
from zoogan.pictures.photo import list_crop_warnings, read_photo_files
from zoogan.pictures.provenance import is_drawn_picture
from zoogan.plugins.host import get_zoo
from zoogan.runs.latents import LATENT_SUFFIX
from zoogan.runs.loaded import LoadedRun

MAX_STEM = 200  # bytes of a photo's name in the names of its files
Notify = Callable[[str], None]
Picture = UInt8[Tensor, "3 h w"]


def ignore_note(note: str) -> None:
    """Drop a note: the default of every `notify` argument."""


def read_run_photos(run: LoadedRun, photos: Sequence[Path], notify: Notify = ignore_note) -> list[Picture]:
    """Read photos, and note those that the run will probably edit badly.

    Args:
        run: The run that edits them.
        photos: Image files.
        notify: Called with one sentence for each likely problem.

    Returns:
        The photos as bytes (3, h, w), in the same order.

    Raises:
        ConfigError: Files that cannot be read, all of them at once.
    """
    pictures = read_photo_files(list(photos))
    for photo, picture in zip(photos, pictures):
        for warning in list_crop_warnings(picture, run.facts):
            notify(f"{photo}: {warning}")
    if note := describe_drawn_run(run, photos):
        notify(note)
    return pictures


def describe_drawn_run(run: LoadedRun, photos: Sequence[Path]) -> str | None:
    """Say that a run knows drawn faces alone, and what edits real photos; None where all pictures are drawn.

    Args:
        run: The run that edits the pictures.
        photos: The files.
    """
    if run.config.data.source != "drawn" or all(map(is_drawn_picture, photos)):
        return None
    method, zoo = run.config.method, get_zoo()
    entry, advice = zoo.catalogue.get(method), []
    if entry is not None and any(weights.importer for weights in entry.weights):
        advice.append(f"`zoo import {method}` reads official weights (`zoo show {method}` names them)")
    spec = zoo.registry.methods[method]
    sources = [read_recipe(spec, name)["data"]["source"] for name in spec.list_recipes()]
    if source := next((source for source in sources if source != "drawn"), None):
        advice.append(f"`zoo train --model {method} --data {source} --root DIR` trains on photos that you may use")
    note = "this run has seen drawn faces only, so that edits of real photos come out badly"
    return f"{note}. For photos: {', and '.join(advice)}" if advice else note


def refuse_latent_files(photos: Sequence[Path]) -> None:
    """Refuse latent files, for a run that edits photos.

    Raises:
        ConfigError: Names every latent file.
    """
    files = [path for path in photos if path.suffix == LATENT_SUFFIX]
    if files:
        reason = "a latent is for a run that makes faces, and this one edits photos"
        raise ConfigError("\n".join(f"{path}: {reason}" for path in files))


def refuse_missing_photos(photos: Sequence[Path]) -> None:
    """Refuse photos that are not there, before the others are read.

    Raises:
        ConfigError: Names every missing file, with the nearest name beside it.
    """
    if problems := [describe_missing_photo(path) for path in photos if not path.exists()]:
        raise ConfigError(join_problems(problems))


def make_free_path(folder: Path, stem: str, kind: str, taken: Sequence[Path]) -> Path:
    """Make the path `folder/stem-kind.png`, numbered if an earlier photo of the same call has that name."""
    stem = cut_text(stem, MAX_STEM)
    path, number = folder / f"{stem}-{kind}.png", 2
    while path in taken:
        path, number = folder / f"{stem}-{number}-{kind}.png", number + 1
    return path


def crop_photos(run: LoadedRun, pictures: Sequence[Picture]) -> UInt8[Tensor, "n 3 s s"]:
    """Crop photos as the run's training images were cropped."""
    from zoogan.pictures.photo import crop_photo

    return torch.stack([crop_photo(picture, run.facts) for picture in pictures])
