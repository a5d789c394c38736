"""The files of edited photos: their names, what would be replaced, and what an interruption leaves."""

from __future__ import annotations

import json
from collections.abc import Callable, Collection, Mapping, Sequence
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
        kinds: The squares that may be saved for each face, such as `mask`.
        faces: How many squares of the photo are edited.
    """

    number: int
    photo: Path
    targets: Sequence[Target]
    crop: bool
    kinds: Sequence[str] = ()
    faces: int = 1

    @property
    def folder(self) -> Path:
        """The folder of its edits."""
        return self.targets[0].whole.parent

    @property
    def outputs(self) -> list[Path]:
        """The main files of each style: the whole photo, or its edited squares."""
        if not self.crop:
            return [target.whole for target in self.targets]
        squares = list_squares(["edited"], self.faces)
        return [target.name_square(square) for target in self.targets for square in squares]

    @property
    def possible_outputs(self) -> list[Path]:
        """Every file that may be written."""
        squares = list_squares(self.kinds, self.faces)
        named = [target.name_square(square) for target in self.targets for square in squares]
        return list(dict.fromkeys([*self.outputs, *named]))


def list_places(faces: int) -> list[str]:
    """List what the names of squares say of their face: nothing if there is one, else `-face-1` and so on."""
    return [f"-face-{number}" for number in range(1, faces + 1)] if faces > 1 else [""]


def list_squares(kinds: Sequence[str], faces: int) -> list[str]:
    """List what follows the stem in the names of all squares, such as `-face-1-mask`."""
    return [f"{place}-{kind}" for place in list_places(faces) for kind in kinds]


def plan_jobs(
    photos: Sequence[Path],
    endings: Sequence[str],
    out: Path | None,
    *,
    crop: bool,
    kinds: Sequence[str] = (),
    faces: int = 1,
) -> list[PhotoJob]:
    """Name the files of all edits. Of photos whose edits would share a name, the later ones are numbered.

    Args:
        photos: The photos.
        endings: End of the names for each style.
        out: The folder; a file for one photo in one style; None = `edits`, where a single photo takes a free name.
        crop: Whether squares are saved instead of the photos.
        kinds: The squares that may be saved for each face beside the edited one, such as `mask`.
        faces: How many squares of each photo are edited.

    Raises:
        ConfigError: A file for more than one edit.
    """
    folder, taken = FOLDER if out is None else out, set()
    kinds = [*(["edited"] if crop else []), *kinds]
    if out is not None and out.suffix.lower() in SUFFIXES and not out.is_dir():
        if len(photos) > 1 or len(endings) > 1 or crop:
            raise ConfigError(f"--out {out}: several pictures are saved; name a folder")
        return [PhotoJob(0, photos[0], [Target(out, out.stem, "")], crop, kinds, faces)]
    if out is None and len(photos) == 1 and folder.is_dir():
        taken = {path.name for path in folder.iterdir()}
    jobs = []
    for number, photo in enumerate(photos):
        targets = []
        for ending in endings:
            last = f"{ending}{choose_suffix(photo)}"
            names = [f"{square}{ending}.png" for square in list_squares(kinds, faces)] + ([] if crop else [last])
            stem = number_stem(photo.stem, names, taken)
            targets.append(Target(folder / f"{stem}{last}", stem, ending))
            taken |= {f"{stem}{name}" for name in names}
        jobs.append(PhotoJob(number, photo, targets, crop, kinds, faces))
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
    existing = [path for job in jobs for path in job.possible_outputs if path.exists()]
    if own := [f"{path}: this is a photo that is edited; choose another --out" for path in existing
               if path.resolve() in photos]:  # fmt: skip
        raise ConfigError(join_problems(own))
    check_no_replacement(existing, overwrite)


def check_no_replacement(paths: Sequence[Path], overwrite: bool) -> None:
    """Check that no file would be replaced without permission.

    Args:
        paths: The files that will be written.
        overwrite: Whether files that exist may be replaced.

    Raises:
        ConfigError: Names the files.
    """
    if not overwrite and (existing := [path for path in paths if path.exists()]):
        raise ConfigError(
            join_problems([f"{path}: exists already" for path in existing])
            + "\nchoose another --out, or replace what is there with --overwrite"
        )


def choose_file(out: Path | None, default: str, overwrite: bool = False) -> Path:
    """Choose the file of a sheet, a table or a film: the named one, or the default one, numbered if it is taken.

    Args:
        out: The file that a person named; None = they named none.
        default: The name that it has by default.
        overwrite: Whether a file that exists may be replaced.

    Raises:
        ConfigError: The named file exists.
    """
    if out is not None or overwrite:
        path = Path(default) if out is None else out
        check_no_replacement([path], overwrite)
        return path
    stem, suffix = Path(default).stem, Path(default).suffix
    return Path(f"{number_stem(stem, [suffix], {path.name for path in Path().iterdir()})}{suffix}")


def plan_stems(
    stems: Sequence[str],
    endings: Sequence[str],
    out: Path | None,
    *,
    overwrite: bool = False,
    taken: Collection[str] = (),
) -> list[str]:
    """Choose the start of the names of each face's files. Equal ones are numbered.

    Args:
        stems: The names that the faces have: of their files, or `seed-7`.
        endings: What follows the stem in each file's name, such as `-edited.png`.
        out: The folder; None = `edits`, where faces take free names.
        overwrite: Whether files in a folder that was named may be replaced.
        taken: Names of other files that will be written.

    Raises:
        ConfigError: Files would be replaced; names them.
    """
    folder, used = FOLDER if out is None else out, set(taken)
    if out is None and not overwrite and folder.is_dir():
        used |= {path.name for path in folder.iterdir()}
    chosen = []
    for stem in stems:
        chosen.append(number_stem(stem, endings, used))
        used |= {f"{chosen[-1]}{ending}" for ending in endings}
    check_no_replacement([folder / f"{stem}{ending}" for stem in chosen for ending in endings], overwrite)
    return chosen


def describe_difference(photos: Sequence[str], others: Sequence[str]) -> str:
    """Describe the first photo of a list that another list does not have in its place; the same for equal lists."""
    same = next((i for i, (one, other) in enumerate(zip(photos, others)) if one != other), len(others))
    return f"number {same + 1} of {len(photos)} is {photos[same]}" if same < len(photos) else f"{len(photos)} photos"


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

    @property
    def photos(self) -> list[str]:
        """All photos of the request. They decide the names of the edits, and which files are the edits' own."""
        return [str(job.photo) for job in self.jobs]

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
            photos = [str(photo) for photo in content["photos"]]
        except (OSError, ValueError, KeyError, TypeError):
            raise ConfigError(
                f"{self.path}: not the list of interrupted edits; remove it, or choose another --out"
            ) from None
        if not resume:
            raise ConfigError(
                f"{self.path}: edits were interrupted after {len(self.finished)} photos; add --resume, or remove the "
                "file"
            )
        there, here = describe_difference(photos, self.photos), describe_difference(self.photos, photos)
        check_same_request(self.path.parent, stored | {"photos": there}, {**about, "photos": here}, "edits")

    def is_finished(self, job: PhotoJob) -> bool:
        """Return whether the photo was edited, is the same as then, and its edits are there."""
        stored = self.finished.get(str(job.photo))
        return stored is not None and all(path.exists() for path in job.outputs) and hash_file(job.photo) == stored

    def add(self, jobs: Sequence[PhotoJob]) -> None:
        """Remember that photos are finished."""
        if self.is_open:
            self.finished |= {str(job.photo): hash_file(job.photo) for job in jobs}
            content = {"request": dict(self.about), "photos": self.photos, "finished": self.finished}
            write_text_atomically(self.path, json.dumps(content, indent=1) + "\n")

    def remove(self) -> None:
        """Remove the list: nothing is left to do."""
        if self.is_open:
            self.path.unlink(missing_ok=True)
