"""What the tests of the set metrics share: a source, an editor and a network that are small, known and fast."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.auxiliary.features import Features
from zoogan.interfaces import Edit, Editor, Edits, Metric, Request, Seed, Source, Study, World
from zoogan.interfaces.metric import make_face_seeds
from zoogan.pictures.photo import normalize_image

SIDE = 16
BATCHES = [range(50), range(50, 80)]


class Noise(Source):
    """Two attributes, faces of coloured noise; A makes a face brighter. It counts the faces that are read."""

    attributes = ("A", "B")
    image_size = SIDE

    def __init__(self, train: int = 120, test: int = 80, share: float = 0.3) -> None:
        self.sizes, self.config, self.read_faces = {"train": train, "valid": 0, "test": test}, share, 0
        self.tables = {split: self.table(split) for split in self.sizes}

    def table(self, split: str) -> Tensor:
        draw = torch.rand(self.sizes[split], 2, generator=torch.Generator().manual_seed(len(split)))
        return (draw < self.config).float()

    def count_faces(self, split: str) -> int:
        return self.sizes[split]

    def read_labels(self, split: str) -> Tensor:
        return self.tables[split]

    def compute_fingerprint(self, split: str, indices: Sequence[int] | None = None, *, dated: bool = True) -> str:
        return f"noise {self.sizes} {self.config} {split} {indices}"

    def read(self, split: str, indices: Sequence[int]) -> dict[str, Tensor]:
        self.read_faces += len(indices)
        labels = self.tables[split][list(indices)]
        faces = [
            torch.rand(3, SIDE, SIDE, generator=torch.Generator().manual_seed(1000 * len(split) + i)) for i in indices
        ]
        image = torch.stack(faces) * 0.7 + 0.3 * labels[:, 0, None, None, None]
        return {"image": image.mul(255).to(torch.uint8), "attributes": labels}


class Lens(Editor):
    """An editor that is a function (image, target, seed) -> image."""

    attributes = ("A", "B")

    def __init__(self, change: Callable[[Tensor, Tensor, Seed], Tensor]) -> None:
        self.change, self.networks = change, nn.ModuleDict()

    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> dict[str, Tensor]:
        return {"attributes": torch.tensor([[request.attributes[name] for name in self.attributes]] * len(image))}

    def apply(self, image: Tensor, targets: Mapping[str, Tensor], *, seed: Seed = 0, **options: Any) -> Edit:
        return Edit(self.change(image, targets["attributes"], seed))


class Filters(Features):
    """Random filters, rectified and averaged; the same ones for the same seed."""

    name, weights, resizer = "filters", "0" * 64, "none"

    def __init__(self, dimensions: int = 12, seed: int = 0) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.filters = torch.randn(dimensions, 3, 3, 3, generator=torch.Generator().manual_seed(seed))

    def extract(self, image: Tensor) -> Tensor:
        return nn.functional.conv2d(image, self.filters).relu().mean((2, 3))


class Difference(nn.Module):
    """Stands in for LPIPS: the mean absolute difference."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return (first - second).abs().mean((1, 2, 3), keepdim=True)


def study_of(source: Source, cache: Path, **options: Any) -> Study:
    """A study of the test split."""
    given: dict[str, Any] = {
        "source_name": "noise",
        "split": "test",
        "faces": source.count_faces("test"),
        "seed": 0,
        "world": World.make_single(),
    }
    return Study(source=source, device=torch.device("cpu"), cache=cache, **{**given, **options})


def edits_of(source: Source, editor: Editor, attribute: str, faces: Sequence[int]) -> Edits:
    """Flips of one attribute on some test faces."""
    sample = source.read("test", faces)
    image, own = normalize_image(sample["image"]), sample["attributes"]
    target = own.clone()
    column = source.attributes.index(attribute)
    target[:, column] = 1 - target[:, column]
    edit = editor.apply(image, {"attributes": target}, seed=make_face_seeds(0, torch.tensor(faces)))
    return Edits(
        editor, attribute, faces=torch.tensor(faces, dtype=torch.int64), image=image, own=own, target=target,
        edit=edit, true_redraw=None, sample=sample,
    )  # fmt: skip


def measured(metric: Metric, study: Study, editor: Editor, batches: Sequence[Sequence[int]], *names: str) -> list[Any]:
    """The measures of a metric after some batches of test faces."""
    metric.start(study)
    for name in names or ("A",):
        for faces in batches:
            metric.update(edits_of(study.source, editor, name, faces))
    return metric.compute()


def keep(image: Tensor, target: Tensor, seed: int) -> Tensor:
    """No edit at all."""
    return image


class Threads(World):
    """One of several processes that are threads of this one."""

    def __init__(self, rank: int, meeting: threading.Barrier, table: dict[int, Any]) -> None:
        self.rank, self.size, self.meeting, self.table = rank, meeting.parties, meeting, table

    def gather_objects(self, value: Any) -> list[Any]:
        self.table[self.rank] = value
        self.meeting.wait()
        values = [self.table[rank] for rank in range(self.size)]
        self.meeting.wait()
        return values

    def gather(self, rows: Tensor) -> Tensor:
        return torch.cat(self.gather_objects(rows))

    def reduce_max(self, value: Tensor) -> Tensor:
        return self.gather(value).max(0, keepdim=True).values

    def barrier(self) -> None:
        self.meeting.wait()


def in_two_processes(work: Callable[[int, World], Any]) -> list[Any]:
    """What `work` returns in either of two."""
    meeting, table, found = threading.Barrier(2, timeout=20), dict[int, Any](), dict[int, Any]()

    def run(rank: int) -> None:
        found[rank] = work(rank, Threads(rank, meeting, table))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [found[rank] for rank in range(2)]
