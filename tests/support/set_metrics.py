"""A source, an editor and a feature network for the tests of set metrics: small, fast and computable by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.auxiliary.features import Features
from zoogan.interfaces import Edit, Editor, Edits, Metric, Request, Seed, Source, Study, World
from zoogan.interfaces.edits import make_face_seeds
from zoogan.pictures.photo import normalize_image

SIDE = 16
BATCHES = [range(50), range(50, 80)]


class NoiseSource(Source):
    """A source of coloured noise with two attributes; A makes faces brighter. It counts the faces that are read."""

    attributes = ("A", "B")
    image_size = SIDE

    def __init__(self, train: int = 120, test: int = 80, share: float = 0.3) -> None:
        self.sizes, self.config, self.read_faces = {"train": train, "valid": 0, "test": test}, share, 0
        self.tables = {split: self.draw_labels(split) for split in self.sizes}

    def draw_labels(self, split: str) -> Tensor:
        """Draw the labels of a split, (faces, 2)."""
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


class FunctionEditor(Editor):
    """An editor made of a function (image, targets, seed) -> image."""

    attributes = ("A", "B")

    def __init__(self, change: Callable[[Tensor, Tensor, Seed], Tensor]) -> None:
        self.change, self.networks = change, nn.ModuleDict()

    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> dict[str, Tensor]:
        return {"attributes": torch.tensor([[request.attributes[name] for name in self.attributes]] * len(image))}

    def apply(self, image: Tensor, targets: Mapping[str, Tensor], *, seed: Seed = 0, **options: Any) -> Edit:
        return Edit(self.change(image, targets["attributes"], seed))


class RandomFilters(Features):
    """Features from random filters, rectified and averaged; the seed decides the filters."""

    name, weights, resizer = "filters", "0" * 64, "none"

    def __init__(self, dimensions: int = 12, seed: int = 0) -> None:
        super().__init__()
        self.dimensions = dimensions
        self.filters = torch.randn(dimensions, 3, 3, 3, generator=torch.Generator().manual_seed(seed))

    def extract(self, image: Tensor) -> Tensor:
        return nn.functional.conv2d(image, self.filters).relu().mean((2, 3))


class MeanDifference(nn.Module):
    """The mean absolute difference, in place of LPIPS."""

    def forward(self, first: Tensor, second: Tensor) -> Tensor:
        return (first - second).abs().mean((1, 2, 3), keepdim=True)


def make_study(source: Source, cache: Path, **options: Any) -> Study:
    """Make a study of the test split; options replace its fields."""
    defaults: dict[str, Any] = {
        "source_name": "noise",
        "split": "test",
        "faces": source.count_faces("test"),
        "seed": 0,
        "world": World.make_single(),
    }
    return Study(source=source, device=torch.device("cpu"), cache=cache, **{**defaults, **options})


def make_flips(source: Source, editor: Editor, attribute: str, faces: Sequence[int]) -> Edits:
    """Edit some test faces so that one attribute changes to its opposite."""
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


def measure_edits(
    metric: Metric, study: Study, editor: Editor, batches: Sequence[Sequence[int]], *names: str
) -> list[Any]:
    """Compute the measures of a metric after batches of test faces, for each named attribute (default: A)."""
    metric.start(study)
    for name in names or ("A",):
        for faces in batches:
            metric.update(make_flips(study.source, editor, name, faces))
    return metric.compute()


def keep_image(image: Tensor, target: Tensor, seed: int) -> Tensor:
    """Return the image unchanged."""
    return image


class ThreadWorld(World):
    """A world whose processes are threads of this one."""

    def __init__(self, rank: int, ready: threading.Barrier, table: dict[int, Any]) -> None:
        self.rank, self.size, self.ready, self.table = rank, ready.parties, ready, table

    def gather_objects(self, value: Any) -> list[Any]:
        self.table[self.rank] = value
        self.ready.wait()
        values = [self.table[rank] for rank in range(self.size)]
        self.ready.wait()
        return values

    def gather(self, rows: Tensor) -> Tensor:
        return torch.cat(self.gather_objects(rows))

    def reduce_max(self, value: Tensor) -> Tensor:
        return self.gather(value).max(0, keepdim=True).values

    def barrier(self) -> None:
        self.ready.wait()


def run_in_two_threads(work: Callable[[int, World], Any]) -> list[Any]:
    """Run a function in two threads that form one world; return both results."""
    ready, table, results = threading.Barrier(2, timeout=20), dict[int, Any](), dict[int, Any]()

    def run(rank: int) -> None:
        results[rank] = work(rank, ThreadWorld(rank, ready, table))

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return [results[rank] for rank in range(2)]
