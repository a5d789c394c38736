"""The augmentation of a judge's training faces, which makes it robust to artefacts of generators."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

TURN = 8.0  # degrees
SHIFT = 0.12  # of half a side
ZOOM = 0.1
BRIGHTNESS, CONTRAST, TINT = 0.15, 0.2, 0.06  # mild: hair colour must stay what it is
BLUR = 1.2  # px, the largest
NOISE = 0.08  # of the range [-1, 1], the largest standard deviation


def augment_faces(sample: Mapping[str, Tensor], generator: torch.Generator) -> dict[str, Tensor]:
    """Shift, turn, zoom, light, tint, blur and add noise to faces, each by its own amount.

    Segmentation and pose are changed accordingly.

    Args:
        sample: `image` (n, 3, s, s) in [-1, 1], and other fields of a source.
        generator: On the CPU, so that all devices get the same draws.

    Returns:
        The sample with the changed fields; images are in [-1, 1].
    """
    image = sample["image"]
    rows = len(image)

    def uniform(*shape: int) -> Tensor:
        return (2 * torch.rand(rows, *shape, generator=generator) - 1).to(image.device)

    turn, zoom = uniform() * TURN, 1 + uniform() * ZOOM
    grid = make_sampling_grid(turn, zoom, uniform(2) * SHIFT, image.shape[-1])
    result = dict(sample)
    face = F.grid_sample(image, grid, padding_mode="reflection", align_corners=False)
    if "segmentation" in sample:
        classes = sample["segmentation"][:, None].to(image.dtype)
        turned = F.grid_sample(classes, grid, mode="nearest", padding_mode="reflection", align_corners=False)
        result["segmentation"] = turned[:, 0].round().to(sample["segmentation"].dtype)
    if "pose" in sample:
        result["pose"] = sample["pose"] + turn[:, None] * sample["pose"].new_tensor([0.0, 0.0, 1.0])
    mean = face.mean((1, 2, 3), keepdim=True)
    face = (face - mean) * (1 + uniform(1, 1, 1) * CONTRAST) + mean + uniform(1, 1, 1) * BRIGHTNESS
    face = face + uniform(3, 1, 1) * TINT
    blur = (uniform().abs() * BLUR).clamp(min=1e-3)
    face = torch.where((uniform() > 0)[:, None, None, None], blur_faces(face, blur), face)
    noise = torch.randn(image.shape, generator=generator).to(image.device)
    result["image"] = (face + noise * (uniform(1, 1, 1).clamp(min=0) * NOISE)).clamp(-1, 1)
    return result


def make_sampling_grid(
    turn: Float[Tensor, " n"], zoom: Float[Tensor, " n"], shift: Float[Tensor, "n 2"], size: int
) -> Float[Tensor, "n s s 2"]:
    """Make the grid of source positions of the pixels.

    Args:
        turn: Degrees by which a face turns clockwise.
        zoom: Above 1 enlarges the face.
        shift: In x and y, of half a side.
        size: Side of the faces in pixels.
    """
    angle = -turn * (math.pi / 180)
    cos, sin = angle.cos() / zoom, angle.sin() / zoom
    # Rows of pixels go down, so this matrix turns clockwise; it maps where a pixel goes to where it comes from.
    theta = torch.stack([torch.stack([cos, -sin, shift[:, 0]], 1), torch.stack([sin, cos, shift[:, 1]], 1)], 1)
    return F.affine_grid(theta, [len(turn), 1, size, size], align_corners=False)


def blur_faces(image: Float[Tensor, "n 3 s s"], sigma: Float[Tensor, " n"]) -> Float[Tensor, "n 3 s s"]:
    """Blur each face with a Gaussian of its own.

    Args:
        image: The faces.
        sigma: Sigma of the Gaussian in pixels; its kernel is 5 pixels wide.
    """
    steps = torch.arange(-2, 3, device=image.device)
    bell = torch.exp(-(steps**2) / (2 * sigma[:, None] ** 2))
    bell = (bell / bell.sum(1, keepdim=True)).repeat_interleave(3, 0)
    flat = F.pad(image, (2, 2, 2, 2), mode="replicate").flatten(0, 1)[None]
    flat = F.conv2d(flat, bell[:, None, :, None], groups=len(bell))
    return F.conv2d(flat, bell[:, None, None, :], groups=len(bell)).view_as(image)
