"""Makes a judge of a trained network: thresholds from the valid split, and scores on the test split."""

from __future__ import annotations

import datetime
from collections.abc import Sequence
from dataclasses import dataclass, field
from importlib import metadata

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan import __version__
from zoogan.config import DataConfig, get_component_name
from zoogan.errors import ConfigError
from zoogan.interfaces import Source
from zoogan.interfaces.source import Split
from zoogan.judges.judge import Judge, JudgeFacts
from zoogan.judges.network import JudgeNetwork
from zoogan.judges.scores import choose_threshold, score_attribute, score_each_part, score_parts, score_pose
from zoogan.judges.splits import add_valid_split, check_splits, list_learnable_parts
from zoogan.judges.training import JudgeTrainingConfig, Watch, fit_network
from zoogan.pictures.photo import normalize_image


@dataclass
class Readings:
    """What a network reads off the faces of a split, and the truth; tensors by batch.

    Attributes:
        probability: Probability of each attribute, (n, a).
        label: Label of each attribute, (n, a).
        visible: 1 where a face can show the attribute, (n, a).
        pose: In degrees, (n, 3).
        true_pose: In degrees, (n, 3).
        counts: Pixels by (true class, class read); None without parts.
    """

    probability: list[Tensor] = field(default_factory=list)
    label: list[Tensor] = field(default_factory=list)
    visible: list[Tensor] = field(default_factory=list)
    pose: list[Tensor] = field(default_factory=list)
    true_pose: list[Tensor] = field(default_factory=list)
    counts: Tensor | None = None

    def select_attribute(self, column: int) -> tuple[Float[Tensor, " n"], Bool[Tensor, " n"]]:
        """Select (probability, label) of one attribute on the faces where it is visible."""
        rows = torch.cat(self.visible)[:, column] > 0.5
        return torch.cat(self.probability)[rows, column], torch.cat(self.label)[rows, column] > 0.5


@torch.no_grad()
def read_split(network: JudgeNetwork, source: Source, split: Split, device: torch.device, batch: int = 64) -> Readings:
    """Read everything that a network can off the faces of a split.

    Args:
        network: Trained, in eval mode.
        source: The faces.
        split: Split of the source.
        device: Where the network is.
        batch: Faces at once.
    """
    readings = Readings()
    classes = network.build.classes
    for first in range(0, source.count_faces(split), batch):
        sample = source.read(split, list(range(first, min(first + batch, source.count_faces(split)))))
        maps = network.compute_maps(normalize_image(sample["image"].to(device)))
        readings.probability.append(network.read_attributes(maps).sigmoid().cpu())
        readings.label.append(sample["attributes"])
        readings.visible.append(sample.get("visible", torch.ones_like(sample["attributes"])))
        if network.build.pose:
            readings.pose.append(network.read_pose(maps).cpu())
            readings.true_pose.append(sample["pose"])
        if classes:
            pairs = sample["segmentation"].long() * classes + network.read_parts(maps).argmax(1).cpu()
            counts = torch.bincount(pairs.flatten(), minlength=classes**2).view(classes, classes)
            readings.counts = counts if readings.counts is None else readings.counts + counts
    return readings


def check_reading_values(readings: Readings, names: Sequence[str], split: str) -> None:
    """Check that both values of every attribute occur on the faces where it is visible.

    Raises:
        ConfigError: An attribute has one value on all of them.
    """
    labels = [readings.select_attribute(k)[1] for k in range(len(names))]
    single = [name for name, label in zip(names, labels) if not 0 < int(label.sum()) < len(label)]
    if single:
        raise ConfigError(f"data.attributes: one value only on all visible {split} faces: {', '.join(single)}")


def fit_judge(
    source: Source,
    data: DataConfig,
    training: JudgeTrainingConfig,
    *,
    device: torch.device,
    watch: Watch | None = None,
) -> Judge | None:
    """Train a judge, calibrate it on the valid split and score it on the test split.

    The same seed gives the same judge on the same machine.

    Args:
        source: The faces; a source without a valid split gives the last tenth of its train split.
        data: Config of the source.
        training: How it is trained.
        device: Where to train.
        watch: May stop the training.

    Returns:
        The judge; None if `watch` stopped the training.

    Raises:
        ConfigError: The source does not suit, see `check_splits`; or the backbone does not, see `make_trunk`.
    """
    pictures = None if source.list_files("train") is None else source.compute_fingerprint("train", include_origin=False)
    source = add_valid_split(source)
    check_splits(source)
    network = fit_network(source, data, training, device, watch)
    if network is None:
        return None
    valid, test = (read_split(network, source, split, device) for split in ("valid", "test"))
    for readings, split in ((valid, "valid"), (test, "test")):
        check_reading_values(readings, source.attributes, split)
    return Judge(network, make_facts(network, source, data, training, valid, test, pictures))


def make_facts(
    network: JudgeNetwork,
    source: Source,
    data: DataConfig,
    training: JudgeTrainingConfig,
    valid: Readings,
    test: Readings,
    pictures: str | None,
) -> JudgeFacts:
    """Make the facts of a judge from its readings of the valid and the test split.

    Args:
        network: The trained network.
        source: The faces.
        data: Config of the source.
        training: How it was trained.
        valid: Readings that decide the thresholds.
        test: Readings that are scored.
        pictures: Fingerprint of the source's files; None without files.
    """
    names = source.attributes
    thresholds = tuple(choose_threshold(*valid.select_attribute(k)) for k in range(len(names)))
    segmentation = None
    if test.counts is not None:
        segmentation = score_parts(test.counts) | {"faces": float(source.count_faces("test"))}
    splits: tuple[Split, ...] = ("train", "valid", "test")
    return JudgeFacts(
        build=network.build,
        attributes=names,
        thresholds=thresholds,
        table={name: score_attribute(*test.select_attribute(k), thresholds[k]) for k, name in enumerate(names)},
        pose_error=score_pose(torch.cat(test.pose), torch.cat(test.true_pose)) if test.pose else None,
        segmentation=segmentation,
        parts=list_learnable_parts(source),
        part_table=score_each_part(test.counts, source.parts) if test.counts is not None else {},
        source=get_component_name(data),
        data=data.model_dump(mode="json", exclude={"root", "workers", "batch", "balance", "flip"}),
        pictures=pictures,
        training=training.model_dump(mode="json") | {"faces": {split: source.count_faces(split) for split in splits}},
        seed=training.seed,
        versions={"zoogan": __version__, "torch": torch.__version__, "timm": metadata.version("timm")},
        date=datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    )
