"""Faces that cannot be read: replaced by others of the same kind, counted and reported (`data.on_bad=skip`)."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence

import torch
from torch import Tensor

from zoogan.data.sources.attribute_columns import DataWarning
from zoogan.errors import ConfigError
from zoogan.interfaces.source import Source, Split
from zoogan.names import join_problems

ATTEMPTS = 100  # replacements that are tried for one face
UNREADABLE = (ConfigError, OSError)


class FaceReader:
    """Reads faces of a split, and other faces in the place of those that cannot be read.

    Args:
        source: The source.
        split: The split.
        skip: Replace faces; otherwise the error of the first one is raised.

    Attributes:
        bad: Why a face could not be read, by the name of its file; those that `take_bad` has not returned yet.
    """

    def __init__(self, source: Source, split: Split, skip: bool) -> None:
        self.source, self.split, self.skip = source, split, skip
        self.bad: dict[str, str] = {}
        self._known: set[int] = set()

    def read(
        self, indices: Sequence[int], choose: Callable[[int, int], int]
    ) -> tuple[dict[str, Tensor], Sequence[int]]:
        """Read faces.

        Args:
            indices: Numbers of the faces.
            choose: (row, attempt) -> number of the face that replaces the one in this row. A pure function, so that a
                resumed training and any number of workers read the same faces.

        Returns:
            (tensors by field, numbers of the faces that were read).

        Raises:
            ConfigError: A face cannot be read, and faces are not replaced, or no replacement can be read.
        """
        if not self.skip:
            return self.source.read(self.split, indices), indices
        if self._known.isdisjoint(indices):
            try:
                return self.source.read(self.split, indices), indices
            except UNREADABLE:
                pass  # one by one, to find which
        faces = [self._read_face(index, row, choose) for row, index in enumerate(indices)]
        fields = {name: torch.cat([face[name] for face, _ in faces]) for name in faces[0][0]}
        return fields, [index for _, index in faces]

    def _read_face(self, index: int, row: int, choose: Callable[[int, int], int]) -> tuple[dict[str, Tensor], int]:
        """Read one face, or the first replacement that can be read."""
        for attempt in range(ATTEMPTS + 1):
            candidate = choose(row, attempt) if attempt else index
            if candidate in self._known:
                continue
            try:
                return self.source.read(self.split, [candidate]), candidate
            except UNREADABLE as error:
                self._known.add(candidate)
                self.bad[self._name_face(candidate)] = str(error)
        raise ConfigError(
            f"data: none of {ATTEMPTS} faces drawn in the place of {self._name_face(index)} can be read; the last "
            f"problems:\n{join_problems(list(self.bad.values()))}"
        )

    def _name_face(self, index: int) -> str:
        """Return the file of a face, or its number where faces are no files."""
        files = self.source.list_files(self.split)
        return f"face {index} of {self.split}" if files is None else str(files[0] / files[1][index])

    def take_bad(self) -> dict[str, str]:
        """Return the faces that were found bad since the last call."""
        bad, self.bad = self.bad, {}
        return bad


class BadFaces(dict[str, str]):
    """The faces that a training could not read: reported once each, up to a limit.

    Args:
        faces: Number of faces of the split.
        share: The share of them that may be bad.
    """

    def __init__(self, faces: int, share: float) -> None:
        super().__init__()
        self.faces, self.share = faces, share

    def report(self, bad: Mapping[str, str]) -> None:
        """Warn about each face that was not reported before.

        Args:
            bad: Reason by name.

        Raises:
            ConfigError: More faces are bad than the limit allows; the message names the first few and counts them.
        """
        for name, reason in bad.items():
            if name not in self:
                self[name] = reason
                warnings.warn(f"skipped {_describe(name, reason)}", DataWarning, stacklevel=4)
        if bad and len(self) > self.share * self.faces:
            raise ConfigError(
                f"data.max_bad={self.share}: {len(self)} of {self.faces} training faces cannot be read, more than "
                f"{100 * self.share:.3g} %:\n{join_problems([_describe(*item) for item in self.items()])}\n"
                "See all of them with: zoo data check ROOT. Replace or remove them, or raise data.max_bad"
            )

    def report_total(self) -> None:
        """Warn how many faces were skipped in all, if there were any."""
        if self:
            message = f"{len(self)} of {self.faces} training faces could not be read and were skipped"
            warnings.warn(message, DataWarning, stacklevel=4)


def _describe(name: str, reason: str) -> str:
    """Describe a bad face in one line; the reason usually begins with its file."""
    return reason if name in reason else f"{name}: {reason}"
