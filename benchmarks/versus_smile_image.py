"""Time the generator of SMILE's image stage against the official code, forward alone: one line of JSON.

    git clone https://github.com/affromero/SMILE
    python benchmarks/versus_smile_image.py --official SMILE --size 64 --batch 4

Both sides have the published widths and compute the same: the codes of 19 parts laid on the pixels (`scatter`, which
the official code does in loops over faces and parts), and a whole forward (`generator`). The two sides alternate in one
process; the figures are ratios of CPU time, or of wall time on a GPU. The official training of this stage is not
published, so no training step is timed.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any
from unittest.mock import MagicMock

import torch
from torch import Tensor
from torch.nn import functional as F
from versus import measure_seconds, skip_compilation

from zoogan.layers import scatter_codes
from zoogan.plugins import Facts
from zoogan_smile.image_config import SmileImageGeneratorConfig
from zoogan_smile.image_networks import SmileImageGenerator

PARTS, CODE_DIM = 19, 64
WIDTHS = (512, 512, 512, 256, 256, 128, 64)
"""Channels from 8 px up, as the official generator has them."""
UNUSED = ("matplotlib", "matplotlib.pyplot", "cv2", "ipdb", "skimage")
"""Packages that the official file imports and the timed functions do not use."""
Pair = tuple[Callable[[], object], Callable[[], object]]


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--official", type=Path, required=True, help="a clone of github.com/affromero/SMILE")
    parser.add_argument("--size", type=int, default=64, help="side of the images, a power of two from 64")
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--pairs", type=int, default=3, help="how often each side runs, alternating")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(argv)


def make_layout(batch: int, size: int) -> Tensor:
    """Make one-hot layouts in which every part is a rectangle."""
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    numbers = (5 * columns // size + 4 * (5 * rows // size))[None] + torch.arange(batch)[:, None, None]
    return F.one_hot(numbers % PARTS, PARTS).permute(0, 3, 1, 2).float().contiguous()


def make_pairs(options: argparse.Namespace, device: torch.device) -> dict[str, Pair]:
    """Make the functions of both sides, (official, ours), by name of what they compute."""
    sys.path.insert(0, str(options.official))
    skip_compilation()
    for name in UNUSED:
        sys.modules.setdefault(name, MagicMock())
    from metrics.smileSYN import Generator

    torch.manual_seed(0)
    size, batch = options.size, options.batch
    official: Any = Generator(size, PARTS * CODE_DIM, input_seg=64, encoder=False).to(device).eval()
    config = SmileImageGeneratorConfig(widths=WIDTHS[: size.bit_length() - 3])
    ours = SmileImageGenerator(config, Facts(image_size=size, parts=tuple(map(str, range(PARTS))))).to(device).eval()
    layout = make_layout(batch, size).to(device)
    latent = torch.randn(batch, PARTS * CODE_DIM, device=device)
    codes, latents = latent.view(batch, PARTS, CODE_DIM), ours.repeat_latent(latent)
    noise = ours.get_fixed_noise()
    layer: Any = official.conv1.conv
    features = torch.randn(batch, 1, size, size, device=device)
    layer.fc_mu = torch.nn.ModuleList(torch.nn.Identity() for _ in range(PARTS))  # the loop alone, without its layers

    def run_official_scatter() -> Tensor:
        return layer.extract_style_matrix(features, codes, layout)

    assert torch.equal(run_official_scatter(), scatter_codes(codes, layout)), "both sides compute the same"
    whole: Any = Generator(size, PARTS * CODE_DIM, input_seg=64, encoder=False).to(device).eval()
    return {
        "scatter": (run_official_scatter, lambda: scatter_codes(codes, layout)),
        "generator": (
            lambda: whole([latent], sem=layout, input_is_latent=True, noise=noise),
            lambda: ours(latents, noise, layout),
        ),
    }


@torch.no_grad()
def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parse_arguments(argv)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    result: dict[str, Any] = {"size": options.size, "batch": options.batch, "device": str(device)}
    for name, (official, ours) in make_pairs(options, device).items():
        official(), ours()
        seconds = [(measure_seconds(official, device), measure_seconds(ours, device)) for _ in range(options.pairs)]
        result[name] = {
            "official_seconds": round(statistics.median(pair[0] for pair in seconds), 5),
            "our_seconds": round(statistics.median(pair[1] for pair in seconds), 5),
            "speedup": round(statistics.median(theirs / mine for theirs, mine in seconds), 2),
            "speedups": [round(theirs / mine, 2) for theirs, mine in seconds],
        }
    print(json.dumps(result))


if __name__ == "__main__":
    main()
