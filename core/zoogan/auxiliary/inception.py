"""The Inception network of FID (TensorFlow's, 2015-12-05) from torch-fidelity, which resizes as TensorFlow 1 did."""

from __future__ import annotations

import io
from functools import lru_cache
from pathlib import Path
from typing import Any, ClassVar

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.auxiliary.features import Features
from zoogan.auxiliary.weight_files import WeightFile, find_weight_file, read_tensors
from zoogan.interfaces import Unavailable, World

INCEPTION_WEIGHTS = WeightFile(
    "weights-inception-2015-12-05-6726825d.pth",
    "6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
    "FID Inception (2015-12-05)",
    url="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/weights-inception-2015-12-05-6726825d.pth",
)


class Inception(Features):
    """The 2048 pooled features that FID and KID are defined on.

    Args:
        path: The weight file.
        device: Device of the network.

    Raises:
        Unavailable: torch-fidelity is not installed, or the file cannot be read.
    """

    name = "inception-v3-compat 2048 (torch-fidelity)"
    resizer = "bilinear 299 as TensorFlow 1 (torch-fidelity)"
    dimensions = 2048
    libraries: ClassVar[tuple[str, ...]] = ("torch", "torch-fidelity")

    def __init__(self, path: Path, device: torch.device) -> None:
        super().__init__()
        self.weights = INCEPTION_WEIGHTS.sha256
        # torch-fidelity unpickles its file without restrictions, so it gets a copy that was read safely.
        content = io.BytesIO()
        torch.save(read_tensors(path), content)
        content.seek(0)
        with torch.random.fork_rng(devices=[]):  # its constructor draws weights that are replaced
            self.network = import_extractor()("inception-v3-compat", ["2048"], feature_extractor_weights_path=content)
        self.network.to(device)

    def extract(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 2048"]:
        """Compute the features of the pictures as bytes, as published."""
        levels = image.float().add(1).mul(127.5).round().clamp(0, 255).to(torch.uint8)
        return self.network(levels)[0]


def import_extractor() -> Any:
    """Import torch-fidelity's class.

    Raises:
        Unavailable: torch-fidelity is not installed.
    """
    try:
        from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3
    except ImportError as error:
        message = f"FID and KID need torch-fidelity ({error}): pip install 'zoogan[evaluate]'"
        raise Unavailable(message) from error
    return FeatureExtractorInceptionV3


@lru_cache(maxsize=1)
def _open_once(path: Path, device: torch.device) -> Inception:
    """Open the network of a file once."""
    return Inception(path, device)


def open_inception(
    device: torch.device, world: World, metric: str, weights: Path | None = None, download: bool = False
) -> Inception:
    """Open the network, see `open_features`.

    Raises:
        Unavailable: torch-fidelity or the weight file is missing, or it is another file.
    """
    import_extractor()  # before the download of 91 MB, which is useless without it
    return _open_once(find_weight_file(INCEPTION_WEIGHTS, weights, metric, world, download=download), device)
