"""How unlike two faces are, for those who make a face like another: LPIPS where its weights are, else differences."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from zoogan.auxiliary.lpips import SMALLEST, opened, package, trunk_file
from zoogan.auxiliary.weight_files import located, weights_folder
from zoogan.interfaces import Unavailable, World
from zoogan.losses.reconstruction import scaled_l1

Choice = Literal["auto", "lpips", "l1"]
PREFERRED: tuple[Literal["vgg", "alex", "squeeze"], ...] = ("vgg", "alex", "squeeze")  # vgg: as StyleGAN2
LARGEST = 256  # pixels: larger faces are looked at in this size


Images = Float[Tensor, "n c h w"]


class Likeness(NamedTuple):
    """How unlike two faces are: (n, c, h, w) twice, in [-1, 1] -> (n,), 0 for equal ones.

    name, note: for people; the note tells why it is not a better one.
    """

    name: str
    distance: Callable[[Images, Images], Float[Tensor, " n"]]
    note: str = ""


L1 = Likeness("L1 over scales", scaled_l1)


def likeness_of(choice: Choice, image_size: int, device: torch.device | str) -> Likeness:
    """LPIPS with the first trunk whose weights are in the folder of metric weights, or the mean absolute difference
    over scales. `auto` = LPIPS if it can be had. Nothing is downloaded.

    Raises:
        Unavailable: LPIPS is asked for and cannot be had.
    """
    if choice == "l1":
        return L1
    try:
        return lpips(image_size, torch.device(device))
    except Unavailable as reason:
        if choice == "lpips":
            raise
        return L1._replace(note=str(reason))


def lpips(image_size: int, device: torch.device) -> Likeness:
    """LPIPS as a likeness.

    Raises:
        Unavailable: no library, no weights, or faces that are too small.
    """
    if image_size < SMALLEST:
        raise Unavailable(f"LPIPS needs faces of {SMALLEST} pixels or more, these have {image_size}")
    package()
    there = [trunk for trunk in PREFERRED if (weights_folder() / trunk_file(trunk).name).is_file()]
    if not there:
        file = trunk_file(PREFERRED[0])
        raise Unavailable(f"LPIPS needs weights: put {file.name} ({file.url}) into {weights_folder()}")
    file = trunk_file(there[0])
    network = opened(there[0], located(file, None, "lpips", World.alone()), device)

    def distance(one: Float[Tensor, "n c h w"], other: Float[Tensor, "n c h w"]) -> Float[Tensor, " n"]:
        if one.shape[-1] > LARGEST:
            one, other = (F.adaptive_avg_pool2d(image, LARGEST) for image in (one, other))
        return network(one, other).flatten(1).mean(1)

    return Likeness(f"LPIPS ({file.what})", distance)
