"""The attributes of drawn faces, the classes of their segmentation, and which attributes are visible.

A face *has* attributes (a bald head stays bald under a hat) and *shows* attributes (under the hat baldness is hidden).
`AttributeDistribution` draws what a face has, `hide_attributes` decides what it shows.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping
from types import MappingProxyType

import torch
from jaxtyping import Bool
from torch import Tensor

ATTRIBUTES: tuple[str, ...] = (
    "Male", "Eyeglasses", "Bald", "Bangs", "Wearing_Hat", "Wearing_Earrings", "Smiling",
    "Mouth_Slightly_Open", "No_Beard", "Blond_Hair", "Black_Hair", "Brown_Hair", "Face_Mask",
)  # fmt: skip

EXCLUSIVE: tuple[tuple[str, ...], ...] = (
    ("Blond_Hair", "Black_Hair", "Brown_Hair", "Bald"),
    ("Bangs", "Bald"),
)
"""At most one name of each group is 1. All of a group may be 0: grey, red or dyed hair is none of the three."""

CLASSES: tuple[str, ...] = (
    "background", "skin", "nose", "eye_g", "l_eye", "r_eye", "l_brow", "r_brow", "l_ear", "r_ear",
    "mouth", "u_lip", "l_lip", "hair", "hat", "ear_r", "neck_l", "neck", "cloth",
)  # fmt: skip
"""CelebAMask-HQ's classes in its order; l_* parts are the person's left, on the picture's right."""

HIDDEN_BY: Mapping[str, tuple[str, ...]] = MappingProxyType(
    {
        "Wearing_Hat": ("Bald", "Bangs", "Blond_Hair", "Black_Hair", "Brown_Hair"),
        "Face_Mask": ("Smiling", "Mouth_Slightly_Open", "No_Beard"),
    }
)
"""The attributes that each worn thing hides. Hair is tucked into the hat, so none of it is painted."""


_COLUMN = {name: column for column, name in enumerate(ATTRIBUTES)}


def find_column(name: str) -> int:
    """Find the column of an attribute.

    Args:
        name: Name of the attribute.

    Raises:
        ValueError: There is no such attribute; the message suggests the nearest one.
    """
    if name not in _COLUMN:
        near = difflib.get_close_matches(name, ATTRIBUTES, n=1, cutoff=0.5)
        hint = f" Did you mean {near[0]}?" if near else ""
        raise ValueError(f"{name!r} is not an attribute of drawn faces.{hint} They are: {', '.join(ATTRIBUTES)}.")
    return _COLUMN[name]


def find_rivals(name: str) -> tuple[str, ...]:
    """Find the attributes that cannot be 1 together with `name`."""
    return tuple(dict.fromkeys(n for group in EXCLUSIVE if name in group for n in group if n != name))


def hide_attributes(has: Bool[Tensor, "n 13"]) -> tuple[Bool[Tensor, "n 13"], Bool[Tensor, "n 13"]]:
    """Hide the attributes that something worn covers.

    Args:
        has: The attributes that faces have.

    Returns:
        (labels, visible): the attributes that the faces show, and which attributes are visible at all. A hidden
        attribute is False in both.
    """
    visible = torch.ones_like(has)
    for worn, hidden in HIDDEN_BY.items():
        for name in hidden:
            visible[:, find_column(name)] &= ~has[:, find_column(worn)]
    return has & visible, visible
