"""Laws of the networks of SMILE's image stage."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from zoogan import ConfigError
from zoogan.layers.layout import make_layout
from zoogan.layers.regions import pool_regions, resize_layout, scatter_codes
from zoogan.layers.spatial_conv import SpatialModulatedConv2d, compute_spatial_demodulation
from zoogan.plugins import Facts
from zoogan.testing.tensors import make_random_tensor, make_segmentation
from zoogan_smile.image_config import (
    SmileImageDiscriminatorConfig,
    SmileImageGeneratorConfig,
    SmileImageMappingConfig,
    SmileRegionEncoderConfig,
)
from zoogan_smile.image_networks import (
    SmileImageDiscriminator,
    SmileImageGenerator,
    SmileImageMapping,
    SmileRegionEncoder,
)

PARTS = ("background", "skin", "hair", "hat")
FACTS = Facts(image_size=16, parts=PARTS)
SMALL: dict[str, Any] = {
    "code_dim": 4, "stem_width": 6, "stem_halvings": 2, "widths": (8, 6, 5), "hidden": 4,
}  # fmt: skip


def make_generator(**settings: Any) -> SmileImageGenerator:
    torch.manual_seed(0)
    return SmileImageGenerator(SmileImageGeneratorConfig(**(SMALL | settings)), FACTS).double().eval()


def make_layouts(n: int, seed: int = 0, parts: int = len(PARTS), size: int = 16) -> torch.Tensor:
    return make_layout(make_segmentation(seed, n, size, parts), parts, torch.float64)


def make_latents(n: int, generator: SmileImageGenerator, seed: int = 0) -> torch.Tensor:
    return make_random_tensor(seed, (n, generator.rows, generator.style_dim), torch.float32).double()


@settings(max_examples=20, deadline=None)
@given(
    n=st.integers(1, 3), inputs=st.integers(1, 5), outputs=st.integers(1, 4), side=st.sampled_from([1, 2, 3, 8]),
    kernel=st.sampled_from([1, 3]), seed=st.integers(0, 99),
)  # fmt: skip
def test_demodulation_is_that_of_the_convolution(n, inputs, outputs, side, kernel, seed):
    scale = make_random_tensor(seed, (n, inputs, side, side), torch.float32).double()
    weight = make_random_tensor(seed + 1, (outputs, inputs, kernel, kernel), torch.float32).double()
    convolved = torch.nn.functional.conv2d(scale.square(), weight.square(), padding=kernel // 2)
    expected = torch.rsqrt(convolved.mean((2, 3)) + 1e-8)
    torch.testing.assert_close(compute_spatial_demodulation(scale, weight), expected, rtol=1e-10, atol=0)


@settings(max_examples=20, deadline=None)
@given(n=st.integers(1, 3), k=st.integers(1, 5), side=st.sampled_from([4, 8]), seed=st.integers(0, 99))
def test_scattered_codes_are_read_back(n, k, side, seed):
    layout, codes = make_layouts(n, seed, k, side), make_random_tensor(seed, (n, k, 3), torch.float32).double()
    for soft in (False, True):
        means, present = pool_regions(scatter_codes(codes, layout), layout, soft=soft)
        assert torch.equal(present, layout.sum((2, 3)) > 0)
        torch.testing.assert_close(means, codes * present[..., None])


def test_soft_pooling_keeps_a_part_of_one_pixel():
    segmentation = torch.zeros(1, 8, 8, dtype=torch.uint8)
    segmentation[0, 1, 1] = 1
    layout, features = make_layout(segmentation, 2), torch.zeros(1, 3, 4, 4)
    features[0, :, 0, 0] = torch.tensor([1.0, 2.0, 3.0])
    means, present = pool_regions(features, layout, soft=True)
    assert present.all() and means[0, 1].tolist() == [1.0, 2.0, 3.0]
    means, present = pool_regions(features, layout)
    assert present.tolist() == [[True, False]] and not means[0, 1].any()


@settings(max_examples=10, deadline=None)
@given(n=st.integers(1, 3), codes=st.sampled_from(["below_full_size", "all", "none"]), noise=st.booleans())
def test_shapes_and_batch_independence(n, codes, noise):
    generator, layout = make_generator(codes=codes, noise=noise), make_layouts(n)
    latents = make_latents(n, generator)
    face = generator(latents, None, layout)
    assert face.image.shape == (n, 3, 16, 16)
    assert torch.equal(face.segmentation, 2 * layout - 1)
    alone = generator(latents[-1:], None, layout[-1:]).image
    torch.testing.assert_close(alone, face.image[-1:])
    assert torch.equal(generator(latents, None, layout).image, face.image)  # the network's own noise is fixed
    assert len(generator.noise_sizes) == (5 if noise else 0)


def test_a_code_changes_the_face_only_if_its_part_is_there():
    generator = make_generator(codes="all")
    layout = make_layout(torch.zeros(1, 16, 16, dtype=torch.uint8), len(PARTS), torch.float64)  # background alone
    latents = make_latents(1, generator)
    changed = latents.clone()
    changed[..., 4:] += 1.0  # of all parts but the first
    before = generator(latents, None, layout).image
    assert torch.equal(generator(changed, None, layout).image, before)
    changed[..., :4] += 1.0
    assert not torch.allclose(generator(changed, None, layout).image, before)


def test_layers_without_codes_ignore_them():
    generator, layout = make_generator(codes="none"), make_layouts(2)
    latents = make_latents(2, generator)
    assert torch.equal(generator(latents, None, layout).image, generator(latents + 1, None, layout).image)


def test_gradients_reach_everything_that_is_used():
    generator, layout = make_generator(codes="all"), make_layouts(2)
    noise = [
        make_random_tensor(k, (2, 1, *size), torch.float32).double() for k, size in enumerate(generator.noise_sizes)
    ]
    latents = make_latents(2, generator).requires_grad_()
    generator(latents, noise, layout).image.square().sum().backward()
    assert latents.grad is not None and latents.grad.abs().sum() > 0
    unused = [name for name, p in generator.named_parameters() if p.grad is None]
    assert not unused
    plain = make_generator()
    plain(make_latents(2, plain), noise, layout).image.sum().backward()
    unused = [name for name, p in plain.named_parameters() if p.grad is None]
    assert unused and all(name.endswith("conv.blend") and name.startswith("blocks.1.") for name in unused)


def test_w_plus_has_a_row_for_each_place():
    generator, layout = make_generator(codes="all", noise=False), make_layouts(1)
    latents = make_latents(1, generator)
    before = generator(latents, None, layout).image
    for row in range(generator.rows):
        changed = latents.clone()
        changed[:, row] += 1
        assert not torch.allclose(generator(changed, None, layout).image, before), row


def test_region_encoder_reads_each_part_alone():
    torch.manual_seed(0)
    config = SmileRegionEncoderConfig(code_dim=4, width=4, halvings=1)
    encoder = SmileRegionEncoder(config, FACTS).double().eval()
    image, layout = make_random_tensor(0, (2, 3, 16, 16), torch.float32).double(), make_layouts(2)
    codes, present = encoder(image, layout)
    assert codes.shape == (2, len(PARTS), 4) and present.shape == (2, len(PARTS))
    seen = resize_layout(layout, 8, 8).sum((2, 3)) > 0
    assert torch.equal(present, seen) and not codes[~present].any()
    torch.testing.assert_close(encoder(image[1:], layout[1:]).codes, codes[1:])


def test_mapping_and_discriminator():
    torch.manual_seed(0)
    mapping = SmileImageMapping(SmileImageMappingConfig(code_dim=4, layers=2), FACTS)
    assert mapping(torch.randn(3, 16)).shape == (3, 16) and mapping.style_dim == 16
    config = SmileImageDiscriminatorConfig(channel_multiplier=0.01, max_width=8)
    discriminator = SmileImageDiscriminator(config, FACTS)
    image, maps = torch.randn(4, 3, 16, 16), 2 * make_layouts(4).float() - 1
    score = discriminator(image, maps)
    assert score.shape == (4, 1)
    assert not torch.allclose(discriminator(image, maps.flip(3)), score)
    with pytest.raises(ValueError, match="with their layouts"):
        discriminator(image)
    alone = SmileImageDiscriminator(config.model_copy(update={"layout": False}), FACTS)
    assert alone.classes == 0 and alone(image).shape == (4, 1)


@pytest.mark.parametrize("settings", [{"stem_halvings": 3}, {"widths": (8, 8, 8, 8, 8, 8)}])
def test_sizes_that_do_not_fit_are_refused(settings):
    with pytest.raises(ConfigError, match="halve 16 px"):
        make_generator(**settings)


def test_data_without_parts_are_refused():
    with pytest.raises(ConfigError, match="maps of the parts"):
        SmileImageGenerator(SmileImageGeneratorConfig(), Facts(image_size=16))
    with pytest.raises(ValueError, match="paints layouts"):
        generator = make_generator()
        generator(make_latents(1, generator))


def test_demodulation_bounds_the_output():
    torch.manual_seed(0)
    conv = SpatialModulatedConv2d(5, 3, 3, len(PARTS), 4, hidden=4).double()
    layout, codes = make_layouts(2), make_random_tensor(1, (2, len(PARTS), 4), torch.float32).double()
    x = make_random_tensor(2, (2, 5, 16, 16), torch.float32).double()
    before = conv(x, codes, layout)
    with torch.no_grad():
        conv.weight *= 100
    torch.testing.assert_close(conv(x, codes, layout), before, rtol=1e-4, atol=1e-6)
