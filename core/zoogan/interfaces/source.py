"""The source role: a data set of faces."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, Literal

from jaxtyping import Float, Int64
from pydantic import BaseModel
from torch import Tensor

from zoogan.interfaces.fields import Field

Split = Literal["train", "valid", "test"]
"""A split of a source."""
MAX_HASHED_SIZES = 1000  # most files whose sizes a fingerprint hashes, to stay fast for large data sets
LOADING_SETTINGS = {
    "batch",
    "workers",
    "flip",
    "balance",
    "prepare",
    "on_bad",
    "max_bad",
}  # settings of a source that change none of its pictures


class Source(ABC):
    """Role `source`: indexed faces in splits, read in batches.

    Attributes:
        fields: Fields that `read` returns.
        extra_fields: Fields that are not in `FIELDS`, with their shapes. A class attribute, so that games that read
            them can be rehearsed without data.
        image_size: Height and width in pixels.
        attributes: Names of the attribute columns, in the order of the config.
        exclusive: Groups of these attributes of which a face shows at most one.
        groups: Every exclusive group of the source, also of attributes that the config does not name.
        parts: Names of the classes of `segmentation`, the background first; a source may name them without having any.
        transparent: Parts that light shines through.
        mirrored: Pairs of parts that swap when an image is flipped.
        crop: Side of the centre square kept of an image, as a share of its shorter side; a person's own photos get the
            same crop.
        window: Shards that are read together, for sources with `list_shards`.
    """

    fields: tuple[str, ...] = ("image", "attributes")
    extra_fields: Mapping[str, Field] = MappingProxyType({})
    image_size: int
    attributes: tuple[str, ...]
    exclusive: tuple[tuple[str, ...], ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    parts: tuple[str, ...] = ()
    transparent: tuple[str, ...] = ()
    mirrored: tuple[tuple[str, str], ...] = ()
    crop: float = 1.0
    window: int = 16

    @classmethod
    def list_attributes(cls, config: Any) -> tuple[str, ...]:
        """Return all attributes that a config may ask for, without reading an image. By default those of the config.

        Args:
            config: Settings of the source, a `DataConfig`.
        """
        return config.attributes

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains that the attributes make, see `make_domain_names`; empty if they make none."""
        return make_domain_names(self.attributes, self.exclusive)

    def read_domains(self, split: Split) -> Int64[Tensor, " n"]:
        """Return the domain of each face, an index into `domains`.

        -1 = the face shows none or several, or something hides it.
        """
        labels, visible = self.read_labels(split), self.read_visibility(split)
        domains = find_domains(labels, len(self.domains))
        return domains if visible is None else domains.masked_fill((visible < 0.5).any(1), -1)

    @property
    def mirrored_parts(self) -> tuple[int, ...]:
        """The part that each part becomes in a flipped image: one index into `parts` for each part."""
        swapped = dict(self.mirrored) | {b: a for a, b in self.mirrored}
        return tuple(self.parts.index(swapped.get(part, part)) for part in self.parts)

    @abstractmethod
    def count_faces(self, split: Split) -> int:
        """Return the number of faces of a split; 0 if there is no such split."""

    @abstractmethod
    def read_labels(self, split: Split) -> Float[Tensor, "n a"]:
        """Return all labels of a split, 0 or 1, without reading an image (for balancing and checks)."""

    @abstractmethod
    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """Read faces.

        Args:
            split: The split.
            indices: Numbers of the faces in the split.

        Returns:
            Tensor by field: `image` uint8 (n, 3, s, s), `attributes` float (n, a), and what else `fields` names, such
            as `segmentation` uint8 (n, s, s), indices into `parts`.
        """

    def list_files(self, split: Split) -> tuple[Path, Sequence[str]] | None:
        """Return the root and each face's image file, relative to it; None if the faces are not files."""
        return None

    def list_side_files(self, split: Split) -> tuple[Path, Sequence[str]] | None:
        """Return the root and the files beside the images that `read` reads, such as label maps, relative to it.

        None if they are unknown; then what `read` makes of them may not be cached. A source that reads more than
        images and labels overrides this method.
        """
        return (Path(), ()) if {*self.fields} <= {"image", "attributes", "visible"} else None

    def list_shards(self, split: Split) -> Int64[Tensor, " n"] | None:
        """Return the number of the file that holds each face, if faces lie together in large files; None if not.

        Streams then read such files one window after the other, instead of all at once.
        """
        return None

    def expect_shards(self, reader: str, now: Sequence[int], soon: Sequence[int]) -> None:
        """Learn which shards a reader needs now and soon, so that they can be fetched ahead. By default nothing."""
        return

    def compute_fingerprint(
        self, split: Split, indices: Sequence[int] | None = None, *, include_origin: bool = True
    ) -> str | None:
        """Hash the source images of these faces before cropping and resizing.

        The hash is of the files of `list_files`, or of the `config` of a source without files. Sources with neither
        override this method.

        Args:
            split: The split.
            indices: Numbers of the faces; None = the whole split.
            include_origin: Hash the folder and modification times of files too; without, a copy has the same
                fingerprint.

        Returns:
            The hash; None if no stable hash exists, and then nothing computed from the images may be cached.
        """
        files, config = self.list_files(split), getattr(self, "config", None)
        hashed: list[object] = [f"{type(self).__module__}.{type(self).__qualname__}"]
        if files is not None:
            root, paths = files
            selected = list(paths) if indices is None else [paths[i] for i in indices]
            states = [os.stat(root / path) for path in (selected if include_origin else sample_evenly(selected))]
            hashed += [selected, [state.st_size for state in states]]
            if include_origin:
                hashed += [str(root.resolve()), [state.st_mtime_ns for state in states]]
        elif isinstance(config, BaseModel) and getattr(config, "root", None) is None:
            faces = self.count_faces(split) if indices is None else list(indices)
            hashed += [config.model_dump(mode="json", exclude=LOADING_SETTINGS), split, faces]
        else:
            return None
        return hashlib.sha256(json.dumps(hashed, sort_keys=True).encode()).hexdigest()

    def read_visibility(self, split: Split) -> Float[Tensor, "n a"] | None:
        """Return 1 where a face can show an attribute, 0 where something (a hat) hides it; None = always 1."""
        return None

    def redraw(self, split: Split, indices: Sequence[int], **attributes: float | Tensor) -> dict[str, Tensor] | None:
        """Redraw faces with only these attributes changed.

        Args:
            split: The split.
            indices: Numbers of the faces.
            attributes: Value by attribute, one for all faces or a tensor (n,) with one for each.

        Returns:
            Tensors as of `read`; None if the source has no true redraws.
        """
        return None


def sample_evenly(names: Sequence[str]) -> Sequence[str]:
    """Return all names, or every k-th, so that there are at most MAX_HASHED_SIZES."""
    return names[:: max(1, -(-len(names) // MAX_HASHED_SIZES))]


OPPOSITES = {"Male": "Female", "Young": "Old", "No_Beard": "Beard"}


def make_domain_names(attributes: Sequence[str], exclusive: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """Return the domains that attributes make.

    For an exclusive group they are its members (a group may have a single member, which every face shows). For a single
    attribute they are "without" and "with" it. Several attributes that a face may show together make no domains.
    """
    if any(set(attributes) <= set(group) for group in exclusive):
        return tuple(attributes)
    if len(attributes) == 1:
        (name,) = attributes
        return (OPPOSITES.get(name, f"no_{name}"), name)
    return ()


def find_domains(labels: Float[Tensor, "n a"], domains: int) -> Int64[Tensor, " n"]:
    """Return the domain of each row of labels, in the order of `make_domain_names`.

    Args:
        labels: Labels, 0 or 1.
        domains: Number of domains; distinguishes one attribute with two domains from a group of one.

    Returns:
        Indices of domains; -1 where not exactly one attribute of a group is shown.
    """
    shows = labels > 0.5
    if labels.shape[1] == 1 and domains == 2:
        return shows[:, 0].long()
    return shows.long().argmax(1).masked_fill(shows.sum(1) != 1, -1)
