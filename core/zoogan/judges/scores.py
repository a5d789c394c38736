"""How accurate a judge is: thresholds, and scores of attributes, pose and parts on faces that it was not trained on."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from zoogan.interfaces.statistic import Ranking


def choose_threshold(probability: Float[Tensor, " n"], label: Bool[Tensor, " n"]) -> float:
    """Choose the threshold of the highest balanced accuracy.

    It lies halfway between two neighbouring probabilities; of equally good thresholds the one nearest to 1/2 is taken.
    A face shows the attribute where its probability is above the threshold.

    Args:
        probability: P(attribute) of each face.
        label: Whether the faces show it; both values occur.
    """
    values, which = probability.double().unique(return_inverse=True)
    positives = torch.zeros(len(values), dtype=torch.float64).index_add_(0, which, label.double())
    negatives = torch.zeros(len(values), dtype=torch.float64).index_add_(0, which, (~label).double())
    # Cut k lies below value k: the faces from k on count as showing the attribute.
    recall = 1 - torch.cat([positives.new_zeros(1), positives.cumsum(0)]) / label.sum()
    specificity = torch.cat([negatives.new_zeros(1), negatives.cumsum(0)]) / (~label).sum()
    edges = torch.cat([values.new_full((1,), -1.0), values, values.new_full((1,), 2.0)])  # 0 and 1 do occur
    cuts = (edges[1:] + edges[:-1]) / 2
    balanced = recall + specificity
    best = cuts[balanced >= balanced.max() - 1e-12]
    return float(best[(best - 0.5).abs().argmin()])


def score_attribute(probability: Float[Tensor, " n"], label: Bool[Tensor, " n"], threshold: float) -> dict[str, float]:
    """Score the readings of an attribute: one row of a judge's table.

    Args:
        probability: P(attribute) of each face.
        label: Whether the faces show it; both values occur.
        threshold: The attribute is read where the probability is above.

    Returns:
        faces, positives, balanced_accuracy, error (its standard error), accuracy, recall, specificity,
        average_precision.
    """
    reading = probability.double() > threshold
    positives, faces = int(label.sum()), len(label)
    negatives = faces - positives
    recall = float((reading & label).sum()) / positives
    specificity = float((~reading & ~label).sum()) / negatives
    variance = recall * (1 - recall) / positives + specificity * (1 - specificity) / negatives
    return {
        "faces": float(faces),
        "positives": float(positives),
        "balanced_accuracy": (recall + specificity) / 2,
        "error": math.sqrt(variance) / 2,
        "accuracy": float((reading == label).double().mean()),
        "recall": recall,
        "specificity": specificity,
        "average_precision": Ranking(torch.arange(faces), probability, label.double()).compute(),
    }


def score_pose(reading: Float[Tensor, "n 3"], true: Float[Tensor, "n 3"]) -> dict[str, float]:
    """Compute the mean absolute error of each angle, and for comparison the error of always predicting the median.

    Args:
        reading: Yaw, pitch and roll in degrees.
        true: The same, correct.

    Returns:
        yaw, pitch, roll, and the same with `_of_median`, in degrees.
    """
    error = (reading - true).abs().mean(0).tolist()
    median_error = (true - true.median(0).values).abs().mean(0).tolist()
    names = ("yaw", "pitch", "roll")
    return dict(zip(names, error)) | {f"{name}_of_median": value for name, value in zip(names, median_error)}


def score_parts(counts: Int64[Tensor, "c c"]) -> dict[str, float]:
    """Score a segmentation over all parts.

    Args:
        counts: Pixels by (true class, class read).

    Returns:
        mean_iou over the classes that occur, pixel_accuracy, and classes, how many occur.
    """
    correct = counts.diagonal().double()
    occurs = counts.sum(1) > 0
    return {
        "mean_iou": float(compute_overlaps(counts)[occurs].mean()),
        "pixel_accuracy": float(correct.sum() / counts.sum()),
        "classes": float(occurs.sum()),
    }


def compute_overlaps(counts: Int64[Tensor, "c c"]) -> Float[Tensor, " c"]:
    """Compute the intersection over union of each class over all faces; 0 for a class that is nowhere.

    Args:
        counts: Pixels by (true class, class read).
    """
    union = counts.sum(0) + counts.sum(1) - counts.diagonal()
    return counts.diagonal().double() / union.clamp(min=1)


def score_each_part(counts: Int64[Tensor, "c c"], names: Sequence[str]) -> dict[str, dict[str, float]]:
    """Score each part that occurs.

    Args:
        counts: Pixels by (true class, class read).
        names: Names of the classes.

    Returns:
        By part: `iou`; `share` of all pixels that are of it; `recall`, the share of its pixels that were read as it;
        `precision`, the share of pixels read as it that are of it, 0 without any.
    """
    true, read, correct = counts.sum(1).double(), counts.sum(0).double(), counts.diagonal().double()
    columns = {
        "iou": compute_overlaps(counts),
        "share": true / true.sum(),
        "recall": correct / true.clamp(min=1),
        "precision": correct / read.clamp(min=1),
    }
    return {
        name: {column: float(values[k]) for column, values in columns.items()}
        for k, name in enumerate(names)
        if true[k] > 0
    }
