"""Channels of networks at each resolution."""

from __future__ import annotations

from zoogan.errors import ConfigError

STYLEGAN2_CHANNELS = 512  # of every StyleGAN2 up to 32 px


def compute_synthesis_widths(image_size: int, multiplier: float, maximum: int | None) -> list[int]:
    """Compute the channels of a synthesis network at 4, 8, 16, ... pixels up to the image size.

    The number is 2^14 * multiplier / side, at most `maximum`. With maximum 512 and a multiplier of at least 1 that is
    512 up to 32 px, as published for StyleGAN2; a smaller multiplier narrows earlier.

    Args:
        image_size: Side of the image in pixels: a power of two, at least 8.
        multiplier: Factor of the channels above 32 px (`channel_multiplier`).
        maximum: Most channels at any size; None = 512 up to 32 px for any multiplier, and no limit above
            (rosinality's code).

    Returns:
        Channels, smallest resolution first.

    Raises:
        ConfigError: The size is no power of two, or below 8.

    Source: StyleGAN2 (Karras et al. 2020); None: rosinality's code.
    """
    if image_size < 8 or image_size.bit_count() != 1:
        raise ConfigError(f"data.image_size: expected a power of two, at least 8, got {image_size}")
    sides = [2**k for k in range(2, image_size.bit_length())]
    widths = [max(1, int(2**14 * multiplier) // side) for side in sides]
    if maximum is None:
        return [STYLEGAN2_CHANNELS if side <= 32 else width for side, width in zip(sides, widths)]
    return [min(maximum, width) for width in widths]


def compute_encoder_widths(width: int, halvings: int, maximum: int) -> list[int]:
    """Compute the channels of an encoder that doubles them at each halving.

    Args:
        width: Channels at full size; never cut by `maximum`.
        halvings: How often height and width are halved.
        maximum: Most channels at the smaller sizes.

    Returns:
        halvings + 1 numbers of channels, largest resolution first.
    """
    return [width, *(min(width * 2**k, maximum) for k in range(1, halvings + 1))]
