"""Names of official weights: those of rosinality/stylegan2-pytorch, and those of NVlabs' PyTorch code."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import ClassVar

from torch import Tensor

from zoogan.importing import count_trunk_blocks, name_head_tensor, name_mapping_tensor, name_trunk_tensor

STYLED = re.compile(r"(conv1|convs\.\d+)\.bias")
"""A bias as rosinality's first version had it, (1, c, 1, 1)."""


class Layout(ABC):
    """How an official code names the tensors of a generator, of its mapping and of a discriminator.

    Blocks count from 0, the block of 8 px; noise maps have the numbers of our generator.

    Attributes:
        name: The repository.
        mapping: Prefix of the mapping's names.
        mean: Name of the mean latent.
        labels: Prefixes of names that only class-conditional networks have.
        filters: Matches the names of low-pass filters.
    """

    name: ClassVar[str]
    mapping: ClassVar[str]
    mean: ClassVar[str]
    labels: ClassVar[tuple[str, ...]] = ()
    filters: ClassVar[re.Pattern[str]]

    @abstractmethod
    def name_generator_tensor(self, key: str) -> str:
        """Return the official name of a tensor of our generator."""

    @abstractmethod
    def name_mapping_tensor(self, key: str) -> str:
        """Return the official name of a tensor of our mapping."""

    @abstractmethod
    def name_discriminator_tensor(self, key: str, blocks: int) -> str:
        """Return the official name of a tensor of our discriminator with this number of halvings."""

    @abstractmethod
    def count_discriminator_blocks(self, state: Mapping[str, Tensor]) -> int:
        """Count the halvings of a discriminator."""

    @abstractmethod
    def is_discriminator(self, state: Mapping[str, Tensor]) -> bool:
        """Tell whether these are the weights of a discriminator."""

    def get_official_name(self, slot: str, key: str, blocks: int) -> str:
        """Return the official name of one of our tensors."""
        if slot == "discriminator":
            return self.name_discriminator_tensor(key, blocks)
        return self.name_generator_tensor(key) if slot == "generator" else self.name_mapping_tensor(key)

    def rename_old_keys(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Return the weights with the names of older versions replaced."""
        return dict(state)


class RosinalityLayout(Layout):
    """rosinality/stylegan2-pytorch, and projects that use its networks."""

    name = "rosinality/stylegan2-pytorch"
    mapping, mean = "style.", "latent_avg"
    filters = re.compile(r"\.kernel$")

    def name_generator_tensor(self, key: str) -> str:
        """Name `first`, `first_rgb` and `blocks.k` as `conv1`, `to_rgb1`, `convs` (two a block) and `to_rgbs`."""
        if key == "constant":
            return "input.input"
        if key.startswith("noise_"):
            return f"noises.{key}"
        key = re.sub(r"^blocks\.(\d+)\.(up|conv)", lambda f: f"convs.{2 * int(f[1]) + (f[2] == 'conv')}", key)
        key = re.sub(r"^blocks\.(\d+)\.rgb", r"to_rgbs.\1", key).replace("affine", "modulation")
        key = re.sub(r"^first_rgb", "to_rgb1", key).replace("strength", "noise.weight")
        key = re.sub(r"^first", "conv1", key)
        return re.sub(r"bias$", "activate.bias", key) if STYLED.fullmatch(key) else key

    def name_mapping_tensor(self, key: str) -> str:
        """Name `layers.0` as `style.1`: number 0 is the pixel norm."""
        return name_mapping_tensor(key)

    def name_discriminator_tensor(self, key: str, blocks: int) -> str:
        """Name each layer as a list: filter, convolution and activation with bias, as far as there are any."""
        part, _, rest = key.partition(".")
        return name_head_tensor(rest) if part == "head" else name_trunk_tensor(rest, "convs")

    def count_discriminator_blocks(self, state: Mapping[str, Tensor]) -> int:
        """Count the residual blocks."""
        return count_trunk_blocks(state, "convs")

    def is_discriminator(self, state: Mapping[str, Tensor]) -> bool:
        """Tell a discriminator by its end, `final_linear`."""
        return any(key.startswith("final_") for key in state)

    def rename_old_keys(self, state: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Move the biases of the first version into their activations, where later versions have them."""
        return {re.sub(r"bias$", "activate.bias", k) if STYLED.fullmatch(k) else k: v for k, v in state.items()}


class NvlabsLayout(Layout):
    """NVlabs/stylegan2-ada-pytorch, and NVlabs/stylegan3 with its `stylegan2` configuration."""

    name = "NVlabs/stylegan2-ada-pytorch"
    mapping, mean = "mapping.", "mapping.w_avg"
    labels = ("mapping.embed.",)
    filters = re.compile(r"resample_filter$")
    parts: ClassVar[dict[str, str]] = {"up": "conv0", "conv": "conv1", "rgb": "torgb"}

    def name_generator_tensor(self, key: str) -> str:
        """Name `blocks.k` as `synthesis.b<side>`, with `conv0`, `conv1` and `torgb`."""
        if key == "constant":
            return "synthesis.b4.const"
        noise = re.fullmatch(r"noise_(\d+)", key)
        if noise is not None:
            place = int(noise[1])
            return f"synthesis.b{4 << (place + 1) // 2}.conv{(place + 1) % 2}.noise_const"
        key = re.sub(r"^first_rgb", "synthesis.b4.torgb", key)
        key = re.sub(r"^first", "synthesis.b4.conv1", key)
        key = re.sub(r"^blocks\.(\d+)\.(up|conv|rgb)", lambda f: f"synthesis.b{8 << int(f[1])}.{self.parts[f[2]]}", key)
        return key.replace(".conv.", ".").replace("strength", "noise_strength")

    def name_mapping_tensor(self, key: str) -> str:
        """Name `layers.0` as `mapping.fc0`."""
        return re.sub(r"^layers\.", "mapping.fc", key)

    def name_discriminator_tensor(self, key: str, blocks: int) -> str:
        """Name blocks by the side of their input; the last one is at 4 px."""
        if key.startswith("head."):
            return key.replace("head.", "b4.").replace("hidden", "fc").replace("score", "out")
        key = key.replace("trunk.0.", f"b{4 << blocks}.fromrgb.")
        key = re.sub(r"^trunk\.(\d+)", lambda f: f"b{8 << (blocks - int(f[1]))}", key)
        return key.replace(".first.", ".conv0.").replace(".second.", ".conv1.").replace(".shortcut.", ".skip.")

    def count_discriminator_blocks(self, state: Mapping[str, Tensor]) -> int:
        """Count the residual blocks."""
        return sum(re.fullmatch(r"b\d+\.skip\.weight", key) is not None for key in state)

    def is_discriminator(self, state: Mapping[str, Tensor]) -> bool:
        """Tell a discriminator by its end, `b4.out`."""
        return any(key.startswith("b4.") for key in state)


def identify_layout(state: Mapping[str, Tensor]) -> Layout | None:
    """Return the layout with these names; None = an unknown layout."""
    if any(re.match(r"style\.|input\.|convs\.|final_", key) for key in state):
        return RosinalityLayout()
    return NvlabsLayout() if any(re.match(r"mapping\.|synthesis\.|b\d+\.", key) for key in state) else None
