"""The source role: where faces come from."""

from __future__ import annotations

import hashlib
import json
import os
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from jaxtyping import Float, Int64
from pydantic import BaseModel
from torch import Tensor

from zoogan.interfaces.fields import Field

if TYPE_CHECKING:
    from zoogan.config import DataConfig

Split = Literal["train", "valid", "test"]
SIZES = 1000  # are looked at, where there may be hundreds of thousands
LOADING = {"batch", "workers", "flip", "balance"}  # settings of a source that change none of its pictures


class Source(ABC):
    """Role `source`: indexed faces in splits, read in batches.

    described: what a source reads besides `FIELDS`, told by its class, so that games that need it can be rehearsed.
    attributes: names of the attribute columns, in order, as asked for in the config. exclusive: groups of them of which
    at most one is shown. crop: side of the centre square that is kept of a picture, as a share of its shorter side;
    a person's own photos get the same. groups: every exclusive group that the source knows of, whichever of its
    attributes were asked for. parts: names of the classes of `segmentation`, the background first; a source may know
    them without having any. transparent: parts that light shines through. mirrored: pairs of parts that swap when a
    picture is flipped.
    """

    fields: tuple[str, ...] = ("image", "attributes")
    described: Mapping[str, Field] = MappingProxyType({})
    image_size: int
    attributes: tuple[str, ...]
    exclusive: tuple[tuple[str, ...], ...] = ()
    groups: tuple[tuple[str, ...], ...] = ()
    parts: tuple[str, ...] = ()
    transparent: tuple[str, ...] = ()
    mirrored: tuple[tuple[str, str], ...] = ()
    crop: float = 1.0

    @classmethod
    def known_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """All attributes that could be asked for, without reading a picture; unless a source says otherwise, those of
        the config."""
        return config.attributes

    @property
    def domains(self) -> tuple[str, ...]:
        """Names of the domains that the attributes make; empty if they make none. See `domains_of`."""
        return domains_of(self.attributes, self.exclusive)

    def domain(self, split: Split) -> Int64[Tensor, " n"]:
        """The domain of each face, an index into `domains`; -1 where it shows none, several, or something hides it."""
        labels, visible = self.labels(split), self.visible(split)
        found = domain_of(labels, len(self.domains))
        return found if visible is None else found.masked_fill((visible < 0.5).any(1), -1)

    @property
    def mirrored_parts(self) -> tuple[int, ...]:
        """What each part is in a flipped picture: indices into `parts`, as many."""
        swapped = dict(self.mirrored) | {b: a for a, b in self.mirrored}
        return tuple(self.parts.index(swapped.get(part, part)) for part in self.parts)

    @abstractmethod
    def size(self, split: Split) -> int:
        """How many faces the split has; 0 if there is no such split."""

    @abstractmethod
    def labels(self, split: Split) -> Float[Tensor, "n a"]:
        """All labels of a split, 0 or 1, without reading a picture (for balancing and checks)."""

    @abstractmethod
    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """The faces at `indices`: image uint8 (n, 3, s, s), attributes float (n, a), and what else `fields`
        names, such as segmentation uint8 (n, s, s), indices into `parts`."""

    def files(self, split: Split) -> tuple[Path, Sequence[str]] | None:
        """The root, and each face's picture by its path from there; None if the faces are not files."""
        return None

    def fingerprint(self, split: Split, indices: Sequence[int] | None = None, *, dated: bool = True) -> str | None:
        """Tells the pictures of these faces, by default of the whole split, from those of any other source, before they
        are cut and resized. None: they cannot be told apart, so nothing that is computed from them may be kept.

        Files are told by `files`, a source without files by its `config`, where it has one; another answers for itself.
        dated: of files, where they lie and when they were written too; without, a copy has the same fingerprint.
        """
        found, config = self.files(split), getattr(self, "config", None)
        told: list[object] = [f"{type(self).__module__}.{type(self).__qualname__}"]
        if found is not None:
            root, names = found
            chosen = list(names) if indices is None else [names[i] for i in indices]
            states = [os.stat(root / name) for name in (chosen if dated else spread(chosen))]
            told += [chosen, [state.st_size for state in states]]
            if dated:
                told += [str(root.resolve()), [state.st_mtime_ns for state in states]]
        elif isinstance(config, BaseModel) and getattr(config, "root", None) is None:
            faces = self.size(split) if indices is None else list(indices)
            told += [config.model_dump(mode="json", exclude=LOADING), split, faces]
        else:
            return None
        return hashlib.sha256(json.dumps(told, sort_keys=True).encode()).hexdigest()

    def visible(self, split: Split) -> Float[Tensor, "n a"] | None:
        """1 where a face can show an attribute, 0 where something hides it (a hat hides hair); None = always 1."""
        return None

    def redraw(self, split: Split, indices: Sequence[int], **attributes: float | Tensor) -> dict[str, Tensor] | None:
        """The same faces with only these attributes changed, where the source knows the truth; else None.

        A value is one for all faces, or a tensor (n,) with one for each. The fields are those of `read`.
        """
        return None


def spread(names: Sequence[str]) -> Sequence[str]:
    """All, or every so many, so that they are not more than SIZES."""
    return names[:: max(1, -(-len(names) // SIZES))]


OPPOSITES = {"Male": "Female", "Young": "Old", "No_Beard": "Beard"}


def domains_of(attributes: Sequence[str], exclusive: Sequence[Sequence[str]]) -> tuple[str, ...]:
    """The domains that attributes make: the members of an exclusive group, or those without and with one attribute.

    A group may be of one, which every face shows. Empty for several attributes that a face may show together.
    """
    if any(set(attributes) <= set(group) for group in exclusive):
        return tuple(attributes)
    if len(attributes) == 1:
        (name,) = attributes
        return (OPPOSITES.get(name, f"no_{name}"), name)
    return ()


def domain_of(labels: Float[Tensor, "n a"], domains: int) -> Int64[Tensor, " n"]:
    """The domain of each row of labels, as `domains_of` counts them; -1 where not exactly one of a group is shown.

    domains: how many there are, which tells one attribute with its two domains from a group of one.
    """
    shows = labels > 0.5
    if labels.shape[1] == 1 and domains == 2:
        return shows[:, 0].long()
    return shows.long().argmax(1).masked_fill(shows.sum(1) != 1, -1)
