"""Faces in tar files as a source."""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Sequence
from typing import get_args

import numpy as np
import torch
from jaxtyping import Float, Int64, UInt8
from PIL import Image
from torch import Tensor

from zoogan.config import DataConfig
from zoogan.data.config import ShardsData
from zoogan.data.shards.files import describe_damage, open_shards
from zoogan.data.sources.attribute_columns import check_balance, check_both_values, find_columns, select_exclusive
from zoogan.data.sources.segmentation_files import resize_nearest
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.source import Source, Split
from zoogan.pictures.decode import decode_content
from zoogan.pictures.photo import crop_square, resize_squares


class Shards(Source):
    """Role `source`: faces in tar files with an index, near or far; order and memory follow windows of shards.

    Args:
        config: Its settings.
        facts: Unused.

    Raises:
        ConfigError: The index or shards are missing or damaged, an attribute is unknown or has only one value in
            training, or the pictures are squares of another size.
    """

    def __init__(self, config: ShardsData, facts: Facts | None = None) -> None:
        self.index, open_files, where = open_shards(config)
        index = self.index
        self.config, self.image_size, self.window = config, config.image_size, config.window
        self.attributes = config.attributes or index.attributes
        columns = find_columns(self.attributes, index.attributes, where)
        check_balance(config.balance, self.attributes)
        # Domains may be a single one, which every face shows.
        is_domains = any(set(self.attributes) == set(group) for group in index.groups)
        self.exclusive = (self.attributes,) if is_domains else select_exclusive(self.attributes, index.groups)
        self.groups = index.groups
        self.parts, self.transparent, self.mirrored = index.parts, index.transparent, index.mirrored
        if index.square is not None and (config.crop is not None or index.square != config.image_size):
            raise ConfigError(
                f"data.image_size={config.image_size}: the pictures in {where} are squares of {index.square} pixels; "
                f"train at that size (--set data.image_size={index.square}, without data.crop), or pack the faces again"
            )
        self.crop = index.crop if config.crop is None else config.crop
        self.share = 1.0 if index.square is not None else self.crop
        self._read_index(columns)
        has_maps = bool(index.parts) and all(shard.maps for shard in index.shards)
        is_hidden = any(bool((visible < 0.5).any()) for visible in self._visible.values())
        self.fields = (
            "image", "attributes", *(["segmentation"] if has_maps else []), *(["visible"] if is_hidden else []),
        )  # fmt: skip
        if not is_domains:
            check_both_values(self.attributes, self.read_labels("train"), config.balance, where)
        elif not self.count_faces("train"):
            raise ConfigError(f"data: {where} has no faces to train on")
        self.files = open_files()

    def _read_index(self, columns: Sequence[int]) -> None:
        """Read places and labels of all faces, by split."""
        self._places: dict[Split, Int64[Tensor, "n 5"]] = {}
        self._labels: dict[Split, Tensor] = {}
        self._visible: dict[Split, Tensor] = {}
        for split in get_args(Split):
            numbers = [n for n, shard in enumerate(self.index.shards) if shard.split == split]
            rows = [
                (n, *picture, *face_map)
                for n in numbers
                for shard in [self.index.shards[n]]
                for picture, face_map in zip(shard.pictures, shard.maps or [(0, 0)] * len(shard.pictures))
            ]
            marks = [labels for n in numbers for labels in self.index.shards[n].labels]
            cells = np.frombuffer("".join(marks).encode(), np.uint8).reshape(len(rows), len(self.index.attributes))
            table = torch.from_numpy(cells[:, list(columns)].copy())
            self._places[split] = torch.tensor(rows, dtype=torch.int64).reshape(len(rows), 5)
            self._labels[split], self._visible[split] = (table == ord("1")).float(), (table != ord("-")).float()

    @classmethod
    def list_attributes(cls, config: DataConfig) -> tuple[str, ...]:
        """Read the names in the index.

        Args:
            config: The settings of the source.

        Raises:
            ConfigError: There is no index.
        """
        return open_shards(config)[0].attributes

    def count_faces(self, split: Split) -> int:
        """Return the number of faces of a split."""
        return len(self._places[split])

    def read_labels(self, split: Split) -> Float[Tensor, "n a"]:
        """Return all labels of a split, 0 or 1, without opening a shard."""
        return self._labels[split]

    def read_visibility(self, split: Split) -> Float[Tensor, "n a"] | None:
        """Return 1 where a face can show an attribute; None if nothing hides any."""
        return self._visible[split] if "visible" in self.fields else None

    def list_shards(self, split: Split) -> Int64[Tensor, " n"]:
        """Return the shard of each face."""
        return self._places[split][:, 0]

    def expect_shards(self, reader: str, now: Sequence[int], soon: Sequence[int]) -> None:
        """Fetch the shards of a url ahead."""
        self.files.expect(reader, now, soon)

    def compute_fingerprint(
        self, split: Split, indices: Sequence[int] | None = None, *, include_origin: bool = True
    ) -> str:
        """Hash the checksums of the shards and the numbers of these faces; the origin makes no difference."""
        faces = self.count_faces(split) if indices is None else list(indices)
        hashed = ["shards", [shard.sha256 for shard in self.index.shards if shard.split == split], split, faces]
        return hashlib.sha256(json.dumps(hashed).encode()).hexdigest()

    def read(self, split: Split, indices: Sequence[int]) -> dict[str, Tensor]:
        """Read faces.

        Args:
            split: The split.
            indices: Numbers of the faces in the split.

        Returns:
            `image` uint8 (n, 3, s, s), the centre square, resized; `attributes` (n, a); with label maps `segmentation`
            uint8 (n, s, s), the same square by nearest neighbour; where something hides attributes `visible` (n, a).

        Raises:
            ConfigError: A shard is missing or damaged (the message has its sha256), or a picture cannot be decoded.
        """
        rows = torch.tensor(indices, dtype=torch.long)
        squares, maps = [], []
        for shard, offset, size, map_offset, map_size in self._places[split][rows].tolist():
            name, content = self.files.read(shard, offset, size)
            photo = decode_content(content, f"{self.index.shards[shard].name}:{name}")
            square = crop_square(photo, self.share)
            squares.append(resize_squares([square], self.image_size)[0])
            if "segmentation" in self.fields:
                height, width = photo.shape[-2:]
                maps.append(self._read_map(shard, map_offset, map_size, height, width))
        read = {"image": torch.stack(squares), "attributes": self._labels[split][rows]}
        if maps:
            read["segmentation"] = torch.stack(maps)
        if "visible" in self.fields:
            read["visible"] = self._visible[split][rows]
        return read

    def _read_map(self, shard: int, offset: int, size: int, height: int, width: int) -> UInt8[Tensor, "s s"]:
        """Read the segmentation of a picture of `height` x `width`."""
        name, content = self.files.read(shard, offset, size)
        try:
            with Image.open(io.BytesIO(content), formats=("PNG",)) as picture:
                pixels = np.asarray(picture, dtype=np.uint8)
        except (OSError, ValueError, SyntaxError) as error:
            path = self.files.locate(shard)
            raise ConfigError(describe_damage(path, self.index.shards[shard], f"{name} ({error})")) from error
        if pixels.ndim != 2 or int(pixels.max(initial=0)) >= len(self.parts):
            raise ConfigError(
                f"{self.files.locate(shard)}: {name} is no label map of the parts in the index, one value a pixel from "
                f"0 to {len(self.parts) - 1}"
            )
        return resize_nearest(pixels, height, width, self.share, self.image_size)
