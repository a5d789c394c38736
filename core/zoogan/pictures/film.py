"""Films: faces on their way from one style, or one latent, to the next, or round through several."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterable, Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float, UInt8
from PIL import Image
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.pictures.photo import to_bytes

RATE = 30  # frames a second
BETWEEN = 20  # frames from one value of a round to the next
# Rest, go, rest: the schedule of StarGAN v2's official films.
SHARES = (0.0, *torch.sigmoid(torch.arange(-5, 5, 0.5)).tolist(), *[1.0] * 10)


def frames_between(
    image: Float[Tensor, "n c h w"],
    styles: Sequence[Float[Tensor, "n s"]],
    show: Callable[[Float[Tensor, "n s"]], Float[Tensor, "n c h w"]],
) -> Iterator[UInt8[Tensor, "c 2*h n*w"]]:
    """Frames with the faces above and what `show` makes of them below, 31 from each style to the next."""
    above = to_bytes(torch.cat(list(image), 2))
    for one, other in pairwise(styles):
        for share in SHARES:
            below = to_bytes(torch.cat(list(show(one.lerp(other, share))), 2))
            yield torch.cat([above, below], 1)


def frames_along(
    latents: Sequence[Float[Tensor, "1 rows s"]], show: Callable[[Float[Tensor, "1 rows s"]], Float[Tensor, "1 c h w"]]
) -> Iterator[UInt8[Tensor, "c h w"]]:
    """Frames of one face on its way from each latent to the next, 31 each."""
    for one, other in pairwise(latents):
        for share in SHARES:
            yield to_bytes(show(one.lerp(other, share))[0])


def frames_round(
    latents: Float[Tensor, "k rows s"], show: Callable[[Float[Tensor, "1 rows s"]], Float[Tensor, "1 c h w"]]
) -> Iterator[UInt8[Tensor, "c h w"]]:
    """Frames of one face on a smooth way through all latents and back to the first, see `values_round`."""
    for latent in values_round(latents).split(1):
        yield to_bytes(show(latent)[0])


def values_round(values: Float[Tensor, "k *rest"], between: int = BETWEEN) -> Float[Tensor, "frames *rest"]:
    """Values on a smooth way through all that are given and back to the first: a periodic cubic spline.

    `between` steps from each to the next; the first value stands at both ends, so that k * between + 1 come back. What
    was given is met exactly.
    """
    k = len(values)
    knots = values.flatten(1).cpu().double()  # where every machine has double precision
    here = torch.arange(k)
    bends = torch.zeros(k, k, dtype=torch.float64)  # the second derivatives at the knots
    for away, weight in ((-1, 1.0), (0, 4.0), (1, 1.0)):
        bends.index_put_((here, (here + away) % k), torch.full_like(bends[0], weight), accumulate=True)
    bent = torch.linalg.solve(bends, 6 * (knots.roll(1, 0) - 2 * knots + knots.roll(-1, 0)))
    right = torch.linspace(0, 1, between + 1, dtype=torch.float64)[:-1, None]
    left = 1 - right
    some = [
        left * knots[i] + right * knots[j] + ((left**3 - left) * bent[i] + (right**3 - right) * bent[j]) / 6
        for i, j in zip(range(k), [*range(1, k), 0])
    ]
    return torch.cat([*some, knots[:1]]).to(values).unflatten(1, values.shape[1:])


def check_film(path: Path) -> None:
    """That a film can be written to `path`, before its frames are drawn.

    Raises:
        ConfigError: neither a GIF nor an MP4, or nothing installed that writes MP4.
    """
    suffix = path.suffix.lower()
    if suffix not in (".gif", ".mp4"):
        raise ConfigError(f"--film {path}: expected a file that ends in .gif or .mp4")
    missing = [name for name in ("imageio", "imageio_ffmpeg") if importlib.util.find_spec(name) is None]
    if suffix == ".mp4" and missing:
        raise ConfigError(
            f"--film {path}: MP4 needs imageio with ffmpeg: pip install 'zoogan[film]'; a .gif needs nothing more"
        )


def save_film(frames: Iterable[UInt8[Tensor, "c h w"]], path: Path) -> Path:
    """Write a GIF, or an MP4 if imageio and its ffmpeg are installed. Returns the path.

    Raises:
        ConfigError: as `check_film`.
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
