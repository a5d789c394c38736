"""The judge of layouts: a small network that reads attributes off the parts of faces, without seeing the picture.

It is trained on the true segmentations of a source's training faces, in seconds, and cached. No run has a share in it:
a run's own networks do not grade its edits.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from jaxtyping import Float, Integer, UInt8
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.files import hash_file, write_tensors_atomically
from zoogan.interfaces import Source
from zoogan.interfaces.source import Split
from zoogan.judges.scores import choose_threshold, score_attribute
from zoogan.judges.training import compute_value_weights
from zoogan.layers.layout import make_layout
from zoogan.paths import make_file_name

SIZE = 32  # layouts are read at this size at most
WIDTHS = (24, 48, 48)
ITERATIONS, BATCH, RATE, DECAY, SEED = 200, 64, 3e-3, 1e-4, 0
MOST_TRAINING, MOST_HELD_OUT = 2000, 500
READ_AT_ONCE = 250
RECIPE = [1, SIZE, WIDTHS, ITERATIONS, BATCH, RATE, DECAY, SEED, MOST_TRAINING]
"""What a judge depends on besides the faces; the first number is the format of the file."""


@dataclass(frozen=True)
class LayoutJudge:
    """A trained judge of layouts.

    Attributes:
        network: From layouts (n, k, s, s) at `size` to logits (n, a).
        attributes: The attributes that it reads.
        parts: The parts of the layouts, in order.
        size: Height and width at which it reads.
        thresholds: A face shows an attribute where its probability is above.
        table: Attribute -> scores on held-out faces, see `score_attribute`.
        digest: sha256 of its file.
    """

    network: nn.Module
    attributes: tuple[str, ...]
    parts: tuple[str, ...]
    size: int
    thresholds: Float[Tensor, " a"]
    table: Mapping[str, Mapping[str, float]]
    digest: str

    @torch.no_grad()
    def read_attributes(self, segmentation: Integer[Tensor, "n h w"]) -> Float[Tensor, "n a"]:
        """Return P(attribute) of each segmentation, as if both values were equally frequent."""
        network = self.network.to(segmentation.device)
        logits: Tensor = network(make_layout(shrink(segmentation, self.size), len(self.parts)))
        return logits.sigmoid()

    def read_labels(self, segmentation: Integer[Tensor, "n h w"]) -> Float[Tensor, "n a"]:
        """Return which attributes each segmentation shows, 0 or 1."""
        probability = self.read_attributes(segmentation)
        return (probability > self.thresholds.to(probability)).float()


def open_layout_judge(source: Source, source_name: str, cache: Path) -> LayoutJudge:
    """Open the cached judge of a source's layouts, or train one and cache it.

    Args:
        source: Faces with segmentations and attributes.
        source_name: Its name, which is part of the file's name.
        cache: The folder of caches.

    Raises:
        ValueError: The source has no segmentations or no training faces, or an attribute has one value only.
    """
    if "segmentation" not in source.fields or not source.attributes:
        raise ValueError("these faces have no segmentations with attributes")
    identity = identify_source(source)
    path = (
        cache / "layout_judges" / f"{make_file_name(source_name)}-{source.image_size}-{identity or 'own'}.safetensors"
    )
    judge = None if identity is None else read_layout_judge(path, source)
    if judge is None:
        judge = train_layout_judge(source)
        if identity is not None:
            facts = {"thresholds": judge.thresholds.tolist(), "table": judge.table}
            path.parent.mkdir(parents=True, exist_ok=True)
            write_tensors_atomically(path, judge.network.state_dict(), {"judge": json.dumps(facts)})
            judge = read_layout_judge(path, source) or judge
    return judge


def identify_source(source: Source) -> str | None:
    """Hash everything that a judge of these layouts depends on; None if the faces have no stable hash."""
    pictures = source.compute_fingerprint("train", include_origin=False)
    if pictures is None:
        return None
    content = [pictures, source.attributes, source.parts, source.image_size, RECIPE]
    return hashlib.sha256(json.dumps(content).encode()).hexdigest()[:16]


def read_layout_judge(path: Path, source: Source) -> LayoutJudge | None:
    """Read a cached judge; None if the file is missing or damaged."""
    network = make_network(len(source.parts), len(source.attributes), choose_size(source))
    try:
        with safe_open(path, "pt") as file:
            facts = json.loads(file.metadata()["judge"])
            network.load_state_dict({name: file.get_tensor(name) for name in file.keys()})  # noqa: SIM118
    except (OSError, SafetensorError, RuntimeError, KeyError, TypeError, ValueError):
        return None
    return LayoutJudge(
        network.eval(), source.attributes, source.parts, choose_size(source), torch.tensor(facts["thresholds"]),
        facts["table"], hash_file(path),
    )  # fmt: skip


def train_layout_judge(source: Source) -> LayoutJudge:
    """Train a judge on the training faces, and choose its thresholds and score it on held-out faces.

    Raises:
        ValueError: See `open_layout_judge`.
    """
    layouts, labels, visible = read_layouts(source, "train", MOST_TRAINING)
    shown = labels.sum(0)
    single = [name for name, count in zip(source.attributes, shown.tolist()) if not 0 < count < len(labels)]
    if single:
        raise ValueError(f"all training faces have the same value of {', '.join(single)}")
    network = make_network(len(source.parts), len(source.attributes), choose_size(source))
    fit_layout_network(network, layouts, labels, visible, len(source.parts))
    held_out: Split = "valid" if source.count_faces("valid") else "test"
    layouts, labels, visible = read_layouts(source, held_out, MOST_HELD_OUT)
    with torch.no_grad():
        parts = layouts.split(READ_AT_ONCE)
        probability = torch.cat([network(make_layout(part, len(source.parts))) for part in parts]).sigmoid()
    thresholds, table = [], {}
    for k, name in enumerate(source.attributes):
        seen = visible[:, k] > 0.5
        scores, truth = probability[seen, k], labels[seen, k] > 0.5
        has_both = bool(truth.any()) and bool((~truth).any())
        thresholds.append(choose_threshold(scores, truth) if has_both else 0.5)
        if has_both:
            table[name] = score_attribute(scores, truth, thresholds[-1])
    digest = hashlib.sha256(b"".join(t.numpy().tobytes() for t in network.state_dict().values())).hexdigest()
    return LayoutJudge(
        network, source.attributes, source.parts, choose_size(source), torch.tensor(thresholds), table, digest
    )


def fit_layout_network(
    network: nn.Module,
    layouts: UInt8[Tensor, "n s s"],
    labels: Float[Tensor, "n a"],
    visible: Float[Tensor, "n a"],
    parts: int,
) -> None:
    """Train a network with Adam; both values of an attribute count equally, and hidden attributes do not count."""
    draws = torch.Generator().manual_seed(SEED)
    weights = compute_value_weights(labels)
    optimizer = torch.optim.Adam(network.parameters(), RATE, weight_decay=DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=ITERATIONS + 1)
    network.train()
    with torch.enable_grad():
        for _ in range(ITERATIONS):
            rows = torch.randint(len(layouts), (BATCH,), generator=draws)
            shift = torch.randint(-1, 2, (2,), generator=draws).tolist()
            layout = make_layout(layouts[rows].roll(shift, (1, 2)), parts)
            counts = torch.where(labels[rows] > 0.5, weights[1], weights[0]) * visible[rows]
            loss = F.binary_cross_entropy_with_logits(network(layout), labels[rows], counts, reduction="sum")
            optimizer.zero_grad()
            (loss / counts.sum().clamp(min=1)).backward()
            optimizer.step()
            schedule.step()
    network.eval().requires_grad_(False)


def read_layouts(
    source: Source, split: Split, most: int
) -> tuple[UInt8[Tensor, "n s s"], Float[Tensor, "n a"], Float[Tensor, "n a"]]:
    """Read the first segmentations of a split at the judge's size, their labels, and which attributes are visible."""
    numbers = list(range(min(most, source.count_faces(split))))
    if not numbers:
        raise ValueError(f"split {split!r} has no faces")
    samples = [source.read(split, numbers[k : k + READ_AT_ONCE]) for k in range(0, len(numbers), READ_AT_ONCE)]
    labels = torch.cat([sample["attributes"] for sample in samples])
    visible = torch.cat([sample.get("visible", torch.ones_like(sample["attributes"])) for sample in samples])
    return torch.cat([shrink(sample["segmentation"], choose_size(source)) for sample in samples]), labels, visible


def choose_size(source: Source) -> int:
    """Choose the size at which layouts of a source are read."""
    return min(SIZE, source.image_size)


def shrink(segmentation: Integer[Tensor, "n h w"], size: int) -> Integer[Tensor, "n {size} {size}"]:
    """Resize a segmentation by nearest pixels."""
    if segmentation.shape[-2:] == (size, size):
        return segmentation
    resized = F.interpolate(segmentation[:, None].float(), (size, size), mode="nearest-exact")
    return resized[:, 0].to(segmentation.dtype)


def make_network(parts: int, attributes: int, size: int) -> nn.Module:
    """Make the network, with weights that depend on nothing else."""
    layers: list[nn.Module] = []
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        for before, after in zip((parts, *WIDTHS), WIDTHS):
            layers += [nn.Conv2d(before, after, 3, stride=2, padding=1), nn.BatchNorm2d(after), nn.ReLU()]
            size = (size + 1) // 2
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(WIDTHS[-1] * size**2, attributes))
