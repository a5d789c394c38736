"""The real faces that edits or samples are compared with: how they are chosen, and their cached features."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path

import torch
from jaxtyping import Bool, Float
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor

from zoogan import __version__
from zoogan.auxiliary.features import ROWS, Features
from zoogan.files import write_tensors_atomically
from zoogan.interfaces import Source, Study
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.source import Split
from zoogan.pictures.photo import normalize_image

SPLIT: Split = "train"  # generated faces should look like the training faces; the edited ones are held out


@dataclass(frozen=True)
class RealFaces:
    """Faces of a split.

    Attributes:
        source: Their source.
        indices: Their numbers in the split, ascending.
        key: Hash of their pictures and labels; None if the source has no stable hash.
        split: The split.
    """

    source: Source = field(compare=False)
    indices: tuple[int, ...]
    key: str | None
    split: Split = SPLIT


@dataclass(frozen=True)
class Reference:
    """Features of real faces.

    Attributes:
        features: One row a face.
        digest: Hash of the pictures themselves, the same on every machine.
    """

    features: Float[Tensor, "m d"]
    digest: str


def choose_matching_faces(
    source: Source, attribute: str, target: Bool[Tensor, " n"], seed: int, *, others: bool = False
) -> RealFaces:
    """Choose as many real faces as there are edits, none twice, that show the attribute as often as the edits should.

    Faces on which it is hidden are left out, as among the edits. If the split has too few faces, fewer are chosen, in
    the same proportion. The choice depends only on the arguments.

    Args:
        source: The source.
        attribute: The edited attribute.
        target: Of each edit, whether it should show the attribute.
        seed: Seed of the choice.
        others: Choose a second such set, without a face of the first; empty where the split has not enough.
    """
    shows = source.read_labels(SPLIT)[:, source.attributes.index(attribute)] > 0.5
    visible = source.read_visibility(SPLIT)
    usable = torch.ones_like(shows) if visible is None else visible[:, source.attributes.index(attribute)] > 0.5
    pools = [(~shows & usable).nonzero().flatten(), (shows & usable).nonzero().flatten()]
    sizes = [int((~target).sum()), int(target.sum())]
    shares = [Fraction(len(pool), size) for pool, size in zip(pools, sizes) if size]
    share = min([Fraction(1), *shares])
    chosen: list[int] = []
    for value, (pool, size) in enumerate(zip(pools, sizes)):
        count = int(size * share)
        first = count if others else 0
        if first + count > len(pool):
            return RealFaces(source, (), hash_real_faces(source, ()))
        order = torch.randperm(len(pool), generator=torch.Generator().manual_seed(derive_seed(seed, attribute, value)))
        chosen += pool[order[first : first + count]].tolist()
    indices = tuple(sorted(chosen))
    return RealFaces(source, indices, hash_real_faces(source, indices))


def choose_any_faces(
    source: Source, count: int, seed: int, *, domain: int | None = None, others: bool = False
) -> RealFaces:
    """Choose distinct faces of the train split at random; all of them where there are fewer.

    Args:
        source: The source.
        count: Number of faces.
        seed: Seed of the choice.
        domain: Choose from this domain; None = from all faces.
        others: Choose a second such set, without a face of the first; empty where the split has not enough.
    """
    pool = (
        torch.arange(source.count_faces(SPLIT))
        if domain is None
        else (source.read_domains(SPLIT) == domain).nonzero().flatten()
    )
    words = ("any",) if domain is None else ("domain", domain)
    count = min(count, len(pool))
    first = count if others else 0
    order = pool[torch.randperm(len(pool), generator=torch.Generator().manual_seed(derive_seed(seed, *words)))]
    chosen = order[first : first + count] if first + count <= len(pool) else order[:0]
    indices = tuple(sorted(chosen.tolist()))
    return RealFaces(source, indices, hash_real_faces(source, indices))


def take_first_faces(source: Source, split: Split, count: int) -> RealFaces:
    """Take the first faces of a split."""
    indices = tuple(range(min(count, source.count_faces(split))))
    return RealFaces(source, indices, hash_real_faces(source, indices, split), split)


def hash_real_faces(source: Source, indices: Sequence[int], split: Split = SPLIT) -> str | None:
    """Hash the identity of a set of real faces without reading them: files, crop, size and labels.

    Returns:
        The hash; None if the source has no stable hash.
    """
    pictures = source.compute_fingerprint(split, indices)
    if pictures is None:
        return None
    labels = source.read_labels(split).to(torch.uint8).contiguous().numpy().tobytes()
    identity = {
        "zoogan": __version__,
        "pictures": pictures,
        "size": source.image_size,
        "crop": source.crop,
        "labels": hashlib.sha256(labels).hexdigest(),
        "faces": list(indices),
        "split": split,
    }
    return hashlib.sha256(json.dumps(identity, sort_keys=True).encode()).hexdigest()


def load_reference(faces: RealFaces, features: Features, study: Study) -> Reference:
    """Return the features of real faces, on the CPU, in the order of `indices`.

    They are read from `study.cache` if they were computed before; faces without a key are never cached. Processes share
    the work, and the first one writes.
    """
    identity = json.dumps([faces.key, features.name, features.weights, features.resizer])
    path = study.cache / "real_features" / f"{hashlib.sha256(identity.encode()).hexdigest()[:32]}.safetensors"
    tensors = _read_cached(path, (len(faces.indices), features.dimensions)) if faces.key else None
    # All processes read or all compute. Otherwise those that compute would wait forever for the one that read.
    missing = study.world.reduce_max(torch.tensor([tensors is None], dtype=torch.int32, device=study.device))
    if tensors is None or missing.item():
        tensors = _compute_reference(faces, features, study)
        if study.world.rank == 0 and faces.key:
            write_tensors_atomically(path, tensors, {"of": identity})
    digest = hashlib.sha256(tensors["pictures"].numpy().tobytes()).hexdigest()
    return Reference(tensors["features"], digest)


def _compute_reference(faces: RealFaces, features: Features, study: Study) -> dict[str, Tensor]:
    """Compute `features` (m, d) and `pictures` (m,), a hash of each picture's bytes; each process does its share."""
    rows = torch.arange(study.world.rank, len(faces.indices), study.world.size, device=study.device)
    own = torch.zeros(len(rows), features.dimensions, device=study.device)
    hashes: list[int] = []
    for first in range(0, len(rows), ROWS):
        part = slice(first, first + ROWS)
        image = faces.source.read(faces.split, [faces.indices[k] for k in rows[part].tolist()])["image"]
        own[part] = features(normalize_image(image.to(study.device)))
        contents = (hashlib.blake2b(face.numpy().tobytes(), digest_size=8).digest() for face in image.cpu())
        hashes += [int.from_bytes(content, "little", signed=True) for content in contents]
    pictures = torch.tensor(hashes, dtype=torch.int64, device=study.device)
    order = study.world.gather_uneven(rows).argsort()
    tensors = {"features": own, "pictures": pictures}
    return {name: study.world.gather_uneven(part)[order].cpu().contiguous() for name, part in tensors.items()}


def _read_cached(path: Path, shape: tuple[int, int]) -> dict[str, Tensor] | None:
    """Read cached features; None if the file is missing or damaged."""
    try:
        tensors = load_file(path)
    except (OSError, SafetensorError):
        return None
    return tensors if "pictures" in tensors and tensors["features"].shape == shape else None
