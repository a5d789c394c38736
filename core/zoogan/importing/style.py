"""Helpers of the importers of StarGAN v2 and of methods with its networks."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import NamedTuple

from torch import Tensor, nn

from zoogan.errors import ConfigError
from zoogan.files import StateDict
from zoogan.importing.official import rename_tensors
from zoogan.importing.synthesis import read_shape, reshape_tensor

# ---- numbers in the weights ----


class TrunkShape(NamedTuple):
    """The shape of a style encoder's or discriminator's body.

    Attributes:
        width: Channels at full size.
        max_width: Channels at the smallest size.
        halvings: How often height and width are halved.
        channels: Channels of a picture.
    """

    width: int
    max_width: int
    halvings: int
    channels: int

    @property
    def image_size(self) -> int:
        """Side of the pictures in pixels: the body ends at 4 x 4."""
        return 4 << self.halvings


def count_layers(state: Mapping[str, Tensor], pattern: str) -> int:
    """Count the different numbers that stand for the group of `pattern` in the names."""
    return len({match[1] for key in state if (match := re.fullmatch(pattern, key))})


def read_trunk_shape(state: Mapping[str, Tensor], prefix: str, layout: str) -> TrunkShape:
    """Read the shape of a style encoder's or discriminator's body.

    Args:
        state: The official state_dict.
        prefix: The official name of the body.
        layout: Name of the layout, for messages.

    Raises:
        ConfigError: A convolution is missing.
    """
    halvings = count_layers(state, rf"{prefix}\.(\d+)\.conv1\.weight")
    width, channels = read_shape(state, f"{prefix}.0.weight", layout, 4)[:2]
    return TrunkShape(width, read_shape(state, f"{prefix}.{halvings + 2}.weight", layout, 4)[0], halvings, channels)


# ---- names of clovaai/stargan-v2 ----

PREFIXES = {"style_encoder": "shared", "discriminator": "main"}
"""Slot -> the official name of its body."""
PARTS = {
    "encoder.stem": "from_rgb", "encoder.blocks": "encode", "decoder.blocks": "decode",
    "decoder.head.norm": "to_rgb.0", "decoder.head.conv": "to_rgb.2",
    "body.shared": "shared", "body.heads": "unshared",
}  # fmt: skip
"""Parts of our generator and mapping -> their official names."""


def name_style_tensor(slot: str, key: str, halvings: int = 0) -> str:
    """Return the official name of a tensor of a network of style translation.

    Args:
        slot: The network's slot.
        key: Our name.
        halvings: How often a style encoder or discriminator halves height and width.
    """
    key, parts = key.replace(".shortcut.", ".conv1x1."), PARTS
    if slot in PREFIXES:
        prefix = PREFIXES[slot]
        key = re.sub(r"^trunk\.blocks\.(\d+)", lambda match: f"{prefix}.{int(match[1]) + 1}", key)
        parts = {"trunk.stem": f"{prefix}.0", "trunk.whole": f"{prefix}.{halvings + 2}", "heads.": "unshared."}
        parts["score"] = f"{prefix}.{halvings + 4}"
    part = next((part for part in parts if key.startswith(part)), None)
    return key if part is None else parts[part] + key.removeprefix(part)


# ---- conversion ----


def convert_style_network(
    slot: str, state: Mapping[str, Tensor], ours: nn.Module, name: Callable[[str], str], layout: str
) -> StateDict:
    """Convert an official state_dict to our names and shapes.

    The discriminator's scores are a 1x1 convolution there and a linear layer here.

    Args:
        slot: The network's slot.
        state: The official state_dict.
        ours: Our network, perhaps on torch's `meta` device.
        name: Returns the official name of a tensor of ours.
        layout: Name of the layout, for messages.

    Raises:
        ConfigError: Names missing or left over, or tensors of other shapes; names all of them.
    """
    shapes = {key: tensor.shape for key, tensor in ours.state_dict().items()}
    renamed = rename_tensors(state, {name(key): key for key in shapes}, slot, layout)
    problems, converted = [], StateDict()
    for key, shape in shapes.items():
        try:
            converted[key] = reshape_tensor(renamed[key], shape, name(key))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError(f"the {slot} weights are not in the layout of {layout}: " + "; ".join(problems))
    return converted
