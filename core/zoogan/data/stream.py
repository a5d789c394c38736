"""Endless streams of faces: which face comes when, and how it is augmented, from a seed alone."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.utils.data import Dataset

from zoogan.config import ConfigError
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.game import Need, Sample
from zoogan.interfaces.source import Source, Split

# A mirrored face looks and tilts to the other side; yaw, pitch, roll.
MIRRORED_POSE = (-1.0, 1.0, -1.0)


@lru_cache(maxsize=8)
def permutation(n: int, seed: int) -> list[int]:
    """0..n-1 in an order that the seed alone decides."""
    return torch.randperm(n, generator=torch.Generator().manual_seed(seed)).tolist()


class FaceStream(Dataset[Sample]):
    """One draw: item k = 0, 1, 2, ... is a pure function of (seed, draw, k), augmentation included.

    Sampler `epochs`: every face comes once an epoch, in an order of that epoch. With `balance`, even items show the
    attribute and odd ones do not, and each of the two classes walks through epochs of its own. Sampler `domains`: a
    domain, each as often as the others, then one of its faces, both drawn anew for each item.

    `image2` is another face of the same domain, drawn and augmented by itself. What of a picture is kept by a random
    crop lies beside it in `<picture>_box`, and `loader.to_device` cuts it out there.

    Args:
        draw: its name, so that two draws of one game see different orders.
        need: what to read of the source, and how to sample.
        crop: share of the pictures of which a random part is kept.

    Raises:
        ConfigError: the source has none of these faces, or lacks a field or domains.
    """

    def __init__(
        self,
        source: Source,
        draw: str,
        need: Need,
        *,
        seed: int,
        balance: str | None = None,
        flip: bool = False,
        crop: float = 0.0,
        split: Split = "train",
    ) -> None:
        fields = [field for field in need.fields if field not in ("domain", "image2")]
        missing = [field for field in fields if field not in source.fields]
        if "image2" in need.fields and need.sampler != "domains":
            raise ValueError(f"draw {draw!r}: image2 is another face of the same domain: sample by domains")
        if crop and "segmentation" in fields:
            raise ConfigError("data.random_crop cuts pictures only; segmentation does not follow: set it to 0")
        if missing:
            advice = (
                "; say where its maps of parts are (data.label_maps=FOLDER, for a folder), or, where the game allows "
                "it, judge images alone (judge_segmentation=false, weights.mask=0)"
                if "segmentation" in missing
                else ""
            )
            raise ConfigError(
                f"data.source: draw {draw!r} needs {', '.join(missing)}, which this source does not have; "
                f"it has {', '.join(source.fields)}{advice}"
            )
        self.source, self.draw, self.need, self.fields = source, draw, need, fields
        self.mirrored_parts = source.mirrored_parts
        self.seed, self.flip, self.crop, self.split = seed, flip, crop, split
        self.domain = self._domains() if "domain" in need.fields or need.sampler == "domains" else None
        if need.sampler == "domains":
            if balance is not None:
                raise ConfigError(f"data.balance: draw {draw!r} shows all domains equally often: set it to null")
            assert self.domain is not None
            self.classes = [(self.domain == k).nonzero().flatten() for k in range(len(source.domains))]
        elif balance is None:
            self.classes = [torch.arange(source.size(split))]
        else:
            shows = source.labels(split)[:, source.attributes.index(balance)] > 0.5
            self.classes = [shows.nonzero().flatten(), (~shows).nonzero().flatten()]
        empty = [k for k, members in enumerate(self.classes) if not len(members)]
        if empty and need.sampler == "domains":
            names = ", ".join(source.domains[k] for k in empty)
            raise ConfigError(f"data: the {split} split has no faces of the domain {names}")
        if empty:
            raise ConfigError(f"data: draw {draw!r} has no faces to read in the {split} split (balance: {balance})")

    def _domains(self) -> Int64[Tensor, " faces"]:
        """The domain of every face.

        Raises:
            ConfigError: the source's attributes make none.
        """
        if not self.source.domains:
            raise ConfigError(
                f"data.attributes: draw {self.draw!r} needs domains, of which every face shows one: name one attribute "
                f"(without and with it), or several that exclude each other such as hair colours; "
                f"got {', '.join(self.source.attributes)}"
            )
        return self.source.domain(self.split)

    def index_of(self, k: int) -> int:
        """Which face of the split item k is."""
        if self.need.sampler == "domains":
            members = self.classes[seed_of(self.seed, self.draw, "domain", k) % len(self.classes)]
            return int(members[seed_of(self.seed, self.draw, "face", k) % len(members)])
        turn, which = divmod(k, len(self.classes))
        epoch, position = divmod(turn, len(self.classes[which]))
        order = permutation(len(self.classes[which]), seed_of(self.seed, self.draw, "order", which, epoch))
        return int(self.classes[which][order[position]])

    def second_of(self, k: int) -> int:
        """Which face of the split is item k's `image2`: one of the same domain."""
        assert self.domain is not None
        members = self.classes[int(self.domain[self.index_of(k)])]
        return int(members[seed_of(self.seed, self.draw, "second", k) % len(members)])

    def mirrored(self, k: int, picture: str = "image") -> bool:
        """Whether a picture of item k is flipped left to right."""
        what = "flip" if picture == "image" else f"flip {picture}"
        return self.flip and bool(seed_of(self.seed, self.draw, what, k) & 1)

    def __getitems__(self, ks: Sequence[int]) -> Sample:
        """The items ks as one batch."""
        indices = [self.index_of(k) for k in ks]
        read = self.source.read(self.split, indices) if self.fields else {}
        sample = self.augmented({field: read[field] for field in self.fields}, ks, "image")
        if "domain" in self.need.fields:
            assert self.domain is not None
            sample["domain"] = self.domain[indices]
        if "image2" in self.need.fields:
            second = self.source.read(self.split, [self.second_of(k) for k in ks])["image"]
            sample |= self.augmented({"image2": second}, ks, "image2")
        return sample

    def augmented(self, sample: Sample, ks: Sequence[int], picture: str) -> Sample:
        """A sample mirrored, with the box of its random crop."""
        if self.flip:
            which = torch.tensor([self.mirrored(k, picture) for k in ks])
            sample = mirror(sample, which, self.mirrored_parts)
        if self.crop and picture in sample:
            sample[f"{picture}_box"] = torch.stack([self.box_of(k, picture) for k in ks])
        return sample

    def box_of(self, k: int, picture: str) -> Float[Tensor, "4"]:
        """Left, top, width and height of what is kept of item k's picture, as shares of its side.

        Of a share `crop` of the items .8 to 1 of the area is kept, at a ratio of .9 to 1.1 (StarGAN v2's augmentation);
        of the others everything.
        """
        draw = torch.Generator().manual_seed(seed_of(self.seed, self.draw, "crop", picture, k))
        cut, area, ratio, left, top = torch.rand(5, generator=draw).tolist()
        if cut >= self.crop:
            return torch.tensor([0.0, 0.0, 1.0, 1.0])
        side, stretch = math.sqrt(0.8 + 0.2 * area), math.exp((math.log(0.9) + ratio * math.log(1.1 / 0.9)) / 2)
        width, height = min(1.0, side * stretch), min(1.0, side / stretch)
        return torch.tensor([left * (1 - width), top * (1 - height), width, height])

    def __getitem__(self, k: int) -> Sample:
        return {name: rows[0] for name, rows in self.__getitems__([k]).items()}


def mirror(sample: Sample, which: Bool[Tensor, " n"], parts: Sequence[int] = ()) -> Sample:
    """Pictures, heat maps, segmentations and poses flipped left to right in the rows `which`; labels stay.

    parts: what each part is on the other side, as `Source.mirrored_parts` says; empty = itself.
    """
    flipped = dict(sample)
    for name, rows in sample.items():
        if name.startswith("image") or name in ("segmentation", "heat_maps"):
            back = rows.flip(-1)
            if name == "segmentation" and parts:
                back = torch.tensor(parts, dtype=rows.dtype)[back.long()]
            flipped[name] = torch.where(which.view(-1, *[1] * (rows.ndim - 1)), back, rows)
        elif name == "pose":
            flipped[name] = torch.where(which[:, None], rows * rows.new_tensor(MIRRORED_POSE), rows)
    return flipped
