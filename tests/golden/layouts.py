"""The official layouts: keys and shapes of the published state_dicts, in their order."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor

Row = tuple[str, tuple[int, ...]]


def empty_state(method: str, network: str, config: Mapping[str, Any]) -> dict[str, Tensor]:
    """An official state_dict of zeros. config: the case's, with the official argument names."""
    rows = {
        ("stargan", "generator"): stargan_generator,
        ("stargan", "discriminator"): stargan_discriminator,
        ("sagan", "generator"): sagan_generator,
        ("sagan", "discriminator"): sagan_discriminator,
    }[method, network](config)
    return {key: zeros(key, shape) for key, shape in rows}


def from_table(table: list[list[Any]]) -> dict[str, Tensor]:
    """An official state_dict of zeros from a case's own `state_dict` table."""
    return {row[0]: torch.zeros(row[1], dtype=getattr(torch, row[2])) for row in table}


def zeros(key: str, shape: tuple[int, ...]) -> Tensor:
    return torch.zeros(shape, dtype=torch.int64 if key.endswith("num_batches_tracked") else torch.float32)


def norm(key: str, channels: int) -> Iterator[Row]:
    """An affine norm with running statistics."""
    for part in ("weight", "bias", "running_mean", "running_var"):
        yield f"{key}.{part}", (channels,)
    yield f"{key}.num_batches_tracked", ()


def conv(key: str, *shape: int, bias: int | None = None) -> Iterator[Row]:
    """A convolution with weight `shape` and, if it has one, a bias of that many entries."""
    yield f"{key}.weight", shape
    if bias is not None:
        yield f"{key}.bias", (bias,)


def stargan_generator(config: Mapping[str, Any]) -> Iterator[Row]:
    d, repeat = config["conv_dim"], config["repeat_num"]
    for index, shape in (
        (0, (d, 3 + config["c_dim"], 7, 7)),
        (3, (2 * d, d, 4, 4)),
        (6, (4 * d, 2 * d, 4, 4)),
    ):
        yield from conv(f"main.{index}", *shape)
        yield from norm(f"main.{index + 1}", shape[0])
    for block in range(9, 9 + repeat):
        for index in (0, 3):
            yield from conv(f"main.{block}.main.{index}", 4 * d, 4 * d, 3, 3)
            yield from norm(f"main.{block}.main.{index + 1}", 4 * d)
    after = 9 + repeat
    for index, inputs in ((after, 4 * d), (after + 3, 2 * d)):
        yield from conv(f"main.{index}", inputs, inputs // 2, 4, 4)
        yield from norm(f"main.{index + 1}", inputs // 2)
    yield from conv(f"main.{after + 6}", 3, d, 7, 7)


def stargan_discriminator(config: Mapping[str, Any]) -> Iterator[Row]:
    d, repeat = config["conv_dim"], config["repeat_num"]
    widths = [3, *(d * 2**k for k in range(repeat))]
    for k in range(repeat):
        yield from conv(f"main.{2 * k}", widths[k + 1], widths[k], 4, 4, bias=widths[k + 1])
    side = config["image_size"] // 2**repeat
    yield from conv("conv1", 1, widths[-1], 3, 3)
    yield from conv("conv2", config["c_dim"], widths[-1], side, side)


def sagan_generator(config: Mapping[str, Any]) -> Iterator[Row]:
    for body, inputs, outputs in (("AMN", 3 + config["c_dim"], 3), ("SAN", 3, 1)):
        yield from conv(f"{body}.conv.0", 32, inputs, 7, 7, bias=32)
        for index, width in ((3, 64), (6, 128), (9, 256)):
            yield from conv(f"{body}.conv.{index}", width, width // 2, 4, 4, bias=width)
        for block in range(4):
            for index in (0, 3):
                layers = f"{body}.resblk.{block}.layers"
                yield from conv(f"{layers}.{index}", 256, 256, 3, 3, bias=256)
                yield from norm(f"{layers}.{index + 1}", 256)
        for index, width in ((0, 128), (3, 64), (6, 32)):
            yield from conv(f"{body}.deconv.{index}", 2 * width, width, 4, 4, bias=width)
        yield from conv(f"{body}.deconv.9", 32, outputs, 7, 7, bias=outputs)


def sagan_discriminator(config: Mapping[str, Any]) -> Iterator[Row]:
    widths = [3, 32, 64, 128, 256, 512, 1024]
    for k in range(6):
        yield from conv(f"conv.{2 * k}", widths[k + 1], widths[k], 4, 4, bias=widths[k + 1])
    side, outputs = config.get("image_size", 128) // 64, config["c_dim"]
    yield from conv("src", 1, 1024, 3, 3, bias=1)
    yield from conv("cls.0", outputs, 1024, side, side, bias=outputs)
