"""Time SD-GAN's locally connected layer against the official form, and the offset networks: one line of JSON.

    python benchmarks/versus_sd_gan.py --batches 1 4

The official form, written here from its description, multiplies the weight (1, outputs, inputs, positions, 1) with the
features by broadcasting and sums over the inputs, so that each row makes a temporary as large as the weight. Both
sides have the published size (512 to 512 channels at 256 positions, 67 million weights) and compute the same; a
product over the same layout by `einsum` is timed beside them. The sides alternate in one process. Ratios above 1: ours
is faster. `forward` is the time of whole offset networks, official size and default, at 256 px.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from versus import measure_seconds

from zoogan.interfaces import LatentOffset
from zoogan.layers import LocallyConnected
from zoogan.plugins import Facts
from zoogan_sd_gan.fusion_config import SdGanOfficialOffsetConfig, SdGanOffsetConfig
from zoogan_sd_gan.networks import SdGanOffset
from zoogan_sd_gan.official import SdGanOfficialOffset

CHANNELS, POSITIONS = 512, 256
IMAGE_SIZE, STYLE_DIM = 256, 512
TOLERANCE = 2e-3
"""Sums of 512 products of N(0, 1) are rounded in another order."""


class BroadcastLocal(nn.Module):
    """A locally connected layer by broadcasting.

    Args:
        weight: Weights (positions, inputs, outputs) of our layer.
    """

    def __init__(self, weight: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight.permute(2, 1, 0)[None, ..., None].contiguous())

    def forward(self, x: Tensor) -> Tensor:
        """Map (n, inputs, positions) to (n, outputs, positions)."""
        return (x[:, None, :, :, None] * self.weight).sum(2)[..., 0]

    def multiply(self, x: Tensor) -> Tensor:
        """Compute the same by `einsum`, which copies the weight."""
        return torch.einsum("bip,oip->bop", x, self.weight[0, ..., 0])


def parse_arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 4])
    parser.add_argument("--pairs", type=int, default=5, help="how often each side runs, alternating")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--device", default="cpu")
    return parser.parse_args(argv)


def measure_alternating(
    sides: Mapping[str, Callable[[], object]], pairs: int, device: torch.device
) -> dict[str, list[float]]:
    """Time each side `pairs` times, in turn and in changing order, after one warm-up."""
    times: dict[str, list[float]] = {name: [] for name in sides}
    for pair in range(pairs + 1):
        for name in list(sides)[:: 1 if pair % 2 else -1]:
            seconds = measure_seconds(sides[name], device)
            if pair:
                times[name].append(seconds)
    return times


def measure_layers(batch: int, options: argparse.Namespace, device: torch.device) -> dict[str, Any]:
    """Time the two forms of the layer, and `einsum`, on a batch."""
    torch.manual_seed(0)
    ours = LocallyConnected(POSITIONS, CHANNELS, CHANNELS, std=1.0).to(device)
    official = BroadcastLocal(ours.weight.detach()).to(device)
    x = torch.randn(batch, CHANNELS, POSITIONS, device=device)
    assert torch.allclose(ours(x), official(x), atol=TOLERANCE), "both sides compute the same"
    sides = {"official": lambda: official(x), "einsum": lambda: official.multiply(x), "ours": lambda: ours(x)}
    times = measure_alternating(sides, options.pairs, device)
    ratios = [theirs / mine for theirs, mine in zip(times["official"], times["ours"])]
    return {
        "seconds": {name: round(statistics.median(values), 4) for name, values in times.items()},
        "speedup": round(statistics.median(ratios), 1),
        "speedups": [round(ratio, 1) for ratio in ratios],
    }


def measure_networks(options: argparse.Namespace, device: torch.device) -> dict[str, dict[str, float]]:
    """Time the forward of whole networks at 256 px, batch 1."""
    facts = Facts(image_size=IMAGE_SIZE)
    makers: dict[str, Callable[[], LatentOffset]] = {
        "sd-gan-official": lambda: SdGanOfficialOffset(SdGanOfficialOffsetConfig(style_dim=STYLE_DIM), facts),
        "sd-gan": lambda: SdGanOffset(SdGanOffsetConfig(style_dim=STYLE_DIM), facts),
        "sd-gan with geometry": lambda: SdGanOffset(SdGanOffsetConfig(style_dim=STYLE_DIM, geometry=True), facts),
    }
    shapes = ((3, IMAGE_SIZE), (1, IMAGE_SIZE), (9, IMAGE_SIZE // 2))
    face, mask, geometry = (torch.rand(1, c, s, s, device=device) for c, s in shapes)
    result = {}
    for name, make in makers.items():
        network = make().to(device).eval()
        forward = partial(network, face, face, mask, geometry)
        times = measure_alternating({name: forward}, options.pairs, device)
        count = sum(parameter.numel() for parameter in network.parameters())
        result[name] = {"seconds": round(statistics.median(times[name]), 4), "parameters": count}
    return result


@torch.no_grad()
def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = parse_arguments(argv)
    torch.set_num_threads(options.threads)
    device = torch.device(options.device)
    line: dict[str, Any] = {
        "benchmark": "versus_sd_gan", "device": str(device), "threads": options.threads, "pairs": options.pairs,
        "torch": torch.__version__, "date": time.strftime("%Y-%m-%d"),
    }  # fmt: skip
    line["locally_connected"] = {f"batch {batch}": measure_layers(batch, options, device) for batch in options.batches}
    line["forward"] = measure_networks(options, device)
    print(json.dumps(line))


if __name__ == "__main__":
    main()
