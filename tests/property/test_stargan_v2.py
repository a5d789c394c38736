"""StarGAN v2: what must hold for its networks at every size."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

import zoogan_stargan_v2
from support.stargan_v2_networks import STYLE, draw_domains, make_facts, make_networks
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.testing.strategies import batches, make_faces, make_noise, seeds
from zoogan_stargan_v2.config import (
    StarganV2DiscriminatorConfig,
    StarganV2GeneratorConfig,
    StarganV2MappingConfig,
    StarganV2StyleEncoderConfig,
)
from zoogan_stargan_v2.networks import (
    StarganV2Discriminator,
    StarganV2Generator,
    StarganV2Mapping,
    StarganV2StyleEncoder,
)

counts = st.integers(1, 5)
powers = st.sampled_from([16, 32, 64])


def translator(seed: int, size: int = 32, high_pass: float = 0.0, channels: int = 3) -> StarganV2Generator:
    torch.manual_seed(seed)
    config = StarganV2GeneratorConfig(width=2, max_width=4, style_dim=STYLE, high_pass=high_pass)
    return StarganV2Generator(config, make_facts(size, channels=channels))


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


# ---- the generator ----


@pytest.mark.slow
@given(seed=seeds, size=powers, n=batches, high_pass=st.sampled_from([0.0, 1.0, 2.0]), channels=st.sampled_from([1, 3]))
def test_translation_keeps_shape_and_is_deterministic(
    seed: int, size: int, n: int, high_pass: float, channels: int
) -> None:
    if size == 16 and not high_pass:
        size = 32
    network, image = translator(seed, size, high_pass, channels), make_noise(seed, n, channels, size, size)
    style = make_noise(seed + 1, n, STYLE)
    result = network(image, style)
    assert result.shape == image.shape and result.isfinite().all()
    assert torch.equal(result, network.eval()(image, style)) and not network.state_dict().keys() & dict(
        network.named_buffers()
    )
    encoded = network.encode(image)
    assert encoded.features.shape[2] == (8 if high_pass else 16)
    assert set(encoded.details) == ({s for s in (32, 64, 128) if s <= size} if high_pass else set())
    assert torch.equal(result, network(image, style, encoded=encoded))


@pytest.mark.slow
@given(seed=seeds, high_pass=st.sampled_from([0.0, 1.0]), order=st.permutations(range(3)))
def test_translation_treats_faces_independently(seed: int, high_pass: float, order: list[int]) -> None:
    network, image, style = translator(seed, 32, high_pass), make_faces(seed, 3, 32), make_noise(seed + 1, 3, STYLE)
    masks = (
        (make_noise(seed + 2, 3, 1, 8, 8).sigmoid(), make_noise(seed + 3, 3, 1, 8, 8).sigmoid()) if high_pass else None
    )
    whole = network(image, style, masks)
    moved = None if masks is None else (masks[0][order], masks[1][order])
    close(network(image[order], style[order], moved), whole[order])
    alone = None if masks is None else (masks[0][:1], masks[1][:1])
    close(network(image[:1], style[:1], alone), whole[:1])


@pytest.mark.slow
@given(seed=seeds, high_pass=st.sampled_from([0.0, 1.0]))
def test_gradients_reach_image_style_and_every_parameter(seed: int, high_pass: float) -> None:
    """With high_pass too, where the official network has weights that nothing trains."""
    network = translator(seed, 32, high_pass)
    image, style = make_faces(seed, 2, 32).requires_grad_(), make_noise(seed, 2, STYLE).requires_grad_()
    (network(image, style) * make_noise(seed + 1, 2, 3, 32, 32)).sum().backward()
    for tensor in (image, style, *network.parameters()):
        assert tensor.grad is not None and tensor.grad.isfinite().all()
    assert image.grad.any() and style.grad.any()  # type: ignore[union-attr]


@settings(max_examples=5)
@given(seed=seeds)
def test_translation_gradients_match_finite_differences(seed: int) -> None:
    """Numerically, in image and style, with masks."""
    network = translator(seed, 32, 1.0).double()
    image, style = (
        make_faces(seed, 1, 32).double().requires_grad_(),
        make_noise(seed, 1, STYLE).double().requires_grad_(),
    )
    masks = (make_noise(seed + 2, 1, 1, 8, 8).sigmoid().double(),) * 2
    weight, along = (
        make_noise(seed + 1, 1, 3, 32, 32).double(),
        (make_noise(seed + 3, 1, 3, 32, 32), make_noise(seed + 4, 1, STYLE)),
    )

    def total(step: float) -> Tensor:
        return (network(image + step * along[0], style + step * along[1], masks) * weight).sum()

    gradients = torch.autograd.grad(total(0), (image, style))
    slope = sum((gradient * direction).sum() for gradient, direction in zip(gradients, along))
    with torch.no_grad():
        difference = float(total(1e-6) - total(-1e-6)) / 2e-6
    assert difference == pytest.approx(float(slope), rel=1e-3, abs=1e-3)


@pytest.mark.slow
@given(seed=seeds, size=powers)
def test_masks_pass_details_only_where_set(seed: int, size: int) -> None:
    network, image, style = translator(seed, size, 1.0), make_faces(seed, 2, size), make_noise(seed, 2, STYLE)
    empty, full = (torch.full((2, 1, 256, 256), value) for value in (0.0, 1.0))
    close(network(image, style, (empty, empty)), network(image, style))
    changed = network(image, style, (full, full)) - network(image, style)
    assert bool(changed.abs().max() > 1e-4) is (size > 16)  # the coarsest details are 32 pixels wide


def test_masks_need_high_pass() -> None:
    network, masks = translator(0), (torch.zeros(1, 1, 256, 256),) * 2
    assert not network.takes_masks and translator(0, 32, 1.0).takes_masks
    with pytest.raises(ValueError, match="high_pass=0"):
        network(make_faces(0, 1, 32), make_noise(0, 1, STYLE), masks)


@pytest.mark.parametrize(("size", "high_pass", "least"), [(96, 0.0, 32), (16, 0.0, 32), (24, 1.0, 16), (200, 1.0, 16)])
def test_unsupported_image_sizes_are_refused(size: int, high_pass: float, least: int) -> None:
    with pytest.raises(ConfigError, match=rf"generator 'stargan-v2'.*power of two, at least {least}, got {size}"):
        translator(0, size, high_pass)
    if size.bit_count() > 1:
        for network, config in (
            (StarganV2StyleEncoder, StarganV2StyleEncoderConfig()),
            (StarganV2Discriminator, StarganV2DiscriminatorConfig()),
        ):
            with pytest.raises(ConfigError, match=rf"'stargan-v2'.*power of two.*got {size}"):
                network(config, make_facts(size))


# ---- networks with heads ----


def inputs(slot: str, seed: int, n: int, size: int) -> Tensor:
    return make_noise(seed, n, 3) if slot == "mapping" else make_faces(seed, n, size)


@given(
    seed=seeds, size=powers, n=batches, k=counts, slot=st.sampled_from(["mapping", "style_encoder", "discriminator"])
)
def test_each_row_uses_its_own_head(seed: int, size: int, n: int, k: int, slot: str) -> None:
    network, x, domain = make_networks(seed, size, k)[slot], inputs(slot, seed, n, size), draw_domains(seed, n, k)
    said = network(x, domain)
    assert said.shape == ((n,) if slot == "discriminator" else (n, STYLE)) and said.isfinite().all()
    assert torch.equal(said, network.eval()(x, domain))
    order = torch.arange(n).flip(0)
    close(network(x[order], domain[order]), said[order])
    close(network(x[:1], domain[:1]), said[:1])
    rows = nn.functional.one_hot(domain, k)
    assert torch.equal(network(x, rows)[:, 0], said)
    with torch.no_grad():  # disturb every head but the first row's
        for key, parameter in network.named_parameters():
            if key.startswith("score"):
                parameter[torch.arange(k) != domain[0]] += 1
            elif "heads." in key and int(key.split("heads.")[1].split(".")[0]) != int(domain[0]):
                parameter += 1
    close(network(x, domain)[:1], said[:1])
    others = domain != domain[0]
    assert not others.any() or (network(x, domain)[others] - said[others]).abs().max() > 1e-3


@given(seed=seeds, size=powers, k=counts)
def test_discriminator_penalty_has_gradients(seed: int, size: int, k: int) -> None:
    """R1 differentiates the squared gradient of the score with respect to the image."""
    network, image, domain = (
        make_networks(seed, size, k)["discriminator"],
        make_faces(seed, 2, size),
        draw_domains(seed, 2, k),
    )
    image.requires_grad_()
    (slope,) = torch.autograd.grad(network(image, domain).sum(), image, create_graph=True)
    slope.square().sum().backward()
    kernels = [p for p in network.parameters() if p.dim() == 4]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in kernels) and any(p.grad.any() for p in kernels)


def test_networks_with_heads_need_domains() -> None:
    for network, config in (
        (StarganV2Mapping, StarganV2MappingConfig()),
        (StarganV2StyleEncoder, StarganV2StyleEncoderConfig()),
        (StarganV2Discriminator, StarganV2DiscriminatorConfig()),
    ):
        with pytest.raises(ConfigError, match="'stargan-v2': needs domains"):
            network(config, Facts(image_size=32))


# ---- the published sizes ----

PARAMETERS = {
    32: (28_740_099, 38_314_499, 18_433_664, 18_369_026, 18_466_496, 18_369_539),
    64: (32_634_883, 42_209_283, 20_327_808, 20_263_170, 20_360_640, 20_263_683),
    128: (33_632_003, 43_206_403, 20_799_744, 20_735_106, 20_832_576, 20_735_619),
    256: (33_892_995, 43_467_395, 20_916_928, 20_852_290, 20_949_760, 20_852_803),
    512: (33_964_099, 43_538_499, 20_945_824, 20_881_186, 20_978_656, 20_881_699),
    1024: (33_984_803, 43_559_203, 20_952_848, 20_888_210, 20_985_680, 20_888_723),
}
"""Generator without and with high_pass, style encoder and discriminator for 2 and for 3 domains."""
UNUSED = {32: 0, 64: 131_072, 128: 163_840, 256: 172_032, 512: 174_080, 1024: 174_592}
"""Weights of the official generator with high_pass that nothing uses: the 1x1 convolutions where widths change."""


def size_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("size", sorted(PARAMETERS))
def test_published_parameter_counts(size: int) -> None:
    with torch.device("meta"):
        found = [size_of(StarganV2Generator(StarganV2GeneratorConfig(), make_facts(size)))]
        found += [size_of(StarganV2Generator(StarganV2GeneratorConfig(high_pass=1), make_facts(size))) + UNUSED[size]]
        for k in (2, 3):
            found += [
                size_of(StarganV2StyleEncoder(StarganV2StyleEncoderConfig(), make_facts(size, k))),
                size_of(StarganV2Discriminator(StarganV2DiscriminatorConfig(), make_facts(size, k))),
            ]
    assert tuple(found) == PARAMETERS[size]


@pytest.mark.parametrize(
    ("k", "total"), [(1, 1_617_472), (2, 2_438_272), (3, 3_259_072), (6, 5_721_472), (10, 9_004_672)]
)
def test_published_parameter_counts_of_the_mapping(k: int, total: int) -> None:
    with torch.device("meta"):
        assert size_of(StarganV2Mapping(StarganV2MappingConfig(), make_facts(32, k))) == total


@pytest.mark.slow
@pytest.mark.parametrize(("size", "high_pass"), [(16, 1.0), (64, 0.0), (256, 1.0), (1024, 0.0)])
def test_networks_run_on_meta_device(size: int, high_pass: float) -> None:
    with torch.device("meta"):
        image, masks = torch.zeros(2, 3, size, size), (torch.zeros(2, 1, 256, 256),) * 2
        domain = torch.zeros(2, dtype=torch.int64)
        style = StarganV2Mapping(StarganV2MappingConfig(), make_facts(size))(torch.zeros(2, 16), domain)
        network = StarganV2Generator(StarganV2GeneratorConfig(high_pass=high_pass), make_facts(size))
        assert network(image, style, masks if high_pass else None).shape == image.shape
        assert (
            StarganV2StyleEncoder(StarganV2StyleEncoderConfig(), make_facts(size))(image, domain).shape == style.shape
        )
        assert StarganV2Discriminator(StarganV2DiscriminatorConfig(), make_facts(size))(image, domain).shape == (2,)


def test_networks_are_components() -> None:
    registry = Registry()
    registry.plugin = "stargan-v2"
    zoogan_stargan_v2.zoo_register(registry=registry)
    for role in ("style_translator", "style_mapping", "style_encoder", "style_discriminator"):
        spec = registry.components[role, "stargan-v2"]
        with torch.device("meta"):
            assert registry.build(role, spec.config(), make_facts(64)).list_compiled_modules()
