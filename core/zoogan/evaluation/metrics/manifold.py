"""Precision, recall, density and coverage of a set of faces among real faces, `prdc_squeezenet`.

Precision and density measure quality, recall and coverage variety. A set's manifold is the union of balls around its
faces, each of which reaches to the k-th nearest neighbour.

Source: Kynkaanniemi et al. 2019 (precision and recall), Naeem et al. 2020 (density and coverage).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import ClassVar, Literal

import torch
from jaxtyping import Bool, Float, Float64
from pydantic import Field
from torch import Tensor

from zoogan.evaluation.metrics.distribution import Distribution, DistributionConfig, FaceSet, FeatureRows
from zoogan.interfaces import Headline, Ratio, SetStatistic, Statistic

BLOCK = 256  # rows of a distance matrix that are in memory at once


@dataclass(frozen=True)
class Overlap:
    """How two sets of features overlap.

    Attributes:
        realistic: Whether a generated face lies in a real ball (precision).
        density: Number of real balls that a generated face lies in, divided by k (density).
        reached: Whether a real face lies in a generated ball (recall).
        covered: Whether the ball of a real face contains a generated face (coverage).
    """

    realistic: Bool[Tensor, " n"]
    density: Float64[Tensor, " n"]
    reached: Bool[Tensor, " m"]
    covered: Bool[Tensor, " m"]


def compute_radii(rows: Float64[Tensor, "n d"], k: int) -> Float64[Tensor, " n"]:
    """Compute the distance of each row to its k-th nearest neighbour, itself not counted; k < n."""
    # The nearest of k + 1 is the row itself, or an equal row.
    return torch.cat([compute_distances(part, rows).kthvalue(k + 1, dim=1).values for part in rows.split(BLOCK)])


def compute_distances(x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    """Compute Euclidean distances by differences: the faster way by products loses the digits of near neighbours."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def compute_overlap(generated: Float[Tensor, "n d"], real: Float[Tensor, "m d"], k: int) -> Overlap:
    """Compute how two sets overlap. A face exactly on the edge of a ball is outside, as in Naeem et al.'s code."""
    x, y = generated.double(), real.double()
    radii_x, radii_y = compute_radii(x, k), compute_radii(y, k)
    balls = torch.zeros(len(x), dtype=torch.float64)
    reached, covered = torch.zeros(2, len(y), dtype=torch.bool)
    for first in range(0, len(x), BLOCK):
        part = slice(first, first + BLOCK)
        distance = compute_distances(x[part], y)
        in_real = distance < radii_y
        balls[part] = in_real.sum(1).double()
        covered |= in_real.any(0)
        reached |= (distance < radii_x[part, None]).any(0)
    return Overlap(balls > 0, balls / k, reached, covered)


class PrecisionRecallSqueezeNet(Distribution[FeatureRows]):
    """Precision, recall, density and coverage on SqueezeNet 1.1 features.

    A density can exceed 1, which is not better than 1.
    """

    class Config(DistributionConfig):
        """Options of `prdc_squeezenet`.

        Attributes:
            k: The nearest neighbour that a face's ball reaches to; 5 as in Naeem et al., Kynkaanniemi et al. take 3.
        """

        use: Literal["prdc_squeezenet"] = "prdc_squeezenet"
        k: int = Field(5, ge=1)

    backbone = "squeezenet"
    title_template = "Precision, recall, density and coverage of {} among {}"
    default_for: ClassVar = {"edits": 120, "samples": 30}
    headlines: ClassVar = {
        "prdc_squeezenet.coverage": Headline("Coverage", "of the real faces have one of these near", 80),
    }
    better: ClassVar = {".precision": "higher", ".recall": "higher", ".density": "higher", ".coverage": "higher"}
    config: Config

    def make_store(self, dimensions: int, device: torch.device) -> FeatureRows:
        """Make an empty store of rows."""
        return FeatureRows(dimensions, device)

    def compare_sets(
        self, face_set: FaceSet, generated: FeatureRows, real: Float[Tensor, "m d"], faces: Tensor, target: Tensor
    ) -> Mapping[str, tuple[Statistic, str]]:
        """Compute the four numbers; two of them are means over the generated faces, two over the real ones."""
        k = self.config.k
        if min(len(faces), len(real)) <= k:
            return self.make_missing(faces, f"too few images, more than k={k} needed")
        overlap = compute_overlap(generated.stack(), real, k)
        return {
            ".precision": (Ratio.from_values(faces, overlap.realistic.double()), f"k={k}"),
            ".recall": (SetStatistic(faces, float(overlap.reached.double().mean())), f"k={k}"),
            ".density": (Ratio.from_values(faces, overlap.density), f"k={k}"),
            ".coverage": (SetStatistic(faces, float(overlap.covered.double().mean())), f"k={k}"),
        }
