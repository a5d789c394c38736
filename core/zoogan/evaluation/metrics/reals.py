"""The real faces that edits or samples are held against: which ones, and their features, kept on the disk."""

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
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from zoogan import __version__
from zoogan.auxiliary.features import ROWS, Features
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.metric import Study
from zoogan.interfaces.source import Source, Split
from zoogan.pictures.photo import to_range

SPLIT: Split = "train"  # what a model's faces should look like; the edited ones are held out


@dataclass(frozen=True)
class RealFaces:
    """Faces of a split, by their numbers, ascending. key: of their pictures and labels; None if nobody can tell."""

    source: Source = field(compare=False)
    indices: tuple[int, ...]
    key: str | None
    split: Split = SPLIT


@dataclass(frozen=True)
class Reference:
    """What metrics look at of real faces. digest: of the pictures themselves, the same on every machine."""

    features: Float[Tensor, "m d"]
    digest: str


def real_faces(
    source: Source, attribute: str, wanted: Bool[Tensor, " n"], seed: int, *, others: bool = False
) -> RealFaces:
    """As many real faces as there are edits, none twice, that show the attribute as often as the edits should.

    Faces on which it is hidden are left out, as they are among the edits. Where the split is too small the choice is
    smaller, in the same proportion. It depends on nothing but the arguments.

    Args:
        wanted: of each edit, whether it should show the attribute. others: a second such set, without a face of the
            first; empty where the split has not enough.
    """
    shows = source.labels(SPLIT)[:, source.attributes.index(attribute)] > 0.5
    visible = source.visible(SPLIT)
    able = torch.ones_like(shows) if visible is None else visible[:, source.attributes.index(attribute)] > 0.5
    pools = [(~shows & able).nonzero().flatten(), (shows & able).nonzero().flatten()]
    wants = [int((~wanted).sum()), int(wanted.sum())]
    shares = [Fraction(len(pool), want) for pool, want in zip(pools, wants) if want]
    share = min([Fraction(1), *shares])
    chosen: list[int] = []
    for value, (pool, want) in enumerate(zip(pools, wants)):
        count = int(want * share)
        first = count if others else 0
        if first + count > len(pool):
            return RealFaces(source, (), key_of(source, ()))
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed_of(seed, attribute, value)))
        chosen += pool[order[first : first + count]].tolist()
    indices = tuple(sorted(chosen))
    return RealFaces(source, indices, key_of(source, indices))


def any_faces(source: Source, count: int, seed: int, *, domain: int | None = None, others: bool = False) -> RealFaces:
    """So many faces of the train split, none twice, whatever they show, or of one domain; all where there are fewer.

    others: as in `real_faces`.
    """
    pool = torch.arange(source.size(SPLIT)) if domain is None else (source.domain(SPLIT) == domain).nonzero().flatten()
    words = ("any",) if domain is None else ("domain", domain)
    count = min(count, len(pool))
    first = count if others else 0
    order = pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(seed_of(seed, *words)))]
    chosen = order[first : first + count] if first + count <= len(pool) else order[:0]
    indices = tuple(sorted(chosen.tolist()))
    return RealFaces(source, indices, key_of(source, indices))


def first_faces(source: Source, split: Split, count: int) -> RealFaces:
    """The first faces of a split."""
    indices = tuple(range(min(count, source.size(split))))
    return RealFaces(source, indices, key_of(source, indices, split), split)


def key_of(source: Source, indices: Sequence[int], split: Split = SPLIT) -> str | None:
    """Tells one set of real faces from another without reading them: what they are, how they are cut, how labelled.
    None where the source cannot tell what they are."""
    pictures = source.fingerprint(split, indices)
    if pictures is None:
        return None
    labels = source.labels(split).to(torch.uint8).contiguous().numpy().tobytes()
    what = {
        "zoogan": __version__,
        "pictures": pictures,
        "size": source.image_size,
        "crop": source.crop,
        "labels": hashlib.sha256(labels).hexdigest(),
        "faces": list(indices),
        "split": split,
    }
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()


def reference(faces: RealFaces, features: Features, study: Study) -> Reference:
    """Their features, in the order of `indices`, on the CPU: from `study.cache` if they were computed before. Faces
    without a key are looked at anew each time.

    Processes share the work; the first one writes.
    """
    what = json.dumps([faces.key, features.name, features.weights, features.resizer])
    path = study.cache / "real_features" / f"{hashlib.sha256(what.encode()).hexdigest()[:32]}.safetensors"
    known = read_known(path, (len(faces.indices), features.dimensions)) if faces.key else None
    # All read or all compute: a process that found the file alone would leave the others waiting for its share.
    missing = study.world.maximum(torch.tensor([known is None], dtype=torch.int32, device=study.device))
    if known is None or missing.item():
        known = computed(faces, features, study)
        if study.world.rank == 0 and faces.key:
            write_whole(path, known, what)
    digest = hashlib.sha256(known["pictures"].numpy().tobytes()).hexdigest()
    return Reference(known["features"], digest)


def computed(faces: RealFaces, features: Features, study: Study) -> dict[str, Tensor]:
    """features (m, d), and pictures (m,), a hash of each picture's bytes; each process looks at its share."""
    rows = torch.arange(study.world.rank, len(faces.indices), study.world.size, device=study.device)
    own = torch.zeros(len(rows), features.dimensions, device=study.device)
    hashes: list[int] = []
    for first in range(0, len(rows), ROWS):
        part = slice(first, first + ROWS)
        image = faces.source.read(faces.split, [faces.indices[k] for k in rows[part].tolist()])["image"]
        own[part] = features(to_range(image.to(study.device)))
        contents = (hashlib.blake2b(face.numpy().tobytes(), digest_size=8).digest() for face in image.cpu())
        hashes += [int.from_bytes(content, "little", signed=True) for content in contents]
    pictures = torch.tensor(hashes, dtype=torch.int64, device=study.device)
    order = study.world.gather_all(rows).argsort()
    joint = {"features": own, "pictures": pictures}
    return {name: study.world.gather_all(part)[order].cpu().contiguous() for name, part in joint.items()}


def read_known(path: Path, shape: tuple[int, int]) -> dict[str, Tensor] | None:
    """What an earlier run computed; None if there is nothing, or if the file is damaged."""
    try:
        known = load_file(path)
    except (OSError, SafetensorError):
        return None
    return known if "pictures" in known and known["features"].shape == shape else None


def write_whole(path: Path, tensors: dict[str, Tensor], what: str) -> None:
    """Written beside and renamed into place, so that nobody ever reads half a file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    beside = path.with_name(f"{path.name}.{os.getpid()}")
    save_file(tensors, beside, metadata={"of": what})
    beside.replace(path)
