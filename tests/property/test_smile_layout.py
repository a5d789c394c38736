"""SMILE's layout stage: what must hold for its networks, its part masks and its extra term at every size."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from support.smile_networks import LATENT, NARROW, STYLE, make_domains, make_facts, make_layouts, make_networks
from zoogan.auxiliary.part_maps import PartMaps
from zoogan.conditions.pairs import make_pairs
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Clock, Draws, Shared, Turn, World
from zoogan.layers import PartMapsConfig
from zoogan.testing.strategies import batches, make_labels, make_noise, seeds
from zoogan_smile.config import REGIONS, SemanticTermConfig, SmileGeneratorConfig, SmileMappingConfig
from zoogan_smile.networks import SmileDiscriminator, SmileGenerator, SmileMapping, SmileStyleEncoder
from zoogan_smile.terms import SemanticTerm
from zoogan_smile.weights import NETWORKS

sizes = st.sampled_from([32, 64])
modulations = st.sampled_from(["delta", "adain"])
high_passes = st.sampled_from([0.0, 1.0, 2.0])
narrows = st.sampled_from([None, 1, NARROW, STYLE])


def close(one: Tensor, other: Tensor) -> None:
    torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)


def make_masks(seed: int, n: int, high_pass: float) -> tuple[Tensor, Tensor] | None:
    if not high_pass:
        return None
    return make_noise(seed, n, 1, 8, 8).sigmoid(), make_noise(seed + 1, n, 1, 8, 8).sigmoid()


def make_maps(network: SmileGenerator, seed: int, n: int) -> list[Tensor] | None:
    """Noise for each place of a generator that takes it."""
    return [make_noise(seed + k, n, 1, *size) for k, size in enumerate(network.noise_sizes)] or None


# ---- networks ----


@pytest.mark.slow
@given(
    seed=seeds, size=sizes, n=batches, width=st.integers(1, 4), attributes=st.integers(1, 6), narrow=narrows,
    modulation=modulations, high_pass=high_passes, halvings=st.sampled_from([None, 1, 2, 3]),
)  # fmt: skip
def test_networks_keep_shapes_and_are_deterministic(
    seed: int, size: int, n: int, width: int, attributes: int, narrow: int | None, modulation: str, high_pass: float,
    halvings: int | None,
) -> None:  # fmt: skip
    facts = make_facts(size, attributes, parts=5)
    settings = {"width": width, "modulation": modulation, "high_pass": high_pass, "halvings": halvings}
    networks = make_networks(seed, facts, narrow, **settings)
    layout, domain = make_layouts(seed, n, facts), make_domains(seed, n, facts)
    generator, masks = networks["generator"], make_masks(seed, n, high_pass)
    assert isinstance(generator, SmileGenerator)
    style = networks["mapping"](make_noise(seed, n, LATENT), domain)
    noise = make_maps(generator, seed, n)
    assert style.shape == (n, attributes, STYLE) == networks["style_encoder"](layout, domain).shape
    assert networks["discriminator"](layout, domain).shape == (n, attributes)
    logits = generator(layout, style, masks, noise=noise)
    assert logits.shape == (n, 5, size, size) and logits.isfinite().all()
    assert torch.equal(logits, generator.eval()(layout, style, masks, noise=noise))
    encoded = generator.encode(layout)
    assert torch.equal(logits, generator(layout, style, masks, encoded, noise))
    expected = halvings or size.bit_length() - (4 if high_pass else 5)
    assert encoded.features.shape[2] == size >> expected
    kept = [side for side in (32, 64) if size >> expected < side <= size or side == size >> expected]
    assert set(encoded.details) == (set(kept) if high_pass else set())
    assert bool(noise) == (modulation == "delta")


@pytest.mark.slow
@given(seed=seeds, modulation=modulations, high_pass=high_passes, order=st.permutations(range(3)))
def test_faces_are_independent(seed: int, modulation: str, high_pass: float, order: list[int]) -> None:
    facts = make_facts(32, 3, parts=4)
    networks = make_networks(seed, facts, modulation=modulation, high_pass=high_pass)
    layout, domain = make_layouts(seed, 3, facts).double(), make_domains(seed, 3, facts)
    latent, masks = make_noise(seed, 3, LATENT).double(), make_masks(seed, 3, high_pass)
    generator, mapping, encoder, discriminator = (network.double() for network in networks.values())
    assert isinstance(generator, SmileGenerator)
    noise = make_maps(generator, seed, 3)
    style = mapping(latent, domain)
    whole = generator(layout, style, masks, noise=noise)
    for rows in (order, [0]):
        chosen = None if masks is None else (masks[0][rows], masks[1][rows])
        maps = None if noise is None else [one[rows] for one in noise]
        close(generator(layout[rows], style[rows], chosen, noise=maps), whole[rows])
        close(mapping(latent[rows], domain[rows]), style[rows])
        for network in (encoder, discriminator):
            close(network(layout[rows], domain[rows]), network(layout, domain)[rows])


@pytest.mark.slow
@pytest.mark.parametrize("modulation", ["delta", "adain"])
@pytest.mark.parametrize("high_pass", [0.0, 1.0])
@pytest.mark.parametrize("narrow", [None, NARROW])
def test_gradient_reaches_every_parameter(modulation: str, high_pass: float, narrow: int | None) -> None:
    facts = make_facts(32, 2, parts=4)
    networks = make_networks(0, facts, narrow, modulation=modulation, high_pass=high_pass, width=4, max_width=8)
    networks["mapping"] = SmileMapping(
        SmileMappingConfig(latent_dim=LATENT, width=32, style_dim=STYLE, narrow_dim=narrow), facts
    )
    layout, latent, masks = make_layouts(0, 8, facts), make_noise(0, 8, LATENT), make_masks(0, 8, high_pass)
    domain = make_pairs(torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]] * 2))
    generator = networks["generator"]
    assert isinstance(generator, SmileGenerator)
    style = networks["mapping"](latent, domain)
    logits = generator(layout, style, masks, noise=make_maps(generator, 0, 8))
    layout_made = logits.softmax(1)
    total = (networks["style_encoder"](layout_made, domain) - style).square().sum()
    (total + networks["discriminator"](layout_made, domain).square().sum()).backward()
    for slot, network in networks.items():
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None and parameter.grad.isfinite().all(), f"{slot}.{name}"
            assert parameter.grad.abs().sum() > 0, f"{slot}.{name}"


@pytest.mark.slow
@given(seed=seeds, attributes=st.integers(2, 6), changed=st.integers(0, 5), narrow=narrows)
def test_outputs_of_an_attribute_depend_on_its_own_pair(
    seed: int, attributes: int, changed: int, narrow: int | None
) -> None:
    """Another value of one attribute changes the style and the score of this attribute, and no others."""
    facts = make_facts(32, attributes, parts=4)
    networks = make_networks(seed, facts, narrow)
    changed %= attributes
    labels = make_labels(seed, 2, attributes)
    other = labels.clone()
    other[:, changed] = 1 - other[:, changed]
    layout, latent = make_layouts(seed, 2, facts), make_noise(seed, 2, LATENT)
    same = [k for k in range(attributes) if k != changed]
    for slot, given_ in (("mapping", latent), ("style_encoder", layout), ("discriminator", layout)):
        one, two = (networks[slot](given_, make_pairs(rows)) for rows in (labels, other))
        assert torch.equal(one[:, same], two[:, same])
        assert not torch.equal(one[:, changed], two[:, changed])


@given(seed=seeds, modulation=modulations)
def test_generator_reads_only_the_narrow_part_of_a_style(seed: int, modulation: str) -> None:
    facts = make_facts(32, 3, parts=4)  # Male is wide, the others are narrow
    generator = make_networks(seed, facts, modulation=modulation)["generator"]
    layout, style = make_layouts(seed, 1, facts), make_noise(seed, 1, 3, STYLE)
    ignored = style.clone()
    ignored[:, 1:, NARROW:] = 7.0
    assert torch.equal(generator(layout, style), generator(layout, ignored))
    for attribute, number in ((0, STYLE - 1), (1, NARROW - 1), (2, 0)):
        read = style.clone()
        read[:, attribute, number] += 3.0
        assert not torch.equal(generator(layout, style), generator(layout, read)), (attribute, number)


@given(seed=seeds, narrow=narrows)
def test_narrow_styles_repeat(seed: int, narrow: int | None) -> None:
    facts = make_facts(32, 3, parts=4)
    networks = make_networks(seed, facts, narrow)
    domain, dim = make_domains(seed, 2, facts), narrow or STYLE
    for style in (
        networks["mapping"](make_noise(seed, 2, LATENT), domain),
        networks["style_encoder"](make_layouts(seed, 2, facts), domain),
    ):
        assert torch.equal(style[:, 1:], style[:, 1:, :dim].repeat(1, 1, STYLE // dim))


@pytest.mark.slow
@given(seed=seeds, high_pass=high_passes)
def test_noise_has_no_effect_until_its_strength_is_learned(seed: int, high_pass: float) -> None:
    facts = make_facts(32, 2, parts=4)
    torch.manual_seed(seed)
    network = SmileGenerator(SmileGeneratorConfig(width=2, max_width=4, high_pass=high_pass), facts)
    layout, style = make_layouts(seed, 2, facts), make_noise(seed, 2, 2, 64)
    plain = network(layout, style)
    noise = make_maps(network, seed, 2)
    assert noise is not None and len(noise) == 2 * len(network.decoder.blocks)
    assert torch.equal(network(layout, style, noise=noise), plain)
    strengths = [parameter for name, parameter in network.named_parameters() if name.endswith("strength")]
    assert len(strengths) == len(network.decoder.blocks) and all(strength.shape == (1,) for strength in strengths)
    for strength in strengths:
        assert float(strength.detach()) == 0.0
        with torch.no_grad():
            strength.fill_(0.5)
        assert torch.equal(network(layout, style), plain), "without noise there is none"
        assert not torch.equal(network(layout, style, noise=noise), plain)
        with torch.no_grad():
            strength.zero_()


def test_noise_can_be_left_out() -> None:
    facts = make_facts(32, 2, parts=4)
    for settings in ({"noise": False}, {"modulation": "adain"}):
        network = SmileGenerator(SmileGeneratorConfig.model_validate({"width": 2, "max_width": 4} | settings), facts)
        assert network.noise_sizes == () and not any("strength" in name for name, _ in network.named_parameters())


COUNTS: list[tuple[str, type[nn.Module], dict[str, Any], int, int]] = [
    ("generator", SmileGenerator, {"high_pass": 1.0}, 256, 33_863_367),
    ("generator", SmileGenerator, {"high_pass": 1.0}, 64, 33_566_469),
    ("generator without heat maps", SmileGenerator, {}, 256, 24_448_710),
    ("generator (C)", SmileGenerator, {"high_pass": 1.0, "narrow_dim": None}, 256, 34_953_927),
    ("mapping", SmileMapping, {}, 256, 10_400_032),
    ("mapping (C)", SmileMapping, {"narrow_dim": None}, 256, 10_646_272),
    ("style encoder", SmileStyleEncoder, {}, 256, 21_008_224),
    ("style encoder at 64 px", SmileStyleEncoder, {}, 64, 20_446_752),
    ("discriminator", SmileDiscriminator, {}, 256, 20_866_636),
    ("discriminator at 64 px", SmileDiscriminator, {}, 64, 20_305_164),
]


@pytest.mark.parametrize(("name", "network", "settings", "size", "count"), COUNTS, ids=lambda value: str(value)[:30])
def test_published_parameters(
    name: str, network: type[nn.Module], settings: dict[str, Any], size: int, count: int
) -> None:
    (config,) = (config for config, made in NETWORKS.values() if made is network)
    with torch.device("meta"):
        made = network(config(**settings), make_facts(size))
    assert sum(parameter.numel() for parameter in made.parameters()) == count, name


def test_layouts_without_attributes_are_one_domain() -> None:
    """One head of the whole style: its gradient reaches every parameter, and it equals the head itself."""
    facts = make_facts(32, 0, 4)
    networks = make_networks(0, facts, NARROW, high_pass=1.0)
    layout, domain, latent = make_layouts(1, 2, facts), torch.ones(2, 1), make_noise(2, 2, LATENT)
    style = networks["style_encoder"](layout, domain)
    assert style.shape == networks["mapping"](latent, domain).shape == (2, 1, STYLE)
    assert networks["discriminator"](layout, domain).shape == (2, 1)
    masks = make_masks(3, 2, 1.0)
    raw = networks["generator"](layout, style, masks)
    assert raw.shape == layout.shape
    other = style.clone()
    other[..., -1] += 1  # beyond the numbers of a narrow style
    assert not torch.equal(networks["generator"](layout, other, masks), raw)
    encoder = networks["style_encoder"]
    assert isinstance(encoder, SmileStyleEncoder) and len(encoder.heads) == 1
    assert torch.equal(style[:, 0], encoder.heads[0](encoder.trunk(layout)))


def test_wrong_sizes_are_reported() -> None:
    with pytest.raises(ConfigError, match="power of two, at least 32, got 48"):
        SmileGenerator(SmileGeneratorConfig(width=2), Facts(image_size=48, channels=4, attributes=("Male",)))
    with pytest.raises(ConfigError, match=r"generator\.halvings: 4 halvings of 32 px; expected 1 or more, and 4 px"):
        SmileGenerator(SmileGeneratorConfig(width=2, halvings=4), make_facts(32, 1, 4))
    with pytest.raises(ConfigError, match="narrow_dim: 5 does not divide style_dim=6"):
        SmileMapping(SmileMappingConfig(style_dim=6, narrow_dim=5), make_facts(32, 2, 4))


# ---- masks of parts ----


@given(seed=seeds, n=batches, size=sizes, margin=st.integers(0, 3))
def test_part_masks_are_the_parts_and_their_margin(seed: int, n: int, size: int, margin: int) -> None:
    facts = make_facts(size)
    config = PartMapsConfig(parts=("nose", "mouth", "unheard_of"), margin=margin / size)
    layout = torch.zeros(n, 19, size, size)
    layout[:, 0] = 1.0
    places = torch.randint(size, (n, 2), generator=torch.Generator().manual_seed(seed)).tolist()
    for row, (y, x) in enumerate(places):
        layout[row, :, y, x] = torch.nn.functional.one_hot(torch.tensor(2 if row % 2 else 10), 19).float()
        layout[row, :, (y + 8) % size, (x + 8) % size] = torch.nn.functional.one_hot(torch.tensor(13), 19).float()
    coarse, fine = PartMaps(config, facts)(layout)
    assert torch.equal(coarse, fine) and coarse.shape == (n, 1, size, size)
    rows, columns = torch.meshgrid(torch.arange(size), torch.arange(size), indexing="ij")
    for row, (y, x) in enumerate(places):
        near = ((rows - y).abs() <= margin) & ((columns - x).abs() <= margin)
        assert torch.equal(coarse[row, 0], near.float())


@given(seed=seeds)
def test_part_masks_of_probabilities_are_their_sum(seed: int) -> None:
    facts = make_facts(32, parts=5)
    masks = PartMaps(PartMapsConfig(parts=("nose", "l_eye", "eye_g"), margin=0), facts)
    layout = make_noise(seed, 2, 5, 32, 32).softmax(1)
    coarse, _ = masks(layout.requires_grad_())
    close(coarse, layout[:, [2, 4, 3]].sum(1, keepdim=True))
    assert not coarse.requires_grad


@given(seed=seeds, n=batches, margin=st.integers(0, 3))
def test_inverted_part_masks_are_everything_else(seed: int, n: int, margin: int) -> None:
    facts = make_facts(32)
    config = PartMapsConfig(parts=("mouth", "l_eye"), margin=margin / 32)
    layout = make_layouts(seed, n, facts)
    layout[:, [4, 10]] = 0
    layout[:, 10, 20, 9] = 1
    kept, _ = PartMaps(config, facts)(layout)
    coarse, fine = PartMaps(config.model_copy(update={"inverted": True}), facts)(layout)
    assert torch.equal(coarse, 1 - kept) and torch.equal(fine, coarse)
    assert coarse[0, 0, 20, 9] == 0 and coarse[0, 0, 0, 0] == 1
    assert int((coarse == 0).sum()) == n * (2 * margin + 1) ** 2


def test_part_masks_need_a_part_of_the_data() -> None:
    with pytest.raises(ConfigError, match=r"none of nosee is a part of the data.*'?nose'?.*Name some of them"):
        PartMaps(PartMapsConfig(parts=("nosee",)), make_facts(32))
    with pytest.raises(ConfigError, match="its parts: none"):
        PartMaps(PartMapsConfig(), Facts(image_size=32))


# ---- the semantic term ----


def make_turn() -> Turn:
    world = World.make_single()
    draws = Draws(0, world, 2, slice(None))
    return Turn(nn.ModuleDict(), {}, {}, Shared(enabled=False), Clock(0, 1), world, draws)


def make_values(seed: int, facts: Facts, own: Tensor, labels: Tensor) -> dict[str, Tensor]:
    layout = make_layouts(seed, len(own), facts)
    made = make_noise(seed + 1, *layout.shape).softmax(1)
    style = make_noise(seed + 2, len(own), len(facts.attributes), STYLE)
    return {"image": layout, "translated": made, "own": make_pairs(own), "domain": make_pairs(labels), "style": style}


TERM = SemanticTermConfig(consistency=1.0, diversity=0.0)


@given(seed=seeds, attributes=st.integers(1, 6))
def test_consistency_of_an_unchanged_layout_is_zero(seed: int, attributes: int) -> None:
    facts = make_facts(32, attributes)
    values = make_values(seed, facts, make_labels(seed, 2, attributes), make_labels(seed + 5, 2, attributes))
    term = SemanticTerm(TERM, facts)
    assert float(term(make_turn(), values | {"translated": values["image"]})) == 0.0
    assert float(term(make_turn(), values)) >= 0.0


@given(seed=seeds, own=st.integers(0, 1), changed=st.sampled_from([k for k in range(1, 6)]))
def test_consistency_counts_pixels_that_no_changed_attribute_repaints(seed: int, own: int, changed: int) -> None:
    facts = make_facts(32)
    labels = torch.full((1, 6), float(own))
    target = labels.clone()
    target[:, changed] = 1 - target[:, changed]
    values = make_values(seed, facts, labels, target)
    free = [facts.parts.index(part) for part in REGIONS[facts.attributes[changed]]]
    distance = (values["translated"] - values["image"]).abs().mean(1)
    fixed = 1 - values["image"][:, free].sum(1)
    close(SemanticTerm(TERM, facts)(make_turn(), values), (distance * fixed).sum() / fixed.sum())
    # Male may repaint everything, and then nothing counts.
    target[:, 0] = 1 - target[:, 0]
    values["domain"] = make_pairs(target)
    assert float(SemanticTerm(TERM, facts)(make_turn(), values)) == 0.0


def test_divergence_is_that_of_two_normals() -> None:
    """KL(N(m, v) || N(0, 1)) of the moments of the batch."""
    facts = make_facts(32, 1)
    term = SemanticTerm(SemanticTermConfig(consistency=0.0, diversity=1.0), facts)

    def measure(*values: float) -> float:
        return float(term.compute_diversity(make_turn(), torch.tensor(values)[:, None, None]))

    assert measure(-1.0, 1.0) == pytest.approx(0.0, abs=1e-6)
    normal = torch.distributions.Normal(0.0, 1.0)
    for low, high in ((-2.0, 2.0), (0.0, 2.0), (1.0, 1.5), (-0.1, 0.1)):
        moments = torch.distributions.Normal((low + high) / 2, (high - low) / 2)
        expected = float(torch.distributions.kl_divergence(moments, normal))
        assert measure(low, high) == pytest.approx(expected, rel=1e-4) and expected > 0


def test_semantic_term_sends_gradients_to_style_and_translation() -> None:
    facts = make_facts(32)
    values = make_values(0, facts, torch.zeros(2, 6), torch.tensor([[0.0, 1, 0, 0, 0, 0]] * 2))
    values = {name: value.requires_grad_(name in ("style", "translated")) for name, value in values.items()}
    SemanticTerm(SemanticTermConfig(), facts)(make_turn(), values).backward()
    for name in ("style", "translated"):
        gradient = values[name].grad
        assert gradient is not None and float(gradient.abs().sum()) > 0, name


def test_semantic_term_reports_missing_values_and_parts() -> None:
    with pytest.raises(ConfigError, match="compares the parts of faces, and the data has none"):
        SemanticTerm(TERM, Facts(image_size=32, attributes=("Male",)))
    with pytest.raises(ValueError, match="needs the values own, domain, style of a step of the generator"):
        layout = torch.zeros(1, 19, 32, 32)
        SemanticTerm(TERM, make_facts(32))(make_turn(), {"image": layout, "translated": layout})
