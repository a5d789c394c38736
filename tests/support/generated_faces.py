"""Tiny StyleGAN2 runs, trained in process, and a generator and a judge simple enough to know what must come out."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

from support.style_runs import sets
from zoogan.cli import main
from zoogan.conditions.latent import LatentCondition
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.files import write_tensors
from zoogan.interfaces import LatentGenerator, LatentMapping, SynthesisedFace

SIZE, STYLE, ROWS = 16, 8, 6
NARROW = [
    f"data.image_size={SIZE}", "data.batch=4", "data.workers=0", "data.faces=32", "data.held_out=8",
    f"generator.style_dim={STYLE}", f"mapping.style_dim={STYLE}", "mapping.layers=2", "generator.noise=true",
    "generator.max_width=8", "discriminator.max_width=8", "training.log_every=1", "training.sample_every=2",
    "training.channels_last=false",
]  # fmt: skip


def train_faces(out: Path, *options: str, iterations: int = 2) -> int:
    """`zoo train --model stylegan2` with narrow networks, on the CPU. Returns the exit code."""
    length = ["--iterations", str(iterations)]
    return main(
        ["train", "--model", "stylegan2", "--out", str(out), "--device", "cpu", *length, *sets(NARROW), *options]
    )


def liven(run: Path, value: float = 0.3) -> None:
    """Let noise and the mean latent count in a run that hardly learnt anything, so that a mistake with them shows."""
    for name in ("generator", "game"):
        file = run / f"model/{name}.safetensors"
        state = load_file(file)
        for key, old in state.items():
            if key.endswith(("strength", "mean_latent")):
                state[key] = torch.full_like(old, value)
        write_tensors(file, state)


def set_inversion(run: Path, **settings: object) -> None:
    """Let a run find latents with these settings, as its method could."""
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["inversion"] |= settings
    (run / "config.yaml").write_text(yaml.safe_dump(config))


class ToyMapping(LatentMapping):
    """Noise is the latent."""

    def __init__(self, style_dim: int = STYLE) -> None:
        super().__init__()
        self.latent_dim = self.style_dim = style_dim
        self.none = nn.Parameter(torch.zeros(1))

    def forward(self, latent: Tensor) -> Tensor:
        return latent + self.none


class ToyGenerator(LatentGenerator):
    """A flat face: red, green and blue are how far the mean row of w lies along each of three ways."""

    rows = ROWS

    def __init__(self, ways: Tensor) -> None:
        super().__init__()
        self.style_dim = ways.shape[1]
        self.ways = nn.Parameter(ways)

    def forward(self, latents: Tensor, noise: object = None) -> SynthesisedFace:
        colour = (latents.mean(1) @ self.ways.T / 4)[:, :, None, None]
        return SynthesisedFace(colour.expand(-1, -1, SIZE, SIZE))


class ToyJudge:
    """Reads `Red` and `Green` off the colours, surely where they are strong, and `Never` nowhere."""

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


def toy_ways(angle: float = 1.5708, style_dim: int = STYLE) -> Tensor:
    """Three unit vectors, the first two at an angle (radians)."""
    one, two, three = torch.linalg.qr(torch.randn(style_dim, 3, generator=torch.Generator().manual_seed(0))).Q.T
    angle_of = torch.tensor(angle)
    return torch.stack([one, angle_of.cos() * one + angle_of.sin() * two, three])


def toy_editor(ways: Tensor) -> SynthesisEditor:
    """Faces whose colours are linear in their latents."""
    networks = {"generator": ToyGenerator(ways), "mapping": ToyMapping(ways.shape[1])}
    return SynthesisEditor(networks, LatentCondition(), torch.zeros(ways.shape[1]))
