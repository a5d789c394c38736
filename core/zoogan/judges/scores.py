"""How right a judge is: thresholds, and what is told of attributes, pose and parts on faces it has not seen."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from zoogan.interfaces.statistic import Ranking


def best_threshold(probability: Float[Tensor, " n"], label: Bool[Tensor, " n"]) -> float:
    """The threshold of the highest balanced accuracy: halfway between two neighbours, of equals that nearest to 1/2.

    A face shows the attribute where its probability is above the threshold.
    """
    values, which = probability.double().unique(return_inverse=True)
    shows = torch.zeros(len(values), dtype=torch.float64).index_add_(0, which, label.double())
    lacks = torch.zeros(len(values), dtype=torch.float64).index_add_(0, which, (~label).double())
    # Cut k lies below value k: all from k on show it.
    recall = 1 - torch.cat([shows.new_zeros(1), shows.cumsum(0)]) / label.sum()
    specificity = torch.cat([lacks.new_zeros(1), lacks.cumsum(0)]) / (~label).sum()
    edges = torch.cat([values.new_full((1,), -1.0), values, values.new_full((1,), 2.0)])  # 0 and 1 do occur
    cuts = (edges[1:] + edges[:-1]) / 2
    balanced = recall + specificity
    best = cuts[balanced >= balanced.max() - 1e-12]
    return float(best[(best - 0.5).abs().argmin()])


def attribute_scores(probability: Float[Tensor, " n"], label: Bool[Tensor, " n"], threshold: float) -> dict[str, float]:
    """One row of a judge's table. `error` is the standard error of the balanced accuracy."""
    said = probability.double() > threshold
    positives, faces = int(label.sum()), len(label)
    negatives = faces - positives
    recall = float((said & label).sum()) / positives
    specificity = float((~said & ~label).sum()) / negatives
    variance = recall * (1 - recall) / positives + specificity * (1 - specificity) / negatives
    return {
        "faces": float(faces),
        "positives": float(positives),
        "balanced_accuracy": (recall + specificity) / 2,
        "error": math.sqrt(variance) / 2,
        "accuracy": float((said == label).double().mean()),
        "recall": recall,
        "specificity": specificity,
        "average_precision": Ranking(torch.arange(faces), probability, label.double()).value(),
    }


def pose_scores(told: Float[Tensor, "n 3"], true: Float[Tensor, "n 3"]) -> dict[str, float]:
    """The mean absolute error of each angle in degrees, and for comparison that of always telling the median."""
    error = (told - true).abs().mean(0).tolist()
    blind = (true - true.median(0).values).abs().mean(0).tolist()
    names = ("yaw", "pitch", "roll")
    return dict(zip(names, error)) | {f"{name}_of_median": value for name, value in zip(names, blind)}


def part_scores(counts: Int64[Tensor, "c c"]) -> dict[str, float]:
    """Mean intersection over union of the classes that occur, and the share of pixels that are right.

    counts: pixels by (true class, told class).
    """
    right = counts.diagonal().double()
    there = counts.sum(1) > 0
    return {
        "mean_iou": float(overlaps(counts)[there].mean()),
        "pixel_accuracy": float(right.sum() / counts.sum()),
        "classes": float(there.sum()),
    }


def overlaps(counts: Int64[Tensor, "c c"]) -> Float[Tensor, " c"]:
    """Intersection over union of each class, over all faces together; 0 for one that is neither there nor told."""
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return counts.diagonal().double() / union.clamp(min=1)


def part_table(counts: Int64[Tensor, "c c"], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """What is told of each class that occurs: `iou`; `share` of all pixels that are of it; `recall`, the share of its
    pixels that were told; `precision`, the share of those told that are of it, 0 if none were.

    counts: as of `part_scores`. names: of the classes.
    """
    true, said, right = counts.sum(1).double(), counts.sum(0).double(), counts.diagonal().double()
    columns = {
        "iou": overlaps(counts),
        "share": true / true.sum(),
        "recall": right / true.clamp(min=1),
        "precision": right / said.clamp(min=1),
    }
    return {
        name: {column: float(values[k]) for column, values in columns.items()}
        for k, name in enumerate(names)
        if true[k] > 0
    }
