"""Reading where heads are off faces: a ridge regression on what a judge tells of their parts and their pose."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from torch.nn import functional as F

from zoogan import ConfigError
from zoogan.data import PLACEMENT, STANDARD_PLACEMENT, DrawnFaces, read_placement
from zoogan_sd_gan.placement import Placement

FORMAT = "1"
FACES = 3000  # faces that the regression is fitted on
AT_ONCE = 250
DECAY = 3e-2
LEAST_SPREAD = 1e-3  # standard deviation from which on a number of a description counts
GRID = 8  # the parts are also read as coarse maps of so many cells a side
QUANTILES = (0.02, 0.1, 0.5, 0.9, 0.98)  # of a group's pixels: its soft edges and its middle
GROUPS: Mapping[str, tuple[str, ...]] = {
    "left eye": ("l_eye",),
    "right eye": ("r_eye",),
    "eyes": ("l_eye", "r_eye", "eye", "eye_g", "glasses"),
    "brows": ("l_brow", "r_brow", "eyebrow"),
    "nose": ("nose",),
    "mouth": ("mouth", "u_lip", "l_lip"),
    "face": (
        "skin", "face", "nose", "eye_g", "glasses", "l_eye", "r_eye", "eye", "l_brow", "r_brow", "eyebrow",
        "mouth", "u_lip", "l_lip",
    ),
    "ears": ("l_ear", "r_ear", "ear"),
    "neck": ("neck", "neck_l"),
    "cloth": ("cloth",),
    "hair": ("hair",),
    "background": ("background",),
}  # fmt: skip
"""Groups of parts that tell where a head is, by the names of CelebAMask-HQ and of its merged label sets."""
MAPPED = ("face", "hair", "neck", "background")  # groups whose edges are read, and that are read as coarse maps


def find_groups(parts: Sequence[str]) -> dict[str, list[int]]:
    """Find the numbers of the parts of each group; groups of which a judge reads no part are left out.

    Raises:
        ConfigError: The judge reads no face.
    """
    groups = {name: [parts.index(part) for part in members if part in parts] for name, members in GROUPS.items()}
    groups = {name: numbers for name, numbers in groups.items() if numbers}
    if "face" not in groups:
        raise ConfigError(
            f"stages.classifier: it reads the parts {', '.join(parts) or 'none'}, and none of them is a part of a "
            "face, so that it cannot tell where heads are. Train it on data with segmentations, such as drawn faces, "
            "or place templates at a fixed place: --set compositor.placement=fixed"
        )
    return groups


@torch.no_grad()
def describe_faces(judge: Any, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n f"]:
    """Describe faces by what a judge tells of them: middles, spreads and edges of groups of parts, and the pose.

    Each face is described independently of its batch, in float32, and the host does not wait for the device.

    Args:
        judge: A judge that reads parts.
        image: Faces in [-1, 1].
    """
    groups = find_groups(judge.parts)
    probability, pose = judge.read_parts_and_pose(image)
    members = probability.float().unbind(1)
    # not by an index of lists, for which the host would wait
    shares = torch.stack([torch.stack([members[k] for k in numbers]).sum(0) for numbers in groups.values()], 1)
    spreads = dict(zip(groups, measure_spread(shares).unbind(1), strict=True))
    names = [name for name in groups if name in MAPPED]
    mapped = torch.stack([share for name, share in zip(groups, shares.unbind(1), strict=True) if name in names], 1)
    edges = [measure_edges(mapped.sum(dim)) for dim in (2, 3)]
    details = torch.cat([*edges, F.adaptive_avg_pool2d(mapped, GRID).flatten(2)], 2)
    more = dict(zip(names, details.unbind(1), strict=True))
    columns = [each[name] for name in groups for each in (spreads, more) if name in each]
    if pose is not None:
        columns.append(pose.float() / 30.0)
    return torch.cat(columns, 1)


def measure_spread(shares: Float[Tensor, "n g h w"]) -> Float[Tensor, "n g 6"]:
    """Measure share, middle, standard deviations and covariance of the place of each group's pixels."""
    side = shares.shape[-1]
    axis = (torch.arange(side, dtype=torch.float32, device=shares.device) + 0.5) * (2.0 / side) - 1.0
    u, v = axis, axis[:, None]
    total = shares.sum((2, 3)) + 1e-3

    def average(values: Tensor) -> Tensor:
        return (shares * values).sum((2, 3)) / total

    middle_u, middle_v = average(u), average(v)
    du, dv = u - middle_u[..., None, None], v - middle_v[..., None, None]
    spread_u, spread_v = average(du * du).sqrt(), average(dv * dv).sqrt()
    return torch.stack([middle_u, middle_v, spread_u, spread_v, average(du * dv), total / side**2], 2)


def measure_edges(profile: Float[Tensor, "n g w"]) -> Float[Tensor, "n g q"]:
    """Measure the quantiles of profiles between -1 and 1, with fractions of a pixel."""
    share = profile / profile.sum(2, keepdim=True).clamp(min=1e-3)
    before, width = share.cumsum(2) - share, 2.0 / profile.shape[2]
    missing = torch.stack([quantile - before for quantile in QUANTILES], 2)
    return (missing / share.clamp(min=1e-6).unsqueeze(2)).clamp(0.0, 1.0).sum(3) * width - 1.0


@dataclass
class PlacementReader:
    """A ridge regression from the description of a face to its placement, see `describe_faces`.

    Attributes:
        tensors: `mean` and `scale` of the description, `weight` and `bias`, and the `low` and `high` of each number
            among the faces that it was fitted on, which no reading leaves.
        parts: The parts that the judge reads.
        judge: Digest of the judge.
    """

    tensors: dict[str, Tensor]
    parts: tuple[str, ...]
    judge: str

    def __post_init__(self) -> None:
        self._moved: dict[torch.device, dict[str, Tensor]] = {}

    @torch.no_grad()
    def read(self, description: Float[Tensor, "n f"]) -> Placement:
        """Read placements off descriptions, on their device, in float32."""
        device = description.device
        if device not in self._moved:  # once a device
            self._moved[device] = {name: tensor.float().to(device) for name, tensor in self.tensors.items()}
        t = self._moved[device]
        scaled = ((description.float() - t["mean"]) * t["scale"]).clamp(-4.0, 4.0)
        placement = extend(scaled) @ t["weight"] + t["bias"]
        return torch.minimum(torch.maximum(placement, t["low"]), t["high"])

    def save(self, path: Path) -> None:
        """Write the reader to one safetensors file."""
        facts = {"format": FORMAT, "parts": list(self.parts), "placement": list(PLACEMENT), "judge": self.judge}
        save_file(self.tensors, path, {"placement_reader": json.dumps(facts)})

    @classmethod
    def load(cls, path: Path) -> PlacementReader:
        """Read a file that `save` wrote.

        Raises:
            ConfigError: The file is missing, damaged, or of another kind.
        """
        try:
            with safe_open(path, "pt") as file:
                facts = json.loads((file.metadata() or {})["placement_reader"])
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
        except (OSError, SafetensorError, KeyError, ValueError) as error:
            raise ConfigError(
                f"{path}: not a readable placement reader ({type(error).__name__}: {error}); train stage geometry again"
            ) from error
        if facts["format"] != FORMAT or tuple(facts["placement"]) != PLACEMENT:
            raise ConfigError(f"{path}: made by another version of zoogan; train the stage geometry again")
        return cls(tensors, tuple(facts["parts"]), facts["judge"])


def extend(scaled: Float[Tensor, "n f"]) -> Float[Tensor, "n g"]:
    """Add the products of a description with its last three numbers, which are the pose if the judge reads one."""
    products = scaled[:, -3:, None] * scaled[:, None, :]
    return torch.cat([scaled, 0.3 * products.flatten(1)], 1)


def fit_reader(
    judge: Any, description: Float[Tensor, "n f"], placement: Placement, *, decay: float = DECAY
) -> PlacementReader:
    """Fit a reader in float64.

    Args:
        judge: The judge that described the faces.
        description: Descriptions of faces.
        placement: Their placement.
        decay: Weight of the squared coefficients.
    """
    x, y = description.double().cpu(), placement.double().cpu()
    mean, spread = x.mean(0), x.std(0)
    # numbers that hardly differ between faces tell nothing, and scaled up they would be rounding errors
    scale = torch.where(spread > LEAST_SPREAD, 1.0 / spread, torch.zeros_like(spread))
    extended = extend(((x - mean) * scale).clamp(-4.0, 4.0))
    middle, target_mean, target_std = extended.mean(0), y.mean(0), y.std(0).clamp(min=1e-6)
    extended = extended - middle
    square = extended.T @ extended / len(x) + decay * torch.eye(extended.shape[1], dtype=torch.float64)
    weight = torch.linalg.solve(square, extended.T @ ((y - target_mean) / target_std) / len(x)) * target_std
    tensors = {
        "mean": mean,
        "scale": scale,
        "weight": weight,
        "bias": target_mean - middle @ weight,
        "low": y.amin(0),
        "high": y.amax(0),
    }
    # one memory layout, so that a stored reader computes the same bits
    return PlacementReader({k: v.float().contiguous() for k, v in tensors.items()}, tuple(judge.parts), judge.digest)


def make_untrained_reader(judge: Any) -> PlacementReader:
    """Make a reader that reads the standard placement off every face, for checks of shapes.

    Args:
        judge: A judge that reads parts; its network may be on `meta`.

    Raises:
        ConfigError: The judge reads no parts of faces.
    """
    device, side = judge.thresholds.device, judge.image_size
    count = describe_faces(judge, torch.zeros(1, 3, side, side, device=device)).shape[1]
    with torch.device("cpu"):
        standard = torch.tensor([STANDARD_PLACEMENT[name] for name in PLACEMENT])
        tensors = {
            "mean": torch.zeros(count),
            "scale": torch.ones(count),
            "weight": torch.zeros(4 * count, len(PLACEMENT)),
            "bias": standard,
            "low": standard,
            "high": standard,
        }
    return PlacementReader(tensors, tuple(judge.parts), judge.digest)


def fit_placement(
    judge: Any, *, faces: int = FACES, seed: int = 0, probabilities: Mapping[str, float] | None = None
) -> PlacementReader:
    """Fit a reader on drawn faces, whose placement is known.

    Args:
        judge: A judge that reads parts.
        faces: Number of faces.
        seed: Seed of the drawn faces.
        probabilities: Share of the faces that have an attribute, by name; defaults to that of drawn faces.

    Raises:
        ConfigError: The judge reads no parts of faces.
    """
    find_groups(judge.parts)
    drawn = DrawnFaces(judge.image_size, seed=seed, probabilities=probabilities)
    device = judge.thresholds.device
    descriptions, placements = [], []
    for start in range(0, faces, AT_ONCE):
        numbers = range(start, min(start + AT_ONCE, faces))
        image = drawn.draw(numbers).image.to(device).float() / 127.5 - 1.0
        descriptions.append(describe_faces(judge, image).cpu())
        placements.append(read_placement(drawn.draw_traits(numbers)))
    return fit_reader(judge, torch.cat(descriptions), torch.cat(placements))
