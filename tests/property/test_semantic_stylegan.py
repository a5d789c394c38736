"""SemanticStyleGAN's generator: what must hold for every number of parts and layers, and what its description says."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from support.semantic_networks import (
    STYLE,
    NetworkSizes,
    compose_parts,
    generate_part,
    make_latents,
    network_sizes,
    select_layer_rows,
)
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Draws, SynthesisedFace, World
from zoogan.testing.strategies import batches, make_noise, seeds
from zoogan_semantic_stylegan.config import SemanticStyleGANGeneratorConfig
from zoogan_semantic_stylegan.networks import SemanticStyleGANGenerator
from zoogan_semantic_stylegan.parts import PartComposition, PartGenerators


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-8)


def fields(made: SynthesisedFace) -> list[Tensor]:
    """All that a generator of parts gives."""
    assert made.segmentation is not None and made.coarse is not None and made.depth is not None
    return [made.image, made.segmentation, made.coarse, made.depth]


# ---- latents ----


@given(small=network_sizes(), seed=seeds, n=batches)
def test_latent_rows_unroll_as_published(small: NetworkSizes, seed: int, n: int) -> None:
    network = small.make_generator()
    latents = make_latents(seed, n, network)
    found = network.expand_rows(latents)
    assert torch.equal(found, select_layer_rows(small, latents)) and found.shape[1] == network.layers
    assert torch.equal(network.expand_rows(found), found)
    for one, other in zip(fields(network(latents)), fields(network(found))):
        assert torch.equal(one, other)
    with pytest.raises(ValueError, match=rf"expected {network.rows}, or {network.layers}"):
        network.expand_rows(make_noise(seed, n, network.rows + network.layers, STYLE))


@given(small=network_sizes())
def test_latent_rows_are_all_named(small: NetworkSizes) -> None:
    network = small.make_generator()
    named = [row for kinds in network.part_rows.values() for rows in kinds.values() for row in rows]
    assert sorted(named) == list(range(network.rows)) and network.rows == small.shared + 2 * small.parts
    assert [name for name in network.part_rows if name != "coarse"] == list(network.parts)
    assert ("coarse" in network.part_rows) == (small.shared > 0)


@given(small=network_sizes(), seed=seeds, data=st.data())
def test_mixing_swaps_shape_and_texture_by_part(small: NetworkSizes, seed: int, data: st.DataObject) -> None:
    network, n = small.make_generator(), 2
    one, other = make_latents(seed, n, network), make_latents(seed + 1, n, network)
    kinds = [[data.draw(st.integers(0, 2)) for _ in network.parts] for _ in range(n)]
    draw = Draws(0, World.make_single(), n, slice(None), {"parts": (torch.tensor(kinds) + 0.5) / 3})
    mixed = network.mix_latents(one, other, draw)
    for face in range(n):
        rows = [one[face, row] for row in range(small.shared)]
        for k, kind in enumerate(kinds[face]):
            shape, texture = small.shared + 2 * k, small.shared + 2 * k + 1
            rows += [(other if kind == 2 else one)[face, shape], (other if kind else one)[face, texture]]
        assert torch.equal(mixed[face], torch.stack(rows))


def test_mixing_draws_every_kind_for_every_part() -> None:
    network, n = NetworkSizes().make_generator(), 6000
    one, other = torch.zeros(n, network.rows, 1), torch.ones(n, network.rows, 1)
    mixed = network.mix_latents(one, other, Draws(5, World.make_single(), n, slice(None)))[..., 0]
    assert not mixed[:, :1].any()
    kinds = mixed[:, 1::2] + mixed[:, 2::2]
    for k in range(4):
        assert (kinds[:, k].long().bincount(minlength=3) / n - 1 / 3).abs().max() < 0.03
    assert (torch.corrcoef(kinds.t()) - torch.eye(4)).abs().max() < 0.06, "parts are drawn apart"


# ---- the generator against its description ----


@given(small=network_sizes(), seed=seeds, n=st.integers(1, 2))
def test_batched_parts_equal_reference_loops(small: NetworkSizes, seed: int, n: int) -> None:
    network = small.make_generator()
    latents = make_latents(seed, n, network)
    found = network.compute_part_features(latents)
    each = network.composition.compute_each_part(found.hidden)
    kept = (make_noise(seed, n, small.parts) > -0.5).double()
    masks = network.composition.compute_masks(found.depth, kept)
    whole = network.composition(found.hidden, masks)
    for face in range(n):
        rows = select_layer_rows(small, latents)[face].view(small.parts, small.layers, STYLE)
        wide, depth = zip(*(generate_part(network, small, k, rows[k], network.place) for k in range(small.parts)))
        close(each[face], torch.stack(wide))
        close(found.depth[face], torch.stack(depth))
        features, shown = compose_parts(small, torch.stack(wide), torch.stack(depth), kept[face])
        torch.testing.assert_close(masks[face], shown, atol=1e-7, rtol=1e-6)
        torch.testing.assert_close(whole[face], features, atol=1e-6, rtol=1e-6)


@pytest.mark.slow
@given(small=network_sizes(), seed=seeds, n=batches)
def test_shapes_ranges_and_repetition(small: NetworkSizes, seed: int, n: int) -> None:
    network = small.make_generator()
    latents = make_latents(seed, n, network)
    made = network(latents)
    sides = [(8 << k // 2,) * 2 for k in range(2 * int(math.log2(small.size // 4)))]
    assert network.noise_sizes == (tuple(sides) if small.noise else ())
    image, segmentation, coarse, depth = fields(made)
    assert image.shape == (n, 3, small.size, small.size)
    assert segmentation.shape == (n, small.parts, small.size, small.size)
    assert coarse.shape == depth.shape == (n, small.parts, small.coarse, small.coarse)
    close(((coarse + 1) / 2).sum(1), torch.ones_like(depth[:, 0]))
    assert coarse.min() >= -1 and coarse.max() <= 1 and not depth[:, 0].any()
    for one, other in zip(fields(made), fields(network.eval()(latents, network.get_fixed_noise()))):
        assert torch.equal(one, other) and one.isfinite().all()


@pytest.mark.slow
@given(small=network_sizes(), seed=seeds, order=st.permutations(range(3)))
def test_faces_are_generated_independently(small: NetworkSizes, seed: int, order: list[int]) -> None:
    network = small.make_generator()
    latents, maps = (
        make_latents(seed, 3, network),
        [make_noise(seed + k, 3, 1, *s).double() for k, s in enumerate(network.noise_sizes)],
    )
    whole = fields(network(latents, maps))
    for one, other in zip(fields(network(latents[order], [level[order] for level in maps])), whole):
        close(one, other[order])
    for one, other in zip(fields(network(latents[:1], [level[:1] for level in maps])), whole):
        close(one, other[:1])


# ---- what acts on what ----


@given(small=network_sizes(), seed=seeds, data=st.data())
def test_latent_row_changes_only_its_part(small: NetworkSizes, seed: int, data: st.DataObject) -> None:
    """A shape leaves the depths of all others, a texture all depths and masks, the shared ones the background: bits."""
    network = small.make_generator()
    latents = make_latents(seed, 2, network)
    row = data.draw(st.integers(0, network.rows - 1))
    changed = latents.clone()
    changed[:, row] += 1
    before, after = network.compute_part_features(latents), network.compute_part_features(changed)
    reached = (network.expand_rows(latents) != network.expand_rows(changed)).any(2)[0].view(small.parts, small.layers)
    k, texture = divmod(row - small.shared, 2)
    assert not reached[
        [other for other in range(small.parts) if (other == 0 if row < small.shared else other != k)]
    ].any()
    for other in range(small.parts):
        in_shape = bool(reached[other, : small.shape].any())
        assert torch.equal(before.depth[:, other], after.depth[:, other]) == (other == 0 or not in_shape)
        assert torch.equal(before.hidden[:, other], after.hidden[:, other]) == (not reached[other].any())
    if row >= small.shared and texture:
        assert torch.equal(before.depth, after.depth)
        for one, other_one in zip(fields(network(latents))[2:], fields(network(changed))[2:]):
            assert torch.equal(one, other_one)


@pytest.mark.slow
@given(small=network_sizes(), seed=seeds, data=st.data())
def test_invisible_parts_do_not_show(small: NetworkSizes, seed: int, data: st.DataObject) -> None:
    network = small.make_generator()
    latents = make_latents(seed, 2, network)
    kept = torch.tensor([[data.draw(st.booleans()) for _ in network.parts] for _ in range(2)]).double()
    made = network.generate_parts(latents, visible=kept)
    _, _, coarse, depth = fields(made)
    assert (coarse[kept == 0] == -1).all() and torch.equal(depth, fields(network(latents))[3])
    shown = ((coarse + 1) / 2).sum(1)[kept.any(1)]
    torch.testing.assert_close(shown, torch.ones_like(shown), atol=1e-3, rtol=0)  # but for 1e-8 over a faint sum
    for one, other in zip(
        fields(network.generate_parts(latents, visible=kept[:1])), fields(network.generate_parts(latents, visible=kept))
    ):
        close(one[:1], other[:1])
    for one, other in zip(
        fields(network.generate_parts(latents, visible=torch.ones(1, small.parts))), fields(network(latents))
    ):
        torch.testing.assert_close(one, other, atol=1e-5, rtol=1e-5)


@given(small=network_sizes(), seed=seeds, data=st.data())
def test_moving_part_coordinates_moves_only_that_part(small: NetworkSizes, seed: int, data: st.DataObject) -> None:
    network = small.make_generator()
    latents, k = make_latents(seed, 2, network), data.draw(st.integers(1, small.parts - 1))
    places = network.place.expand(1, small.parts, -1, -1, -1).clone()
    for one, other in zip(fields(network.generate_parts(latents, places=places)), fields(network(latents))):
        close(one, other)
    places[:, k] = 0.5 * places[:, k] + 0.1
    moved = network.compute_part_features(latents, places)
    again = network.compute_part_features(latents, network.place.expand(2, small.parts, -1, -1, -1))
    for other in range(small.parts):
        assert torch.equal(moved.depth[:, other], again.depth[:, other]) == (other != k)
        assert torch.equal(moved.hidden[:, other], again.hidden[:, other]) == (other != k)
    each = network.compute_part_features(latents, places.expand(2, -1, -1, -1, -1))
    assert torch.equal(each.hidden, moved.hidden), "one set of places serves all faces"


# ---- gradients ----


@given(small=network_sizes(), seed=seeds)
def test_gradients_reach_every_parameter(small: NetworkSizes, seed: int) -> None:
    """But for the background's shape where textures teach shapes nothing, for it has no depth."""
    network = small.make_generator()
    made = network(make_latents(seed, 2, network))
    torch.stack([(x * make_noise(seed + 1, *x.shape).double()).sum() for x in fields(made)]).sum().backward()
    for name, parameter in network.named_parameters():
        gradient = parameter.grad
        assert gradient is not None and gradient.isfinite().all(), name
        if name.startswith("part_generators.") and gradient.dim() > 1 and "depth" not in name:
            reached = gradient.flatten(2).any(2)
            learns = torch.ones_like(reached)
            if small.detach and small.layers > small.shape:
                learns[0, : small.shape] = False
            assert torch.equal(reached, learns), name
        else:
            assert gradient.any(), name


def test_parts_are_twice_differentiable() -> None:
    torch.manual_seed(3)
    parts, composition = PartGenerators(2, 2, 1, 2, 2).double(), PartComposition(2, 2, 2, (1,)).double()
    places = torch.randn(2, 4, dtype=torch.float64)

    def shown(latents: Tensor, weight: Tensor) -> Tensor:
        found = torch.func.functional_call(parts, {"weight": weight}, (latents, places, (2, 2)))
        return composition(found.hidden, composition.compute_masks(found.depth))

    latents = torch.randn(1, 4, 2, dtype=torch.float64, requires_grad=True)
    weight = parts.weight.detach().clone().requires_grad_()
    assert torch.autograd.gradcheck(shown, (latents, weight))
    assert torch.autograd.gradgradcheck(shown, (latents, weight))


# ---- precision, sizes, refusals ----


@given(small=network_sizes(), seed=seeds)
def test_half_precision_keeps_sums_and_masks_float32(small: NetworkSizes, seed: int) -> None:
    """What stages and masks add up to is not rounded; the rest is near."""
    network = small.make_generator(dtype=torch.float32)
    latents = make_latents(seed, 2, network)
    with torch.no_grad(), torch.autocast("cpu", dtype=torch.bfloat16):
        made = network(latents)
    for one, other in zip(fields(made), fields(network(latents))):
        assert one.dtype == torch.float32
        assert (one - other).norm() <= 0.1 * other.norm()
    assert made.coarse is not None
    torch.testing.assert_close(((made.coarse + 1) / 2).sum(1), torch.ones(2, small.coarse, small.coarse))


def test_mismatched_configs_are_refused() -> None:
    names = ("sky", "sea", "sand")
    for parts in ((), ("sky",)):
        with pytest.raises(ConfigError, match="faces of parts, and this source has"):
            SemanticStyleGANGenerator(NetworkSizes().make_config(), Facts(image_size=16, parts=parts))
    for config, size in (
        (SemanticStyleGANGeneratorConfig(coarse_size=16, render_from=8), 16),
        (SemanticStyleGANGeneratorConfig(coarse_size=12, render_from=4), 32),
        (SemanticStyleGANGeneratorConfig(coarse_size=8, render_from=2), 16),
        (SemanticStyleGANGeneratorConfig(coarse_size=16, render_from=16), 32),
        (SemanticStyleGANGeneratorConfig(coarse_size=32, render_from=24), 64),
    ):
        with pytest.raises(ConfigError, match="powers of two that rise from 4"):
            SemanticStyleGANGenerator(config, Facts(image_size=size, parts=names))
    config = SemanticStyleGANGeneratorConfig(
        part_layers=3, shared_layers=3, shape_layers=3, coarse_size=8, render_from=4
    )
    with pytest.raises(ConfigError, match="9 rows unrolled, as many as w\\+ has"):
        SemanticStyleGANGenerator(config, Facts(image_size=16, parts=names))
    for wrong in ({"shared_layers": 4, "shape_layers": 3}, {"shape_layers": 11}):
        with pytest.raises(ValueError, match="must not decrease"):
            SemanticStyleGANGeneratorConfig(**wrong)


@pytest.mark.parametrize(
    ("size", "coarse", "first"), [(16, 8, 4), (32, 16, 4), (64, 32, 8), (128, 64, 16), (256, 64, 16), (512, 64, 16)]
)
def test_layer_sizes_follow_image_size(size: int, coarse: int, first: int) -> None:
    with torch.device("meta"):
        network = SemanticStyleGANGenerator(
            SemanticStyleGANGeneratorConfig(), Facts(image_size=size, parts=("sky", "sea"))
        )
        made = network(torch.zeros(1, network.rows, 512))
    assert fields(made)[2].shape == (1, 2, coarse, coarse) and network.noise_sizes[0] == (2 * first, 2 * first)
    assert made.image.shape == (1, 3, size, size)
