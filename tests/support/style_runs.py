"""Tiny StarGAN v2 runs: the settings that make them so, and what trains them in process."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from PIL import Image

from zoogan.cli import main

SIZE = 32
NARROW = [
    f"data.image_size={SIZE}", "data.batch=4", "data.workers=0", "generator.width=4", "generator.max_width=8",
    "style_encoder.width=4", "style_encoder.max_width=8", "discriminator.width=4", "discriminator.max_width=8",
    "mapping.width=8", "mapping.latent_dim=4", "training.log_every=1", "training.sample_every=2",
    *(f"{slot}.style_dim=8" for slot in ("generator", "mapping", "style_encoder")),
]  # fmt: skip


def sets(settings: list[str]) -> list[str]:
    """Settings as options of a verb."""
    return [part for setting in settings for part in ("--set", setting)]


def train_tiny(out: Path, *options: str, iterations: int = 2) -> int:
    """`zoo train --model stargan-v2` with narrow networks, on the CPU. Returns the exit code."""
    length = ["--iterations", str(iterations)]
    return main(
        ["train", "--model", "stargan-v2", "--out", str(out), "--device", "cpu", *length, *sets(NARROW), *options]
    )


def paint(path: Path, value: int | None = None, size: tuple[int, int] = (36, 40)) -> Path:
    """A picture in one grey, or of noise that its path decides; makes its folder."""
    path.parent.mkdir(parents=True, exist_ok=True)
    noise = np.random.default_rng(sum(str(path.name).encode())).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    pixels = noise if value is None else np.full_like(noise, value)
    Image.fromarray(pixels).save(path, **({"lossless": True} if path.suffix.lower() == ".webp" else {}))
    return path
