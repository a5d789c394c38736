"""SemanticStyleGAN's discriminator of pairs, what its game minimises, and the two extra terms."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn
from torch.nn import functional as F

import zoogan.builtin
import zoogan_semantic_stylegan
from support.semantic_networks import STYLE, NetworkSizes, make_latents, network_sizes
from zoogan.composition.build import Composition, compose
from zoogan.config import validate
from zoogan.config.registry import Registry
from zoogan.facts import Facts
from zoogan.games.synthesis import Synthesis, make_one_hot_maps
from zoogan.interfaces import Clock, Draws, Shared, SynthesisedFace, Turn, World
from zoogan.layers.mapping import PixelNormMapping
from zoogan.losses.synthesis import mask_loss
from zoogan.testing.strategies import make_faces, make_noise, seeds
from zoogan_semantic_stylegan.config import (
    SemanticConsistencyConfig,
    SemanticDiversityConfig,
    SemanticStyleGANDiscriminatorConfig,
    SemanticStyleGANGeneratorConfig,
    SemanticStyleGANMappingConfig,
)
from zoogan_semantic_stylegan.networks import SemanticStyleGANDiscriminator, SemanticStyleGANGenerator
from zoogan_semantic_stylegan.terms import SemanticConsistency, SemanticDiversity

pairs = st.sampled_from([1, 3])


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-8, atol=1e-10)


def classes(seed: int, n: int, size: int, parts: int) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(parts, (n, size, size), generator=generator, dtype=torch.uint8)


def turn_of(networks: nn.ModuleDict, n: int, seed: int, batch: dict[str, Tensor], **injected: Tensor) -> Turn:
    draw = Draws(seed, World.make_single(), n, slice(None), injected)
    return Turn(networks, {"source": batch}, {}, Shared(), Clock(0, 1), World.make_single(), draw)


# ---- the discriminator ----


@pytest.mark.slow
@given(small=network_sizes(), seed=seeds, n=pairs)
def test_discriminator_scores_pairs_and_images(small: NetworkSizes, seed: int, n: int) -> None:
    network, image = small.make_discriminator(seed), make_faces(seed, n, small.size).double()
    layout = make_one_hot_maps(classes(seed, n, small.size, small.parts), small.parts, like=image)
    pair, alone = network(image, layout), network(image)
    assert pair.shape == alone.shape == (n, 1) and pair.isfinite().all() and not torch.equal(pair, alone)
    assert torch.equal(network(image, layout), pair)
    shuffled = layout.roll(1, 1)
    assert not torch.equal(network(image, shuffled), pair), "which class is where counts"
    assert network.segmentation_trunk is not None
    with torch.no_grad():  # a branch that gives nothing
        last = network.segmentation_trunk[-1]
        for parameter in (last.second.weight, last.second.bias, last.shortcut.weight):
            parameter.zero_()
    assert torch.equal(network(image, layout), alone)


def test_discriminator_without_parts_scores_images() -> None:
    network = SemanticStyleGANDiscriminator(
        SemanticStyleGANDiscriminatorConfig(channel_multiplier=2**-8, max_width=5), Facts(image_size=16)
    )
    assert network.classes == 0 and network.segmentation_trunk is None and network(make_faces(0, 2, 16)).shape == (2, 1)


# ---- the published sizes ----

PARTS = tuple(f"part {k}" for k in range(13))
SIZES = {256: (20_208_020, 51_169_793), 512: (20_320_358, 51_406_593)}
"""Parameters of generator with mapping, and of the discriminator."""


@pytest.mark.parametrize("size", SIZES)
def test_published_parameter_counts_and_shapes(size: int) -> None:
    facts = Facts(image_size=size, parts=PARTS, transparent=PARTS[10:13:2])
    with torch.device("meta"):
        mapping = PixelNormMapping(SemanticStyleGANMappingConfig(), facts)
        generator, discriminator = (
            SemanticStyleGANGenerator(SemanticStyleGANGeneratorConfig(), facts),
            SemanticStyleGANDiscriminator(SemanticStyleGANDiscriminatorConfig(), facts),
        )
        made = generator(torch.zeros(2, 28, 512))
        assert discriminator(made.image, made.segmentation).shape == (2, 1)
    counts = [sum(p.numel() for p in network.parameters()) for network in (mapping, generator, discriminator)]
    assert counts[0] == 2_101_248 and (counts[0] + counts[1], counts[2]) == SIZES[size]
    assert (generator.rows, generator.layers) == (28, 130)
    assert made.image.shape == (2, 3, size, size) and made.segmentation.shape == (2, 13, size, size)
    assert made.coarse.shape == made.depth.shape == (2, 13, 64, 64)


# ---- what the game minimises ----


@given(seed=seeds, n=st.integers(1, 3), parts=st.integers(2, 5), factor=st.sampled_from([1, 2, 4]))
def test_mask_term_equals_reference_loop(seed: int, n: int, parts: int, factor: int) -> None:
    coarse, whole = (
        make_noise(seed, n, parts, 4, 4).double(),
        make_noise(seed + 1, n, parts, 4 * factor, 4 * factor).double(),
    )
    total = 0.0
    for place in torch.cartesian_prod(*(torch.arange(k) for k in coarse.shape)).tolist():
        face, part, y, x = place
        block = whole[face, part, factor * y : factor * (y + 1), factor * x : factor * (x + 1)]
        total += float(coarse[face, part, y, x] - block.mean()) ** 2
    made = SynthesisedFace(torch.zeros(n, 3, 4 * factor, 4 * factor), whole, coarse)
    assert float(mask_loss(made)) == pytest.approx(total / coarse.numel(), rel=1e-9)


@given(seed=seeds, n=st.integers(1, 3), parts=st.integers(1, 6))
def test_segmentation_encodes_as_plus_minus_one(seed: int, n: int, parts: int) -> None:
    label = classes(seed, n, 3, parts)
    shown = make_one_hot_maps(label, parts, like=torch.zeros(1, dtype=torch.float64))
    assert shown.dtype == torch.float64 and shown.shape == (n, parts, 3, 3)
    for face in range(n):
        for y in range(3):
            for x in range(3):
                wanted = [1.0 if part == int(label[face, y, x]) else -1.0 for part in range(parts)]
                assert shown[face, :, y, x].tolist() == wanted


@pytest.fixture(scope="module")
def registry() -> Registry:
    registry = Registry()
    for module in (zoogan.builtin, zoogan_semantic_stylegan):
        registry.plugin = module.__name__
        module.zoo_register(registry=registry)
    return registry


def composition_of(registry: Registry, small: NetworkSizes, **settings: object) -> Composition:
    narrow = {"channel_multiplier": 2**-8, "max_width": 5}
    layer = {
        "data": {"source": "drawn", "image_size": small.size},
        "generator": small.make_config().model_dump(),
        "mapping": {"use": "semantic-stylegan", "style_dim": STYLE, "layers": 2},
        "discriminator": {"use": "semantic-stylegan", **narrow},
        **settings,
    }
    config = validate(registry.methods["semantic-stylegan"], registry, layer)
    composition = compose(config, small.make_facts(), registry)
    composition.networks.double()
    return composition


@pytest.mark.slow
@given(seed=seeds, n=pairs, ratio=st.floats(0.1, 1000.0))
def test_penalty_weighs_segmentation_gradient(registry: Registry, seed: int, n: int, ratio: float) -> None:
    small = NetworkSizes()
    composition = composition_of(registry, small, weights={"segmentation_penalty": ratio})
    game, discriminator = composition.game, composition.networks["discriminator"]
    assert isinstance(game, Synthesis) and game.judges_pairs
    image, label = make_faces(seed, n, small.size).double(), classes(seed, n, small.size, small.parts)
    batch = {"image": image, "segmentation": label}
    found = game.compute_penalty_terms(turn_of(composition.networks, n, seed, batch))["penalty"]
    shown = image.clone().requires_grad_(), make_one_hot_maps(label, small.parts, like=image).requires_grad_()
    slopes = torch.autograd.grad(discriminator(*shown).sum(), shown)
    r1_img, r1_seg = (slope.square().sum((1, 2, 3)).mean() for slope in slopes)
    close(found, (r1_img + ratio * r1_seg) / 2)


def test_image_game_reads_no_segmentation(registry: Registry) -> None:
    small = NetworkSizes()
    composition = composition_of(registry, small, judge_segmentation=False)
    game = composition.game
    assert game.needs["source"].fields == ("image",)
    terms = game.compute_penalty_terms(
        turn_of(composition.networks, 2, 0, {"image": make_faces(0, 2, small.size).double()})
    )
    assert float(terms["penalty"].detach()) > 0


# ---- terms that are no part of the published method ----


def make_networks(small: NetworkSizes, seed: int = 0) -> nn.ModuleDict:
    mapping = PixelNormMapping(SemanticStyleGANMappingConfig(style_dim=STYLE, layers=1), small.make_facts()).double()
    return nn.ModuleDict({"generator": small.make_generator(seed), "mapping": mapping})


def consistency(networks: nn.ModuleDict, latents: Tensor, parts: list[int], other: Tensor) -> Tensor:
    """The term, for parts and second noise that are known."""
    network, n = networks["generator"], len(latents)
    chosen = (torch.tensor(parts) + 0.5) / len(network.parts)  # type: ignore[arg-type]
    draws = {"semantic_consistency": other, "semantic_consistency.part": chosen}
    turn = turn_of(networks, n, 0, {}, **draws)
    return SemanticConsistency(SemanticConsistencyConfig(weight=1.0))(turn, {"latents": latents})


@given(small=network_sizes(), seed=seeds, data=st.data())
def test_consistency_term_equals_reference_loop(small: NetworkSizes, seed: int, data: st.DataObject) -> None:
    networks, n = make_networks(small), 2
    network: SemanticStyleGANGenerator = networks["generator"]  # type: ignore[assignment]
    latents, z = make_latents(seed, n, network), make_noise(seed + 1, n, STYLE).double()
    parts = [data.draw(st.integers(0, small.parts - 1)) for _ in range(n)]
    costs = []
    for face, k in enumerate(parts):
        other = network.repeat_latent(networks["mapping"](z[face : face + 1])).clone()
        rows = [small.shared + 2 * k, small.shared + 2 * k + 1]
        other[:, rows] = latents[face : face + 1, rows]
        means, shares = [], []
        for rows_of in (latents[face : face + 1], other):
            found = network.compute_part_features(rows_of)
            mask = found.depth.softmax(1)[0, k]
            means.append(
                (mask * network.composition.compute_each_part(found.hidden)[0, k]).sum((1, 2)) / (mask.sum() + 1e-8)
            )
            shares.append(float(mask.detach().mean()))
        if min(shares) > 1e-3:
            costs.append((1 - F.cosine_similarity(*means, dim=0)).square())
    wanted = sum(costs) / len(costs) if costs else torch.zeros((), dtype=torch.float64)
    found_term = consistency(networks, latents, parts, z)
    torch.testing.assert_close(found_term, wanted, atol=1e-5, rtol=1e-5)  # 1e-8 of the sum, and of the mean
    assert 0 <= float(found_term.detach()) <= 4


def test_consistency_is_zero_for_independent_parts() -> None:
    """No shared rows and no places: then a part looks the same whatever the others do."""
    for shared, own in ((2, False), (0, True)):
        networks = make_networks(NetworkSizes(shared=shared))
        network: SemanticStyleGANGenerator = networks["generator"]  # type: ignore[assignment]
        latents, z = make_latents(1, 2, network).requires_grad_(), make_noise(2, 2, STYLE).double()
        cost = consistency(networks, latents, [1, 2], z)
        assert float(cost.detach()) > (1e-6 if shared else 0)
        cost.backward()
        assert latents.grad is not None and latents.grad.isfinite().all() and latents.grad.any()
        weight = network.part_generators.weight
        assert weight.grad is not None and weight.grad[1:3].any()
        with torch.no_grad():
            network.positions.weight.zero_()
        assert (float(consistency(networks, latents, [1, 3], z).detach()) < 1e-20) == own


def test_invisible_parts_have_no_consistency() -> None:
    networks = make_networks(NetworkSizes())
    network: SemanticStyleGANGenerator = networks["generator"]  # type: ignore[assignment]
    with torch.no_grad():
        network.part_generators.depth_bias[1] = -1e3
    latents, z = make_latents(1, 2, network).requires_grad_(), make_noise(2, 2, STYLE).double()
    gone = consistency(networks, latents, [2, 2], z)
    gone.backward()
    assert float(gone.detach()) == 0 and latents.grad is not None and not latents.grad.any()
    close(consistency(networks, latents, [1, 2], z), consistency(networks, latents[:1], [1], z[:1]))


@pytest.mark.parametrize(
    ("textures", "above", "below"),
    [
        ([[1.0, 0.0], [1.0, 3**0.5]], 0.25, 2.25),  # 60 degrees apart
        ([[2.0, 0.0], [0.0, 3.0]], 0.0, 1.0),
        ([[1.0, 0.0], [-5.0, 0.0]], 0.0, 0.0),
        ([[1.0, 0.0], [0.0, 1.0], [1.0, 0.0]], 1 / 3, (1 + 1 + 4) / 3),
        ([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], 0.0, 2 / 3),
    ],
)
def test_diversity_term_of_known_textures(textures: list[list[float]], above: float, below: float) -> None:
    small = NetworkSizes(parts=len(textures), transparent=())
    networks = make_networks(small)
    network: SemanticStyleGANGenerator = networks["generator"]  # type: ignore[assignment]
    latents = make_latents(0, 2, network)
    for k, texture in enumerate(textures):
        latents[:, small.shared + 2 * k + 1] = F.pad(torch.tensor(texture, dtype=torch.float64), (0, STYLE - 2))
    turn, values = turn_of(networks, 2, 0, {}), {"latents": latents.requires_grad_()}
    assert float(SemanticDiversity(SemanticDiversityConfig(weight=1.0))(turn, values).detach()) == pytest.approx(
        above, abs=1e-9
    )
    cost = SemanticDiversity(SemanticDiversityConfig(weight=1.0, target=-1))(turn, values)
    assert float(cost.detach()) == pytest.approx(below, abs=1e-9)
    cost.backward()
    assert latents.grad is not None
    textured = [small.shared + 2 * k + 1 for k in range(small.parts)]
    others = [row for row in range(network.rows) if row not in textured]
    assert not latents.grad[:, others].any() and bool(latents.grad[:, textured].any()) == (below not in (0.0,))


@pytest.mark.parametrize("term", [SemanticConsistency(), SemanticDiversity()])
def test_terms_report_missing_networks(term: SemanticConsistency | SemanticDiversity) -> None:
    networks = make_networks(NetworkSizes())
    with pytest.raises(ValueError, match="needs the value 'latents', which only the generator's step computes"):
        term(turn_of(networks, 2, 0, {}), {})
    networks["generator"] = nn.Identity()
    with pytest.raises(ValueError, match="needs generator 'semantic-stylegan', whose parts have latents of their own"):
        term(turn_of(networks, 2, 0, {}), {"latents": torch.zeros(2, 9, STYLE)})


def test_optional_terms_are_off_by_default(registry: Registry) -> None:
    assert not composition_of(registry, NetworkSizes()).game.get_extra_weights("generator")
    asked = {"generator": {"semantic_diversity": {"weight": 2.0}, "semantic_consistency": {"weight": 1.0}}}
    composition = composition_of(registry, NetworkSizes(), extra_terms=asked)
    game, latents = composition.game, make_latents(0, 2, composition.networks["generator"])  # type: ignore[arg-type]
    assert game.get_extra_weights("generator") == {"semantic_diversity": 2.0, "semantic_consistency": 1.0}
    terms = game.compute_extra_terms("generator", turn_of(composition.networks, 2, 0, {}), {"latents": latents})
    assert set(terms) == set(asked["generator"]) and all(term.isfinite() for term in terms.values())
