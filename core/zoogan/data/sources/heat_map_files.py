"""Heat maps computed beforehand, in files beside the images: `<root>/heat_maps/<image without suffix>.png`.

Each image has one PNG of two channels (`LA`): the coarse mask as grey, the fine mask as alpha. Both are in one file, so
that they always belong to the same image. A channel has 8 bits: masks are accurate to 1/510.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.files import replace_file
from zoogan.interfaces import Masks
from zoogan.names import join_problems
from zoogan.pictures.opening import open_picture

HEAT_MAPS = "heat_maps"


def get_masks_path(root: Path, image: Path) -> Path:
    """Return the path of an image's masks, in the same folders below `heat_maps` as the image below the root.

    Args:
        root: The root of the source.
        image: The image, relative to `root`, or below it.

    Raises:
        ValueError: The image lies elsewhere.
    """
    inside = image.relative_to(root) if image.is_absolute() or image.is_relative_to(root) else image
    return root / HEAT_MAPS / inside.with_suffix(".png")


def check_distinct_masks(root: Path, images: Iterable[Path]) -> None:
    """Check that no two images share the path of their masks, as `a.jpg` and `a.png` would.

    Args:
        root: The root of the source.
        images: The images, see `get_masks_path`.

    Raises:
        ConfigError: Some do; the message lists the first few and counts them.
    """
    taken: dict[Path, Path] = {}
    problems = []
    for image in images:
        masks = get_masks_path(root, image)
        if masks in taken:
            problems.append(f"{masks}: the heat maps of {taken[masks]} and of {image}; rename one of the images")
        taken.setdefault(masks, image)
    if problems:
        raise ConfigError(join_problems(problems))


def save_masks(path: Path, masks: Masks) -> None:
    """Write the masks of one image atomically. Makes the folder.

    Args:
        path: The PNG, see `get_masks_path`.
        masks: The coarse and the fine mask, (1, 1, h, w) each, in [0, 1].

    Raises:
        ValueError: The masks are of several images or of two sizes.
    """
    coarse, fine = masks
    if coarse.shape != fine.shape or len(coarse) != 1:
        raise ValueError(f"expected two masks (1, 1, h, w), got {tuple(coarse.shape)} and {tuple(fine.shape)}")
    both = torch.cat([coarse, fine], 1)[0].detach().float().clamp(0, 1).mul(255).round()
    with replace_file(path) as draft:
        Image.fromarray(both.permute(1, 2, 0).to("cpu", torch.uint8).numpy()).save(draft, format="PNG")


def read_masks(path: Path) -> tuple[Float[Tensor, "1 1 h w"], Float[Tensor, "1 1 h w"]]:
    """Read the masks that `save_masks` wrote.

    Args:
        path: The PNG.

    Returns:
        The coarse and the fine mask, in [0, 1], float32 on the CPU.

    Raises:
        ConfigError: There is no such file, it is damaged, or it is another kind of picture.
    """
    with open_picture(path) as picture:
        if picture.mode != "LA":
            raise ConfigError(f"{path}: not heat maps, which are grey with alpha (LA): mode {picture.mode}")
        both = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    return both[None, :1], both[None, 1:]
