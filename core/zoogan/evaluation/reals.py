"""The real faces that edits are held against: which ones, and their features, kept on the disk."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from pydantic import BaseModel
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoogan.data.photo import to_range
from zoogan.evaluation.features import ROWS, Features
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.metric import Study
from zoogan.interfaces.source import Source, Split

SPLIT: Split = "train"  # what a model of these faces should look like; the edited ones are held out
LOADING = {"batch", "workers", "flip", "balance"}  # settings of a source that change none of its pictures


@dataclass(frozen=True)
class RealFaces:
    """Faces of the train split, by their numbers, ascending. digest: of the source and of the choice."""

    source: Source = field(compare=False)
    indices: tuple[int, ...]
    digest: str


def real_faces(
    source: Source, attribute: str, wanted: Bool[Tensor, " n"], seed: int, *, others: bool = False
) -> RealFaces:
    """As many real faces as there are edits, none twice, that show the attribute as often as the edits should.

    Where the split is too small the choice is smaller, in the same proportion. It depends on nothing but the arguments.

    Args:
        wanted: of each edit, whether it should show the attribute. others: a second such set, without a face of the
            first; empty where the split has not enough.
    """
    shows = source.labels(SPLIT)[:, source.attributes.index(attribute)] > 0.5
    pools = [(~shows).nonzero().flatten(), shows.nonzero().flatten()]
    wants = [int((~wanted).sum()), int(wanted.sum())]
    shares = [Fraction(len(pool), want) for pool, want in zip(pools, wants) if want]
    share = min([Fraction(1), *shares])
    chosen: list[int] = []
    for value, (pool, want) in enumerate(zip(pools, wants)):
        count = int(want * share)
        first = count if others else 0
        if first + count > len(pool):
            return RealFaces(source, (), digest_of(source, ()))
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed_of(seed, attribute, value)))
        chosen += pool[order[first : first + count]].tolist()
    indices = tuple(sorted(chosen))
    return RealFaces(source, indices, digest_of(source, indices))


def digest_of(source: Source, indices: Sequence[int]) -> str:
    """What tells one set of real faces from another: where they come from, how they are cut, and which they are."""
    config = getattr(source, "config", None)
    settings = config.model_dump(mode="json", exclude=LOADING) if isinstance(config, BaseModel) else repr(config)
    labels = source.labels(SPLIT).to(torch.uint8).contiguous().numpy().tobytes()
    what = {
        "source": f"{type(source).__module__}.{type(source).__qualname__}",
        "settings": settings,
        "size": source.image_size,
        "crop": source.crop,
        "labels": hashlib.sha256(labels).hexdigest(),
        "faces": list(indices),
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def real_features(faces: RealFaces, features: Features, study: Study) -> Float[Tensor, "m d"]:
    """Their features, in the order of `indices`, on the CPU: from `study.cache` if they were computed before.

    Processes share the work; the first one writes.
    """
    what = json.dumps([faces.digest, features.name, features.weights, features.resizer])
    path = study.cache / "real_features" / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.safetensors"
    known = read_known(path, len(faces.indices), features.dimensions)
    # All read or all compute: a process that found the file alone would leave the others waiting for its share.
    missing = study.world.maximum(torch.tensor([known is None], dtype=torch.int32, device=study.device))
    if known is not None and not missing.item():
        return known
    rows = torch.arange(study.world.rank, len(faces.indices), study.world.size, device=study.device)
    own = torch.zeros(len(rows), features.dimensions, device=study.device)
    for part in range(0, len(rows), ROWS):
        indices = [faces.indices[k] for k in rows[part : part + ROWS].tolist()]
        image = faces.source.read(SPLIT, indices)["image"]
        own[part : part + ROWS] = features(to_range(image.to(study.device)))
    joint, order = study.world.gather_all(own), study.world.gather_all(rows)
    joint = joint[order.argsort()].cpu()
    if study.world.rank == 0:
        write_whole(path, joint, what)
    return joint


def read_known(path: Path, rows: int, dimensions: int) -> Float[Tensor, "m d"] | None:
    """Features from an earlier run; None if there are none, or if the file is damaged."""
    try:
        known = load_file(path)["features"]
    except (OSError, KeyError, SafetensorError):
        return None
    return known if known.shape == (rows, dimensions) else None


def write_whole(path: Path, features: Float[Tensor, "m d"], what: str) -> None:
    """Written beside and renamed into place, so that nobody ever reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    save_file({"features": features.contiguous()}, beside, metadata={"of": what})
    beside.replace(path)
