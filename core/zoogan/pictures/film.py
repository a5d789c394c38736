"""Films: faces that change from one style or latent to the next, or in a loop through several."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from zoogan.pictures.film_files import check_film
from zoogan.pictures.photo import quantize_image

RATE = 30  # frames a second
BETWEEN = 20  # frames from one value of a loop to the next
# Weight of the next style, frame by frame: rest, move, rest. The schedule of StarGAN v2's official films.
SHARES = (0.0, *torch.sigmoid(torch.arange(-5, 5, 0.5)).tolist(), *[1.0] * 10)


def make_style_frames(
    image: Float[Tensor, "n c h w"],
    styles: Sequence[Float[Tensor, "n s"]],
    show: Callable[[Float[Tensor, "n s"]], Float[Tensor, "n c h w"]],
) -> Iterator[UInt8[Tensor, "c 2*h n*w"]]:
    """Make frames that show the faces above and their translation below.

    Args:
        image: The faces, floats in [-1, 1].
        styles: Styles to move through, one row a face.
        show: Translates the faces to styles.

    Yields:
        31 frames from each style to the next, as bytes.
    """
    above = quantize_image(torch.cat(list(image), 2))
    for one, other in pairwise(styles):
        for share in SHARES:
            below = quantize_image(torch.cat(list(show(one.lerp(other, share))), 2))
            yield torch.cat([above, below], 1)


def make_latent_frames(
    latents: Sequence[Float[Tensor, "1 rows s"]], show: Callable[[Float[Tensor, "1 rows s"]], Float[Tensor, "1 c h w"]]
) -> Iterator[UInt8[Tensor, "c h w"]]:
    """Make frames of one face that moves through latents.

    Args:
        latents: Latents to move through.
        show: Generates the face of a latent, floats in [-1, 1].

    Yields:
        31 frames from each latent to the next, as bytes.
    """
    for one, other in pairwise(latents):
        for share in SHARES:
            yield quantize_image(show(one.lerp(other, share))[0])


def make_loop_frames(
    latents: Float[Tensor, "k rows s"], show: Callable[[Float[Tensor, "1 rows s"]], Float[Tensor, "1 c h w"]]
) -> Iterator[UInt8[Tensor, "c h w"]]:
    """Make frames of one face that moves smoothly through all latents and back to the first.

    Args:
        latents: Latents to move through, see `interpolate_loop`.
        show: Generates the face of a latent, floats in [-1, 1].

    Yields:
        The frames, as bytes.
    """
    for latent in interpolate_loop(latents).split(1):
        yield quantize_image(show(latent)[0])


def interpolate_loop(values: Float[Tensor, " k *rest"], between: int = BETWEEN) -> Float[Tensor, " frames *rest"]:
    """Interpolate a closed loop through values with a periodic cubic spline.

    Args:
        values: The values that the loop passes through exactly.
        between: Steps from each value to the next.

    Returns:
        k * between + 1 values; the first value stands at both ends.
    """
    k = len(values)
    knots = values.flatten(1).cpu().double()  # where every machine has double precision
    index = torch.arange(k)
    system = torch.zeros(k, k, dtype=torch.float64)  # for the second derivatives at the knots
    for offset, weight in ((-1, 1.0), (0, 4.0), (1, 1.0)):
        system.index_put_((index, (index + offset) % k), torch.full_like(system[0], weight), accumulate=True)
    curvature = torch.linalg.solve(system, 6 * (knots.roll(1, 0) - 2 * knots + knots.roll(-1, 0)))
    right = torch.linspace(0, 1, between + 1, dtype=torch.float64)[:-1, None]
    left = 1 - right
    pieces = [
        left * knots[i] + right * knots[j] + ((left**3 - left) * curvature[i] + (right**3 - right) * curvature[j]) / 6
        for i, j in zip(range(k), [*range(1, k), 0])
    ]
    return torch.cat([*pieces, knots[:1]]).to(values).unflatten(1, values.shape[1:])


def save_film(frames: Iterable[UInt8[Tensor, "c h w"]], path: Path) -> Path:
    """Write a film as GIF, or as MP4 if imageio and its ffmpeg are installed.

    Args:
        frames: The frames, of 3 channels and one size.
        path: The file; its suffix is .gif or .mp4. Its folder is made.

    Returns:
        The path.

    Raises:
        ConfigError: As `check_film`.
    """
    check_film(path)
    pictures = [frame.permute(1, 2, 0).contiguous().numpy() for frame in frames]
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix.lower() == ".gif":
        first, *rest = [Image.fromarray(picture) for picture in pictures]
        first.save(path, save_all=True, append_images=rest, duration=1000 // RATE, loop=0)
        return path
    import imageio.v2 as imageio

    imageio.mimwrite(path, list[Any](pictures), fps=RATE, codec="libx264", pixelformat="yuv420p", macro_block_size=2)
    return path
