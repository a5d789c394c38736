"""The checks of the options that all editors with styles share."""

from __future__ import annotations

from zoogan.interfaces import Seed


def check_style_options(
    images: int, seed: Seed, threshold: float | None, truncation: float | None, *, has_style: bool
) -> None:
    """Check the options of an edit in a style.

    Args:
        images: Number of images.
        seed: One seed for all images, or one for each.
        threshold: Must be None: editors with styles have no mask.
        truncation: How far drawn styles may be from the mean style, 0 to 1; None = 1.
        has_style: Whether the style is given, by a reference or as numbers, instead of drawn.

    Raises:
        ValueError: A threshold, a truncation of a given style or out of range, a wrong number of seeds.
    """
    if threshold is not None:
        raise ValueError("this editor has no mask, so a threshold has no effect: leave it out")
    if has_style and truncation is not None:
        raise ValueError("truncation is for drawn styles; a reference gives its own: leave one of them out")
    if truncation is not None and not 0 <= truncation <= 1:
        raise ValueError(f"truncation is a share from 0 to 1, got {truncation:g}")
    if not isinstance(seed, int) and len(seed) not in (1, images):
        raise ValueError(f"{len(seed)} seeds for {images} images: give one, or one each")
