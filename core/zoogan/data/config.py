"""Configs of the sources. Imports no torch."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from zoogan.config import ConfigError, DataConfig, Names
from zoogan.config.registry import Registry
from zoogan.data.label_sets import AnyLabelSet, CelebAMaskLabelSet, built_in


class DrawnData(DataConfig):
    """Procedural portraits: nothing to download, every answer known.

    faces: how many the train split has. held_out: how many valid and test have, each. seed: of the renderer,
    apart from training's. probabilities: attribute -> share of faces that have it. cooccurrence: attribute ->
    cause -> P(attribute | cause), `{"Eyeglasses": {"Male": 0.9}}`; both as `zoogan.data.drawn` explains.
    label_set: the parts of the segmentation, made of CelebAMask-HQ's classes: a name, a YAML file or a mapping (see
    `zoogan.data.label_sets`).
    """

    source: Literal["drawn"] = "drawn"
    faces: int = Field(8000, ge=2, le=1_000_000)
    held_out: int = Field(1000, ge=1, le=1_000_000)
    seed: int = 0
    probabilities: dict[str, float] = Field(default_factory=dict)
    cooccurrence: dict[str, dict[str, float]] = Field(default_factory=dict)
    label_set: CelebAMaskLabelSet = Field(default_factory=partial(built_in, "celebamask-19"))


class FilesData(DataConfig):
    """A source on the disk. Recipes leave its root open, so that it is asked for when the source opens."""

    def folder(self) -> Path:
        """The root.

        Raises:
            ConfigError: it was not given, or is not a folder.
        """
        if self.root is None:
            raise ConfigError(f"data.root: source {self.source!r} reads files; say where they are with --root DIR")
        root = self.root.expanduser()
        if not root.is_dir():
            what = "is not a folder" if root.exists() else "is not there"
            raise ConfigError(f"data.root: {root} {what}; say where the source's files are with --root DIR")
        return root


class CelebAData(FilesData):
    """CelebA as it is distributed: `img_align_celeba/`, `list_attr_celeba.txt` and perhaps more lists.

    crop: side of the centre square in pixels of the 178 x 218 original; smaller copies are cropped likewise.
    split: partition = list_eval_partition.txt; identity = one person in five is test, by hash
    (identity_CelebA.txt); number = files 1..200000 train, the rest test (the SaGAN repository); shuffle =
    lines shuffled with seed 1234, the first 2,000 test (StarGAN); auto = by person where the identity file is
    there: the official partition if nobody is on two sides of it, else identity; without that file partition if
    it is there, else number.
    """

    source: Literal["celeba"] = "celeba"
    crop: int = Field(178, ge=16, le=178)
    split: Literal["auto", "partition", "identity", "number", "shuffle"] = "auto"


class CelebAMaskHQData(FilesData):
    """CelebAMask-HQ as it is distributed: `CelebA-HQ-img/`, and masks of each part in `CelebAMask-HQ-mask-anno/`, or
    label maps of all parts in `CelebAMask-HQ-mask/`.

    attributes: of `CelebAMask-HQ-attribute-anno.txt`, or else of `mask_derived_attr.txt`; none named = no list is read.
    label_set: the parts, made of CelebAMask-HQ's classes: a name, a YAML file or a mapping (zoogan.data.label_sets).
    masks: maps = label maps; parts = a mask a part; auto = label maps if there are any. split: number = images 0..27999
    train, the rest test (the official one); hash = a share of the images is test, by a hash of the number; auto =
    number if there are images on both sides of it. test_share: that share. crop: side of the centre square that is
    kept, as a share of the shorter side.
    """

    source: Literal["celebamask_hq"] = "celebamask_hq"
    attributes: Names = ()
    label_set: CelebAMaskLabelSet = Field(default_factory=partial(built_in, "celebamask-13"))
    masks: Literal["auto", "maps", "parts"] = "auto"
    split: Literal["auto", "number", "hash"] = "auto"
    test_share: float = Field(0.1, ge=0, lt=1)
    crop: float = Field(1.0, gt=0, le=1)


class FolderData(FilesData):
    """A folder of images with `labels.csv`: `file,Name1,...`, then a row an image, values 0/1 or -1/1.

    test_share: share of the images held out, by a hash of the file name, so that adding images moves none.
    crop: side of the centre square that is kept, as a share of the shorter side. label_set: the parts of a face: a
    name, a YAML file or a mapping (zoogan.data.label_sets). label_maps: folder in the root with the label map of each
    image, `a/1.png` for `a/1.jpg`, whose values count the classes of the label set; without it the parts are known, and
    no picture shows where they are.
    """

    source: Literal["folder"] = "folder"
    test_share: float = Field(0.1, ge=0, lt=1)
    crop: float = Field(1.0, gt=0, le=1)
    label_set: AnyLabelSet | None = None
    label_maps: str | None = None


class FoldersData(FilesData):
    """A folder of images for each domain: `female/`, `male/`; perhaps below `train/` and `val/` (or `test/`).

    attributes: the domains, by folder; none named = every folder. test_share: share of each folder that is held out, by
    a hash of the file name, where there is no `val` or `test` folder. crop: side of the centre square that is kept, as
    a share of the shorter side. heat_maps: read `heat_maps/<folder>/<image>.png` with each image, for the component
    `files` of heat maps.
    """

    source: Literal["folders"] = "folders"
    attributes: Names = ()
    test_share: float = Field(0.1, ge=0, lt=1)
    crop: float = Field(1.0, gt=0, le=1)
    heat_maps: bool = False
    finds_attributes: ClassVar[bool] = True


def register(registry: Registry) -> None:
    """Register the core's sources."""
    sources: dict[str, tuple[Any, str]] = {
        "drawn": (DrawnData, "zoogan.data.drawn.source:DrawnSource"),
        "celeba": (CelebAData, "zoogan.data.sources.celeba:CelebA"),
        "celebamask_hq": (CelebAMaskHQData, "zoogan.data.sources.celebamask_hq:CelebAMaskHQ"),
        "folder": (FolderData, "zoogan.data.sources.folder:Folder"),
        "folders": (FoldersData, "zoogan.data.sources.folders:Folders"),
    }
    for name, (config, build) in sources.items():
        registry.component("source", name, config=config, build=build)
