"""Endless streams of faces: order and augmentation depend only on the seed."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.utils.data import Dataset

from zoogan.data.bad_faces import FaceReader
from zoogan.data.order import WindowOrder
from zoogan.errors import ConfigError
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.game import Need, Sample
from zoogan.interfaces.source import Source, Split

SECOND = {"image2": "image", "layout2": "layout"}  # pictures of another face of the same domain
STORED = {"layout": "segmentation"}  # the field of a source that a picture is made of, where it has another name
# Signs of yaw, pitch and roll in a mirrored image: the face looks and tilts to the other side.
MIRRORED_POSE = (-1.0, 1.0, -1.0)


@lru_cache(maxsize=8)
def make_permutation(n: int, seed: int) -> list[int]:
    """Make a permutation of 0..n-1 that depends on the seed alone."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()


class FaceStream(Dataset[Sample]):
    """The samples of one need: item k = 0, 1, 2, ... is a pure function of (seed, name, k), augmentation included.

    Sampler `epochs`: every face comes once an epoch, and each epoch has its own order. With `balance`, even items show
    the attribute and odd items do not, and each of the two classes runs through epochs of its own. Sampler `domains`:
    each item draws a domain, each as often as the others, and then one of its faces. Sampler `pairs`: the values of all
    attributes, without and with each, come in turn, each turn in an order of its own; an item draws one of the faces
    that have its value.

    Where faces lie in shards, all samplers go through them in windows, see `WindowOrder`: `epochs` in that order, and
    the others draw among the faces of the window at which an epoch would be, or among all if it has none that fits.

    `image2` and `layout2` are another face of the same domain, drawn and augmented by itself. A random crop puts its
    box into `<image>_box`; `loader.move_batch` crops the image. Layouts are segmentations here, and become one-hot in
    `loader.move_batch`.

    Args:
        source: The source to read.
        name: Name of the need; two needs of one game read in different orders.
        need: Fields to read, and how to sample.
        seed: Seed of the run.
        balance: An attribute whose two values are read equally often; None = as they come.
        flip: Mirror half of the images at random.
        crop: Share of the images of which a random part is kept.
        split: The split to read.
        skip: Read another face in the place of one that cannot be read: of the same domain, or with the same value.

    Raises:
        ConfigError: The source has none of these faces, or lacks a field or domains.
    """

    def __init__(
        self,
        source: Source,
        name: str,
        need: Need,
        *,
        seed: int,
        balance: str | None = None,
        flip: bool = False,
        crop: float = 0.0,
        split: Split = "train",
        skip: bool = False,
    ) -> None:
        fields = [field for field in need.fields if field != "domain" and field not in SECOND]
        self.second = [field for field in need.fields if field in SECOND]
        read = [STORED.get(picture, picture) for picture in (*fields, *(SECOND[field] for field in self.second))]
        missing = [field for field in dict.fromkeys(read) if field not in source.fields]
        if self.second and need.sampler != "domains":
            raise ValueError(
                f"need {name!r}: {self.second[0]} is another face of the same domain; set sampler to 'domains'"
            )
        if crop and "segmentation" in read:
            raise ConfigError(
                "data.random_crop cuts pictures only, and this game reads their segmentation too; set it to 0"
            )
        if missing:
            advice = (
                "; say where its maps of parts are (data.label_maps=FOLDER, for a folder), or, where the game allows "
                "it, judge images alone (judge_segmentation=false, weights.mask=0)"
                if "segmentation" in need.fields and "segmentation" in missing
                else "; this game trains on maps of parts: say where they are (data.label_maps=FOLDER, for a folder)"
                if "segmentation" in missing
                else ""
            )
            raise ConfigError(
                f"data.source: the game needs {', '.join(missing)} (of {name!r}), which this source does not have; "
                f"it has {', '.join(source.fields)}{advice}"
            )
        self.source, self.name, self.need, self.fields = source, name, need, fields
        self.mirrored_parts = source.mirrored_parts
        self.reader = FaceReader(source, split, skip)
        self.seed, self.flip, self.crop, self.split = seed, flip, crop, split
        self.domain = self._read_domains() if "domain" in need.fields or need.sampler == "domains" else None
        if need.sampler == "domains":
            if balance is not None:
                raise ConfigError(f"data.balance: need {name!r} reads all domains equally often; set it to null")
            assert self.domain is not None
            self.classes = [(self.domain == k).nonzero().flatten() for k in range(len(source.domains))]
        elif need.sampler == "pairs":
            if balance is not None:
                raise ConfigError(
                    f"data.balance: need {name!r} reads the values of all attributes equally often; set it to null"
                )
            shows = source.read_labels(split) > 0.5
            self.classes = [
                (column == value).nonzero().flatten() for column in shows.unbind(1) for value in (False, True)
            ]
        elif balance is None:
            self.classes = [torch.arange(source.count_faces(split))]
        else:
            shows = source.read_labels(split)[:, source.attributes.index(balance)] > 0.5
            self.classes = [shows.nonzero().flatten(), (~shows).nonzero().flatten()]
        empty = [k for k, members in enumerate(self.classes) if not len(members)]
        if empty and need.sampler == "domains":
            domains = ", ".join(source.domains[k] for k in empty)
            raise ConfigError(f"data: the {split} split has no faces of the domain {domains}")
        if empty and need.sampler == "pairs":
            values = ", ".join(f"{source.attributes[k // 2]}={k % 2}" for k in empty)
            raise ConfigError(
                f"data: the {split} split has no face with {values}; leave that attribute out of data.attributes"
            )
        if empty:
            raise ConfigError(f"data: need {name!r} has no faces to read in the {split} split (balance: {balance})")

        self._order_shards()

    def _order_shards(self) -> None:
        """Prepare the orders of faces that lie in shards."""
        self.shards = self.source.list_shards(self.split)
        self.orders: list[WindowOrder] = []
        self._fitting: dict[tuple[int, int, int], Tensor] = {}
        if self.shards is not None:
            key, window = (self.seed, self.name, "shards"), self.source.window
            draws = self.need.sampler != "epochs"
            members = [torch.arange(len(self.shards))] if draws else self.classes
            self.orders = [WindowOrder(m, self.shards[m], window, *key, row) for row, m in enumerate(members)]

    def _get_fitting(self, row: int, k: int) -> Int64[Tensor, " m"]:
        """Get the faces of a class among which item k is drawn: all, or those in the present window of shards."""
        if self.shards is None:
            return self.classes[row]
        epoch, window, _ = self.orders[0].locate(k)
        if (row, epoch, window) not in self._fitting:
            shards = torch.tensor(self.orders[0].list_shards(epoch, window))
            members = self.classes[row]
            inside = members[torch.isin(self.shards[members], shards)]
            fitting = inside if len(inside) else members
            self._fitting = dict([*self._fitting.items(), ((row, epoch, window), fitting)][-4 * len(self.classes) :])
        return self._fitting[row, epoch, window]

    def _expect_shards(self, k: int) -> None:
        """Tell the source which shards item k and those after it are read from."""
        now, soon = [], []
        for order in self.orders:
            epoch, window, _ = order.locate(k // len(self.orders))
            now += order.list_shards(epoch, window)
            soon += order.list_shards(epoch, window + 1)
        self.source.expect_shards(self.name, list(dict.fromkeys(now)), list(dict.fromkeys(soon)))

    def _read_domains(self) -> Int64[Tensor, " faces"]:
        """Read the domain of every face.

        Raises:
            ConfigError: The attributes of the source make no domains.
        """
        if not self.source.domains:
            raise ConfigError(
                f"data.attributes: need {self.name!r} reads domains, of which every face shows one: name one attribute "
                f"(without and with it), or several that exclude each other such as hair colours; "
                f"got {', '.join(self.source.attributes)}"
            )
        return self.source.read_domains(self.split)

    def get_class(self, k: int) -> Int64[Tensor, " members"]:
        """Get the faces of which item k shows one: those of a domain, with a value, or all."""
        if self.need.sampler == "domains":
            return self._get_fitting(derive_seed(self.seed, self.name, "domain", k) % len(self.classes), k)
        if self.need.sampler == "pairs":
            cycle, position = divmod(k, len(self.classes))
            order = make_permutation(len(self.classes), derive_seed(self.seed, self.name, "values", cycle))
            return self._get_fitting(order[position], k)
        return self.classes[k % len(self.classes)]

    def draw_replacement(self, k: int, image: str, attempt: int) -> int:
        """Draw the face that is read in the place of item k's, see `FaceReader.read`."""
        members = self.get_class(k)
        return int(members[derive_seed(self.seed, self.name, "replacement", image, k, attempt) % len(members)])

    def get_index(self, k: int) -> int:
        """Get the number of item k's face in the split."""
        if self.need.sampler == "domains":
            members = self.get_class(k)
            return int(members[derive_seed(self.seed, self.name, "face", k) % len(members)])
        if self.need.sampler == "pairs":
            members = self.get_class(k)
            return int(members[derive_seed(self.seed, self.name, "face", k) % len(members)])
        turn, row = divmod(k, len(self.classes))
        if self.orders:
            return self.orders[row].get_face(turn)
        epoch, position = divmod(turn, len(self.classes[row]))
        order = make_permutation(len(self.classes[row]), derive_seed(self.seed, self.name, "order", row, epoch))
        return int(self.classes[row][order[position]])

    def get_second_index(self, k: int) -> int:
        """Get the number of the face in the split that is item k's second picture, one of the same domain."""
        assert self.domain is not None
        members = self._get_fitting(int(self.domain[self.get_index(k)]), k)
        return int(members[derive_seed(self.seed, self.name, "second", k) % len(members)])

    def is_mirrored(self, k: int, image: str = "image") -> bool:
        """Return whether an image of item k is flipped left to right."""
        purpose = "flip" if image == "image" else f"flip {image}"
        return self.flip and bool(derive_seed(self.seed, self.name, purpose, k) & 1)

    def __getitems__(self, ks: Sequence[int]) -> Sample:
        """Read the items `ks` as one batch."""
        if self.orders:
            self._expect_shards(min(ks))
        indices = [self.get_index(k) for k in ks]
        read: Sample = {}
        if self.fields:
            read, indices = self._read_faces(ks, indices, "image")
        sample = self.augment({field: read[STORED.get(field, field)] for field in self.fields}, ks, "image")
        if "domain" in self.need.fields:
            assert self.domain is not None
            sample["domain"] = self.domain[indices]
        if self.second:
            second, _ = self._read_faces(ks, [self.get_second_index(k) for k in ks], "image2")
            pictures = {field: second[STORED.get(SECOND[field], SECOND[field])] for field in self.second}
            sample |= self.augment(pictures, ks, "image2")
        return sample

    def _read_faces(self, ks: Sequence[int], indices: Sequence[int], image: str) -> tuple[Sample, list[int]]:
        """Read the faces of the items `ks`; return the tensors, and the numbers of the faces."""
        read, taken = self.reader.read(indices, lambda row, attempt: self.draw_replacement(ks[row], image, attempt))
        return read, list(taken)

    def augment(self, sample: Sample, ks: Sequence[int], image: str) -> Sample:
        """Mirror the items `ks` of a sample, and add the box of their random crop. `image` is the field's name."""
        if self.flip:
            chosen = torch.tensor([self.is_mirrored(k, image) for k in ks])
            sample = mirror_sample(sample, chosen, self.mirrored_parts)
        if self.crop and image in sample:
            sample[f"{image}_box"] = torch.stack([self.draw_box(k, image) for k in ks])
        return sample

    def draw_box(self, k: int, image: str) -> Float[Tensor, "4"]:
        """Draw the box of item k's random crop.

        A share `crop` of the items keeps 0.8 to 1 of the area, at an aspect ratio of 0.9 to 1.1; the others keep all.

        Returns:
            Left, top, width and height as shares of the side of the image.

        Source:
            StarGAN v2's augmentation.
        """
        generator = torch.Generator().manual_seed(derive_seed(self.seed, self.name, "crop", image, k))
        cut, area, ratio, left, top = torch.rand(5, generator=generator).tolist()
        if cut >= self.crop:
            return torch.tensor([0.0, 0.0, 1.0, 1.0])
        side, stretch = math.sqrt(0.8 + 0.2 * area), math.exp((math.log(0.9) + ratio * math.log(1.1 / 0.9)) / 2)
        width, height = min(1.0, side * stretch), min(1.0, side / stretch)
        return torch.tensor([left * (1 - width), top * (1 - height), width, height])

    def __getitem__(self, k: int) -> Sample:
        return {name: rows[0] for name, rows in self.__getitems__([k]).items()}


def mirror_sample(sample: Sample, rows: Bool[Tensor, " n"], parts: Sequence[int] = ()) -> Sample:
    """Flip images, heat maps, segmentations, layouts and poses left to right; labels stay.

    Args:
        sample: The sample, tensors by field.
        rows: True for the rows to flip.
        parts: The part that each part becomes, see `Source.mirrored_parts`; empty = itself.

    Returns:
        A new sample.
    """
    flipped = dict(sample)
    for name, values in sample.items():
        if name.startswith(("image", "layout")) or name in ("segmentation", "heat_maps"):
            reverse = values.flip(-1)
            if name in ("segmentation", "layout", "layout2") and parts:
                reverse = torch.tensor(parts, dtype=values.dtype)[reverse.long()]
            flipped[name] = torch.where(rows.view(-1, *[1] * (values.ndim - 1)), reverse, values)
        elif name == "pose":
            flipped[name] = torch.where(rows[:, None], values * values.new_tensor(MIRRORED_POSE), values)
    return flipped
