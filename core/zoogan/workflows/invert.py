"""Find the latents of photos, in batches, and save them."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from jaxtyping import Float
from torch import Tensor

from zoogan.auxiliary.image_distance import choose_image_distance
from zoogan.editors.inversion import Inversion
from zoogan.errors import ConfigError
from zoogan.interfaces import Unavailable
from zoogan.pictures.photo import save_image
from zoogan.runs.images import NORMALIZED
from zoogan.runs.latents import (
    LATENT_FORMAT,
    LATENT_SUFFIX,
    hash_generator,
    read_tagged_tensors,
    write_latents,
    write_tuned,
)
from zoogan.runs.loaded import LoadedRun
from zoogan.workflows.photos import Notify, Picture, ignore_note, make_free_path

BATCH = 8  # photos


class Progress(Protocol):
    """The progress display of one batch."""

    def advance(self, iteration: int) -> None:
        """Show that an iteration is done."""

    def report(self, iteration: int, terms: Mapping[str, float]) -> None:
        """Show the terms of an iteration."""


class ProgressFactory(Protocol):
    """Opens a progress display for one batch: (first iteration, iterations, photos) -> a context manager."""

    def __call__(self, first: int, iterations: int, photos: int, /) -> AbstractContextManager[Progress | None]:
        """Open the display."""


def hide_progress(first: int, iterations: int, photos: int, /) -> AbstractContextManager[None]:
    """Show no progress."""
    return nullcontext()


class StopRequest(Protocol):
    """Whether the user asked to stop."""

    @property
    def received(self) -> int | None:
        """The number of the signal."""


@dataclass(frozen=True)
class InversionFiles:
    """The files of one photo."""

    latent: Path
    picture: Path
    generator: Path


def make_inversion_files(photos: Sequence[Path], folder: Path) -> list[InversionFiles]:
    """Name the files of each photo below a folder."""
    pictures: list[Path] = []
    for photo in photos:
        pictures.append(make_free_path(folder, photo.stem, "inverted", pictures))
    bases = [path.name.removesuffix("-inverted.png") for path in pictures]
    return [
        InversionFiles(folder / f"{base}-latent{LATENT_SUFFIX}", picture, folder / f"{base}-generator{LATENT_SUFFIX}")
        for base, picture in zip(bases, pictures)
    ]


def check_replaceable(files: Sequence[InversionFiles], generator_hash: str) -> None:
    """Check, before a long search, that only latents of the same generator would be replaced.

    Args:
        files: Where the results go.
        generator_hash: Of the generator to be searched, see `hash_generator`.

    Raises:
        ConfigError: Every file that is no latent, or is one of another generator, at once.
    """
    problems = []
    for latent in (file.latent for file in files if file.latent.exists()):
        try:
            stored = read_tagged_tensors(latent, LATENT_FORMAT, "file of a latent")[1].get("generator", "?")
        except ConfigError as error:
            problems.append(f"{error}, and would be replaced: choose another --out, or remove it")
            continue
        if stored != generator_hash:
            problems.append(
                f"{latent}: holds a latent for another generator ({stored[:8]}) than this run's "
                f"({generator_hash[:8]}): another run's, or this one's before it was trained further; choose another "
                "--out, or remove it"
            )
    if problems:
        raise ConfigError("\n".join(problems))


def invert_in_batches(
    run: LoadedRun,
    photos: Sequence[Path],
    pictures: Sequence[Picture] | Float[Tensor, "n c s s"],
    *,
    stop: StopRequest | None = None,
    show_progress: ProgressFactory = hide_progress,
    notify: Notify = ignore_note,
    **settings: Any,
) -> Iterator[tuple[Sequence[Path], Inversion]]:
    """Find the latents of photos, a few photos at once.

    Args:
        run: A run that makes faces.
        photos: Names of the photos.
        pictures: The photos as bytes (3, h, w), or their squares as the run sees them, in [-1, 1].
        stop: Ends the search when a signal was received.
        show_progress: Opens a display for each batch.
        notify: Called with one sentence if the distance is not the published one.
        settings: Of `LoadedRun.invert`.

    Yields:
        The photos of a batch and the inversion of that batch.

    Raises:
        ConfigError: LPIPS was requested and is not available.
    """
    config = run.synthesis_editor.inversion.model_copy(update=settings)
    batch_size = 1 if config.tune else BATCH  # a generator is tuned to one photo
    iterations = config.iterations + (config.tune_iterations if config.tune else 0)
    if note := describe_image_distance(run, settings.get("likeness", "auto")):
        notify(note)
    for first in range(0, len(photos), batch_size):
        batch = photos[first : first + batch_size]
        with show_progress(0, iterations, len(batch)) as display:

            def watch(iteration: int, terms: dict[str, float], display: Progress | None = display) -> bool:
                if display is not None:
                    display.advance(iteration)
                    if terms and (iteration % 100 == 0 or iteration == iterations):
                        display.report(iteration, terms)
                return stop is not None and stop.received is not None

            some = pictures[first : first + batch_size]
            shown: Any = some if isinstance(some, Tensor) else list(some)
            inversion = run.invert(shown, watch=watch, value_range=NORMALIZED, **settings)
        yield batch, inversion
        if stop is not None and stop.received is not None:
            return


def describe_image_distance(run: LoadedRun, choice: Any) -> str | None:
    """Describe the distance of faces if it is not the published one.

    Args:
        run: A run that makes faces.
        choice: `auto`, `lpips` or `l1`.

    Returns:
        One sentence, or None.

    Raises:
        ConfigError: LPIPS was requested and is not available.
    """
    try:
        distance = choose_image_distance(choice, run.facts.image_size, run.device)
    except Unavailable as reason:
        raise ConfigError(f"--likeness {choice}: {reason}") from reason
    return f"faces are compared by {distance.name}: {distance.note}" if distance.note else None


def save_inversion(
    run: LoadedRun, face: Inversion, photo: Path, files: InversionFiles, settings: Mapping[str, Any]
) -> list[Path]:
    """Save the latent of one photo, its image, and the generator if one was tuned to it.

    Args:
        run: The run that was searched.
        face: The inversion of this photo alone.
        photo: The photo; its name is stored in the latent file.
        files: Where to write.
        settings: Settings that were given; stored in the latent file.

    Returns:
        The files written.
    """
    editor, facts = run.synthesis_editor, {}
    generator_hash = hash_generator(editor)
    save_image(face.image[0], files.picture)
    if face.generator is not None:
        facts = write_tuned(files.generator, face.generator, editor, generator_hash)
    about = {
        "photo": photo.name,
        "likeness": face.likeness,
        "loss": f"{float(face.loss):.6g}",
        "mean_loss": f"{float(face.mean_loss):.6g}",
        "iterations": face.iterations,
    }
    write_latents(face, [files.latent], generator_hash, [about | dict(settings) | facts])
    return [files.latent, files.picture, *([files.generator] if facts else [])]
