"""LPIPS between a face and its reconstructions, and between edits with different seeds.

Source: Zhang et al. 2018.
"""

from __future__ import annotations

from itertools import combinations
from pathlib import Path
from typing import ClassVar, Literal

import torch
from jaxtyping import Float, Float64
from pydantic import Field
from torch import Tensor, nn

from zoogan.auxiliary.lpips import SMALLEST, TRUNKS, import_lpips, make_trunk_file, open_lpips
from zoogan.auxiliary.weight_files import find_weight_file
from zoogan.config import ComponentConfig
from zoogan.facts import Facts
from zoogan.interfaces import Better, Edits, Measure, Metric, Ratio, Study, Unavailable

BETTER: dict[str, Better] = {"kept": "lower", "cycled": "lower", "diversity": "higher"}
NOTES = {
    "kept": "between the input and an edit to its own labels",
    "cycled": "between the input and the reversed edit",
    "diversity": "between edits of a face with different seeds; no measure of quality",
}


class Lpips(Metric):
    """`lpips.kept`, once for each face, and `lpips.cycled` and `lpips.diversity` of each attribute.

    Args:
        config: The options.
        facts: Unused.
        distance: LPIPS of pairs of faces in [-1, 1], (n, 1, 1, 1); by default the `lpips` package's.
    """

    class Config(ComponentConfig):
        """Options of `lpips`, version 0.1.

        Attributes:
            trunk: The network whose features are compared; the authors recommend alex for measuring.
            weights: Its ImageNet weights as torchvision saved them; by default the file in the folder of metric
                weights.
            download: Fetch the weights where no file is found (alex 233 MB).
            draws: Edits of a face with as many seeds; each pair is compared.
        """

        use: Literal["lpips"] = "lpips"
        immaterial: ClassVar[frozenset[str]] = frozenset({"weights", "download"})
        trunk: Literal["alex", "vgg", "squeeze"] = "alex"
        weights: Path | None = None
        download: bool = True
        draws: int = Field(2, ge=2)

    title = "LPIPS of reconstructions, and between edits with different seeds"
    config: Config

    def __init__(
        self, config: Config | None = None, facts: Facts | None = None, *, distance: nn.Module | None = None
    ) -> None:
        super().__init__(config, facts)
        self._given_distance = distance

    def start(self, study: Study) -> None:
        """Open the network.

        Raises:
            Unavailable: No library, no weights, or faces that are too small.
        """
        if study.source.image_size < SMALLEST:
            message = f"LPIPS needs faces of {SMALLEST} pixels or more, these have {study.source.image_size}"
            raise Unavailable(message)
        self.study = study
        self.digest = "given"
        if self._given_distance is not None:
            self.distance = self._given_distance
        else:
            import_lpips()  # before the download, which is useless without the package
            file = make_trunk_file(self.config.trunk)
            path = find_weight_file(file, self.config.weights, "lpips", study.world, download=self.config.download)
            self.distance = open_lpips(self.config.trunk, path, study.device)
            self.digest = file.sha256
        names = [("kept", None), *((name, a) for a in study.source.attributes for name in ("cycled", "diversity"))]
        self.rows: dict[tuple[str, str | None], list[Float64[Tensor, "n 2"]]] = {name: [] for name in names}
        self.measured_faces: set[int] = set()  # faces whose `kept` was measured

    def update(self, edits: Edits) -> None:
        """Add a batch. `kept` is measured with the first attribute of a face only."""
        faces = edits.faces.tolist()
        new = [row for row, face in enumerate(faces) if face not in self.measured_faces]
        if new:
            self.measured_faces.update(faces)
            distance = self._compute_distance(edits.image[new], edits.identity_image[new])
            self._add_rows("kept", None, edits.faces[new], distance)
        distance = self._compute_distance(edits.image, edits.cycled_image)
        self._add_rows("cycled", edits.attribute, edits.faces, distance)
        images = [edits.edited_image, *(edits.edit_with_seed(edits.seed + k) for k in range(1, self.config.draws))]
        pairs = [self._compute_distance(one, two) for one, two in combinations(images, 2)]
        self._add_rows("diversity", edits.attribute, edits.faces, torch.stack(pairs).mean(0))

    @torch.no_grad()
    def _compute_distance(
        self, first: Float[Tensor, "n 3 h w"], second: Float[Tensor, "n 3 h w"]
    ) -> Float64[Tensor, " n"]:
        """Compute LPIPS of each pair."""
        if torch.equal(first, second):  # a deterministic editor
            return torch.zeros(len(first), dtype=torch.float64)
        return self.distance(first, second).flatten().cpu().double()  # not every device has float64

    def _add_rows(self, name: str, attribute: str | None, faces: Tensor, values: Float64[Tensor, " n"]) -> None:
        """Add a value for each face."""
        self.rows[name, attribute].append(torch.stack([faces.cpu().double(), values], 1))

    def compute(self) -> list[Measure]:
        """Compute means over faces; `kept` and the means over all attributes have no attribute."""
        none = torch.zeros(0, 2, dtype=torch.float64)
        joint = {name: torch.cat([none, *rows]) for name, rows in self.rows.items()}
        if self.study.world.size > 1:
            gather, device = self.study.world.gather_uneven, self.study.device
            joint = {name: gather(rows.to(device)).cpu() for name, rows in joint.items()}
        for name in ("cycled", "diversity"):
            joint[name, None] = torch.cat([rows for (other, _), rows in joint.items() if other == name])
        return [self._make_measure(name, attribute, rows) for (name, attribute), rows in joint.items() if len(rows)]

    def _make_measure(self, name: str, attribute: str | None, rows: Float64[Tensor, "n 2"]) -> Measure:
        """Make one mean with everything that its key needs."""
        return Measure(
            f"lpips.{name}",
            attribute,
            Ratio.from_values(rows[:, 0].long(), rows[:, 1]),
            BETTER[name],
            backbone=f"lpips v0.1 {self.config.trunk} ({TRUNKS[self.config.trunk][2]})",
            weights=self.digest,
            resizer=f"none, {self.study.source.image_size} pixels",
            note=NOTES[name] + (f", {self.config.draws} seeds" if name == "diversity" else ""),
            libraries=("torch", "torchvision", "lpips"),
        )
