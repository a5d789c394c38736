"""The shape of faces from single images: the networks of Unsup3D, and the geometry that they give.

Source: Wu et al. 2020 (Unsupervised Learning of Probably Symmetric Deformable 3D Objects), sections 3 and 4.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import NamedTuple

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.interfaces import FaceGeometry
from zoogan.layers import Images
from zoogan_sd_gan.depth_warp import compute_normals

SIDE = 64
"""Height and width in pixels of the images that the networks read."""
MEAN_DEPTH, DEPTH_RANGE = 1.0, 0.1
"""Depths lie within `DEPTH_RANGE` of `MEAN_DEPTH`."""
BORDER_DEPTH, BORDER_COLUMNS = 1.05, 2
"""Depth of the outermost columns on either side, when faces are read."""
MAX_ANGLE, MAX_SHIFT = math.radians(60), 0.1
"""Largest rotation about each axis in radians, and largest shift across and down."""
GROUP = 4  # channels of a group of the group norms
WIDTH, CODE = 64, 256
"""Published channels after the first convolution, and numbers in the code, of the networks of maps."""


class CanonicalFace(NamedTuple):
    """A face seen from the front, and how it was seen.

    Attributes:
        depth: Distance of each pixel from the camera, around 1.
        normal: Unit normals.
        shading: Diffuse shading, at least 0.
        albedo: Colours without light, in [-1, 1].
        image: The lit face, meant for [-1, 1].
        view: Three angles in radians about x, y and z, and a shift.
        ambient: Strength of the ambient light, in [0, 1].
        diffuse: Strength of the directional light, in [0, 1].
        light: Unit direction of the light.
    """

    depth: Float[Tensor, "n 1 s s"]
    normal: Float[Tensor, "n 3 s s"]
    shading: Float[Tensor, "n 1 s s"]
    albedo: Float[Tensor, "n 3 s s"]
    image: Float[Tensor, "n 3 s s"]
    view: Float[Tensor, "n 6"]
    ambient: Float[Tensor, "n 1"]
    diffuse: Float[Tensor, "n 1"]
    light: Float[Tensor, "n 3"]


# ---- networks ----


def make_conv(inputs: int, outputs: int, kernel: int, stride: int = 1, padding: int = 0) -> nn.Conv2d:
    """Make a convolution without a bias, as all of these networks have."""
    return nn.Conv2d(inputs, outputs, kernel, stride, padding, bias=False)


def make_doubling(inputs: int, outputs: int) -> nn.ConvTranspose2d:
    """Make a transposed convolution that doubles height and width, without a bias."""
    return nn.ConvTranspose2d(inputs, outputs, 4, 2, 1, bias=False)


def make_group_norm(channels: int) -> nn.GroupNorm:
    """Make a group norm of four channels a group."""
    return nn.GroupNorm(channels // GROUP, channels)


class VectorNetwork(nn.Module):
    """Reads a vector in [-1, 1] off an image: the light, or the view.

    Args:
        outputs: Numbers in the vector.
        width: Channels after the first convolution.

    Source: Wu et al. 2020, supplementary table 7; official `networks.py`, `Encoder`.
    """

    def __init__(self, outputs: int, width: int = WIDTH // 2) -> None:
        super().__init__()
        widths = [3, *(width << k for k in range(4))]
        last = widths[-1]
        layers: list[nn.Module] = []
        for a, b in pairwise(widths):
            layers += [make_conv(a, b, 4, 2, 1), nn.ReLU(inplace=True)]
        layers += [make_conv(last, last, 4), nn.ReLU(inplace=True), make_conv(last, outputs, 1), nn.Tanh()]
        self.network = nn.Sequential(*layers)

    def forward(self, image: Float[Tensor, "n 3 64 64"]) -> Float[Tensor, "n v"]:
        """Read vectors off images (n, 3, 64, 64) in [-1, 1]."""
        return self.network(image).flatten(1)


def make_map_encoder(width: int, code: int) -> list[nn.Module]:
    """Make the layers from an image (n, 3, 64, 64) to a code (n, code, 1, 1).

    Args:
        width: Channels after the first convolution, a multiple of 4.
        code: Numbers in the code.
    """
    layers: list[nn.Module] = []
    for k, (a, b) in enumerate(pairwise([3, *(width << k for k in range(4))])):
        norm = [make_group_norm(b)] if k < 3 else []
        layers += [make_conv(a, b, 4, 2, 1), *norm, nn.LeakyReLU(0.2, inplace=True)]
    return [*layers, make_conv(8 * width, code, 4), nn.ReLU(inplace=True)]


class MapNetwork(nn.Module):
    """Draws a map of an image through a code of it: the depth, or the albedo.

    Args:
        outputs: Channels of the map.
        bounded: End with a tanh.
        width: Channels after the first convolution, a multiple of 4.
        code: Numbers in the code.

    Source: Wu et al. 2020, supplementary table 6; official `networks.py`, `EDDeconv`.
    """

    def __init__(self, outputs: int, bounded: bool, width: int = WIDTH, code: int = CODE) -> None:
        super().__init__()

        def relu() -> nn.Module:
            return nn.ReLU(inplace=True)

        start = nn.ConvTranspose2d(code, 8 * width, 4, bias=False)
        layers = [*make_map_encoder(width, code), start, relu(), make_conv(8 * width, 8 * width, 3, 1, 1), relu()]
        for a, b in pairwise([8 * width, 4 * width, 2 * width, width]):
            layers += [make_doubling(a, b), make_group_norm(b), relu()]
            layers += [make_conv(b, b, 3, 1, 1), make_group_norm(b), relu()]
        layers += [nn.Upsample(scale_factor=2, mode="nearest")]
        for kernel in (3, 5):
            layers += [make_conv(width, width, kernel, 1, kernel // 2), make_group_norm(width), relu()]
        layers += [make_conv(width, outputs, 5, 1, 2)] + ([nn.Tanh()] if bounded else [])
        self.network = nn.Sequential(*layers)

    def forward(self, image: Float[Tensor, "n 3 64 64"]) -> Float[Tensor, "n o 64 64"]:
        """Draw maps (n, outputs, 64, 64) of images (n, 3, 64, 64) in [-1, 1]."""
        return self.network(image)


class Unsup3dNetworks(nn.Module):
    """The four networks that take a face apart into depth, albedo, light and view.

    Args:
        width: Channels after the first convolution of the networks of maps, a multiple of 4; half for the others.
        code: Numbers in the code of a map.

    Source: Wu et al. 2020, section 3.1.
    """

    def __init__(self, width: int = WIDTH, code: int = CODE) -> None:
        super().__init__()
        self.depth = MapNetwork(1, False, width, code)
        self.albedo = MapNetwork(3, True, width, code)
        self.light = VectorNetwork(4, width // 2)
        self.view = VectorNetwork(6, width // 2)

    def forward(self, image: Float[Tensor, "n 3 64 64"], *, border: float = BORDER_DEPTH) -> CanonicalFace:
        """Take faces apart.

        Args:
            image: Faces (n, 3, 64, 64) in [-1, 1].
            border: Depth of the outermost columns.
        """
        depth = scale_depth(self.depth(image), border)
        return light_face(depth, self.albedo(image), self.light(image), scale_view(self.view(image)))


# ---- from the outputs of the networks to a face ----


def scale_depth(raw: Float[Tensor, "n 1 s s"], border: float) -> Float[Tensor, "n 1 s s"]:
    """Bring the output of the depth network to depths.

    Args:
        raw: The output, unbounded.
        border: Depth of the outermost columns, which keeps a face from ending in the air.
    """
    share = (raw - raw.mean((1, 2, 3), keepdim=True)).tanh()
    # Rounded as in the official code: normals are differences of depths, and magnify the last digit.
    depth = (1 + share) / 2 * (MEAN_DEPTH + DEPTH_RANGE) + (1 - share) / 2 * (MEAN_DEPTH - DEPTH_RANGE)
    inner = depth[..., BORDER_COLUMNS:-BORDER_COLUMNS]
    return F.pad(inner, (BORDER_COLUMNS, BORDER_COLUMNS), value=border)


def scale_view(raw: Float[Tensor, "n 6"], depth_shift: float = 0.0) -> Float[Tensor, "n 6"]:
    """Bring the output of the view network to angles and shifts.

    Args:
        raw: The output, in [-1, 1].
        depth_shift: Largest shift in depth; official: 0 when faces are read, 0.1 in training.
    """
    angles, across, depth = raw.split([3, 2, 1], 1)
    return torch.cat([angles * MAX_ANGLE, across * MAX_SHIFT, depth * depth_shift], 1)


def light_face(
    depth: Float[Tensor, "n 1 s s"], albedo: Float[Tensor, "n 3 s s"], light: Float[Tensor, "n 4"], view: Tensor
) -> CanonicalFace:
    """Light a face by its normals.

    Args:
        depth: Depths.
        albedo: Colours without light, in [-1, 1].
        light: The output of the light network, in [-1, 1]: strengths of the ambient and of the directional light, and
            two numbers of its direction.
        view: Angles and shifts, which are kept.
    """
    normal = compute_normals(depth)
    strengths = light[:, :2] / 2 + 0.5
    ambient, diffuse = strengths.split(1, 1)
    direction = F.normalize(F.pad(light[:, 2:], (0, 1), value=1.0), dim=1)
    shading = torch.einsum("nchw,nc->nhw", normal, direction).clamp(min=0)[:, None]
    lit = (albedo / 2 + 0.5) * (ambient[..., None, None] + diffuse[..., None, None] * shading)
    return CanonicalFace(depth, normal, shading, albedo, lit * 2 - 1, view, ambient, diffuse, direction)


def resize_maps(face: CanonicalFace, side: int) -> CanonicalFace:
    """Resize the maps of a face bilinearly; normals stay unit vectors.

    Args:
        face: The face.
        side: Height and width of the maps in pixels afterwards.
    """
    names = ("depth", "normal", "shading", "albedo", "image")
    maps = {
        name: F.interpolate(getattr(face, name), (side, side), mode="bilinear", align_corners=False) for name in names
    }
    return face._replace(**maps | {"normal": F.normalize(maps["normal"], dim=1)})


def shrink_face(image: Images) -> Float[Tensor, "n 3 64 64"]:
    """Resize faces to what the networks read, as the official code does: bilinearly, without a filter.

    Args:
        image: Faces of any size; those above 256 px go through 128 px.
    """
    sides = ([2 * SIDE] if min(image.shape[2:]) > 4 * SIDE else []) + [SIDE]
    for side in sides:
        if image.shape[2:] != (side, side):
            image = F.interpolate(image, (side, side), mode="bilinear", align_corners=False)
    return image


class Unsup3dGeometry(FaceGeometry):
    """Geometry by Unsup3D: depth three times, normals and albedo of the face seen from the front.

    The networks know the faces that they were trained on, as they were cropped: official weights close crops of CelebA.

    Args:
        networks: Trained networks, which are frozen and put in eval mode.
        side: Height and width of the geometry in pixels; official: 128.
    """

    channels = 9

    def __init__(self, networks: Unsup3dNetworks, side: int = 2 * SIDE) -> None:
        self.networks, self.side = networks.eval().requires_grad_(False), side

    def to(self, device: torch.device | str) -> Unsup3dGeometry:
        """Move the networks to a device, in place."""
        self.networks.to(device)
        return self

    @torch.no_grad()
    def encode(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n g s s"]:
        """Read the shape of faces in [-1, 1] of any size as nine maps in [-1, 1]. Without a graph.

        Args:
            image: Coloured faces (n, 3, h, w).
        """
        face = resize_maps(self.networks(shrink_face(image)), self.side)
        depth = (face.depth - MEAN_DEPTH) / DEPTH_RANGE
        return torch.cat([depth.expand(-1, 3, -1, -1), face.normal, face.albedo], 1)
