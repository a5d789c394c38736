"""Finds faces in photos with OpenCV's cascade, an optional extra (`zoogan[face]`) that downloads nothing."""

from __future__ import annotations

import importlib.util
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from jaxtyping import UInt8
from torch import Tensor

from zoogan.facts import Facts
from zoogan.pictures.box import Box, find_centre_box, fit_square
from zoogan.pictures.photo import WIDE, convert_to_grey, list_crop_warnings

CASCADE = "haarcascade_frontalface_default.xml"
SEARCHED = 1000  # longer side in pixels of the photo that is searched
SMALLEST = 16  # the smallest face, as a part of the photo's shorter side
NEIGHBOURS = 5  # hits that make a face
FRAME = 1.65  # side of a training crop / side of the face that the cascade finds in it (CelebA 1.66, CelebA-HQ 1.56)
RAISE = 0.1  # how far above the face the centre of the crop lies, as a share of the face (CelebA 0.14, CelebA-HQ 0.08)
SAME = 0.6  # overlap from which the centre square is taken to be the crop of the face
_IMPORTING = threading.Lock()
_LOADED = threading.local()  # a classifier for each thread; loading one takes as long as a search


def find_cascade() -> Path | None:
    """Find the cascade that OpenCV 4 brings; None if it is not installed (version 5 brings none)."""
    spec = importlib.util.find_spec("cv2")
    for folder in () if spec is None else spec.submodule_search_locations or ():
        path = Path(folder) / "data" / CASCADE
        if path.is_file():
            return path
    return None


def find_faces(photo: UInt8[Tensor, "3 h w"]) -> list[Box]:
    """Find the frontal faces of a photo, the largest first; none without the extra.

    Args:
        photo: The upright photo.

    Returns:
        The faces from brow to chin, as squares.
    """
    with _IMPORTING:  # two threads that import OpenCV at once fail
        cascade = find_cascade()
        if cascade is None:
            return []
        cv2: Any = importlib.import_module("cv2")
    grey = np.ascontiguousarray(convert_to_grey(photo)[0].numpy())
    zoom = min(1.0, SEARCHED / max(grey.shape))
    if zoom < 1:
        grey = cv2.resize(grey, None, fx=zoom, fy=zoom, interpolation=cv2.INTER_AREA)
    smallest = max(24, min(grey.shape) // SMALLEST)
    if not hasattr(_LOADED, "classifier"):
        _LOADED.classifier = cv2.CascadeClassifier(str(cascade))
    hits = _LOADED.classifier.detectMultiScale(grey, 1.1, NEIGHBOURS, minSize=(smallest, smallest))
    faces = [Box(*(round(int(number) / zoom) for number in hit)) for hit in hits]
    return sorted(faces, key=lambda face: (-face.width, face.left, face.top))


def frame_face(face: Box, width: int, height: int) -> Box:
    """Frame a face as training faces are cropped, with hair and neck, inside the photo.

    Args:
        face: What `find_faces` found.
        width: Width of the photo.
        height: Height of the photo.
    """
    side = min(round(face.width * FRAME), width, height)
    left = round(face.left + face.width / 2 - side / 2)
    top = round(face.top + face.height / 2 - RAISE * face.height - side / 2)
    return Box(min(max(left, 0), width - side), min(max(top, 0), height - side), side, side)


def choose_boxes(
    photo: UInt8[Tensor, "3 h w"],
    facts: Facts,
    boxes: Sequence[Box] = (),
    *,
    search: bool = True,
    chooser: str = "--box x,y,w,h",
) -> tuple[list[Box], list[str]]:
    """Choose the squares of a photo that are edited.

    Args:
        photo: The upright photo.
        facts: The facts of the run: `crop` and `image_size` are used.
        boxes: The boxes that a person named; none = the largest face, or else the centre square.
        search: Whether to look for faces if no box is named.
        chooser: What a person can use to name a box, for the sentences.

    Returns:
        (the squares, sentences for the person).

    Raises:
        ConfigError: A box is not inside the photo.
    """
    height, width = photo.shape[1:]
    if boxes:
        squares = [fit_square(box, width, height) for box in boxes]
        return squares, [note for square in squares for note in list_crop_warnings(photo, facts, square)]
    centre = find_centre_box(width, height, facts.crop)
    if not search or find_cascade() is None:
        return [centre], list_crop_warnings(photo, facts, chooser=chooser)
    faces = find_faces(photo)
    if not faces:
        is_wide = max(height, width) > WIDE * min(height, width)
        notes = [f"no face found, editing the centre square; {chooser} chooses the face"] if is_wide else []
        return [centre], notes + list_crop_warnings(photo, facts, centre)
    square = frame_face(faces[0], width, height)
    is_centred = square.measure_overlap(centre) >= SAME
    square = centre if is_centred else square
    count = f"{len(faces)} faces found, editing the largest" if len(faces) > 1 else "a face found, editing it"
    notes = [] if is_centred and len(faces) == 1 else [f"{count} at {square}; {chooser} picks another"]
    return [square], notes + list_crop_warnings(photo, facts, square)
