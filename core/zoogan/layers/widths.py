"""How wide the layers of a synthesis network are at each resolution."""

from __future__ import annotations

from zoogan.config import ConfigError

USUAL = 512  # channels of every StyleGAN2 up to 32 px


def widths_to(image_size: int, multiplier: float, most: int | None) -> list[int]:
    """Channels at 4, 8, 16, ... up to the image size: 2^14 * multiplier / side, at most `most`.

    With `most` = 512 and a multiplier of 1 or more that is 512 up to 32 px, as published for StyleGAN2; with a smaller
    one it narrows before. None: 512 up to 32 px whatever the multiplier, and no limit above (rosinality's code).

    Raises:
        ConfigError: a size that is no power of two, or below 8.
    """
    if image_size < 8 or image_size.bit_count() != 1:
        raise ConfigError(f"data.image_size: expected a power of two, at least 8, got {image_size}")
    sides = [2**k for k in range(2, image_size.bit_length())]
    asked = [max(1, int(2**14 * multiplier) // side) for side in sides]
    if most is None:
        return [USUAL if side <= 32 else width for side, width in zip(sides, asked)]
    return [min(most, width) for width in asked]
