"""Distance of two faces, for inversion and tuning: LPIPS if its weights are available, else L1 over scales."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.auxiliary.lpips import SMALLEST, import_lpips, make_trunk_file, open_lpips
from zoogan.auxiliary.weight_files import find_weight_file, get_weights_folder
from zoogan.interfaces import Unavailable, World
from zoogan.losses.reconstruction import multiscale_l1

DistanceChoice = Literal["auto", "lpips", "l1"]
PREFERRED_TRUNKS = ("vgg", "alex", "squeeze")  # vgg: as StyleGAN2
LARGEST = 256  # pixels: larger faces are reduced to this size

Images = Float[Tensor, "n c h w"]


class ImageDistance(NamedTuple):
    """A distance of pairs of faces.

    Attributes:
        name: Its name, for people.
        distance: (n, c, h, w) twice, in [-1, 1] -> (n,), 0 for equal ones.
        note: Why the better distance (LPIPS) is not used; empty for LPIPS.
    """

    name: str
    distance: Callable[[Images, Images], Float[Tensor, " n"]]
    note: str = ""


L1 = ImageDistance("L1 over scales", multiscale_l1)


def choose_image_distance(choice: DistanceChoice, image_size: int, device: torch.device | str) -> ImageDistance:
    """Choose LPIPS, with the first trunk whose weights are in the folder of metric weights, or L1 over scales.

    Nothing is downloaded.

    Args:
        choice: `auto` = LPIPS if it is available.
        image_size: Side of the faces in pixels.
        device: Device of the faces.

    Raises:
        Unavailable: `lpips` was chosen and is not available.
    """
    if choice == "l1":
        return L1
    try:
        return make_lpips_distance(image_size, torch.device(device))
    except Unavailable as reason:
        if choice == "lpips":
            raise
        return L1._replace(note=str(reason))


def make_lpips_distance(
    image_size: int, device: torch.device, accepted: Sequence[str] = PREFERRED_TRUNKS
) -> ImageDistance:
    """Make LPIPS a distance of faces.

    Args:
        image_size: Side of the faces in pixels.
        device: Device of the faces.
        accepted: The trunks that may be used; the first whose weights are in the folder of metric weights is.

    Raises:
        Unavailable: No library, no weights, or faces that are too small.
    """
    if image_size < SMALLEST:
        raise Unavailable(f"LPIPS needs faces of {SMALLEST} pixels or more, these have {image_size}")
    import_lpips()
    folder = get_weights_folder()
    trunks = [trunk for trunk in accepted if (folder / make_trunk_file(trunk).name).is_file()]
    if not trunks:
        file = make_trunk_file(accepted[0])
        raise Unavailable(f"LPIPS needs weights: put {file.name} ({file.url}) into {folder}")
    file = make_trunk_file(trunks[0])
    network = open_lpips(trunks[0], find_weight_file(file, None, "lpips", World.make_single()), device)

    def distance(one: Float[Tensor, "n c h w"], other: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        """Compute LPIPS of faces, at most LARGEST pixels wide."""
        if one.shape[-1] > LARGEST:
            one, other = (F.adaptive_avg_pool2d(image, LARGEST) for image in (one, other))
        return network(one, other).flatten(1).mean(1)

    return ImageDistance(f"LPIPS ({file.title})", distance)
