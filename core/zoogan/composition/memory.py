"""Memory that a training needs at least, by arithmetic, before any of it is asked for."""

from __future__ import annotations

import math
import os

import torch

from zoogan.composition.build import Composition
from zoogan.errors import ConfigError

BYTES = 4  # of a number in fp32
COPIES = 4  # of each weight: itself, its gradient and two moments of Adam
GB = 1e9


def get_memory(device: torch.device) -> float:
    """Return the memory of a device in bytes: of the machine for a CPU; infinite where it cannot be told.

    Args:
        device: The device.
    """
    if device.type == "cuda":
        return float(torch.cuda.get_device_properties(device).total_memory)
    try:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    except (AttributeError, ValueError, OSError):  # Windows
        return math.inf


def check_memory(composition: Composition, device: torch.device, memory: float | None = None) -> None:
    """Check that weights and one batch fit a device. What the layers compute on the way comes on top and is unknown.

    Args:
        composition: On any device; `meta` needs no memory.
        device: The device to train on.
        memory: Of the device in bytes; None = what it has.

    Raises:
        ConfigError: The weights with gradients and optimizer, or the images of one batch, need more than there is.
    """
    memory = get_memory(device) if memory is None else memory
    config, facts = composition.config, composition.facts
    counts = {name: sum(p.numel() for p in network.parameters()) for name, network in composition.networks.items()}
    weights = BYTES * COPIES * sum(counts.values())
    draws = max(1, len(composition.game.needs))
    rows = config.data.batch * config.training.accumulate
    batch = BYTES * draws * rows * facts.channels * facts.image_size**2
    if weights + batch <= memory:
        return
    if weights > batch:
        largest = max(counts, key=lambda name: counts[name])
        advice = f"make {largest} narrower ({counts[largest] / 1e6:,.0f} M parameters), or take another --recipe"
    elif config.training.accumulate > 1:
        advice = "lower data.batch, training.accumulate or data.image_size"
    else:
        advice = "lower data.batch or data.image_size"
    uses = (
        f"{weights / GB:,.0f} for weights, gradients and optimizers, {batch / GB:,.0f} for a batch of {rows:,} images "
        f"of {facts.image_size:,} px"
    )
    raise ConfigError(
        f"this training needs at least {(weights + batch) / GB:,.0f} GB of memory ({uses}), and {device} has "
        f"{memory / GB:,.0f} GB: {advice}"
    )


def check_batch_memory(rows: int, channels: int, size: int, device: torch.device, advice: str) -> None:
    """Check that the images of one batch fit a device, where nothing else of a training is known yet.

    Args:
        rows: Faces of a batch.
        channels: Channels of an image.
        size: Side of an image in pixels.
        device: The device.
        advice: What to lower, for the message.

    Raises:
        ConfigError: They need more memory than there is.
    """
    needed, memory = BYTES * rows * channels * size**2, get_memory(device)
    if needed > memory:
        raise ConfigError(
            f"a batch of {rows:,} images of {size:,} px needs at least {needed / GB:,.0f} GB of memory, and {device} "
            f"has {memory / GB:,.0f} GB: {advice}"
        )
