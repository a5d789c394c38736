"""Training the networks of Unsup3D on faces without labels: each face is taken apart and must come back, mirrored too.

The perceptual part of the official loss is left out, as it needs weights of VGG, and the view is rendered as points in
place of a mesh (`depth_warp`).

Source: Wu et al. 2020 (Unsup3D), section 3.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from itertools import islice, pairwise

import torch
from jaxtyping import Float
from torch import Tensor, nn

from zoogan.interfaces import derive_seed
from zoogan.layers import Images
from zoogan_sd_gan.depth_warp import EPSILON, FARTHEST, render_depth, warp_to_view
from zoogan_sd_gan.unsup3d import (
    CODE,
    DEPTH_RANGE,
    MAX_SHIFT,
    MEAN_DEPTH,
    WIDTH,
    Unsup3dNetworks,
    light_face,
    make_conv,
    make_doubling,
    make_group_norm,
    make_map_encoder,
    scale_depth,
    scale_view,
    shrink_face,
)

BORDER = MEAN_DEPTH + 0.4 * DEPTH_RANGE
"""Depth of the outermost columns in training."""
MIRRORED = 0.5
"""Weight of the mirrored face's loss."""
LEARNING_RATE, BETAS, WEIGHT_DECAY = 1e-4, (0.9, 0.999), 5e-4
Watch = Callable[[int, Tensor], bool]
"""Called after each iteration with its number, from 1, and the loss on the device; True stops the training."""


def watch_nothing(iteration: int, loss: Tensor) -> bool:
    """Let the training go on."""
    return False


class ConfidenceNetwork(nn.Module):
    """Tells for each pixel how large errors are expected to be, for the face and for its mirror image.

    It is needed in training alone: hair, for example, is not symmetric.

    Args:
        width: Channels after the first convolution, a multiple of 4.
        code: Numbers in the code of a face.

    Source: Wu et al. 2020, section 3.3; official `networks.py`, `ConfNet` without the maps of its perceptual part.
    """

    def __init__(self, width: int, code: int) -> None:
        super().__init__()
        layers = [*make_map_encoder(width, code), nn.ConvTranspose2d(code, 8 * width, 4, bias=False), nn.ReLU()]
        for a, b in pairwise([8 * width, 4 * width, 2 * width, width, width]):
            layers += [make_doubling(a, b), make_group_norm(b), nn.ReLU(inplace=True)]
        self.network = nn.Sequential(*layers, make_conv(width, 2, 5, 1, 2), nn.Softplus())

    def forward(self, image: Float[Tensor, "n 3 64 64"]) -> Float[Tensor, "n 2 64 64"]:
        """Compute the expected errors of faces in [-1, 1], above 0: of the face, and of its mirror image."""
        return self.network(image)


def compute_photometric_loss(
    image: Float[Tensor, "n 3 s s"],
    target: Float[Tensor, "n 3 s s"],
    expected: Float[Tensor, "n 1 s s"],
    mask: Float[Tensor, "n 1 s s"],
) -> Float[Tensor, ""]:
    """Compute the mean L1 error in units of the expected one, plus the logarithm of that.

    Args:
        image: The faces that came back.
        target: The faces.
        expected: The expected errors, above 0.
        mask: Where errors count, 0 or 1.

    Source: Wu et al. 2020, equation 2.
    """
    scale = expected + EPSILON
    loss = (image - target).abs() * 2**0.5 / scale + scale.log()
    return (loss * mask).sum() / (mask.sum() * image.shape[1]).clamp(min=1)


def compute_loss(networks: Unsup3dNetworks, confidence: ConfidenceNetwork, face: Images) -> Float[Tensor, ""]:
    """Take faces apart, put them together again, plain and with depth and albedo mirrored, and compare.

    Args:
        networks: The networks of depth, albedo, light and view.
        confidence: The network of the expected errors.
        face: Faces (n, 3, 64, 64) in [-1, 1].

    Source: Wu et al. 2020, section 3.1 and equation 3.
    """
    n = len(face)
    depth, albedo = scale_depth(networks.depth(face), BORDER), networks.albedo(face)
    light, view = networks.light(face).repeat(2, 1), scale_view(networks.view(face), MAX_SHIFT).repeat(2, 1)
    canonical = light_face(torch.cat([depth, depth.flip(3)]), torch.cat([albedo, albedo.flip(3)]), light, view)
    rendered = render_depth(canonical.depth, view)
    image = warp_to_view(canonical.image, rendered, view)
    is_there = (rendered.detach() < FARTHEST).to(face.dtype)
    mask, expected = is_there[:n] * is_there[n:], confidence(face)
    plain = compute_photometric_loss(image[:n], face, expected[:, :1], mask)
    return plain + MIRRORED * compute_photometric_loss(image[n:], face, expected[:, 1:], mask)


def iterate_batches(images: Images | Iterable[Images], batch: int, seed: int) -> Iterator[Images]:
    """Return batches without an end: drawn at random from a tensor, or those of an iterable as they are.

    Args:
        images: All faces, or an iterable of batches.
        batch: Faces in a batch that is drawn.
        seed: Of the draw.
    """
    if not isinstance(images, Tensor):
        yield from images
        return
    draw = torch.Generator().manual_seed(derive_seed("unsup3d batches", seed))
    while True:
        yield images[torch.randint(len(images), (batch,), generator=draw)]


def train_unsup3d(
    images: Images | Iterable[Images],
    iterations: int,
    batch: int = 64,
    seed: int = 0,
    device: torch.device | str = "cpu",
    watch: Watch = watch_nothing,
    *,
    width: int = WIDTH,
    code: int = CODE,
    learning_rate: float = LEARNING_RATE,
) -> Unsup3dNetworks | None:
    """Train the networks of Unsup3D from the beginning; the same seed and faces give the same networks.

    Args:
        images: Faces in [-1, 1] of any size: all of them in one tensor, or an iterable of batches.
        iterations: Updates; fewer if the iterable ends before.
        batch: Faces in a batch that is drawn from a tensor.
        seed: Of weights and batches.
        device: Where the networks compute.
        watch: Called after each iteration.
        width: See `Unsup3dNetworks`.
        code: See `Unsup3dNetworks`.
        learning_rate: Of Adam.

    Returns:
        The networks in eval mode; None if `watch` stopped the training.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(derive_seed("unsup3d", seed))
        networks, confidence = Unsup3dNetworks(width, code), ConfidenceNetwork(width, code // 2)
    networks, confidence = networks.to(device), confidence.to(device)
    parameters = [*networks.parameters(), *confidence.parameters()]
    optimizer = torch.optim.Adam(parameters, learning_rate, BETAS, weight_decay=WEIGHT_DECAY)
    batches = islice(iterate_batches(images, batch, seed), iterations)
    for iteration, faces in enumerate(batches, 1):
        loss = compute_loss(networks, confidence, shrink_face(faces.to(device, non_blocking=True)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if watch(iteration, loss.detach()):
            return None
    return networks.eval()
