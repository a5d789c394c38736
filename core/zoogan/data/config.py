"""Configs of the sources. Imports no torch."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field, field_validator

from zoogan.config import DataConfig
from zoogan.registry import Registry


class DrawnData(DataConfig):
    """Drawn faces: procedural portraits with known attributes, parts and pose; the embedded default.

    faces: how many are drawn to train on. held_out: how many to validate and to test on, each. seed: of the renderer.
    probabilities: attribute -> share of faces that show it. cooccurrence: attribute -> given attribute -> that share
    among faces that show the given one.
    """

    source: Literal["drawn"] = "drawn"
    faces: int = Field(8000, ge=1)
    held_out: int = Field(1000, ge=1)
    seed: int = 0
    probabilities: dict[str, float] = Field(default_factory=dict)
    cooccurrence: dict[str, dict[str, float]] = Field(default_factory=dict)


class RootedData(DataConfig):
    """A source that reads a folder of the user's."""

    root: Path | None = Field(None, validate_default=True)

    @field_validator("root")
    @classmethod
    def root_is_named(cls, root: Path | None) -> Path:
        """The folder must be named."""
        if root is None:
            raise ValueError("this source reads a folder: name it with --root DIR")
        return root


class CelebAData(RootedData):
    """CelebA in its official layout (aligned 178x218 pictures, or smaller copies of the same shape).

    crop: side of the centre square in pixels of the 178x218 original. split: partition (list_eval_partition.txt),
    identity (by person, 20 % test), number (files 1-200,000 train), shuffle (seed 1234, 2,000 test), or auto: the
    partition file if it keeps people apart, else by identity, each where its file is there, else number.
    """

    source: Literal["celeba"] = "celeba"
    crop: int = Field(178, ge=16, le=178)
    split: Literal["auto", "partition", "identity", "number", "shuffle"] = "auto"


class FolderData(RootedData):
    """A folder of images with a labels.csv (`file,Name1,...`, values 0/1 or -1/1).

    crop: side of the centre square as a share of the shorter side. test_share: files held out, by hash of their name.
    """

    source: Literal["folder"] = "folder"
    crop: float = Field(1.0, gt=0, le=1)
    test_share: float = Field(0.1, ge=0, lt=1)


def register(registry: Registry) -> None:
    """Register the sources."""
    registry.component("source", "drawn", config=DrawnData, build="zoogan.data.drawn_source:DrawnSource")
    registry.component("source", "celeba", config=CelebAData, build="zoogan.data.celeba:CelebA")
    registry.component("source", "folder", config=FolderData, build="zoogan.data.folder:Folder")
