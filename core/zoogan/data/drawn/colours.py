"""The colours of drawn faces, red, green and blue in [0, 1]."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from jaxtyping import Bool
from torch import Tensor

from zoogan.data.drawn.attributes import find_column

Numbers = dict[str, np.ndarray]  # traits (n) or colours (n, 3) by name

_SKIN = (
    (0.95, 0.82, 0.73),
    (0.94, 0.77, 0.65),
    (0.90, 0.71, 0.56),
    (0.78, 0.57, 0.42),
    (0.60, 0.41, 0.29),
    (0.40, 0.265, 0.19),
)
_HAIR = {
    "Black_Hair": ((0.055, 0.05, 0.06), (0.13, 0.11, 0.11)),
    "Brown_Hair": ((0.24, 0.14, 0.085), (0.47, 0.30, 0.18)),
    "Blond_Hair": ((0.76, 0.58, 0.32), (0.96, 0.85, 0.60)),
}
_GREY_HAIR = ((0.50, 0.50, 0.51), (0.86, 0.85, 0.83))
_RED_HAIR = ((0.48, 0.15, 0.07), (0.80, 0.38, 0.14))
_BALD_BEARD = ((0.16, 0.11, 0.085), (0.62, 0.60, 0.58))
_IRIS = (
    (0.23, 0.13, 0.07),
    (0.34, 0.20, 0.10),
    (0.40, 0.30, 0.13),
    (0.27, 0.40, 0.24),
    (0.25, 0.45, 0.62),
    (0.42, 0.52, 0.58),
)
_LIPSTICK = ((0.72, 0.10, 0.16), (0.80, 0.25, 0.35), (0.48, 0.10, 0.20), (0.85, 0.36, 0.28))
_EYE_SHADOW = ((0.30, 0.20, 0.32), (0.42, 0.26, 0.18), (0.22, 0.32, 0.45), (0.55, 0.30, 0.36))
_METAL = (
    (0.95, 0.78, 0.30),
    (0.93, 0.80, 0.42),
    (0.90, 0.91, 0.94),
    (0.97, 0.95, 0.90),
    (0.75, 0.12, 0.22),
    (0.12, 0.42, 0.62),
)
_FRAMES = (
    ((0.03, 0.03, 0.035), (0.10, 0.10, 0.11)),  # black
    ((0.20, 0.10, 0.05), (0.36, 0.19, 0.09)),  # brown
    ((0.05, 0.08, 0.20), (0.10, 0.15, 0.34)),  # dark blue
    ((0.62, 0.46, 0.16), (0.80, 0.64, 0.30)),  # gold
    ((0.50, 0.05, 0.07), (0.68, 0.10, 0.13)),  # red
)
_FRAME_LIMITS = (0.45, 0.68, 0.82, 0.91)
_CLEAR_LENS = ((0.82, 0.90, 0.98), (0.93, 0.95, 0.98), (0.95, 0.92, 0.82))
_DARK_LENS = ((0.05, 0.05, 0.06), (0.16, 0.09, 0.05), (0.05, 0.09, 0.16))
_SURGICAL_MASK = ((0.62, 0.80, 0.90), (0.90, 0.94, 0.96), (0.70, 0.86, 0.82))


def convert_hue(hue: np.ndarray, grey: np.ndarray, value: np.ndarray) -> np.ndarray:
    """Convert hues (n) in turns, greyness and value in [0, 1] to colours (n, 3)."""
    turn = (hue[:, None] + np.array([0.0, 2.0 / 3.0, 1.0 / 3.0])) % 1.0
    full = np.clip(np.abs(turn * 6.0 - 3.0) - 1.0, 0.0, 1.0)
    return np.clip(value, 0.0, 1.0)[:, None] * (1.0 - (1.0 - grey[:, None]) * (1.0 - full))


def interpolate_colour(at: np.ndarray, stops: Sequence[Sequence[float]]) -> np.ndarray:
    """Interpolate colours (n, 3) at places (n) in [0, 1] along evenly spaced stops."""
    table = np.asarray(stops)
    place = np.clip(at, 0.0, 1.0) * (len(table) - 1)
    low = np.minimum(place.astype(int), len(table) - 2)
    part = (place - low)[:, None]
    return table[low] * (1 - part) + table[low + 1] * part


def make_colours(t: Numbers, male: np.ndarray, has: Bool[Tensor, "n 13"], born: Bool[Tensor, "n 13"]) -> Numbers:
    """Make the colours of faces under their light.

    Args:
        t: Traits by name, (n).
        male: 1 for men, (n).
        has: The attributes that the faces have.
        born: The attributes that the faces had before redrawing.

    Returns:
        Colours (n, 3) by name.
    """
    skin = interpolate_colour(t["skin"], _SKIN) * (1.0 + t["undertone"][:, None] * np.array([0.012, -0.008, -0.045]))
    colours = {
        **_colour_skin(skin),
        **_colour_hair(t, skin, has, born),
        **_colour_features(t, skin, male),
        **_colour_surroundings(t),
        **_colour_accessories(t),
    }
    warm = 1.0 + t["light_warmth"][:, None] * np.array([0.05, 0.005, -0.07])
    light = warm * t["light_level"][:, None]
    lit = {name: np.clip(colour * light, 0.0, 1.0) for name, colour in colours.items()}
    return {**lit, "light_colour": np.clip(warm, 0, 1.0)}


def _colour_skin(skin: np.ndarray) -> Numbers:
    """Colour the skin, its blush and its shadows."""
    return {
        "skin_colour": skin,
        "blush_colour": skin * np.array([1.0, 0.62, 0.60]),
        "skin_shadow": skin * np.array([0.50, 0.36, 0.34]),
    }


def _colour_hair(t: Numbers, skin: np.ndarray, has: Bool[Tensor, "n 13"], born: Bool[Tensor, "n 13"]) -> Numbers:
    """Colour the hair. Beard and brows keep the natural colour, so that dyeing the hair does not change them."""
    tone, age = t["hair_tone"], t["age"]
    grey = np.clip(age - 0.45, 0, 1) * 1.4
    aged = (t["hair_other"] < 0.45 + 0.5 * (age > 0.5))[:, None]
    native = np.where(aged, interpolate_colour(tone, _GREY_HAIR), interpolate_colour(tone, _RED_HAIR))
    dyed = convert_hue(t["hair_other"], np.full_like(age, 0.25), np.full_like(age, 0.78))
    hair = np.where((t["hair_dye"] > 0.90)[:, None], dyed, native)
    for name, stops in _HAIR.items():
        shade = interpolate_colour(tone, stops)
        hair = np.where(has[:, find_column(name)].numpy()[:, None], shade, hair)
        native = np.where(born[:, find_column(name)].numpy()[:, None], shade, native)
    bald = born[:, find_column("Bald")].numpy()[:, None]
    native = np.where(bald, interpolate_colour(np.clip(grey, 0, 1), _BALD_BEARD), native)
    return {
        "hair_colour": hair,
        "brow_colour": native * 0.62 + skin * 0.10,
        "beard_colour": native * 0.78 + skin * 0.06,
    }


def _colour_features(t: Numbers, skin: np.ndarray, male: np.ndarray) -> Numbers:
    """Colour the eyes, their make-up, and the mouth."""
    keep = np.clip(1.3 - 1.9 * t["skin"] + 0.5 * t["eye_dark"], 0, 1)[:, None]
    natural = skin * np.array([0.90, 0.60, 0.58])
    stick = np.clip(t["lip_colour"] * 2.0 - 0.9, 0, 0.9)[:, None] * (1.0 - male)[:, None]
    return {
        "iris_colour": interpolate_colour(t["eye_hue"], _IRIS) * keep + np.array([0.22, 0.13, 0.08]) * (1 - keep),
        "lip_colour": natural * (1 - stick) + interpolate_colour(t["lip_hue"], _LIPSTICK) * stick,
        "shadow_colour": interpolate_colour(t["shadow_hue"], _EYE_SHADOW),
        "dark_colour": np.broadcast_to(np.array([0.10, 0.045, 0.05]), skin.shape),
        "lash_colour": skin * 0.12 + np.array([0.03, 0.02, 0.02]),
        "white_colour": np.broadcast_to(np.array([0.95, 0.94, 0.93]), skin.shape),
    }


def _colour_surroundings(t: Numbers) -> Numbers:
    """Colour the background and the clothes."""
    ground_grey = 0.40 + 0.60 * t["ground_grey"]
    ground_value2 = np.clip(t["ground_value"] + t["ground_value2"], 0.06, 1.0)
    full = np.ones_like(t["age"])
    return {
        "ground_colour": convert_hue(t["ground_hue"], ground_grey, t["ground_value"]),
        "ground_colour2": convert_hue(t["ground_hue"] + t["ground_hue2"], ground_grey, ground_value2),
        "cloth_colour": convert_hue(t["cloth_hue"], 0.1 + 0.9 * t["cloth_grey"], t["cloth_value"]),
        "cloth_colour2": convert_hue(t["cloth_hue"] + 0.33, 0.3 * full, 1.0 - 0.8 * t["cloth_value"]),
    }


def _colour_accessories(t: Numbers) -> Numbers:
    """Colour the hat, jewellery, glasses and mask."""
    frames = np.stack([interpolate_colour(t["frame_tone"], stops) for stops in _FRAMES])
    sunglasses = (t["lens_dark"] < 0.15).astype(float)[:, None]
    clear, dark = interpolate_colour(t["lens_hue"], _CLEAR_LENS), interpolate_colour(t["lens_hue"], _DARK_LENS)
    full = np.ones_like(t["age"])
    cloth_mask = convert_hue(t["mask_hue"] * 5 % 1.0, 0.35 * full, 0.25 + 0.65 * (t["mask_hue"] * 7 % 1.0))
    surgical = (t["mask_kind"] < 0.55)[:, None]
    return {
        "hat_colour": convert_hue(t["hat_hue"], t["hat_grey"], t["hat_value"]),
        "hat_colour2": convert_hue(t["hat_hue"] + 0.4, t["hat_grey"], np.clip(1.15 - t["hat_value"], 0.1, 1)),
        "metal_colour": interpolate_colour(t["earring_colour"], _METAL),
        "frame_colour": frames[np.searchsorted(np.array(_FRAME_LIMITS), t["frame_colour"]), np.arange(len(full))],
        "lens_colour": clear * (1 - sunglasses) + dark * sunglasses,
        "mask_colour": np.where(surgical, interpolate_colour(t["mask_hue"], _SURGICAL_MASK), cloth_mask),
    }
