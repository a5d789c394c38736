"""A generator and a judge so simple that every result can be computed by hand, and changes to tiny runs."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

from zoogan.conditions.latent import LatentCondition
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.files import list_checksums, write_tensors
from zoogan.interfaces import LatentGenerator, LatentMapping, SynthesisedFace

SIZE, STYLE, ROWS = 16, 8, 6


def fill_noise_and_mean(run: Path, value: float = 0.3) -> None:
    """Set noise strengths and the mean latent of a barely trained run, so that mistakes with them become visible."""
    for name in ("generator", "game"):
        file = run / f"model/{name}.safetensors"
        state = load_file(file)
        for key, old in state.items():
            if key.endswith(("strength", "mean_latent")):
                state[key] = torch.full_like(old, value)
        write_tensors(file, state)
    content = json.loads((run / "model/config.json").read_text())
    sums = list_checksums(run / "model")
    content["files"] = {name: sums[name] for name in content["files"]}  # else opening the run mends it
    (run / "model/config.json").write_text(json.dumps(content, indent=1))


def set_inversion(run: Path, **settings: object) -> None:
    """Change the inversion settings in a run's config."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["inversion"] |= settings
    (run / "config.yaml").write_text(yaml.safe_dump(config))


class ToyMapping(LatentMapping):
    """The identity: w = z."""

    def __init__(self, style_dim: int = STYLE) -> None:
        super().__init__()
        self.latent_dim = self.style_dim = style_dim
        self.bias = nn.Parameter(torch.zeros(1))

    def forward(self, latent: Tensor) -> Tensor:
        return latent + self.bias


class ToyGenerator(LatentGenerator):
    """A face of one colour: red, green and blue are the projections of the mean row of w on three axes."""

    rows = ROWS

    def __init__(self, axes: Tensor) -> None:
        super().__init__()
        self.style_dim = axes.shape[1]
        self.axes = nn.Parameter(axes)

    def forward(self, latents: Tensor, noise: object = None) -> SynthesisedFace:
        colour = (latents.mean(1) @ self.axes.T / 4)[:, :, None, None]
        return SynthesisedFace(colour.expand(-1, -1, SIZE, SIZE))


class ToyJudge:
    """A judge that reads `Red` and `Green` from the colour, near 0 or 1 where it is strong; `Never` is always 0."""

    attributes = ("Red", "Green", "Never")
    table: Mapping[str, Mapping[str, float]] = {}
    digest, backbone, resizer = "0123456789abcdef", "none", "none"
    image_size = SIZE

    def __init__(self, offset: float = 0.0) -> None:
        self.thresholds, self.offset = torch.tensor([0.5, 0.5, 0.5]), offset

    def to(self, device: object) -> ToyJudge:
        return self

    def read_attributes(self, image: Tensor) -> Tensor:
        red, green = (image.mean((2, 3))[:, :2].T + self.offset) * 20
        return torch.stack([red.sigmoid(), green.sigmoid(), torch.zeros_like(red)], 1)

    def read_poses(self, image: Tensor) -> None:
        return None

    def read_parts(self, image: Tensor) -> None:
        return None


def make_toy_axes(angle: float = 1.5708, style_dim: int = STYLE) -> Tensor:
    """Make three unit vectors, (3, style_dim); the angle between the first two is given in radians."""
    one, two, three = torch.linalg.qr(torch.randn(style_dim, 3, generator=torch.Generator().manual_seed(0))).Q.T
    radians = torch.tensor(angle)
    return torch.stack([one, radians.cos() * one + radians.sin() * two, three])


def make_toy_editor(axes: Tensor) -> SynthesisEditor:
    """Make an editor of faces whose colours are linear in their latents."""
    networks = {"generator": ToyGenerator(axes), "mapping": ToyMapping(axes.shape[1])}
    return SynthesisEditor(networks, LatentCondition(), torch.zeros(axes.shape[1]))
