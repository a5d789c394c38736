"""Heat maps computed beforehand, as files beside the images: `<root>/heat_maps/<image without suffix>.png`.

One PNG an image, of two channels (`LA`): the coarse mask as grey, the fine one as alpha. Both in one file, so that one
is never that of another image. Eight bits: a mask is kept to 1/510.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np
import torch
from jaxtyping import Float
from PIL import Image, UnidentifiedImageError
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.interfaces import Masks
from zoogan.names import join_problems

FOLDER = "heat_maps"


def masks_path(root: Path, image: Path) -> Path:
    """Where the masks of an image lie; its folders below the root stay.

    Args:
        image: relative to `root`, or below it.

    Raises:
        ValueError: the image lies elsewhere.
    """
    inside = image.relative_to(root) if image.is_absolute() or image.is_relative_to(root) else image
    return root / FOLDER / inside.with_suffix(".png")


def check_apart(root: Path, images: Iterable[Path]) -> None:
    """That no two images share their masks, as `a.jpg` and `a.png` would.

    Raises:
        ConfigError: the first few that do, and how many.
    """
    taken: dict[Path, Path] = {}
    problems = []
    for image in images:
        masks = masks_path(root, image)
        if masks in taken:
            problems.append(f"{masks}: the heat maps of {taken[masks]} and of {image}; rename one of the images")
        taken.setdefault(masks, image)
    if problems:
        raise ConfigError(join_problems(problems))


def save_masks(path: Path, masks: Masks) -> None:
    """Write the masks of one image, (1, 1, h, w) each in [0, 1], whole or not at all; makes its folder.

    Raises:
        ValueError: masks of several images, or of two sizes.
    """
    coarse, fine = masks
    if coarse.shape != fine.shape or len(coarse) != 1:
        raise ValueError(f"expected two masks (1, 1, h, w), got {tuple(coarse.shape)} and {tuple(fine.shape)}")
    both = torch.cat([coarse, fine], 1)[0].detach().float().clamp(0, 1).mul(255).round()
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.tmp")
    Image.fromarray(both.permute(1, 2, 0).to("cpu", torch.uint8).numpy()).save(draft, format="PNG")
    draft.replace(path)


def read_masks(path: Path) -> tuple[Float[Tensor, "1 1 h w"], Float[Tensor, "1 1 h w"]]:
    """The masks that `save_masks` wrote, in [0, 1], float32 on the CPU.

    Raises:
        ConfigError: no such file, a damaged one, or another kind of picture.
    """
    try:
        with Image.open(path) as picture:
            if picture.mode != "LA":
                raise ConfigError(f"{path}: not heat maps, which are grey with alpha (LA): mode {picture.mode}")
            both = torch.from_numpy(np.array(picture)).permute(2, 0, 1).float() / 255
    except FileNotFoundError:
        raise ConfigError(f"{path}: no such file, the image's heat maps") from None
    except (UnidentifiedImageError, OSError, SyntaxError) as error:
        raise ConfigError(f"{path}: not a picture that can be read ({error})") from error
    return both[None, :1], both[None, 1:]
