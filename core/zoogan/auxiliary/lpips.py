"""LPIPS v0.1 from the `lpips` package, with the trunk's weights from a file that was checked.

Source: Zhang et al. 2018.
"""

from __future__ import annotations

import warnings
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.auxiliary.weight_files import WeightFile, read_tensors
from zoogan.interfaces import Unavailable

SMALLEST = 32  # pixels: below, the trunks' pooling leaves nothing
HOME = "https://download.pytorch.org/models/"
TRUNKS = {  # trunk -> file, sha256, title
    "alex": ("alexnet-owt-7be5be79.pth", "7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02", "AlexNet"),
    "vgg": ("vgg16-397923af.pth", "397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0", "VGG-16"),
    "squeeze": (
        "squeezenet1_1-b8a52dc0.pth", "b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        "SqueezeNet 1.1 (torchvision)",
    ),
}  # fmt: skip


def make_trunk_file(trunk: str) -> WeightFile:
    """Describe the trunk's weight file as torchvision publishes it."""
    name, sha256, title = TRUNKS[trunk]
    return WeightFile(name, sha256, title, url=HOME + name)


def import_lpips() -> Any:
    """Import the `lpips` package, whose wheel contains the calibrated heads.

    Raises:
        Unavailable: It is not installed.
    """
    try:
        import lpips
    except ImportError as error:
        raise Unavailable(f"LPIPS needs the lpips package ({error}): pip install 'zoogan[evaluate]'") from error
    return lpips


@lru_cache(maxsize=1)
def open_lpips(trunk: str, path: Path, device: torch.device) -> nn.Module:
    """Open LPIPS, frozen and in eval.

    Args:
        trunk: A key of TRUNKS.
        path: The trunk's weight file, checked before.
        device: Device of the network.

    Raises:
        Unavailable: The package is missing, or the file does not fit.
    """
    # Its constructor draws weights that are replaced, and uses torchvision's deprecated argument `pretrained`.
    with torch.random.fork_rng(devices=[]), warnings.catch_warnings(action="ignore", category=UserWarning):
        network: nn.Module = import_lpips().LPIPS(net=trunk, pnet_rand=True, verbose=False)
    load_trunk(network, read_tensors(path))
    return network.eval().requires_grad_(False).to(device)


def load_trunk(network: nn.Module, state: dict[str, Tensor]) -> None:
    """Load torchvision's `features.3.weight` as LPIPS's `net.slice2.3.weight`, for every layer of the trunk.

    Raises:
        Unavailable: Layers are missing.
    """
    own = network.state_dict()
    names = {name: "features." + name.split(".", 2)[2] for name in own if name.startswith("net.slice")}
    missing = [official for official in names.values() if official not in state]
    if missing:
        raise Unavailable(f"the LPIPS trunk's weights lack {missing[0]}: not torchvision's file")
    own.update({ours: state[official] for ours, official in names.items()})
    network.load_state_dict(own, strict=True)
