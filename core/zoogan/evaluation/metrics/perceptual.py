"""LPIPS (Zhang et al. 2018) between a face and what comes back of it, and between edits by different seeds."""

from __future__ import annotations

from itertools import combinations
from typing import Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from zoogan.auxiliary.lpips import SMALLEST, TRUNKS, opened, package, trunk_file
from zoogan.auxiliary.weight_files import located
from zoogan.evaluation.distribution_config import LpipsConfig
from zoogan.facts import Facts
from zoogan.interfaces.metric import Edits, Measure, Metric, Study, Unavailable
from zoogan.interfaces.statistic import Ratio

BETTER: dict[str, Literal["higher", "lower"]] = {"kept": "lower", "cycled": "lower", "diversity": "higher"}
NOTES = {
    "kept": "input to the input asked to stay as it is",
    "cycled": "input to the edit taken back",
    "diversity": "between edits of a face by different seeds; quality is not its business",
}


class Perceptual(Metric):
    """Role `metric`: `lpips.kept`, once for each face, and `lpips.cycled` and `lpips.diversity` of each attribute.

    Args:
        distance: LPIPS of pairs of faces in [-1, 1], (n, 1, 1, 1); by default the `lpips` package's.
    """

    title = "LPIPS: what comes back of a face, and how much edits by different seeds differ"

    def __init__(self, config: LpipsConfig, facts: Facts | None = None, *, distance: nn.Module | None = None) -> None:
        self.config, self._given = config, distance

    def start(self, study: Study) -> None:
        """Open the network.

        Raises:
            Unavailable: no library, no weights, or faces that are too small.
        """
        if study.source.image_size < SMALLEST:
            message = f"LPIPS needs faces of {SMALLEST} pixels or more, these have {study.source.image_size}"
            raise Unavailable(message)
        self.study = study
        self.digest = "given"
        if self._given is not None:
            self.distance = self._given
        else:
            package()  # first, so that nobody downloads weights for nothing
            file = trunk_file(self.config.trunk)
            path = located(file, self.config.weights, "lpips", study.world, download=self.config.download)
            self.distance = opened(self.config.trunk, path, study.device)
            self.digest = file.sha256
        names = [("kept", None), *((what, a) for a in study.source.attributes for what in ("cycled", "diversity"))]
        self.rows: dict[tuple[str, str | None], list[Float64[Tensor, "n 2"]]] = {name: [] for name in names}
        self.kept: set[int] = set()

    def update(self, edits: Edits) -> None:
        """See a batch. The unchanged input is looked at with the first attribute only."""
        faces = edits.faces.tolist()
        new = [row for row, face in enumerate(faces) if face not in self.kept]
        if new:
            self.kept.update(faces)
            self.note("kept", None, edits.faces[new], self.between(edits.image[new], edits.kept[new]))
        self.note("cycled", edits.attribute, edits.faces, self.between(edits.image, edits.cycled))
        drawn = [edits.edited, *(edits.again(edits.seed + k) for k in range(1, self.config.draws))]
        pairs = [self.between(one, two) for one, two in combinations(drawn, 2)]
        self.note("diversity", edits.attribute, edits.faces, torch.stack(pairs).mean(0))

    @torch.no_grad()
    def between(self, first: Float[Tensor, "n 3 h w"], second: Float[Tensor, "n 3 h w"]) -> Float64[Tensor, " n"]:
        """LPIPS of each pair."""
        if torch.equal(first, second):  # an editor that draws nothing
            return torch.zeros(len(first), dtype=torch.float64)
        return self.distance(first, second).flatten().cpu().double()  # not every device has float64

    def note(self, what: str, attribute: str | None, faces: Tensor, values: Float64[Tensor, " n"]) -> None:
        """Keep a value for each face."""
        self.rows[what, attribute].append(torch.stack([faces.cpu().double(), values], 1))

    def measures(self) -> list[Measure]:
        """Means over faces; `kept` and the means over all attributes have no attribute."""
        none = torch.zeros(0, 2, dtype=torch.float64)
        joint = {name: torch.cat([none, *rows]) for name, rows in self.rows.items()}
        if self.study.world.size > 1:
            gather, device = self.study.world.gather_all, self.study.device
            joint = {name: gather(rows.to(device)).cpu() for name, rows in joint.items()}
        for what in ("cycled", "diversity"):
            joint[what, None] = torch.cat([rows for (name, _), rows in joint.items() if name == what])
        return [self.measure(what, attribute, rows) for (what, attribute), rows in joint.items() if len(rows)]

    def measure(self, what: str, attribute: str | None, rows: Float64[Tensor, "n 2"]) -> Measure:
        """One mean with all that must be known to compare it."""
        return Measure(
            f"lpips.{what}",
            attribute,
            Ratio.mean(rows[:, 0].long(), rows[:, 1]),
            BETTER[what],
            backbone=f"lpips v0.1 {self.config.trunk} ({TRUNKS[self.config.trunk][2]})",
            weights=self.digest,
            resizer=f"none, {self.study.source.image_size} pixels",
            note=NOTES[what] + (f", {self.config.draws} seeds" if what == "diversity" else ""),
            libraries=("torch", "torchvision", "lpips"),
        )
