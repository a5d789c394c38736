"""LPIPS (Zhang et al. 2018) between a face and what comes back of it, and between edits by different seeds."""

from __future__ import annotations

import warnings
from functools import lru_cache
from itertools import combinations
from pathlib import Path
from typing import Any, Literal

import torch
from jaxtyping import Float, Float64
from torch import Tensor, nn

from zoogan.evaluation.distribution_config import LpipsConfig
from zoogan.evaluation.weights import WeightFile, located, read_tensors
from zoogan.facts import Facts
from zoogan.interfaces.metric import Edits, Measure, Metric, Study, Unavailable
from zoogan.interfaces.statistic import Ratio

SMALLEST = 32  # pixels: below, the trunks' pooling leaves nothing
HOME = "https://download.pytorch.org/models/"
TRUNKS = {
    "alex": ("alexnet-owt-7be5be79.pth", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02", "AlexNet"),
    "vgg": ("vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", "VGG-16"),
    "squeeze": (
        "squeezenet1_1-b8a52dc0.pth", "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        "SqueezeNet 1.1 (torchvision)",
    ),
}  # fmt: skip
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


def trunk_file(trunk: str) -> WeightFile:
    """The trunk's weights as torchvision publishes them."""
    name, sha256, what = TRUNKS[trunk]
    return WeightFile(name, sha256, what, url=HOME + name)


def package() -> Any:
    """The `lpips` package, whose wheel holds the calibrated heads.

    Raises:
        Unavailable: it is not installed.
    """
    try:
        import lpips
    except ImportError as error:
        raise Unavailable(f"LPIPS needs the lpips package ({error}): pip install 'zoogan[evaluate]'") from error
    return lpips


@lru_cache(maxsize=1)
def opened(trunk: str, path: Path, device: torch.device) -> nn.Module:
    """LPIPS v0.1 with the trunk's weights from a file that was checked."""
    # Its constructor draws weights that are replaced, and says `pretrained` where torchvision now says `weights`.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore", category=UserWarning):
        network: nn.Module = package().LPIPS(net=trunk, pnet_rand=True, verbose=False)
    put_trunk(network, read_tensors(path))
    return network.eval().requires_grad_(False).to(device)


def put_trunk(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Torchvision's `features.3.weight` as LPIPS's `net.slice2.3.weight`, for every layer of the trunk.

    Raises:
        Unavailable: layers are missing.
    """
    own = network.state_dict()
    names = {name: "features." + name.split(".", 2)[2] for name in own if name.startswith("net.slice")}
    missing = [official for official in names.values() if official not in state]
    if missing:
        raise Unavailable(f"the LPIPS trunk's weights lack {missing[0]}: not torchvision's file")
    own.update({ours: state[official] for ours, official in names.items()})
    network.load_state_dict(own, strict=True)
