"""The identity of a drawn face: hundreds of small traits, each hashed from (seed, index, name of the trait).

There is no stream of random numbers: adding a trait, or drawing other faces first, leaves every other trait as it is.
A trait that an attribute decides (a man's jaw) blends two values of one identity, so that the attribute changes nothing
else; traits of worn things (the shape of the glasses) exist whether they are worn or not.
"""

from __future__ import annotations

import hashlib
from functools import lru_cache

import numpy as np
import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from zoogan.data.drawn.attributes import find_column
from zoogan.data.drawn.colours import make_colours

# name -> (low, high) of a uniform number; in head units, turns or plain amounts
RANGES: dict[str, tuple[float, float]] = {
    # frame and light
    "scale": (1.05, 1.20), "place_x": (-0.03, 0.03), "place_y": (-0.03, 0.03), "light_x": (-1.0, 1.0),
    "light_y": (-0.9, 0.25), "light_strength": (0.10, 0.34), "light_warmth": (-1.0, 1.0),
    "light_level": (0.90, 1.06),
    # background
    "ground_hue": (0.0, 1.0), "ground_grey": (0.0, 1.0), "ground_value": (0.12, 0.95),
    "ground_hue2": (-0.22, 0.22), "ground_value2": (-0.45, 0.45), "ground_angle": (0.0, 1.0),
    "ground_kind": (0.0, 1.0), "ground_pitch": (1.5, 5.0), "ground_phase": (0.0, 1.0),
    "ground_depth": (0.10, 0.40), "blob_x": (-0.95, 0.95), "blob_y": (-0.95, 0.6),
    "blob_x2": (-0.95, 0.95), "blob_y2": (-0.95, 0.9), "blob_r": (0.3, 0.8), "blob_r2": (0.15, 0.5),
    # head
    "skin": (0.0, 1.0), "undertone": (-1.0, 1.0), "blush": (0.02, 0.30), "face_width": (0.395, 0.455),
    "chin": (0.57, 0.68), "taper": (0.12, 0.40), "square": (0.0, 0.55), "crown": (0.55, 0.64),
    "age": (0.0, 1.0), "freckles": (0.0, 1.0), "mole": (0.0, 1.0), "mole_x": (-0.7, 0.7),
    "mole_y": (0.12, 0.5), "stubble": (-0.12, 0.16), "ear_size": (0.075, 0.115), "ear_out": (0.0, 0.035),
    "neck_width": (0.205, 0.24),
    # eyes and brows
    "eye_gap": (0.170, 0.205), "eye_width": (0.088, 0.112), "eye_height": (0.040, 0.060),
    "eye_tilt": (-0.10, 0.20), "eye_hue": (0.0, 1.0), "eye_dark": (0.0, 1.0), "iris": (0.040, 0.048),
    "gaze_x": (-0.022, 0.022), "gaze_y": (-0.008, 0.008), "lash": (0.014, 0.026), "shadow": (0.0, 1.0),
    "shadow_hue": (0.0, 1.0), "brow_up": (0.105, 0.150), "brow_thick": (0.033, 0.052),
    "brow_arch": (0.015, 0.065), "brow_tilt": (-0.05, 0.06), "brow_length": (0.105, 0.140),
    # nose and mouth
    "nose_length": (0.24, 0.33), "nose_width": (0.075, 0.120), "nose_bridge": (0.022, 0.040),
    "nose_up": (0.0, 0.03), "mouth_drop": (0.135, 0.180), "mouth_width": (0.125, 0.170),
    "lip_upper": (0.031, 0.050), "lip_lower": (0.042, 0.064), "lip_colour": (0.0, 1.0),
    "lip_hue": (0.0, 1.0), "mouth_curve": (-0.012, 0.018), "smile": (0.045, 0.075), "gap": (0.040, 0.075),
    # hair: a woman's and a man's cut for everybody
    "hair_tone": (0.0, 1.0), "hair_other": (0.0, 1.0), "hair_dye": (0.0, 1.0), "streaks": (0.03, 0.13),
    "streak_pitch": (3.0, 6.0), "sheen": (0.05, 0.35), "hairline": (0.325, 0.43), "opening": (0.80, 0.95),
    "part": (-1.0, 1.0), "fringe": (0.10, 0.22), "fringe_slant": (-0.09, 0.09),
    "fringe_teeth": (0.0, 0.035), "fringe_pitch": (1.5, 4.5), "her_length": (0.0, 1.0),
    "her_top": (0.07, 0.22), "her_side": (0.06, 0.22), "her_curl": (0.0, 1.0), "her_flare": (-0.10, 0.16),
    "her_bun": (0.0, 1.0), "bun_x": (-0.5, 0.5), "bun_r": (0.15, 0.23), "his_top": (0.05, 0.24),
    "his_side": (0.015, 0.09), "his_curl": (0.0, 1.0), "his_length": (0.0, 1.0), "his_recede": (0.0, 0.09),
    "curl_pitch": (2.2, 4.5), "curl_phase": (0.0, 1.0), "beard_kind": (0.0, 1.0),
    "beard_full": (0.72, 0.95), "beard_line": (0.0, 1.0), "beard_long": (0.0, 0.05),
    # worn
    "frame_kind": (0.0, 1.0), "frame_width": (0.132, 0.158), "frame_height": (0.094, 0.132),
    "frame_thick": (0.044, 0.064), "frame_colour": (0.0, 1.0), "frame_tone": (0.0, 1.0),
    "lens_dark": (0.0, 1.0), "lens_tint": (0.05, 0.16), "lens_hue": (0.0, 1.0), "hat_kind": (0.0, 1.0),
    "hat_hue": (0.0, 1.0), "hat_grey": (0.0, 0.9), "hat_value": (0.15, 0.92), "hat_line": (0.20, 0.27),
    "hat_tall": (0.10, 0.22), "hat_wide": (0.66, 0.86), "hat_pitch": (3.0, 7.0),
    "earring_kind": (0.0, 1.0), "earring_size": (0.046, 0.070), "earring_colour": (0.0, 1.0),
    "mask_kind": (0.0, 1.0), "mask_hue": (0.0, 1.0), "mask_top": (0.10, 0.16), "necklace": (0.0, 1.0),
    "cloth_hue": (0.0, 1.0), "cloth_grey": (0.0, 1.0), "cloth_value": (0.10, 0.95),
    "cloth_kind": (0.0, 1.0), "cloth_pitch": (2.0, 6.0), "collar": (0.16, 0.36), "collar_kind": (0.0, 1.0),
    "shoulder": (0.66, 0.78), "slope": (0.22, 0.50),
}  # fmt: skip

# name -> largest value in degrees; an angle is the mean of three uniform numbers, so that most faces are nearly frontal
ANGLES: dict[str, float] = {"yaw": 35.0, "pitch": 15.0, "roll": 12.0}


@lru_cache(maxsize=8)
def _hash_names(names: tuple[str, ...]) -> np.ndarray:
    """Hash names to 64-bit numbers, shape (names, 1)."""
    return np.array(
        [int.from_bytes(hashlib.blake2b(n.encode(), digest_size=8).digest(), "little") for n in names],
        np.uint64,
    )[:, None]


def _mix_bits(x: np.ndarray) -> np.ndarray:
    """Mix 64-bit numbers with the finalizer of splitmix64: every bit of x affects every bit of the result."""
    x = (x ^ (x >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ (x >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return x ^ (x >> np.uint64(31))


def hash_uniform(seed: int, indices: np.ndarray, names: tuple[str, ...]) -> np.ndarray:
    """Hash (seed, index, name) to uniform numbers.

    Args:
        seed: Seed of the renderer.
        indices: Numbers of the faces (n).
        names: Names of the numbers.

    Returns:
        Uniform numbers in [0, 1), shape (names, n).
    """
    start = _mix_bits(np.array([seed % 2**64], np.uint64) + np.uint64(0x9E3779B97F4A7C15))
    face = _mix_bits(start ^ (indices.astype(np.uint64) * np.uint64(0xD1342543DE82EF95) + np.uint64(1)))
    return (_mix_bits(face[None] ^ _hash_names(names)) >> np.uint64(11)) * (1.0 / 2**53)


def draw_angles(seed: int, indices: np.ndarray) -> Float[Tensor, "n 3"]:
    """Draw the pose of faces.

    Args:
        seed: Seed of the renderer.
        indices: Numbers of the faces (n).

    Returns:
        Yaw (positive: towards the right of the image), pitch (positive: up) and roll (positive: clockwise) in degrees.
    """
    names = tuple(f"{name}.{k}" for name in ANGLES for k in range(3))
    uniform = hash_uniform(seed, indices, names).reshape(len(ANGLES), 3, -1)
    mean = (uniform[:, 0] + uniform[:, 1] + uniform[:, 2]) * (2.0 / 3.0) - 1.0
    return torch.from_numpy(mean * np.array(list(ANGLES.values()))[:, None]).float().T.contiguous()


class Traits:
    """The traits of n faces, read as attributes: numbers (n, 1, 1), colours (n, 3, 1, 1).

    Args:
        values: Trait by name, of all faces.
        rows: The faces that this object is about; None = all.
    """

    def __init__(self, values: dict[str, Tensor], rows: Tensor | None = None):
        self._values, self._rows = values, rows

    def __len__(self) -> int:
        return len(self.scale)

    def __getattr__(self, name: str) -> Tensor:
        if name.startswith("_"):
            raise AttributeError(name)
        value = self._values[name]
        if self._rows is not None:
            value = value.index_select(0, self._rows)
        self.__dict__[name] = value
        return value

    def select(self, rows: Int64[Tensor, " m"]) -> Traits:
        """Select the traits of some of the faces."""
        return Traits(self._values, rows if self._rows is None else self._rows[rows])

    def replace(self, values: dict[str, Tensor]) -> Traits:
        """Copy the traits with some values changed; other traits do not follow.

        Args:
            values: New value by trait, of the shape of the old one.
        """
        own = (
            self._values if self._rows is None else {k: v.index_select(0, self._rows) for k, v in self._values.items()}
        )
        return Traits({**own, **values})


def make_traits(
    seed: int,
    indices: np.ndarray,
    has: Bool[Tensor, "n 13"],
    shows: Bool[Tensor, "n 13"],
    born: Bool[Tensor, "n 13"],
) -> Traits:
    """Make the traits of faces.

    Args:
        seed: Seed of the renderer.
        indices: Numbers of the faces (n).
        has: The attributes that the faces have, hidden ones too.
        shows: The attributes that the faces show.
        born: The attributes that the faces had before redrawing.
    """
    names = tuple(RANGES)
    low, high = np.array(list(RANGES.values())).T[:, :, None]
    t = dict(zip(names, low + (high - low) * hash_uniform(seed, indices, names), strict=True))
    for name, degrees in zip(ANGLES, draw_angles(seed, indices).double().numpy().T, strict=True):
        t[f"{name}_sin"], t[f"{name}_cos"] = _compute_sine_cosine(degrees)
    # photographs are aligned by the eyes, so a turned head moves against its turn
    t["place_u"] = t["place_x"] - 0.24 * t["yaw_sin"]
    t["place_v"] = t["place_y"] - 0.10 + 0.22 * t["pitch_sin"]
    male = has[:, find_column("Male")].numpy().astype(float)
    _shape_face(t, male)
    _shape_hair(t, male, has)
    colours = make_colours(t, male, has, born)
    sunglasses = (t["lens_dark"] < 0.15).astype(float)
    t["lens_tint"] = t["lens_tint"] * (1 - sunglasses) + (0.80 + t["lens_tint"]) * sunglasses
    t["glint"] = 0.42 - 0.12 * sunglasses
    values = {k: torch.from_numpy(np.ascontiguousarray(v)).float().view(-1, 1, 1) for k, v in t.items()}
    for name, colour in colours.items():
        values[name] = torch.from_numpy(np.ascontiguousarray(colour)).float().view(-1, 3, 1, 1)
    for name in ("Bald", "Bangs", "Smiling", "Mouth_Slightly_Open", "No_Beard"):
        values[name] = shows[:, find_column(name)].float().view(-1, 1, 1)
    return Traits(values)


def _compute_sine_cosine(degrees: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Compute (sin, cos) by their series: those of numpy differ between the vector loop and its tail."""
    x = degrees * (np.pi / 180.0)
    x2 = x * x
    return (x * (1 - x2 / 6 * (1 - x2 / 20 * (1 - x2 / 42 * (1 - x2 / 72)))),
            1 - x2 / 2 * (1 - x2 / 12 * (1 - x2 / 30 * (1 - x2 / 56 * (1 - x2 / 90)))))  # fmt: skip


def _shape_face(t: dict[str, np.ndarray], male: np.ndarray) -> None:
    """Change the shape of the faces of men."""
    t["face_width"] = t["face_width"] + 0.014 * male
    t["chin"] = t["chin"] + 0.022 * male
    t["taper"] = t["taper"] * (1.0 - 0.42 * male)
    t["square"] = t["square"] * (0.35 + 0.65 * male)
    t["neck_width"] = t["neck_width"] + 0.052 * male
    t["brow_thick"] = t["brow_thick"] * (0.82 + 0.48 * male)
    t["brow_up"] = t["brow_up"] - 0.018 * male
    t["brow_arch"] = t["brow_arch"] * (1.0 - 0.5 * male)
    t["eye_height"] = t["eye_height"] * (1.04 - 0.14 * male)
    t["lash"] = t["lash"] * (1.25 - 0.40 * male)
    t["nose_width"] = t["nose_width"] * (0.94 + 0.14 * male)
    t["lip_upper"] = t["lip_upper"] * (1.05 - 0.30 * male)
    t["lip_lower"] = t["lip_lower"] * (1.05 - 0.22 * male)
    t["shadow"] = np.clip(t["shadow"] - 0.55, 0, 1) * (1.0 - male)
    t["stubble"] = np.clip(t["stubble"], 0, 1) * male
    t["necklace"] = (t["necklace"] < 0.35 - 0.28 * male).astype(float)
    t["slope"] = t["slope"] * (1.0 - 0.25 * male)


def _shape_hair(t: dict[str, np.ndarray], male: np.ndarray, has: Bool[Tensor, "n 13"]) -> None:
    """Choose a cut. Lengths are the y where the hair ends; a quarter of the women wear it up."""
    her = t["her_length"]
    bun = (t["her_bun"] > 0.84).astype(float)
    long = np.where(bun > 0, 0.10, np.where(her < 0.25, 0.30 + 0.8 * her, 0.42 + 0.95 * her))
    short = np.where(t["his_length"] > 0.88, 0.55, 0.02 + 0.18 * t["his_length"])
    t["bun"] = bun * (1.0 - male)
    t["hair_end"] = long * (1.0 - male) + short * male
    t["hair_top"] = t["her_top"] * (1.0 - male) + t["his_top"] * male
    t["hair_side"] = (t["her_side"] * (1 - 0.6 * bun)) * (1.0 - male) + t["his_side"] * male
    t["curl"] = (
        np.clip(t["her_curl"] * 1.7 - 0.7, 0, 1) * (1.0 - male) + np.clip(t["his_curl"] * 2.2 - 1.2, 0, 1) * male
    )
    # hair over the ears also lies over what runs back to them
    under = has[:, find_column("Bald")] | has[:, find_column("Wearing_Hat")]
    t["ears_free"] = np.where(under.numpy(), 1.0, (t["hair_end"] < 0.16).astype(float))
    t["hair_flare"] = t["her_flare"] * (1.0 - male)
    t["hairline"] = t["hairline"] + t["his_recede"] * male * (0.4 + 0.6 * t["age"])
