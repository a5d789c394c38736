"""Layers: our norms against torch's, replay against running again, augmentation against what it promises."""

from __future__ import annotations

import copy
import threading
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from zoogan.errors import ConfigError
from zoogan.interfaces import Draws, World
from zoogan.layers.augment import DiffAugment, NoAugment
from zoogan.layers.blocks import (
    EncoderDecoder,
    ResidualBlock,
    StridedTrunk,
    append_planes,
    check_halvings,
    get_default_stages,
)
from zoogan.layers.config import DiffAugmentConfig
from zoogan.layers.norm import BatchNorm2d, InstanceNorm2d, convert_batch_norms, has_batch_norm
from zoogan.layers.resample import make_downsampling_conv, make_upsampling_conv
from zoogan.testing.strategies import batches, make_faces, make_labels, make_noise, seeds


def same_state(one: nn.Module, other: nn.Module, **tolerances: Any) -> None:
    a, b = one.state_dict(), other.state_dict()
    assert list(a) == list(b)
    for key in a:
        torch.testing.assert_close(a[key], b[key], msg=key, **tolerances)


def prepared(seed: int, channels: int, **options: Any) -> nn.BatchNorm2d:
    """torch's BatchNorm with arbitrary parameters and running statistics."""
    layer = nn.BatchNorm2d(channels, **options)
    with torch.no_grad():
        for k, tensor in enumerate(p for p in layer.state_dict().values() if p.is_floating_point()):
            tensor.copy_(make_noise(seed + k, channels).abs() + 0.1)
    return layer


# ---- batch norm ----


@given(seed=seeds, n=st.integers(2, 4), momentum=st.sampled_from([0.1, 0.5, None]), records=st.booleans())
def test_batch_norm_equals_torch(seed: int, n: int, momentum: float | None, records: bool) -> None:
    """Outputs, gradients and running statistics, in training and in eval."""
    theirs = prepared(seed, 3, momentum=momentum)
    ours = convert_batch_norms(copy.deepcopy(theirs))
    assert isinstance(ours, BatchNorm2d)
    ours.records_statistics = records
    for step in range(2):
        x = make_noise(seed + step, n, 3, 4, 4).requires_grad_()
        y = x.detach().clone().requires_grad_()
        one, other = theirs(x), ours(y)
        torch.testing.assert_close(one, other)
        one.square().sum().backward()
        other.square().sum().backward()
        torch.testing.assert_close(x.grad, y.grad)
    same_state(theirs, ours)
    x = make_noise(seed, n, 3, 4, 4)
    torch.testing.assert_close(theirs.eval()(x), ours.eval()(x))


@given(seed=seeds, momentum=st.sampled_from([0.1, None]))
def test_norm_replay_equals_second_forward(seed: int, momentum: float | None) -> None:
    """Also between a forward and its backward, which must not notice."""
    once, twice = (convert_batch_norms(prepared(seed, 3, momentum=momentum)) for _ in range(2))
    assert isinstance(once, BatchNorm2d)
    once.records_statistics = True
    x = make_noise(seed, 4, 3, 4, 4).requires_grad_()
    output = once(x)
    assert once.last_statistics is not None
    once.update_running_statistics(once.last_statistics)
    output.square().sum().backward()
    twice(x.detach())
    twice(x.detach())
    same_state(once, twice)


class Pretend(World):
    """Several processes as threads that meet in `mean`; differentiable, because autograd sees all of them."""

    def __init__(self, rank: int, size: int, table: dict[int, Tensor], gate: threading.Barrier) -> None:
        self.rank, self.size, self.table, self.gate = rank, size, table, gate

    def reduce_mean(self, value: Tensor) -> Tensor:
        self.table[self.rank] = value
        self.gate.wait()
        joint = torch.stack([self.table[rank] for rank in range(self.size)]).mean(0)
        self.gate.wait()
        return joint


@given(seed=seeds, size=st.integers(2, 3), offset=st.sampled_from([0.0, 10.0]), records=st.booleans())
def test_batch_norm_uses_joint_batch_statistics(seed: int, size: int, offset: float, records: bool) -> None:
    """Processes together compute what torch computes on all rows, gradients included; far from zero too."""
    whole = prepared(seed, 3)
    layers = [convert_batch_norms(copy.deepcopy(whole)) for _ in range(size)]
    x = (make_noise(seed, 2 * size, 3, 4, 4) + offset).requires_grad_()
    y = x.detach().clone().requires_grad_()
    expected = whole(x)
    table, gate, outputs = {}, threading.Barrier(size), {}

    def run(rank: int) -> None:
        layer = layers[rank]
        assert isinstance(layer, BatchNorm2d)
        layer.world, layer.records_statistics = Pretend(rank, size, table, gate), records
        outputs[rank] = layer(y[2 * rank : 2 * rank + 2])

    threads = [threading.Thread(target=run, args=(rank,)) for rank in range(size)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    loose = {"rtol": 1e-3, "atol": 1e-3} if offset else {"rtol": 1e-4, "atol": 1e-5}
    got = torch.cat([outputs[rank] for rank in range(size)])
    torch.testing.assert_close(got, expected, **loose)
    weight = make_noise(seed + 9, *x.shape)
    (expected * weight).sum().backward()
    (got * weight).sum().backward()
    torch.testing.assert_close(y.grad, x.grad, **loose)
    for layer in layers:
        same_state(layer, whole, **loose)


def test_synchronised_norm_refuses_unsupported_layers() -> None:
    norm = nn.BatchNorm2d(4)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), norm)
    before = list(network.parameters())
    assert convert_batch_norms(network) is network and network[1] is norm and isinstance(norm, BatchNorm2d)
    assert all(a is b for a, b in zip(before, network.parameters()))
    with pytest.raises(ValueError, match=r"0 is a BatchNorm1d"):
        convert_batch_norms(nn.Sequential(nn.BatchNorm1d(3)))


@pytest.mark.parametrize(("norm", "couples"), [("batch", True), ("instance", False), ("group", False)])
def test_couples_batch_detects_batch_dependence(norm: str, couples: bool) -> None:
    """Against the outputs: do batch mates change a face's?"""
    block = ResidualBlock(4, norm, bias=True).train()
    x = make_noise(0, 3, 4, 8, 8)
    alone = torch.cat([block(x[:2])[:1], block(x[:1].repeat(2, 1, 1, 1))[:1]])
    assert has_batch_norm(block) is couples is (not torch.allclose(alone[0], alone[1], atol=1e-5))


@given(seed=seeds, n=batches, affine=st.booleans())
def test_instance_norm_equals_torch(seed: int, n: int, affine: bool) -> None:
    ours, theirs = InstanceNorm2d(5, affine=affine), nn.InstanceNorm2d(5, affine=affine)
    if affine:
        state = {"weight": make_noise(seed, 5), "bias": make_noise(seed + 1, 5)}
        ours.load_state_dict(state)
        theirs.load_state_dict(state)
    x = make_noise(seed, n, 5, 6, 4)
    torch.testing.assert_close(ours(x), theirs(x), rtol=1e-4, atol=1e-5)
    assert torch.equal(ours(x), ours.eval()(x))


# ---- shapes ----


@given(seed=seeds, n=batches, a=st.integers(1, 4))
def test_label_planes_follow_image_channels(seed: int, n: int, a: int) -> None:
    image, attributes = make_faces(seed, n, 16), make_labels(seed, n, a)
    joined = append_planes(image, attributes)
    assert torch.equal(joined[:, :3], image)
    assert torch.equal(joined[:, 3:], attributes[:, :, None, None].expand(-1, -1, 16, 16))


@pytest.mark.parametrize("kind", ["transpose", "resize"])
def test_upsampling_restores_downsampled_size(kind: str) -> None:
    x = make_noise(0, 2, 3, 8, 12)
    assert make_upsampling_conv(kind, 5, 3)(make_downsampling_conv(3, 5)(x)).shape == x.shape


def test_resize_upsampling_has_no_checkerboard() -> None:
    """A constant image stays constant inside; a transposed convolution gives it a 2 x 2 lattice."""
    inside = {
        kind: make_upsampling_conv(kind, 1, 1)(torch.ones(1, 1, 8, 8))[..., 4:-4, 4:-4].std()
        for kind in ("transpose", "resize")
    }
    assert inside["resize"] < 1e-6 < inside["transpose"]


@given(
    downsamplings=st.integers(1, 3),
    blocks=st.integers(0, 2),
    upsample=st.sampled_from(["transpose", "resize"]),
)
def test_generator_body_keeps_image_size(downsamplings: int, blocks: int, upsample: str) -> None:
    body = EncoderDecoder(4, 2, width=4, downsamplings=downsamplings, blocks=blocks, upsample=upsample)
    assert body(make_noise(0, 1, 4, 16, 24)).shape == (1, 2, 16, 24)


@given(power=st.integers(4, 9))
def test_default_stages_reach_two_pixels_at_most_six(power: int) -> None:
    stages = get_default_stages(2**power)
    assert stages == min(6, power - 1)
    assert StridedTrunk(3, width=1, stages=min(stages, 3), slope=0.2)(make_noise(0, 1, 3, 16, 16)).shape[
        -1
    ] == 16 >> min(stages, 3)


def test_too_many_stages_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"discriminator 'x': stages=6 .*at least 64 .*got 32"):
        check_halvings("discriminator 'x'", "stages", 6, 32, exact=False)
    with pytest.raises(ConfigError, match=r"a multiple of 8 .*got 20"):
        check_halvings("generator 'x'", "downsamplings", 3, 20, exact=True)


# ---- augmentation ----


def draws(seed: int, n: int, **injected: Tensor) -> Draws:
    return Draws(seed, World.make_single(), n, slice(None), {k.replace("_", "."): v for k, v in injected.items()})


@given(
    seed=seeds,
    n=batches,
    color=st.booleans(),
    shift=st.sampled_from([0, 0.125]),
    hole=st.sampled_from([0, 0.5]),
)
def test_diffaugment_is_independent_and_repeatable(seed: int, n: int, color: bool, shift: float, hole: float) -> None:
    augment = DiffAugment(DiffAugmentConfig(color=color, translation=shift, cutout=hole))
    image = make_faces(seed, n, 16).requires_grad_()
    one, again, other = (augment(image, draws(s, n), "real") for s in (seed, seed, seed + 1))
    assert one.shape == image.shape and torch.equal(one, again)
    assert torch.equal(one, other) is not (color or bool(shift) or bool(hole)) or n * (color + shift + hole) < 1
    (gradient,) = torch.autograd.grad(one[0].square().sum(), image)
    assert not gradient[1:].any() and gradient.isfinite().all()
    assert NoAugment()(image, draws(seed, n), "real") is image


@given(seed=seeds, down=st.floats(0, 0.999), across=st.floats(0, 0.999))
def test_diffaugment_translation_moves_whole_pixels(seed: int, down: float, across: float) -> None:
    augment = DiffAugment(DiffAugmentConfig(color=False, cutout=0))
    image = make_faces(seed, 1, 16) + 2  # nowhere 0
    moved = augment(image, draws(0, 1, x_shift=torch.tensor([[down, across]])), "x")
    dy, dx = (int(u * 5) - 2 for u in (down, across))  # 1/8 of 16 pixels either way
    expected = torch.roll(image, (dy, dx), (2, 3))
    kept = moved != 0
    assert torch.equal(moved[kept], expected[kept])
    assert int(kept.sum()) == 3 * (16 - abs(dy)) * (16 - abs(dx))


@given(seed=seeds, down=st.floats(0, 0.999), across=st.floats(0, 0.999))
def test_diffaugment_cutout_blanks_one_square(seed: int, down: float, across: float) -> None:
    augment = DiffAugment(DiffAugmentConfig(color=False, translation=0, cutout=0.5))
    image = make_faces(seed, 1, 16) + 2
    cut = augment(image, draws(0, 1, x_cutout=torch.tensor([[down, across]])), "x")
    hole = (cut == 0)[0, 0]
    assert torch.equal(cut[:, :, ~hole], image[:, :, ~hole])
    height, width = (int(hole.any(dim).sum()) for dim in (1, 0))
    assert int(hole.sum()) == height * width and 4 <= height <= 8 and 4 <= width <= 8


@given(seed=seeds)
def test_diffaugment_neutral_colour_is_identity(seed: int) -> None:
    augment = DiffAugment(DiffAugmentConfig(translation=0, cutout=0))
    image, half = make_faces(seed, 2, 16), torch.full((2, 1, 1, 1), 0.5)
    same = augment(image, draws(0, 2, x_brightness=half, x_saturation=half, x_contrast=half), "x")
    torch.testing.assert_close(same, image)
    grey = augment(image, draws(0, 2, x_brightness=half, x_saturation=0 * half, x_contrast=half), "x")
    torch.testing.assert_close(grey, image.mean(1, keepdim=True).expand_as(image))


@given(seeds, batches, st.sampled_from([1, 2, 5]))
def test_resize_conv_equals_upsample_then_conv(seed: int, n: int, size: int) -> None:
    torch.manual_seed(seed)
    layer = make_upsampling_conv("resize", 3, 4)
    image = make_noise(seed, n, 3, size, size + 1)
    plain = F.conv2d(F.interpolate(image, scale_factor=2, mode="nearest"), layer.weight, layer.bias, padding=1)
    assert torch.allclose(layer(image), plain, atol=1e-5)


@pytest.mark.parametrize("affine", [False, True])
def test_instance_norm_channels_last_is_twice_differentiable(affine: bool) -> None:
    layer = InstanceNorm2d(3, affine=affine)
    x = torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last).requires_grad_()
    plain = x.detach().contiguous().requires_grad_()
    weight = torch.randn(2, 3, 4, 5)
    results = []
    for leaf in (x, plain):
        (first,) = torch.autograd.grad((layer(leaf).relu() * weight).sum(), leaf, create_graph=True)
        (second,) = torch.autograd.grad(first.square().sum(), leaf)
        results.append((first, second))
    for ours, theirs in zip(*results):
        assert torch.allclose(ours, theirs, atol=1e-4)


def test_inplace_activation_after_instance_norm_is_safe() -> None:
    layer, x = InstanceNorm2d(3, affine=False), torch.randn(2, 3, 4, 5).to(memory_format=torch.channels_last)
    leaf = x.clone(memory_format=torch.preserve_format).requires_grad_()
    torch.relu_(layer(leaf)).sum().backward()
    other = x.clone(memory_format=torch.preserve_format).requires_grad_()
    layer(other).relu().sum().backward()
    assert torch.equal(leaf.grad, other.grad)
