"""Settings of the sources. Imports no torch."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Any, ClassVar, Literal

from pydantic import Field

from zoogan.config import Changeable, DataConfig, Names
from zoogan.config.registry import Registry
from zoogan.data.label_sets import AnyLabelSet, CelebAMaskLabelSet, load_label_set
from zoogan.errors import ConfigError


class DrawnData(DataConfig):
    """Settings of the drawn faces: nothing to download, and every label is known exactly.

    Attributes:
        faces: Number of faces of the train split.
        held_out: Number of faces of the valid split, and of the test split.
        seed: Seed of the renderer, independent of the training's.
        probabilities: Attribute -> share of the faces that have it, as `zoogan.data.drawn` explains.
        cooccurrence: Attribute -> cause -> P(attribute | cause), as in `{"Eyeglasses": {"Male": 0.9}}`.
        label_set: The parts of the segmentation, made of CelebAMask-HQ's classes; a name, a YAML file or a mapping
            (`zoogan.data.label_sets`).
    """

    reads_files: ClassVar[bool] = False

    source: Literal["drawn"] = "drawn"
    faces: int = Field(8000, ge=2, le=1_000_000)
    held_out: int = Field(1000, ge=1, le=1_000_000)
    seed: int = 0
    probabilities: dict[str, float] = Field(default_factory=dict)
    cooccurrence: dict[str, dict[str, float]] = Field(default_factory=dict)
    label_set: CelebAMaskLabelSet = Field(default_factory=partial(load_label_set, "celebamask-19"))


class FilesData(DataConfig):
    """Settings of a source on the disk. Recipes leave its root open, and the source requires it when it opens."""

    def get_root(self) -> Path:
        """Return the root folder.

        Raises:
            ConfigError: The root was not given, or is not a folder.
        """
        if self.root is None:
            raise ConfigError(f"data.root: source {self.source!r} reads files; say where they are with --root DIR")
        root = self.root.expanduser()
        if not root.is_dir():
            reason = "is not a folder" if root.exists() else "is not there"
            raise ConfigError(f"data.root: {root} {reason}; say where the source's files are with --root DIR")
        return root


class CelebAData(FilesData):
    """Settings of CelebA as it is distributed: `img_align_celeba/`, `list_attr_celeba.txt` and perhaps more lists.

    Attributes:
        crop: Side of the centre square, in pixels of the 178 x 218 original; smaller copies are cropped in proportion.
        split: partition = list_eval_partition.txt; identity = one person in five is test, by hash
            (identity_CelebA.txt); number = files 1 to 200000 are train, the rest test (the SaGAN repository);
            shuffle = lines shuffled with seed 1234, the first 2,000 are test (StarGAN); auto = with identity_CelebA.txt
            the official partition if it divides no person, else identity; without that file partition if its list is
            there, else number.
    """

    source: Literal["celeba"] = "celeba"
    crop: int = Field(178, ge=16, le=178)
    split: Literal["auto", "partition", "identity", "number", "shuffle"] = "auto"


class CelebAMaskHQData(FilesData):
    """Settings of CelebAMask-HQ as it is distributed.

    The folder holds `CelebA-HQ-img/`, and a mask of each part in `CelebAMask-HQ-mask-anno/` or a label map of all parts
    in `CelebAMask-HQ-mask/`.

    Attributes:
        attributes: Names from `CelebAMask-HQ-attribute-anno.txt`, or else from `mask_derived_attr.txt`; empty = no list
            is read.
        label_set: The parts, made of CelebAMask-HQ's classes; a name, a YAML file or a mapping
            (`zoogan.data.label_sets`).
        masks: maps = label maps; parts = one mask a part; auto = label maps if there are any.
        split: number = images 0 to 27999 are train, the rest test (the official split); hash = the share `test_share`
            of the images is test, by a hash of the number; auto = number if it leaves images in both, else hash.
        test_share: Share of the images in the test split of split=hash.
        crop: Side of the centre square that is kept, as a share of the shorter side.
    """

    source: Literal["celebamask_hq"] = "celebamask_hq"
    attributes: Names = ()
    label_set: CelebAMaskLabelSet = Field(default_factory=partial(load_label_set, "celebamask-13"))
    masks: Literal["auto", "maps", "parts"] = "auto"
    split: Literal["auto", "number", "hash"] = "auto"
    test_share: float = Field(0.1, ge=0, lt=1)
    crop: float = Field(1.0, gt=0, le=1)


class FolderData(FilesData):
    """Settings of a folder of images with `labels.csv`: `file,Name1,...`, then a row an image.

    Values are 0 or -1 and 1, no and yes, or false and true; the separator is a comma, a semicolon or a tab.

    Attributes:
        unmatched: fail = images without a row in labels.csv, and rows without an image, are mistakes; skip = they are
            left out and counted.
        test_share: Share of the images in the test split, by a hash of the file name, so that adding images moves none.
        crop: Side of the centre square that is kept, as a share of the shorter side.
        label_set: The parts of a face; a name, a YAML file or a mapping (`zoogan.data.label_sets`).
        label_maps: Folder in the root with the label map of each image, `a/1.png` for `a/1.jpg`; its values are indices
            of the classes of the label set. Default: the source has parts, but no segmentation.
    """

    source: Literal["folder"] = "folder"
    unmatched: Literal["fail", "skip"] = "fail"
    test_share: float = Field(0.1, ge=0, lt=1)
    crop: float = Field(1.0, gt=0, le=1)
    label_set: AnyLabelSet | None = None
    label_maps: str | None = None


class FoldersData(FilesData):
    """Settings of a folder of images for each domain: `female/`, `male/`; or these in `train/` and `val/` (or `test/`).

    `trainA/`, `trainB/`, `testA/` (CycleGAN) and `female/train/`, `female/test/` are understood too.

    Attributes:
        attributes: The domains, by folder name; empty = every folder.
        test_share: Share of each folder in the test split, by a hash of the file name, where there is no `val` or
            `test` folder.
        crop: Side of the centre square that is kept, as a share of the shorter side.
        heat_maps: Read `heat_maps/<folder>/<image>.png` with each image, for the heat maps component `files`.
    """

    source: Literal["folders"] = "folders"
    attributes: Names = ()
    test_share: float = Field(0.1, ge=0, lt=1)
    crop: float = Field(1.0, gt=0, le=1)
    heat_maps: bool = False
    finds_attributes: ClassVar[bool] = True


class ShardsData(FilesData):
    """Settings of faces in tar files with an index, as `zoo data pack` writes them.

    Attributes:
        url: Where they are instead of `root`, for all that fsspec opens, such as s3://bucket/folder; needs
            zoogan[remote].
        attributes: Names in the index; empty = all of them.
        crop: Side of the centre square that is kept, as a share of the shorter side; null = as the index says.
        window: Shards whose faces are mixed, and which a need has open at a time.
        cache_mb: MB of shards of a url that are kept in the cache folder.
    """

    source: Literal["shards"] = "shards"
    url: Changeable[str | None] = None
    attributes: Names = ()
    crop: float | None = Field(None, gt=0, le=1)
    window: int = Field(16, ge=1)
    cache_mb: Changeable[int] = Field(8192, ge=1)
    finds_attributes: ClassVar[bool] = True


def register(registry: Registry) -> None:
    """Register the sources of the core."""
    sources: dict[str, tuple[Any, str]] = {
        "drawn": (DrawnData, "zoogan.data.drawn.source:DrawnSource"),
        "celeba": (CelebAData, "zoogan.data.sources.celeba:CelebA"),
        "celebamask_hq": (CelebAMaskHQData, "zoogan.data.sources.celebamask_hq:CelebAMaskHQ"),
        "folder": (FolderData, "zoogan.data.sources.folder:Folder"),
        "folders": (FoldersData, "zoogan.data.sources.folders:Folders"),
        "shards": (ShardsData, "zoogan.data.shards.source:Shards"),
    }
    for name, (config, build) in sources.items():
        registry.component("source", name, config=config, build=build)
