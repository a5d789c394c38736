"""Blocks of style translation: the fast forms against the plain ones, and the choice among heads."""

from __future__ import annotations

import itertools

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

from zoogan.layers import resample
from zoogan.layers.multi_head import ConvTrunk, DomainHeads, MultiHeadMLP, select_heads
from zoogan.layers.resample import PooledConv2d, ResizeConv2d
from zoogan.layers.style_blocks import (
    AdaIN,
    AdainResidualBlock,
    Content,
    ContentEncoder,
    HighPass,
    PreActResidualBlock,
    StyleDecoder,
    init_kaiming,
)
from zoogan.layers.widths import compute_encoder_widths
from zoogan.testing.strategies import batches, make_noise, seeds

sides = st.sampled_from([2, 4, 8])
channels = st.sampled_from([(3, 3), (3, 5), (40, 2)])
"""Of the last, small images are not worth spreading a kernel."""


def random(network: nn.Module, seed: int) -> nn.Module:
    """With arbitrary parameters, in double precision."""
    with torch.no_grad():
        for k, parameter in enumerate(network.parameters()):
            parameter.copy_(make_noise(seed + k, *parameter.shape) / max(1, parameter[0].numel()) ** 0.5)
    return network.double()


def image(seed: int, *shape: int) -> Tensor:
    return make_noise(seed, *shape).double()


def agree(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-10, atol=1e-10)


# ---- convolutions that halve or double ----


@given(seed=seeds, n=batches, side=sides, widths=channels)
def test_pooled_conv_equals_conv_then_mean(seed: int, n: int, side: int, widths: tuple[int, int]) -> None:
    layer, x = random(PooledConv2d(*widths), seed), image(seed, n, widths[0], 2 * side, side)
    assert isinstance(layer, PooledConv2d)
    agree(layer(x), F.avg_pool2d(F.conv2d(x, layer.weight, layer.bias, padding=1), 2))


@given(seed=seeds, n=batches, side=sides, widths=channels)
def test_resize_conv_is_equal_at_every_size(seed: int, n: int, side: int, widths: tuple[int, int]) -> None:
    layer, x = random(ResizeConv2d(*widths), seed), image(seed, n, widths[0], side, side + 1)
    assert isinstance(layer, ResizeConv2d)
    larger = x.repeat_interleave(2, 2).repeat_interleave(2, 3)
    agree(layer(x), F.conv2d(larger, layer.weight, layer.bias, padding=1))


def test_resize_conv_uses_both_implementations() -> None:
    """So that the two tests above mean something."""
    assert {resample.is_fused_faster(2 * side * side, i) for side in (2, 4, 8) for i in (3, 40)} == {False, True}


# ---- blocks ----


def plain_block(block: PreActResidualBlock, x: Tensor) -> Tensor:
    """The block as the paper draws it."""
    y = x
    for norm, conv, halve in ((block.norm1, block.conv1, block.downsample), (block.norm2, block.conv2, False)):
        if norm is not None:
            y = F.instance_norm(y, weight=norm.weight, bias=norm.bias)
        y = F.conv2d(F.leaky_relu(y, 0.2), conv.weight, conv.bias, padding=1)
        y = F.avg_pool2d(y, 2) if halve else y
    x = x if block.shortcut is None else F.conv2d(x, block.shortcut.weight)
    return ((F.avg_pool2d(x, 2) if block.downsample else x) + y) / 2**0.5


@given(seed=seeds, n=batches, side=sides, widths=channels, normalise=st.booleans(), downsample=st.booleans())
def test_residual_block(
    seed: int, n: int, side: int, widths: tuple[int, int], normalise: bool, downsample: bool
) -> None:
    block = random(PreActResidualBlock(*widths, normalise=normalise, downsample=downsample), seed)
    assert isinstance(block, PreActResidualBlock)
    assert (block.shortcut is None) is (widths[0] == widths[1])
    x = image(seed, n, widths[0], 2 * side, 2 * side)
    before = x.clone()
    agree(block(x), plain_block(block, x))
    assert torch.equal(x, before)  # nothing is done in place to what others may read


def plain_adain(layer: AdaIN, x: Tensor, style: Tensor) -> Tensor:
    scale, shift = layer.fc(style)[:, :, None, None].chunk(2, 1)
    return (1 + scale) * F.instance_norm(x) + shift


@given(seed=seeds, n=batches, last=st.booleans())
def test_adaptive_instance_norm_in_both_layouts(seed: int, n: int, last: bool) -> None:
    layer, style = random(AdaIN(4, 3), seed), image(seed, n, 4)
    assert isinstance(layer, AdaIN)
    x = image(seed + 1, n, 3, 4, 5)
    x = x.to(memory_format=torch.channels_last) if last else x
    agree(layer(x, style), plain_adain(layer, x, style))


@given(
    seed=seeds, n=batches, side=sides, widths=channels, upsample=st.booleans(), shortcut=st.booleans(),
    last=st.booleans(),
)  # fmt: skip
def test_residual_block_with_a_style(
    seed: int, n: int, side: int, widths: tuple[int, int], upsample: bool, shortcut: bool, last: bool
) -> None:
    block = random(AdainResidualBlock(*widths, style_dim=4, upsample=upsample, shortcut=shortcut), seed)
    assert isinstance(block, AdainResidualBlock)
    x, style = image(seed, n, widths[0], side, side), image(seed + 1, n, 4)
    x = x.to(memory_format=torch.channels_last) if last else x
    before = x.clone()
    larger = (lambda t: t.repeat_interleave(2, 2).repeat_interleave(2, 3)) if upsample else (lambda t: t)
    y = larger(F.leaky_relu(plain_adain(block.norm1, x, style), 0.2))
    y = F.conv2d(y, block.conv1.weight, block.conv1.bias, padding=1)
    y = F.leaky_relu(plain_adain(block.norm2, y, style), 0.2)
    y = F.conv2d(y, block.conv2.weight, block.conv2.bias, padding=1)
    if shortcut:
        kept = larger(x)
        kept = kept if block.shortcut is None else F.conv2d(kept, block.shortcut.weight)
        y = (y + kept) / 2**0.5
    else:
        assert block.shortcut is None
    agree(block(x, style), y)
    assert torch.equal(x, before)


@given(seed=seeds, n=batches, divisor=st.sampled_from([0.5, 1.0, 3.0]))
def test_high_pass(seed: int, n: int, divisor: float) -> None:
    """Nothing of a plain surface, all of a single pixel, and no state."""
    layer = HighPass(divisor).double()
    assert not layer.state_dict()
    assert layer(torch.ones(n, 2, 5, 5).double())[..., 1:-1, 1:-1].abs().max() < 1e-12
    dot = torch.zeros(1, 1, 5, 5).double()
    dot[..., 2, 2] = divisor
    found = layer(dot)[0, 0]
    assert found[2, 2] == pytest.approx(8) and found[1, 1] == pytest.approx(-1) and not found[0].any()
    x = image(seed, n, 2, 4, 5)
    agree(layer(x), 9 * (x - F.avg_pool2d(x, 3, 1, 1)) / divisor)


def test_widths_double_up_to_the_maximum() -> None:
    assert compute_encoder_widths(64, 4, 512) == [64, 128, 256, 512, 512]
    assert compute_encoder_widths(1024, 1, 512) == [1024, 512]


def test_initial_weights() -> None:
    """Of variance 2 / fan in, convolutions that halve and double included; zero biases."""
    torch.manual_seed(0)
    block = AdainResidualBlock(64, 32, style_dim=16, upsample=True)
    init_kaiming(block)
    for layer in block.modules():
        if isinstance(layer, nn.Conv2d | nn.Linear):
            fan_in = layer.weight[0].numel()
            assert float(layer.weight.detach().std()) == pytest.approx((2 / fan_in) ** 0.5, rel=0.1)
            assert layer.bias is None or not layer.bias.any()


# ---- encoder and decoder ----


def decoder(high_pass: float, coarse: int = 32) -> StyleDecoder:
    def block(inputs: int, outputs: int, upsample: bool) -> nn.Module:
        return AdainResidualBlock(inputs, outputs, style_dim=4, upsample=upsample, shortcut=not high_pass)

    return StyleDecoder([2, 4, 4], block, nn.Identity(), high_pass=high_pass, coarse=coarse)


@pytest.mark.slow
@given(seed=seeds)
def test_masks_keep_block_details(seed: int) -> None:
    """The coarse mask at its side, the fine one at the others."""
    encoder = random(ContentEncoder(3, [2, 4, 4], keep=(8, 16)), seed)
    x = image(seed, 2, 3, 16, 16)
    content = encoder(x)
    assert {side: detail.shape[1] for side, detail in content.details.items()} == {16: 2, 8: 4}
    agree(content.details[16], encoder.stem(x))  # type: ignore[operator]
    agree(content.details[8], encoder.blocks[0](encoder.stem(x)))  # type: ignore[index, operator]
    network, style = random(decoder(1.0, coarse=8), seed), image(seed + 1, 2, 4)
    none, one = torch.zeros(2, 1, 4, 4).double(), torch.ones(2, 1, 4, 4).double()
    plain = network(content, style)
    agree(network(content, style, (none, none)), plain)
    assert network.high_pass is not None
    agree(network(content, style, (none, one)), plain + network.high_pass(content.details[16]))  # type: ignore[operator]
    without = Content(content.features, {16: content.details[16]})
    agree(network(without, style, (one, none)), plain)


def test_masks_without_details_are_refused() -> None:
    content = Content(torch.zeros(1, 4, 4, 4), {})
    masks = (torch.zeros(1, 1, 4, 4),) * 2
    with pytest.raises(ValueError, match="high_pass=0"):
        decoder(0.0)(content, torch.zeros(1, 4), masks)


@given(seed=seeds, halvings=st.integers(0, 2))
def test_trunk_output_is_a_feature_vector(seed: int, halvings: int) -> None:
    trunk = ConvTrunk(5, compute_encoder_widths(2, halvings, 4))
    x = make_noise(seed, 2, 5, 4 << halvings, 4 << halvings)
    assert trunk(x).shape == (2, trunk.outputs) and trunk.halvings == halvings


# ---- heads ----


@given(seed=seeds, n=batches, k=st.integers(1, 5), rest=st.sampled_from([(), (3,), (2, 2)]))
def test_head_index_selects_its_output(seed: int, n: int, k: int, rest: tuple[int, ...]) -> None:
    outputs = make_noise(seed, n, k, *rest)
    domain = torch.randint(k, (n,), generator=torch.Generator().manual_seed(seed))
    chosen = select_heads(outputs, domain)
    assert chosen.shape == (n, *rest)
    assert all(torch.equal(chosen[row], outputs[row, domain[row]]) for row in range(n))


@given(
    seed=seeds, n=batches, pairs=st.integers(1, 4), rest=st.sampled_from([(), (3,)]),
    dtype=st.sampled_from([torch.float32, torch.int64, torch.bool]),
)  # fmt: skip
def test_multi_hot_selects_heads_in_order(
    seed: int, n: int, pairs: int, rest: tuple[int, ...], dtype: torch.dtype
) -> None:
    """As boolean selection would, but with shapes that are known before the data."""
    outputs = make_noise(seed, n, 2 * pairs, *rest)
    first = make_noise(seed + 1, n, pairs) > 0
    domain = torch.stack([first, ~first], 2).flatten(1).to(dtype)
    chosen = select_heads(outputs, domain, pairs)
    agree(chosen, outputs[domain.bool()].view(n, pairs, *rest))
    hidden = select_heads(outputs.to("meta"), domain.to("meta"), pairs)
    assert hidden.shape == chosen.shape


@given(seed=seeds)
def test_narrow_heads_repeat_outputs(seed: int) -> None:
    """Heads of 2 and of 6 numbers stand side by side; every parameter has a gradient, chosen or not."""
    body = MultiHeadMLP(3, [6, 2, 2], width=4, shared=1, unshared=1)
    said = body(make_noise(seed, 2, 3))
    assert said.shape == (2, 3, 6)
    assert torch.equal(said[:, 1, :2], said[:, 1, 2:4]) and torch.equal(said[:, 1, :2], said[:, 1, 4:])
    select_heads(said, torch.zeros(2, dtype=torch.int64)).sum().backward()
    assert all(parameter.grad is not None for parameter in body.parameters())
    assert not any(p.grad.any() for p in body.heads[1].parameters() if p.grad is not None)


def test_heads_store_modules_by_number() -> None:
    heads = DomainHeads(nn.Linear(2, 1) for _ in range(2))
    assert list(heads.state_dict()) == [f"{k}.{part}" for k, part in itertools.product("01", ("weight", "bias"))]
