"""SqueezeNet 1.1 with its authors' own (Caffe) ImageNet weights: 5 MB, and fast enough for a CPU."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from zoogan.auxiliary.features import Features
from zoogan.auxiliary.weight_files import WeightFile, find_weight_file
from zoogan.interfaces import Unavailable, World

SQUEEZENET_WEIGHTS = WeightFile(
    "squeezenet1_1_caffe.npz",
    "22d989bac1367874179a9a8496428e78705263b422a5525ffdbdd6d25df40818",
    "SqueezeNet 1.1 (Caffe, ImageNet)",
    source="SqueezeNet_v1.1 of github.com/forresti/SqueezeNet under torchvision's names",
)
SQUEEZENET_SIDE = 227
MEAN = (103.939, 116.779, 123.68)  # of blue, green, red over ImageNet, 0..255: the Caffe model's own


class SqueezeNet(Features):
    """The 512 channels of `features`, averaged over the picture.

    These are not torchvision's weights, which were trained otherwise: input is BGR, 0..255 minus a mean.

    Source: Iandola et al. 2016, version 1.1.

    Args:
        path: The weight file.
        device: Device of the network.

    Raises:
        Unavailable: The file does not fit this network exactly.
    """

    name = "squeezenet1_1 (Caffe) mean of features"
    resizer = f"bilinear {SQUEEZENET_SIDE} antialias=True align_corners=False (torch)"
    dimensions = 512

    def __init__(self, path: Path, device: torch.device) -> None:
        from torchvision.models import squeezenet1_1

        super().__init__()
        self.weights = SQUEEZENET_WEIGHTS.sha256
        with torch.device("meta"):  # needs no memory and draws no random numbers for weights that are replaced
            network = squeezenet1_1(weights=None)
        try:
            with np.load(path, allow_pickle=False) as arrays:
                state = {key: torch.from_numpy(arrays[key]) for key in arrays.files}
            network.load_state_dict(state, strict=True, assign=True)
        except (OSError, ValueError, RuntimeError) as error:
            raise Unavailable(f"{path}: not the {SQUEEZENET_WEIGHTS.title} weights ({error})") from error
        self.network = network.features.eval().requires_grad_(False).to(device)
        self.mean = torch.tensor(MEAN, device=device).view(3, 1, 1)

    def extract(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 512"]:
        """Average `features` over each picture."""
        size = (SQUEEZENET_SIDE, SQUEEZENET_SIDE)
        face = F.interpolate(image.float(), size, mode="bilinear", align_corners=False, antialias=True)
        return self.network(face.add(1).mul(127.5).flip(1) - self.mean).mean((2, 3))


@lru_cache(maxsize=2)
def _open_once(path: Path, device: torch.device) -> SqueezeNet:
    """Open the network of a file once."""
    return SqueezeNet(path, device)


def open_squeezenet(
    device: torch.device, world: World, metric: str, weights: Path | None = None, download: bool = False
) -> SqueezeNet:
    """Open the network, see `open_features`. Its weights cannot be downloaded.

    Raises:
        Unavailable: The weight file is missing, or is another file.
    """
    return _open_once(find_weight_file(SQUEEZENET_WEIGHTS, weights, metric, world), device)
