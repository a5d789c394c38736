"""Crop every picture of a folder to a square, so that a training sees faces in one place and at one size."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

import numpy as np
from jaxtyping import UInt8
from PIL import Image
from torch import Tensor

from zoogan.data.sources.image_files import PassedOver, list_images
from zoogan.errors import ConfigError
from zoogan.files import replace_file, write_text_atomically
from zoogan.names import join_problems
from zoogan.pictures.box import Box, find_centre_box, fit_square
from zoogan.pictures.photo import crop_box, read_photo, resize_squares
from zoogan.workflows.faces import find_cascade, find_faces, frame_face
from zoogan.workflows.parallel import map_in_threads

REQUEST = ".zoogan-crop.json"  # what a folder of squares was made with
LABELS = "labels.csv"
KEPT_SUFFIXES = (".jpg", ".jpeg", ".png", ".webp", ".bmp", ".tif", ".tiff")  # others become .png
QUALITY = 95
Place = Literal["box", "face", "centre"]


@dataclass(frozen=True)
class CropRequest:
    """How pictures are cropped.

    Attributes:
        box: The box of every picture, as text; None = another way.
        face: Whether the largest face is looked for.
        faceless: What becomes of a picture without a face: `centre`, or `skip` leaves it out.
        size: Side of the squares in pixels; None = as they are.
    """

    box: str | None = None
    face: bool = False
    faceless: str = "centre"
    size: int | None = None


@dataclass
class CroppedFolder:
    """What cropping a folder did.

    Attributes:
        folder: The folder of the squares.
        written: Number of squares that were written.
        kept: Number of squares that were there already.
        faces: Number of pictures written with a face found in them.
        faceless: Names of the pictures in which no face was found.
        problems: One sentence for each picture that could not be cropped.
        passed_over: Files that are no pictures, by kind.
    """

    folder: Path
    written: int = 0
    kept: int = 0
    faces: int = 0
    faceless: list[str] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    passed_over: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class _CroppedPicture:
    """What became of one picture."""

    name: str
    place: Place | None = None
    is_kept: bool = False
    problem: str | None = None


def crop_data(
    root: str | Path,
    out: str | Path,
    *,
    box: Box | None = None,
    face: bool = False,
    faceless: Literal["centre", "skip"] = "centre",
    size: int | None = None,
    overwrite: bool = False,
    watch: Callable[[int, int], None] | None = None,
) -> CroppedFolder:
    """Crop every picture of a folder to a square, and write it under the same name into another folder.

    The centre square is kept, or the box, or the square around the largest face. `labels.csv` is copied. A second call
    goes on where the first one stopped.

    Args:
        root: The folder; folders below it are read too.
        out: The folder of the squares, outside of `root`.
        box: A box of every picture, in pixels of the upright picture.
        face: Look for the largest face with OpenCV (the extra `zoogan[face]`), and frame it as CelebA does.
        faceless: Without a face, take the centre square, or leave the picture out.
        size: Side of the squares in pixels; None = no resizing.
        overwrite: Replace squares that were made with other settings.
        watch: Called with (pictures done, pictures in all).

    Returns:
        What was done; pictures that could not be cropped are among its problems.

    Raises:
        ConfigError: There are no pictures, `out` is inside `root` or holds something else, or the extra is missing.
    """
    root, out = Path(root).expanduser(), Path(out).expanduser()
    request = CropRequest(None if box is None else str(box), face, faceless, size)
    _check_request(root, out, request, overwrite)
    counts = PassedOver()
    names = list(list_images(root, passed_over=counts))
    if not names:
        raise ConfigError(
            f"{root}: no pictures in this folder; {f'passed over: {counts}' if counts else 'it is empty'}"
        )
    targets = _name_targets(names)
    if not (out / REQUEST).is_file():
        write_text_atomically(out / REQUEST, json.dumps(asdict(request), indent=2) + "\n")
    begin = (out / REQUEST).stat().st_mtime
    if (root / LABELS).is_file():
        shutil.copyfile(root / LABELS, out / LABELS)
    result = CroppedFolder(out, passed_over=dict(counts))
    crop = partial(_crop_picture, root, out, targets, box, request, begin)
    for done, picture in enumerate(map_in_threads(crop, names), start=1):
        result.kept += picture.is_kept
        result.written += picture.place is not None
        result.faces += picture.place == "face"
        if face and picture.place != "face" and not picture.is_kept and picture.problem is None:
            result.faceless.append(picture.name)
        if picture.problem is not None:
            result.problems.append(picture.problem)
        if watch is not None:
            watch(done, len(names))
    return result


def _check_request(root: Path, out: Path, request: CropRequest, overwrite: bool) -> None:
    """Check that folders and settings go together.

    Raises:
        ConfigError: Every problem, at once.
    """
    problems = []
    if not root.is_dir():
        problems.append(f"{root}: no such folder; name the folder of the pictures")
    if request.box is not None and request.face:
        problems.append("--box and --face both say where the square is; leave one of them out")
    if request.face and find_cascade() is None:
        problems.append("--face: faces are found with OpenCV, which is not installed; pip install 'zoogan[face]'")
    if request.faceless not in ("centre", "skip"):
        problems.append(f"--faceless {request.faceless}: expected centre or skip")
    elif request.faceless == "skip" and not request.face:
        problems.append("--faceless has no effect without --face; add --face")
    if request.size is not None and request.size < 1:
        problems.append(f"--size {request.size}: expected 1 or more pixels")
    if out.exists() and not out.is_dir():
        problems.append(f"--out {out}: a file of that name exists; name a folder")
    elif out.resolve().is_relative_to(root.resolve()):
        problems.append(f"--out {out}: lies in {root}, whose pictures it would join; name a folder beside it")
    elif out.is_dir() and any(out.iterdir()):
        problems += _compare_requests(out, request, overwrite)
    if problems:
        raise ConfigError("\n".join(problems))


def _compare_requests(out: Path, request: CropRequest, overwrite: bool) -> list[str]:
    """List why a folder that is not empty cannot be filled: it holds something else, or squares made otherwise."""
    path = out / REQUEST
    try:
        stored: Any = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return [f"--out {out}: holds files that `zoo data crop` did not write; name an empty folder"]
    except (OSError, ValueError):
        stored = None
    if stored == asdict(request):
        return []
    if overwrite:
        path.unlink()
        return []
    return [f"--out {out}: holds squares made with other settings; name another folder, or add --overwrite"]


def _name_targets(names: list[str]) -> dict[str, str]:
    """Choose the name of each square: that of its picture, or with .png for formats that are not written.

    Raises:
        ConfigError: Two pictures would get one name; the message lists the first few and counts them.
    """
    targets: dict[str, str] = {}
    taken: dict[str, str] = {}
    problems = []
    for name in names:
        path = Path(name)
        target = name if path.suffix.lower() in KEPT_SUFFIXES else path.with_suffix(".png").as_posix()
        if target.lower() in taken:
            problems.append(f"{name}: its square would replace that of {taken[target.lower()]}; rename one of them")
        taken[target.lower()] = name
        targets[name] = target
    if problems:
        raise ConfigError(join_problems(problems))
    return targets


def _crop_picture(
    root: Path, out: Path, targets: dict[str, str], box: Box | None, request: CropRequest, begin: float, name: str
) -> _CroppedPicture:
    """Crop one picture, unless its square is there and not older than the picture and the request."""
    source, target = root / name, out / targets[name]
    try:
        if target.is_file() and target.stat().st_mtime >= max(source.stat().st_mtime, begin):
            return _CroppedPicture(name, is_kept=True)
        photo = read_photo(source)
        square, place = _choose_square(photo, box, request)
        if square is None:
            return _CroppedPicture(name)
        picture = crop_box(photo, square)
        if request.size is not None:
            picture = resize_squares([picture], request.size)[0]
        _save_square(picture, target)
    except ConfigError as error:
        message = str(error)
        return _CroppedPicture(name, problem=message if str(source) in message else f"{source}: {message}")
    except OSError as error:
        return _CroppedPicture(name, problem=f"{target}: cannot be written ({error.strerror or error})")
    return _CroppedPicture(name, place)


def _choose_square(
    photo: UInt8[Tensor, "3 h w"], box: Box | None, request: CropRequest
) -> tuple[Box | None, Place | None]:
    """Choose the square of a picture, and say how; (None, None) leaves the picture out."""
    height, width = photo.shape[1:]
    if box is not None:
        return fit_square(box, width, height), "box"
    if request.face:
        if faces := find_faces(photo):
            return frame_face(faces[0], width, height), "face"
        if request.faceless == "skip":
            return None, None
    return find_centre_box(width, height, 1.0), "centre"


def _save_square(square: UInt8[Tensor, "3 s s"], path: Path) -> None:
    """Save a square in the format of its suffix, as exactly as that format can, atomically."""
    suffix = path.suffix.lower()
    options: dict[str, Any] = {"lossless": True} if suffix == ".webp" else {}
    if suffix in (".jpg", ".jpeg"):
        options = {"quality": QUALITY, "subsampling": 0}
    picture = Image.fromarray(np.ascontiguousarray(square.permute(1, 2, 0).numpy()))
    with replace_file(path) as draft:
        picture.save(draft, format=Image.registered_extensions()[suffix], **options)
