"""The files of edited photos: their names, what would be replaced, and what an interruption leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, field
from pathlib import Path

from zoogan.errors import ConfigError
from zoogan.files import hash_file, write_text_atomically
from zoogan.names import join_problems
from zoogan.pictures.photo_files import SUFFIXES, choose_suffix, number_stem
from zoogan.workflows.interruptions import check_same_request
from zoogan.workflows.invert import Progress

FOLDER = Path("edits")
UNFINISHED = "unfinished-edits.json"

OpenProgress = Callable[[int, int], AbstractContextManager[Progress | None]]
"""Opens a progress display: (finished photos, photos) -> a context manager."""


def hide_photos(first: int, photos: int) -> AbstractContextManager[None]:
    """Show no progress."""
    return nullcontext()


@dataclass(frozen=True)
class EditedPhotos:
    """The result of `edit_photos`.

    Attributes:
        paths: The files written.
        problems: A sentence for each photo that could not be edited.
        left: Photos that are left because the edits were stopped.
    """

    paths: Sequence[Path]
    problems: Sequence[str] = ()
    left: int = 0


@dataclass(frozen=True)
class Target:
    """Where the edit of a photo in one style goes.

    Attributes:
        whole: The whole photo.
        stem: Start of the names of squares.
        ending: End of the names of squares, such as `-seed-3`.
    """

    whole: Path
    stem: str
    ending: str

    def name_square(self, kind: str) -> Path:
        """Name the file of a square, such as `-mask`."""
        return self.whole.with_name(f"{self.stem}{kind}{self.ending}.png")


@dataclass(frozen=True)
class PhotoJob:
    """A photo to edit.

    Attributes:
        number: Its number among all photos.
        photo: The file.
        targets: Where its edits go, one for each style.
        crop: Whether squares are saved instead of the photo.
    """

    number: int
    photo: Path
    targets: Sequence[Target]
    crop: bool

    @property
    def folder(self) -> Path:
        """The folder of its edits."""
        return self.targets[0].whole.parent

    @property
    def outputs(self) -> list[Path]:
        """The main file of each style."""
        return [target.name_square("-edited") if self.crop else target.whole for target in self.targets]


def plan_jobs(photos: Sequence[Path], endings: Sequence[str], out: Path | None, *, crop: bool) -> list[PhotoJob]:
    """Name the files of all edits. Of photos with one name, the later ones are numbered.

    Args:
        photos: The photos.
        endings: End of the names for each style.
        out: The folder; a file for one photo in one style; None = `edits`, where a single photo takes a free name.
        crop: Whether squares are saved instead of the photos.

    Raises:
        ConfigError: A file for more than one edit.
    """
    folder, taken = FOLDER if out is None else out, set()
    if out is not None and out.suffix.lower() in SUFFIXES and not out.is_dir():
        if len(photos) > 1 or len(endings) > 1 or crop:
            raise ConfigError(f"--out {out}: several pictures are saved; name a folder")
        return [PhotoJob(0, photos[0], [Target(out, out.stem, "")], crop)]
    if out is None and len(photos) == 1 and folder.is_dir():
        taken = {path.name for path in folder.iterdir()}
    jobs = []
    for number, photo in enumerate(photos):
        targets = []
        for ending in endings:
            last = f"{ending}{choose_suffix(photo)}"
            stem = number_stem(photo.stem, f"-edited{ending}.png" if crop else last, taken)
            targets.append(Target(folder / f"{stem}{last}", stem, ending))
            taken.add(f"{stem}-edited{ending}.png" if crop else f"{stem}{last}")
        jobs.append(PhotoJob(number, photo, targets, crop))
    return jobs


def check_outputs(jobs: Sequence[PhotoJob], overwrite: bool) -> None:
    """Check that no photo is replaced, and no other file without permission.

    Args:
        jobs: The photos that will be edited.
        overwrite: Whether files that exist may be replaced, on request or because an interrupted edit wrote them.

    Raises:
        ConfigError: Names the files.
    """
    photos = {job.photo.resolve() for job in jobs}
    existing = [path for job in jobs for path in job.outputs if path.exists()]
    if own := [f"{path}: this is a photo that is edited; choose another --out" for path in existing
               if path.resolve() in photos]:  # fmt: skip
        raise ConfigError(join_problems(own))
    if existing and not overwrite:
        raise ConfigError(
            join_problems([f"{path}: exists already" for path in existing])
            + "\nchoose another --out, or replace what is there with --overwrite"
        )


@dataclass
class UnfinishedEdits:
    """Remembers, in a file beside the edits of several photos, which of them are finished.

    Args:
        jobs: All photos of the request.
    """

    jobs: Sequence[PhotoJob]
    about: Mapping[str, str] = field(default_factory=dict)
    finished: dict[str, str] = field(default_factory=dict)
    is_open: bool = False

    @property
    def is_needed(self) -> bool:
        """Whether an interruption can leave something to go on with."""
        return len(self.jobs) > 1 or self.path.exists()

    @property
    def path(self) -> Path:
        """The file."""
        return self.jobs[0].folder / UNFINISHED

    def open(self, about: Mapping[str, str], resume: bool) -> None:
        """Read which photos are finished.

        Args:
            about: The request, see `describe_request`.
            resume: Whether to go on with an interrupted edit.

        Raises:
            ConfigError: There are interrupted edits and none are to go on, or the reverse, or they are of another
                request.
        """
        self.about, self.is_open = about, True
        if not self.path.exists():
            if resume:
                raise ConfigError(f"--resume: there are no interrupted edits in {self.path.parent}; remove --resume")
            return
        try:
            content = json.loads(self.path.read_text())
            stored, self.finished = dict(content["request"]), dict(content["finished"])
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigError(
                f"{self.path}: not the list of interrupted edits; remove it, or choose another --out"
            ) from None
        if not resume:
            raise ConfigError(
                f"{self.path}: edits were interrupted after {len(self.finished)} photos; add --resume, or remove the "
                "file"
            )
        check_same_request(self.path.parent, stored, about, "edits")

    def is_finished(self, job: PhotoJob) -> bool:
        """Return whether the photo was edited, is the same as then, and its edits are there."""
        stored = self.finished.get(str(job.photo))
        return stored is not None and all(path.exists() for path in job.outputs) and hash_file(job.photo) == stored

    def add(self, jobs: Sequence[PhotoJob]) -> None:
        """Remember that photos are finished."""
        if self.is_open:
            self.finished |= {str(job.photo): hash_file(job.photo) for job in jobs}
            content = {"request": dict(self.about), "finished": self.finished}
            write_text_atomically(self.path, json.dumps(content, indent=1) + "\n")

    def remove(self) -> None:
        """Remove the list: nothing is left to do."""
        if self.is_open:
            self.path.unlink(missing_ok=True)
