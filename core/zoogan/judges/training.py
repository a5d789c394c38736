"""How a judge learns: weighted losses over disturbed faces, then thresholds on one split and scores on another."""

from __future__ import annotations

import contextlib
import datetime
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import metadata

import torch
import torch.nn.functional as F
from jaxtyping import Float
from pydantic import Field
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

from zoogan import __version__
from zoogan.config import ConfigError, ConfigModel, DataConfig, get_component_name
from zoogan.data.loader import loader, to_device
from zoogan.interfaces import Source, World
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.game import Need
from zoogan.interfaces.source import Split
from zoogan.judges.augment import disturbed
from zoogan.judges.judge import Judge, JudgeFacts
from zoogan.judges.network import BACKBONE, JudgeNetwork, plan
from zoogan.judges.scores import attribute_scores, best_threshold, part_scores, part_table, pose_scores
from zoogan.judges.splits import check_splits, parts_of, with_valid
from zoogan.pictures.photo import to_range

RAREST = 0.05  # values rarer than this weigh no more: a handful of faces must not drown the rest
TOLD_EVERY = 50  # iterations
FIELDS = ("image", "attributes", "visible", "pose", "segmentation")
Watch = Callable[[int, Mapping[str, float]], bool]


class Lesson(ConfigModel):
    """How a judge is trained. A face is seen `iterations * batch / faces` times or so.

    rate: the peak of the one-cycle learning rate. pose, parts: weights of those losses beside that of the attributes.
    """

    backbone: str = BACKBONE
    pretrained: bool = False
    iterations: int = Field(3000, ge=1)
    batch: int = Field(64, ge=2)
    seed: int = 0
    rate: float = Field(3e-3, gt=0)
    decay: float = Field(0.05, ge=0)
    pose: float = Field(0.3, ge=0)
    parts: float = Field(0.3, ge=0)


def value_weights(labels: Float[Tensor, "n a"]) -> Float[Tensor, "2 a"]:
    """What each face counts for by its value, so that 0 and 1 count alike over all faces."""
    share = labels.mean(0)
    return torch.stack([0.5 / (1 - share).clamp(min=RAREST), 0.5 / share.clamp(min=RAREST)])


def losses(
    network: JudgeNetwork, sample: Mapping[str, Tensor], weights: Float[Tensor, "2 a"], lesson: Lesson
) -> dict[str, Tensor]:
    """Each head's loss, weighted. A hidden attribute does not count."""
    maps, labels = network.maps(sample["image"]), sample["attributes"]
    terms = {}
    if network.build.attributes:
        counts = torch.where(labels > 0.5, weights[1], weights[0])
        if "visible" in sample:
            counts = counts * sample["visible"]
        logits = network.read_attributes(maps)
        wrong = F.binary_cross_entropy_with_logits(logits, labels, counts, reduction="sum")
        terms["attributes"] = wrong / counts.sum().clamp(min=1)
    if network.build.pose:
        off = (network.read_pose(maps) - sample["pose"]) / network.pose_spread
        terms["pose"] = lesson.pose * F.smooth_l1_loss(off, torch.zeros_like(off))
    if network.build.classes:
        terms["parts"] = lesson.parts * F.cross_entropy(network.read_parts(maps), sample["segmentation"].long())
    return terms


def optimizer_of(
    network: nn.Module, lesson: Lesson
) -> tuple[torch.optim.Optimizer, torch.optim.lr_scheduler.LRScheduler]:
    """AdamW under a one-cycle rate; norms and biases do not decay."""
    parameters = list(network.parameters())
    groups = [
        {"params": [p for p in parameters if p.ndim > 1], "weight_decay": lesson.decay},
        {"params": [p for p in parameters if p.ndim < 2], "weight_decay": 0.0},
    ]
    optimizer = torch.optim.AdamW(groups, lesson.rate)
    warm = min(0.2, 500 / lesson.iterations)
    # One step more than there are: the last would have a rate of almost nothing.
    cycle = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, lesson.rate, total_steps=lesson.iterations + 1, pct_start=warm
    )
    return optimizer, cycle


def fit(
    source: Source, config: DataConfig, lesson: Lesson, device: torch.device, watch: Watch | None = None
) -> JudgeNetwork | None:
    """A trained network, the average over its last iterations; None if `watch` asked to stop.

    watch: called after each iteration with its number and, now and then, the terms of the loss.

    Raises:
        FloatingPointError: the loss is no longer finite.
    """
    fields = tuple(f for f in FIELDS if f in source.fields)
    with torch.random.fork_rng():  # the weights, and whatever a backbone draws in training
        torch.manual_seed(lesson.seed)
        network = untrained(source, lesson).to(device).to(memory_format=torch.channels_last)
        average = AveragedModel(network, multi_avg_fn=get_ema_multi_avg_fn(memory(lesson.iterations)))
        optimizer, schedule = optimizer_of(network, lesson)
        weights = value_weights(source.labels("train")).to(device)
        mirrored = config.model_copy(update={"flip": True, "balance": None})
        batches = loader(source, mirrored, {"judge": Need(fields)}, lesson.seed, World.alone(), 0, lesson.batch)
        with contextlib.closing(batches):
            for iteration in range(1, lesson.iterations + 1):
                sample = to_device(next(batches), device)["judge"]
                draws = torch.Generator().manual_seed(seed_of(lesson.seed, "judge", iteration))
                terms = losses(network, disturbed(sample, draws), weights, lesson)
                optimizer.zero_grad()
                torch.stack(list(terms.values())).sum().backward()
                optimizer.step()
                schedule.step()
                average.update_parameters(network)
                told: dict[str, float] = {}
                if iteration % TOLD_EVERY == 0 or iteration == lesson.iterations:
                    told = {name: float(term.detach()) for name, term in terms.items()}
                    if not all(map(math.isfinite, told.values())):
                        raise FloatingPointError(f"the loss is not finite at iteration {iteration}: {told}")
                if watch is not None and watch(iteration, told):
                    return None
    trained = average.module
    assert isinstance(trained, JudgeNetwork)
    return trained.eval().requires_grad_(False)


def untrained(source: Source, lesson: Lesson) -> JudgeNetwork:
    """A network with a head for everything that the source tells; pose is scaled by what training faces have."""
    build = plan(
        lesson.backbone,
        source.image_size,
        len(source.attributes),
        pose="pose" in source.fields,
        classes=len(parts_of(source)),
        pretrained=lesson.pretrained,
    )
    network = JudgeNetwork(build, pretrained=lesson.pretrained)
    if build.pose:
        pose = source.read("train", range(min(1000, source.size("train"))))["pose"]
        network.pose_mean, network.pose_spread = pose.mean(0), pose.std(0).clamp(min=1e-3)
    return network


def memory(iterations: int) -> float:
    """The decay of the average: long, but short enough to forget the first weights."""
    return min(0.998, max(0.5, 1 - 10 / iterations))


@dataclass
class Readings:
    """What a network told of a split, and the truth. counts: pixels by (true class, told class)."""

    probability: list[Tensor] = field(default_factory=list)
    label: list[Tensor] = field(default_factory=list)
    visible: list[Tensor] = field(default_factory=list)
    pose: list[Tensor] = field(default_factory=list)
    true_pose: list[Tensor] = field(default_factory=list)
    counts: Tensor | None = None

    def column(self, column: int) -> tuple[Tensor, Tensor]:
        """(probability, label) of one attribute on the faces where it can be seen."""
        seen = torch.cat(self.visible)[:, column] > 0.5
        return torch.cat(self.probability)[seen, column], torch.cat(self.label)[seen, column] > 0.5


@torch.no_grad()
def read_split(network: JudgeNetwork, source: Source, split: Split, device: torch.device, batch: int = 64) -> Readings:
    """Everything that a network tells of a split."""
    told = Readings()
    classes = network.build.classes
    for first in range(0, source.size(split), batch):
        sample = source.read(split, list(range(first, min(first + batch, source.size(split)))))
        maps = network.maps(to_range(sample["image"].to(device)))
        told.probability.append(network.read_attributes(maps).sigmoid().cpu())
        told.label.append(sample["attributes"])
        told.visible.append(sample.get("visible", torch.ones_like(sample["attributes"])))
        if network.build.pose:
            told.pose.append(network.read_pose(maps).cpu())
            told.true_pose.append(sample["pose"])
        if classes:
            pairs = sample["segmentation"].long() * classes + network.read_parts(maps).argmax(1).cpu()
            counts = torch.bincount(pairs.flatten(), minlength=classes**2).view(classes, classes)
            told.counts = counts if told.counts is None else told.counts + counts
    return told


def check_seen(told: Readings, names: Sequence[str], split: str) -> None:
    """That both values of every attribute are seen: a source may hide some.

    Raises:
        ConfigError: attributes with one value on all faces where they can be seen.
    """
    labels = [told.column(k)[1] for k in range(len(names))]
    single = [name for name, label in zip(names, labels) if not 0 < int(label.sum()) < len(label)]
    if single:
        raise ConfigError(f"data.attributes: one value only on all visible {split} faces: {', '.join(single)}")


def train_judge(
    source: Source, config: DataConfig, lesson: Lesson, *, device: torch.device, watch: Watch | None = None
) -> Judge | None:
    """A judge of the source's faces, calibrated on its valid split and scored on its test split; the same for the same
    seed on the same machine. None if `watch` asked to stop.

    Raises:
        ConfigError: see `check_splits` and `pyramid`.
    """
    pictures = source.fingerprint("train", dated=False) if source.files("train") is not None else None
    source = with_valid(source)
    check_splits(source)
    network = fit(source, config, lesson, device, watch)
    if network is None:
        return None
    valid, test = (read_split(network, source, split, device) for split in ("valid", "test"))
    for told, split in ((valid, "valid"), (test, "test")):
        check_seen(told, source.attributes, split)
    thresholds = tuple(best_threshold(*valid.column(k)) for k in range(len(source.attributes)))
    facts = JudgeFacts(
        build=network.build,
        attributes=source.attributes,
        thresholds=thresholds,
        table={name: attribute_scores(*test.column(k), thresholds[k]) for k, name in enumerate(source.attributes)},
        pose_error=pose_scores(torch.cat(test.pose), torch.cat(test.true_pose)) if test.pose else None,
        segmentation=None if test.counts is None else part_scores(test.counts) | {"faces": float(source.size("test"))},
        parts=parts_of(source),
        part_table=part_table(test.counts, source.parts) if test.counts is not None else {},
        source=get_component_name(config),
        data=config.model_dump(mode="json", exclude={"root", "workers", "batch", "balance", "flip"}),
        pictures=pictures,
        training=lesson.model_dump(mode="json") | {"faces": {s: source.size(s) for s in ("train", "valid", "test")}},
        seed=lesson.seed,
        versions={"zoogan": __version__, "torch": torch.__version__, "timm": metadata.version("timm")},
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
    return Judge(network, facts)
