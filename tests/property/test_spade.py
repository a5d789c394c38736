"""Laws of norms and blocks that layouts steer, of spectral norms, and of the generator made of them."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils import parametrize

from zoogan import ConfigError
from zoogan.layers.layout import make_layout
from zoogan.layers.norm import InstanceNorm2d
from zoogan.layers.regions import resize_layout
from zoogan.layers.spade import SeanNorm, SpadeNorm, SpadeResidualBlock
from zoogan.layers.spectral import SpectralNorm, add_spectral_norm
from zoogan.plugins import Facts
from zoogan.plugins.host import get_zoo
from zoogan.testing.conformance import make_tiny_config, train_on_random_batches
from zoogan.testing.tensors import make_random_tensor, make_segmentation
from zoogan_smile.image_config import SpadeGeneratorConfig
from zoogan_smile.spade import SpadeGenerator

PARTS = ("background", "skin", "hair", "hat")
FACTS = Facts(image_size=16, parts=PARTS)
SMALL: dict[str, Any] = {"code_dim": 4, "widths": (8, 6, 4), "hidden": 4, "norm": "instance"}
CODES = st.sampled_from(["none", "below_full_size", "all"])
FULL_SIZE = {"image_size": 256, "parts": tuple(f"part {k}" for k in range(19))}


def draw(seed: int, *shape: int) -> Tensor:
    return make_random_tensor(seed, shape, torch.float32).double()


def make_layouts(n: int, seed: int = 0, size: int = 16) -> Tensor:
    return make_layout(make_segmentation(seed, n, size, len(PARTS)), len(PARTS), torch.float64)


def fill(network: nn.Module) -> None:
    """Give every parameter a value that counts, as published weights start near 0."""
    with torch.no_grad():
        for seed, parameter in enumerate(network.parameters()):
            parameter.copy_(0.1 * make_random_tensor(seed, tuple(parameter.shape), torch.float32))
        for layer in network.modules():
            if parametrize.is_parametrized(layer, "weight"):
                weights: Any = layer.parametrizations["weight"]
                for _ in range(20):
                    weights[0].update_vectors(weights.original.flatten(1))


def make_generator(**settings: Any) -> SpadeGenerator:
    torch.manual_seed(0)
    generator = SpadeGenerator(SpadeGeneratorConfig(**(SMALL | settings)), FACTS).double()
    fill(generator)
    return generator.eval()


def make_latents(n: int, generator: SpadeGenerator, seed: int = 0) -> Tensor:
    return draw(seed, n, generator.rows, generator.style_dim)


def make_sean_norm() -> SeanNorm:
    norm = SeanNorm(3, len(PARTS), 5, norm="instance", hidden=4).double()
    fill(norm)
    return norm


# ---- norms ----


@pytest.mark.parametrize("kind", ["batch", "instance"])
def test_spade_norm_scales_and_shifts_by_the_layout(kind):
    norm = SpadeNorm(3, len(PARTS), norm=kind, hidden=4).double()
    fill(norm)
    x, layout = draw(1, 2, 3, 16, 16), make_layouts(2)
    axes = (0, 2, 3) if kind == "batch" else (2, 3)
    mean, variance = x.mean(axes, keepdim=True), x.var(axes, unbiased=False, keepdim=True)
    hidden = F.conv2d(layout, norm.layout_hidden.weight, norm.layout_hidden.bias, padding=1).clamp(min=0)
    maps = F.conv2d(hidden, norm.layout_maps.weight, norm.layout_maps.bias, padding=1)
    expected = (x - mean) / (variance + 1e-5).sqrt() * (1 + maps[:, :3]) + maps[:, 3:]
    torch.testing.assert_close(norm(x, layout), expected)
    assert not [name for name, _ in norm.norm.named_parameters()], "the norm itself has no parameters"


def test_sean_norm_blends_from_layout_to_codes():
    norm, layout = make_sean_norm(), make_layouts(2)
    x, codes = draw(1, 2, 3, 16, 16), draw(2, 2, len(PARTS), 5)
    plain = SpadeNorm.compute_maps(norm, layout)

    def blend(scale: float, shift: float) -> Tensor:
        with torch.no_grad():
            norm.blend.copy_(torch.tensor([scale, shift]))
        return norm.compute_maps(layout, codes)

    torch.testing.assert_close(blend(-99, -99), plain)
    whole = blend(99, 99)
    assert (whole - plain).abs().amin((0, 2, 3)).max() > 1e-3
    torch.testing.assert_close(blend(0, 0), (whole + plain) / 2)
    mixed = blend(99, -99)
    torch.testing.assert_close(mixed, torch.cat([whole[:, :3], plain[:, 3:]], 1))
    scale, shift = mixed.chunk(2, 1)
    expected = InstanceNorm2d(3, affine=False)(x) * (1 + scale) + shift
    torch.testing.assert_close(norm(x, layout, codes), expected)
    with pytest.raises(ValueError, match="give a code of each part"):
        norm(x, layout)


@settings(max_examples=10, deadline=None)
@given(part=st.integers(0, len(PARTS) - 1), seed=st.integers(0, 99))
def test_a_code_matters_only_where_its_part_is(part, seed):
    norm, layout = make_sean_norm(), make_layouts(1, seed)
    x, codes = draw(1, 1, 3, 16, 16), draw(2, 1, len(PARTS), 5)
    other = codes.clone()
    other[:, part] = draw(3, 5)
    changed = (norm(x, layout, codes) != norm(x, layout, other)).any(1)
    near = F.max_pool2d(layout[:, part : part + 1], 3, 1, 1)[:, 0] > 0  # the convolution reaches one pixel further
    assert torch.equal(changed, near)


def test_residual_block_adds_the_input():
    block = SpadeResidualBlock(3, 3, lambda channels: SpadeNorm(channels, len(PARTS), hidden=4)).double()
    x, layout = draw(1, 2, 3, 8, 8), make_layouts(2)
    assert block.shortcut is None
    assert torch.equal(block(x, layout), block(x, resize_layout(layout, 8, 8)))
    with torch.no_grad():
        block.conv2.weight.zero_()
        block.conv2.bias.zero_()
    assert torch.equal(block(x, layout), x)
    wide = SpadeResidualBlock(3, 5, lambda channels: SpadeNorm(channels, len(PARTS), hidden=4)).double()
    assert wide(x, layout).shape == (2, 5, 8, 8) and wide.conv1.out_channels == 3


# ---- spectral norm ----


def test_spectral_norm_makes_the_largest_singular_value_1():
    torch.manual_seed(0)
    layer = nn.Conv2d(3, 4, 3).double()
    original = layer.weight.detach().clone()
    add_spectral_norm(layer)
    for _ in range(200):
        layer(draw(0, 1, 3, 5, 5))
    largest = torch.linalg.matrix_norm(original.flatten(1), 2)
    torch.testing.assert_close(layer.weight, original / largest)
    official = torch.nn.utils.parametrizations.spectral_norm(nn.Conv2d(3, 4, 3).double())
    ours = SpectralNorm(original)
    with torch.no_grad():
        official.parametrizations.weight.original.copy_(original)
        official.parametrizations.weight[0]._u.copy_(ours.left)
        official.parametrizations.weight[0]._v.copy_(ours.right)
    for _ in range(3):  # step by step that of torch
        torch.testing.assert_close(ours(original), official.weight)


def test_spectral_norm_moves_in_training_only():
    layer = nn.Linear(4, 3)
    add_spectral_norm(layer)
    fill(layer)
    before = {name: value.clone() for name, value in layer.state_dict().items()}
    layer.eval()(torch.ones(1, 4))
    assert all(torch.equal(value, before[name]) for name, value in layer.state_dict().items())
    layer.train()(torch.ones(1, 4))
    moved = {name for name, value in layer.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {"parametrizations.weight.0.left", "parametrizations.weight.0.right"}


def test_spectral_norm_computes_in_full_precision():
    layer = nn.Linear(4, 3)
    add_spectral_norm(layer)
    layer.eval()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        mixed = layer.weight
    assert mixed.dtype == torch.float32 and torch.equal(mixed, layer.weight)


# ---- the generator ----


@settings(max_examples=15, deadline=None)
@given(
    n=st.integers(1, 3), codes=CODES, norm=st.sampled_from(["batch", "instance"]),
    start=st.sampled_from(["layout", "latent"]), middle=st.integers(1, 3),
)  # fmt: skip
def test_shapes_and_batch_independence(n, codes, norm, start, middle):
    generator = make_generator(codes=codes, norm=norm, start=start, middle_blocks=middle)
    layout, latents = make_layouts(n), make_latents(n, generator)
    face = generator(latents, None, layout)
    assert face.image.shape == (n, 3, 16, 16) and face.image.abs().max() <= 1
    assert torch.equal(face.segmentation, 2 * layout - 1)
    assert generator.rows == 2 + middle and generator.style_dim == 16
    alone = generator(latents[-1:], None, layout[-1:]).image
    torch.testing.assert_close(alone, face.image[-1:])


def test_batch_norm_couples_a_training_batch():
    latents, layout = make_latents(2, make_generator()), make_layouts(2)
    for norm, couples in (("batch", True), ("instance", False)):
        generator = make_generator(norm=norm, spectral=False).train()
        alone, together = (generator(latents[:n], None, layout[:n]).image[0] for n in (1, 2))
        assert torch.allclose(alone, together) != couples


@given(codes=CODES)
@settings(max_examples=3, deadline=None)
def test_layouts_matter(codes):
    generator, layout = make_generator(codes=codes), make_layouts(1)
    latents = make_latents(1, generator)
    change = (generator(latents, None, layout).image - generator(latents, None, layout.flip(3)).image).abs()
    assert change.mean() > 1e-3


def test_latents_matter_where_something_reads_them():
    layout = make_layouts(1)

    def list_rows(**settings: Any) -> list[int]:
        generator = make_generator(**settings)
        latents = make_latents(1, generator)
        before, rows = generator(latents, None, layout).image, []
        for row in range(generator.rows):
            changed = latents.clone()
            changed[:, row] += 1
            if not torch.equal(generator(changed, None, layout).image, before):
                rows.append(row)
        return rows

    assert list_rows() == []
    assert list_rows(start="latent") == [0]
    assert list_rows(codes="below_full_size") == [0, 1, 2]
    assert list_rows(codes="all") == [0, 1, 2, 3]


def test_codes_of_absent_parts_do_not_matter():
    generator = make_generator(codes="all")
    layout = make_layout(torch.zeros(1, 16, 16, dtype=torch.uint8), len(PARTS), torch.float64)  # background alone
    latents = make_latents(1, generator)
    changed = latents.clone()
    changed[..., 4:] += 1.0
    before = generator(latents, None, layout).image
    assert torch.equal(generator(changed, None, layout).image, before)
    changed[..., :4] += 1.0
    assert not torch.allclose(generator(changed, None, layout).image, before)


@pytest.mark.parametrize("start", ["layout", "latent"])
def test_gradients_reach_every_parameter(start):
    generator = make_generator(codes="all", start=start, norm="batch").train()
    latents = make_latents(2, generator).requires_grad_()
    generator(latents, None, make_layouts(2)).image.square().sum().backward()
    assert latents.grad is not None and latents.grad.abs().sum() > 0
    dead = [name for name, p in generator.named_parameters() if p.grad is None or not p.grad.any()]
    assert not dead


def test_parameter_count_is_that_of_the_paper():
    """SMILE's Table 3 says 92.5 million: official code, ngf 64, 256 px, 19 parts, no VAE: 92,538,819."""
    with torch.device("meta"):
        generator = SpadeGenerator(SpadeGeneratorConfig(), Facts(**FULL_SIZE))
    assert sum(p.numel() for p in generator.parameters()) == 92_538_819


def test_sizes_and_data_that_do_not_fit_are_refused():
    with pytest.raises(ConfigError, match="7 widths halve 16 px 6 times"):
        make_generator(widths=(4,) * 7)
    with pytest.raises(ConfigError, match="maps of the parts"):
        SpadeGenerator(SpadeGeneratorConfig(), Facts(image_size=64))
    generator = make_generator()
    with pytest.raises(ValueError, match="paints layouts"):
        generator(make_latents(1, generator))


def test_training_without_codes_leaves_the_encoder_as_it_is():
    settings = {
        "generator": {"use": "spade", "code_dim": 4, "widths": [4, 4], "hidden": 4},
        "mapping": {"code_dim": 4, "layers": 1}, "region_encoder": {"code_dim": 4, "width": 4},
        "discriminator": {"channel_multiplier": 0.01, "max_width": 4},
        "extra_terms": {"reconstruction": {"feature_matching": {"use": "feature_matching"}}},
    }  # fmt: skip
    registry = get_zoo().registry
    before, after = (
        train_on_random_batches(make_tiny_config("smile-image", registry, settings), registry, iterations).networks
        for iterations in (1, 2)
    )  # the second iteration reconstructs

    def list_changed(slot: str) -> set[str]:
        states = before[slot].state_dict(), after[slot].state_dict()
        return {name for name, value in states[0].items() if not torch.equal(value, states[1][name])}

    assert list_changed("region_encoder") == set()
    changed = list_changed("generator")
    assert "rgb.weight" in changed and any(name.endswith("0.left") for name in changed)
