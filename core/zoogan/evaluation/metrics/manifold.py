"""Precision and recall (Kynkaanniemi et al. 2019), density and coverage (Naeem et al. 2020).

Precision and density tell quality, recall and coverage variety. A set's manifold is the union of balls round its faces,
each as large as the way to its k-th nearest neighbour.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Float64
from torch import Tensor

from zoogan.evaluation.distribution_config import PrdcSqueezenetConfig
from zoogan.evaluation.metrics.distribution import Better, Distribution, Rows, Task
from zoogan.interfaces.statistic import Ratio, Statistic, Whole

BLOCK = 256  # rows of a distance matrix that are held at once


@dataclass(frozen=True)
class Overlap:
    """How two sets lie in each other.

    realistic: whether a generated face lies in a real ball (precision). dense: in how many, over k (density).
    reached: whether a real face lies in a generated ball (recall). covered: whether its own ball holds a generated one
    (coverage).
    """

    realistic: Bool[Tensor, " n"]
    dense: Float64[Tensor, " n"]
    reached: Bool[Tensor, " m"]
    covered: Bool[Tensor, " m"]


def radii(rows: Float64[Tensor, "n d"], k: int) -> Float64[Tensor, " n"]:
    """The distance of each row to its k-th nearest neighbour, itself not counted; k < n."""
    # The nearest of k + 1 is the row itself, or a twin at the same distance.
    return torch.cat([distances(part, rows).kthvalue(k + 1, dim=1).values for part in rows.split(BLOCK)])


def distances(x: Float64[Tensor, "n d"], y: Float64[Tensor, "m d"]) -> Float64[Tensor, "n m"]:
    """Euclidean, by differences: the faster way by products loses the digits of near neighbours."""
    return torch.cdist(x, y, compute_mode="donot_use_mm_for_euclid_dist")


def overlap(generated: Float[Tensor, "n d"], real: Float[Tensor, "m d"], k: int) -> Overlap:
    """How the sets lie in each other. A face on the rim of a ball is outside, as in Naeem et al.'s code."""
    x, y = generated.double(), real.double()
    around_x, around_y = radii(x, k), radii(y, k)
    inside = torch.zeros(len(x), dtype=torch.float64)
    reached, covered = torch.zeros(2, len(y), dtype=torch.bool)
    for first in range(0, len(x), BLOCK):
        part = slice(first, first + BLOCK)
        far = distances(x[part], y)
        in_real = far < around_y
        inside[part] = in_real.sum(1).double()
        covered |= in_real.any(0)
        reached |= (far < around_x[part, None]).any(0)
    return Overlap(inside > 0, inside / k, reached, covered)


class Manifold(Distribution[Rows]):
    """Role `metric`: `prdc_squeezenet.precision`, `.recall`, `.density` and `.coverage`."""

    titled = "Precision, recall, density and coverage of {} among {}"
    config: PrdcSqueezenetConfig

    def keep(self, dimensions: int, device: torch.device) -> Rows:
        """No rows yet."""
        return Rows(dimensions, device)

    def ends(self) -> Mapping[str, Better]:
        """Four numbers; a density above 1 is possible and not better than 1 by itself."""
        return {".precision": "higher", ".recall": "higher", ".density": "higher", ".coverage": "higher"}

    def compare(
        self, task: Task, generated: Rows, real: Float[Tensor, "m d"], faces: Tensor, wanted: Tensor
    ) -> Mapping[str, tuple[Statistic, str]]:
        """The four numbers; two of them are means over the generated faces, two over the real ones."""
        k = self.config.k
        if min(len(faces), len(real)) <= k:
            note = f"too few images, more than k={k} needed"
            return self.nothing(faces, note)
        found = overlap(generated.all(), real, k)
        return {
            ".precision": (Ratio.mean(faces, found.realistic.double()), f"k={k}"),
            ".recall": (Whole(faces, float(found.reached.double().mean())), f"k={k}"),
            ".density": (Ratio.mean(faces, found.dense), f"k={k}"),
            ".coverage": (Whole(faces, float(found.covered.double().mean())), f"k={k}"),
        }
