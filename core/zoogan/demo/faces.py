"""The faces of a demo: those that it starts with, photos that people bring, and faces that runs make."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Lock
from typing import Any

from jaxtyping import UInt8
from torch import Tensor

from zoogan.demo.uploads import decode_photo
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.pictures.box import Box
from zoogan.pictures.photo import convert_to_grey, crop_photo, resize_squares
from zoogan.workflows.faces import choose_boxes

KEPT_FACES = 64
KEPT_BYTES = 256 * 2**20  # of uploaded files
CHOOSER = "the button beside this"
GONE = "this face is no longer here: the demo keeps the newest ones. Drop the photo again"


@dataclass
class Face:
    """A face that edits start from or take something of.

    Attributes:
        name: Its file name in commands and downloads.
        crops: Its picture for each run, as bytes (c, s, s) at the run's size.
        boxes: The square of the photo that each run edits; none for other faces.
        chosen: The box that a person chose; None = nobody did.
        content: The uploaded file; None for other faces.
        seed: The seed that made it; None for other faces.
        truncation: The truncation that it was made with.
        segmentation: The parts of a source, and the part of each pixel (h, w), where the source knows them.
        layouts: Maps of its parts that people gave, by run.
        states: What runs found out about it, by run.
        key: Its name in requests, which cannot be guessed.
    """

    name: str
    crops: list[UInt8[Tensor, "c s s"]]
    boxes: Sequence[Box] = ()
    chosen: Box | None = None
    content: bytes | None = None
    seed: int | None = None
    truncation: float | None = None
    segmentation: tuple[tuple[str, ...], Tensor] | None = None
    layouts: dict[int, Tensor] = field(default_factory=dict)
    states: dict[int, Any] = field(default_factory=dict)
    key: str = field(default_factory=lambda: secrets.token_urlsafe(9))

    @property
    def kind(self) -> str:
        """`photo`, `seed` or `face`, which is one of the data's."""
        return "photo" if self.content is not None else "face" if self.seed is None else "seed"


def resize_for_runs(face: UInt8[Tensor, "3 h w"], facts: Sequence[Facts]) -> list[Tensor]:
    """Make the picture of a face for each run from a square that shows it as a run saw it.

    Args:
        face: The square.
        facts: The facts of each run.
    """
    colour = face.expand(3, -1, -1).contiguous()
    squares = [resize_squares([colour], one.image_size)[0] for one in facts]
    return [convert_to_grey(square) if one.channels == 1 else square for square, one in zip(squares, facts)]


def read_uploaded_photo(
    content: bytes, name: str, facts: Sequence[Facts], chosen: Box | None = None
) -> tuple[Face, list[str]]:
    """Read a photo, and choose the square of it that each run edits, as `zoo edit` does.

    Args:
        content: The file.
        name: Its name.
        facts: The facts of each run.
        chosen: The box that a person chose.

    Returns:
        (the face, sentences for the person).

    Raises:
        ConfigError: See `decode_photo`; the box is not inside the photo.
    """
    photo = decode_photo(content, name)
    found = [choose_boxes(photo, one, [] if chosen is None else [chosen], chooser=CHOOSER) for one in facts]
    boxes = [squares[0] for squares, _ in found]
    crops = [crop_photo(photo, one, box) for one, box in zip(facts, boxes)]
    notes = dict.fromkeys(note for _, some in found for note in some)
    return Face(name, crops, boxes, chosen, content), list(notes)


class FaceStore:
    """Keeps faces in memory: all of those at the start, and the newest of the others.

    Args:
        limit: How many others are kept.
        limit_bytes: How large their uploaded files may be together.
    """

    def __init__(self, limit: int = KEPT_FACES, limit_bytes: int = KEPT_BYTES) -> None:
        self.limit, self.limit_bytes = limit, limit_bytes
        self.pinned: dict[str, Face] = {}
        self.others: OrderedDict[str, Face] = OrderedDict()
        self._lock = Lock()

    def add(self, face: Face, *, pinned: bool = False) -> Face:
        """Keep a face, and drop the oldest ones beyond the limits."""
        with self._lock:
            if pinned:
                self.pinned[face.key] = face
                return face
            self.others[face.key] = face
            while len(self.others) > 1 and (len(self.others) > self.limit or self.count_bytes() > self.limit_bytes):
                self.others.popitem(last=False)
            return face

    def count_bytes(self) -> int:
        """Count the bytes of all uploaded files."""
        return sum(len(face.content or b"") for face in self.others.values())

    def get(self, key: str) -> Face:
        """Return a face, which then is the newest.

        Raises:
            ConfigError: It was dropped, or never was here.
        """
        with self._lock:
            if key in self.pinned:
                return self.pinned[key]
            if key not in self.others:
                raise ConfigError(GONE)
            self.others.move_to_end(key)
            return self.others[key]
