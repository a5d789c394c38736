"""StyleGAN2's networks: what must hold at every size, and the published numbers."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

import zoogan_stylegan2
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Draws, World
from zoogan.layers.mapping import PixelNormMapping as Mapping
from zoogan.layers.widths import compute_synthesis_widths
from zoogan.testing.strategies import batches, make_faces, make_noise, seeds, sizes
from zoogan_stylegan2.config import StyleGAN2DiscriminatorConfig, StyleGAN2GeneratorConfig, StyleGAN2MappingConfig
from zoogan_stylegan2.networks import StyleGAN2Discriminator, StyleGAN2Generator

STYLE = 6


def generator(seed: int, size: int = 16, channels: int = 3, noisy: bool = True) -> StyleGAN2Generator:
    """A narrow one whose noise is heard and whose biases are not 0."""
    torch.manual_seed(seed)
    config = StyleGAN2GeneratorConfig(style_dim=STYLE, channel_multiplier=2**-8, max_width=5, noise=noisy)
    network = StyleGAN2Generator(config, Facts(image_size=size, channels=channels))
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("strength") or (name.endswith("bias") and "affine" not in name):
                parameter.normal_()
    return network.double()


def discriminator(seed: int, size: int = 16, group: int = 4) -> StyleGAN2Discriminator:
    torch.manual_seed(seed)
    config = StyleGAN2DiscriminatorConfig(channel_multiplier=2**-8, max_width=5, group=group)
    return StyleGAN2Discriminator(config, Facts(image_size=size)).double()


def mapping(seed: int, layers: int = 2) -> Mapping:
    torch.manual_seed(seed)
    return Mapping(StyleGAN2MappingConfig(style_dim=STYLE, layers=layers), Facts(image_size=16)).double()


def latents(seed: int, n: int, network: StyleGAN2Generator) -> Tensor:
    return make_noise(seed, n, network.rows, STYLE).double()


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-9, atol=1e-9)


# ---- the generator ----


@pytest.mark.slow
@given(seed=seeds, size=sizes, n=batches, channels=st.sampled_from([1, 3]), noisy=st.booleans())
def test_faces_have_image_shape_and_are_deterministic(seed: int, size: int, n: int, channels: int, noisy: bool) -> None:
    network = generator(seed, size, channels, noisy)
    assert network.rows == 2 * (size.bit_length() - 1) - 2
    sides = [4, *(side for side in (8, 16, 32) if side <= size for _ in range(2))]
    assert network.noise_sizes == (tuple((side, side) for side in sides) if noisy else ())
    wplus = latents(seed, n, network)
    made = network(wplus)
    assert made.image.shape == (n, channels, size, size) and made.image.isfinite().all()
    assert made.segmentation is None
    assert torch.equal(made.image, network(wplus).image), "its own noise is fixed"
    assert torch.equal(made.image, network.eval()(wplus, network.get_fixed_noise()).image)
    close(network(network.repeat_latent(wplus[:, 0])).image, network(wplus[:, :1].expand(-1, network.rows, -1)).image)


@pytest.mark.slow
@given(seed=seeds, size=sizes, order=st.permutations(range(3)))
def test_faces_are_generated_independently(seed: int, size: int, order: list[int]) -> None:
    network = generator(seed, size)
    wplus, maps = (
        latents(seed, 3, network),
        [make_noise(seed + k, 3, 1, *s).double() for k, s in enumerate(network.noise_sizes)],
    )
    whole = network(wplus, maps).image
    close(network(wplus[order], [level[order] for level in maps]).image, whole[order])
    close(network(wplus[:1], [level[:1] for level in maps]).image, whole[:1])


@pytest.mark.slow
@given(seed=seeds, size=sizes)
def test_zero_strength_noise_has_no_effect(seed: int, size: int) -> None:
    network, names = generator(seed, size), [f"noise_{k}" for k in range(2 * (size.bit_length() - 1) - 3)]
    assert set(names) == set(dict(network.named_buffers()))
    wplus = latents(seed, 1, network)
    other = [make_noise(seed + k, 1, 1, *s).double() for k, s in enumerate(network.noise_sizes)]
    assert (network(wplus).image - network(wplus, other).image).abs().max() > 1e-6
    with torch.no_grad():
        for name, parameter in network.named_parameters():
            if name.endswith("strength"):
                parameter.zero_()
    close(network(wplus).image, network(wplus, other).image)


def stages(network: StyleGAN2Generator, wplus: Tensor) -> list[Tensor]:
    """The features after each styled convolution, then the RGB sum of each resolution."""
    features: list[Tensor] = []
    pictures: list[Tensor] = []
    styled = [network.first, *(part for block in network.blocks for part in (block.up, block.conv))]
    hooks = [m.register_forward_hook(lambda module, args, out: features.append(out)) for m in styled]
    rgb = [network.first_rgb, *(block.rgb for block in network.blocks)]
    hooks += [m.register_forward_hook(lambda module, args, out: pictures.append(out)) for m in rgb]  # type: ignore
    network(wplus)
    for hook in hooks:
        hook.remove()
    return features + pictures


@pytest.mark.slow
@given(seed=seeds, size=sizes, data=st.data())
def test_latent_row_acts_from_its_layer_on(seed: int, size: int, data: st.DataObject) -> None:
    """Row 0 scales 4 x 4; of the others row k scales styled convolution k, and those of odd number a picture before it.

    The last row scales the last picture alone: features, and pictures before it, keep their bits.
    """
    network = generator(seed, size)
    wplus = latents(seed, 2, network)
    row = data.draw(st.integers(0, network.rows - 1))
    changed = wplus.clone()
    changed[:, row] += 1
    same = [torch.equal(a, b) for a, b in zip(stages(network, wplus), stages(network, changed))]
    features, pictures = same[: network.rows - 1], same[network.rows - 1 :]
    assert features == [k < row for k in range(network.rows - 1)]
    assert pictures == [k < row // 2 for k in range(len(pictures))]


@given(seed=seeds, n=batches, data=st.data())
def test_mixing_uses_second_latent_from_cut(seed: int, n: int, data: st.DataObject) -> None:
    network = generator(0)
    one, other = latents(seed, n, network), latents(seed + 1, n, network)
    cuts = [data.draw(st.integers(1, network.rows - 1)) for _ in range(n)]
    share = (torch.tensor(cuts).double() - 0.5) / (network.rows - 1)
    mixed = network.mix_latents(one, other, Draws(0, World.make_single(), n, slice(None), {"cut": share}))
    for k, cut in enumerate(cuts):
        assert torch.equal(mixed[k], torch.cat([one[k, :cut], other[k, cut:]]))


def test_mixing_draws_every_cut() -> None:
    """From 1 to the last row, each as often, and never none or all of a face."""
    network = generator(0, 32)
    one, other = torch.zeros(4000, network.rows, 1), torch.ones(4000, network.rows, 1)
    mixed = network.mix_latents(one, other, Draws(3, World.make_single(), 4000, slice(None)))[..., 0]
    counts = (mixed == 0).sum(1).bincount(minlength=network.rows)
    assert counts[0] == 0 and len(counts) == network.rows
    assert (counts[1:] / 4000 - 1 / (network.rows - 1)).abs().max() < 0.03


@given(seed=seeds, size=sizes)
def test_gradients_reach_latents_and_every_parameter(seed: int, size: int) -> None:
    network = generator(seed, size)
    wplus = latents(seed, 2, network).requires_grad_()
    (network(wplus).image * make_noise(seed + 1, 2, 3, size, size).double()).sum().backward()
    for tensor in (wplus, *network.parameters()):
        assert tensor.grad is not None and tensor.grad.isfinite().all() and tensor.grad.any()
    assert all(wplus.grad[:, row].any() for row in range(network.rows))  # type: ignore[index]


# ---- mapping and discriminator ----


@given(seed=seeds, n=batches, layers=st.integers(1, 3), factor=st.floats(0.1, 50))
def test_mapping_ignores_noise_length(seed: int, n: int, layers: int, factor: float) -> None:
    network, z = mapping(seed, layers), make_noise(seed, n, STYLE).double()
    w = network(z)
    assert w.shape == (n, STYLE) and network.latent_dim == network.style_dim == STYLE
    torch.testing.assert_close(network(factor * z), w, rtol=1e-4, atol=1e-4)
    close(network(z[:1]), w[:1])


@pytest.mark.slow
@given(seed=seeds, size=sizes, n=st.sampled_from([1, 3, 5]), channels=st.just(3))
def test_discriminator_accepts_any_batch_size(seed: int, size: int, n: int, channels: int) -> None:
    network, image = discriminator(seed, size), make_faces(seed, n, size).double()
    score = network(image)
    assert score.shape == (n, 1) and score.isfinite().all() and torch.equal(score, network(image))
    alone = discriminator(seed, size, group=1)
    alone.load_state_dict(network.state_dict())
    close(alone(image)[:1], alone(image[:1]))


@given(seed=seeds, size=sizes, n=st.sampled_from([1, 2, 3]))
def test_discriminator_penalty_has_gradients(seed: int, size: int, n: int) -> None:
    network, image = discriminator(seed, size), make_faces(seed, n, size).double().requires_grad_()
    (slope,) = torch.autograd.grad(network(image).sum(), image, create_graph=True)
    slope.square().sum().backward()
    weights = [p for p in network.parameters() if p.dim() > 1]
    assert all(p.grad is not None and p.grad.isfinite().all() for p in weights) and all(p.grad.any() for p in weights)  # type: ignore


# ---- the published sizes ----

PARAMETERS = {
    (32, 1): (21_523_475, 21_507_073), (32, 2): (21_523_475, 21_507_073),
    (64, 1): (23_819_544, 23_407_361), (64, 2): (27_032_600, 26_488_833),
    (128, 1): (24_525_213, 23_882_369), (128, 2): (29_328_669, 28_389_121),
    (256, 1): (24_767_458, 24_001_089), (256, 2): (30_034_338, 28_864_129),
}  # fmt: skip
"""Of generator with mapping, and of the discriminator, by image size and channel multiplier."""


def size_of(network: nn.Module) -> int:
    return sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(("size", "multiplier"), sorted(PARAMETERS))
def test_published_parameter_counts(size: int, multiplier: int) -> None:
    facts = Facts(image_size=size)
    with torch.device("meta"):
        made = size_of(StyleGAN2Generator(StyleGAN2GeneratorConfig(channel_multiplier=multiplier), facts))
        found = (
            made + size_of(Mapping(StyleGAN2MappingConfig(), facts)),
            size_of(StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(channel_multiplier=multiplier), facts)),
        )
    assert found == PARAMETERS[size, multiplier]


@pytest.mark.parametrize("multiplier", [1.0, 2.0])
def test_published_widths(multiplier: float) -> None:
    sides = {64: 256, 128: 128, 256: 64, 512: 32, 1024: 16}
    wanted = [512] * 4 + [min(512, width * multiplier) for width in sides.values()]
    assert compute_synthesis_widths(1024, multiplier, 512) == wanted
    assert compute_synthesis_widths(64, multiplier, 512) == wanted[:5]
    assert compute_synthesis_widths(1024, multiplier, None) == [512] * 4 + [
        int(width * multiplier) for width in sides.values()
    ]
    assert compute_synthesis_widths(128, 3.0, None) == [512] * 4 + [768, 384] and compute_synthesis_widths(
        64, 0.5, None
    ) == [512] * 4 + [128]
    assert compute_synthesis_widths(64, 3.0, 768) == [768] * 5, "a number is a limit for all sizes"
    assert compute_synthesis_widths(64, 1.0, 100) == [100] * 5 and compute_synthesis_widths(32, 1 / 16, 512) == [
        256,
        128,
        64,
        32,
    ]


@pytest.mark.parametrize("size", [64, 1024])
def test_networks_run_on_meta_device(size: int) -> None:
    facts = Facts(image_size=size)
    with torch.device("meta"):
        network = StyleGAN2Generator(StyleGAN2GeneratorConfig(), facts)
        w = Mapping(StyleGAN2MappingConfig(), facts)(torch.zeros(2, 512))
        image = network(network.repeat_latent(w)).image
        assert network.rows == {64: 10, 1024: 18}[size] and image.shape == (2, 3, size, size)
        assert StyleGAN2Discriminator(StyleGAN2DiscriminatorConfig(), facts)(image).shape == (2, 1)


@pytest.mark.parametrize("size", [24, 48, 100, 200])
def test_unsupported_image_sizes_are_refused(size: int) -> None:
    facts = Facts(image_size=size)
    for network, config in (
        (StyleGAN2Generator, StyleGAN2GeneratorConfig()),
        (StyleGAN2Discriminator, StyleGAN2DiscriminatorConfig()),
    ):
        with pytest.raises(ConfigError, match=rf"image_size: expected a power of two, at least 8, got {size}"):
            network(config, facts)  # type: ignore[operator]
    with pytest.raises(ConfigError, match="at least 8, got 4"):
        compute_synthesis_widths(4, 2.0, 512)


def test_networks_are_components() -> None:
    registry = Registry()
    registry.plugin = "stylegan2"
    zoogan_stylegan2.zoo_register(registry=registry)
    for role in ("latent_generator", "latent_mapping", "image_discriminator"):
        spec = registry.components[role, "stylegan2"]
        with torch.device("meta"):
            assert registry.build(role, spec.config(), Facts(image_size=64)).list_compiled_modules()
