"""Small networks of SemanticStyleGAN, and a slow reference implementation of the paper's description, in loops."""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from zoogan.facts import Facts
from zoogan.testing.tensors import make_noise
from zoogan_semantic_stylegan.config import SemanticStyleGANDiscriminatorConfig, SemanticStyleGANGeneratorConfig
from zoogan_semantic_stylegan.networks import SemanticStyleGANDiscriminator, SemanticStyleGANGenerator

STYLE = 5


@dataclass(frozen=True)
class NetworkSizes:
    """Sizes and switches of a small generator, drawn by hypothesis."""

    parts: int = 4
    layers: int = 4
    shared: int = 1
    shape: int = 2
    width: int = 4
    features: int = 6
    size: int = 16
    coarse: int = 8
    transparent: tuple[int, ...] = (2,)
    refine: bool = True
    detach: bool = False
    noise: bool = True

    def make_config(self) -> SemanticStyleGANGeneratorConfig:
        """Make the config of the generator."""
        return SemanticStyleGANGeneratorConfig(
            style_dim=STYLE, part_layers=self.layers, part_width=self.width, shared_layers=self.shared,
            shape_layers=self.shape, coarse_size=self.coarse, feature_width=self.features, render_from=4,
            refine=self.refine, detach_texture=self.detach, channel_multiplier=2**-8, max_width=5, noise=self.noise,
        )  # fmt: skip

    def make_facts(self) -> Facts:
        """Make the facts of data with these parts."""
        names = tuple(f"part {k}" for k in range(self.parts))
        return Facts(image_size=self.size, parts=names, transparent=tuple(names[k] for k in self.transparent))

    def make_generator(self, seed: int = 0, dtype: torch.dtype = torch.float64) -> SemanticStyleGANGenerator:
        """Make a generator of random parameters, so that its noise counts too."""
        torch.manual_seed(seed)
        network = SemanticStyleGANGenerator(self.make_config(), self.make_facts())
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_()
        return network.to(dtype)

    def make_discriminator(self, seed: int = 0) -> SemanticStyleGANDiscriminator:
        """Make a discriminator of random parameters, in float64."""
        torch.manual_seed(seed)
        network = SemanticStyleGANDiscriminator(
            SemanticStyleGANDiscriminatorConfig(channel_multiplier=2**-8, max_width=5), self.make_facts()
        )
        with torch.no_grad():
            for parameter in network.parameters():
                parameter.normal_()
        return network.double()


@st.composite
def network_sizes(draw: st.DrawFn) -> NetworkSizes:
    """Draw any valid sizes."""
    layers = draw(st.integers(1, 5))
    shape = draw(st.integers(1, layers))
    shared = draw(st.integers(0, shape))
    parts = draw(st.integers(2, 6).filter(lambda k: shared + 2 * k != k * layers))
    size = draw(st.sampled_from([16, 32]))
    coarse = draw(st.sampled_from([8, 16] if size == 32 else [8]))
    transparent = tuple(sorted(draw(st.sets(st.integers(0, parts - 1), max_size=parts - 1))))
    flags = [draw(st.booleans()) for _ in range(3)]
    width, features = draw(st.integers(2, 8)), draw(st.integers(2, 8))
    return NetworkSizes(parts, layers, shared, shape, width, features, size, coarse, transparent, *flags)


def make_latents(seed: int, n: int, network: SemanticStyleGANGenerator) -> Tensor:
    """Make random latents (n, rows, style_dim) in the dtype of the network."""
    return make_noise(seed, n, network.rows, STYLE).to(network.positions.weight.dtype)


# ---- the published description, in loops ----


def select_layer_rows(sizes: NetworkSizes, latents: Tensor) -> Tensor:
    """Select the latent row of each layer of each part (section 2.3)."""
    rows = []
    for part in range(sizes.parts):
        for layer in range(sizes.layers):
            if layer >= sizes.shape:
                row = sizes.shared + 2 * part + 1
            elif part > 0 and layer < sizes.shared:
                row = layer
            else:
                row = sizes.shared + 2 * part
            rows.append(latents[:, row])
    return torch.stack(rows, 1)


def compute_positions(network: SemanticStyleGANGenerator, place: Tensor) -> Tensor:
    """Compute features (width, h, w) of coordinates (2, h, w) (section 2.2, 2)."""
    weight, channels = network.positions.weight, [place[0], place[1]]
    for k in range((weight.shape[1] - 2) // 4):
        channels += [torch.sin(2**k * place[0]), torch.sin(2**k * place[1])]
        channels += [torch.cos(2**k * place[0]), torch.cos(2**k * place[1])]
    return torch.einsum("oi,ihw->ohw", weight / math.sqrt(weight.shape[1]), torch.stack(channels))


def generate_part(
    network: SemanticStyleGANGenerator, sizes: NetworkSizes, k: int, rows: Tensor, place: Tensor
) -> tuple[Tensor, Tensor]:
    """Generate wide features (o, h, w) and depth (h, w) of part k of one face (sections 2.1 and 2.2, 3).

    Args:
        network: The generator whose weights are used.
        sizes: Its sizes.
        k: Number of the part.
        rows: Latent rows of the layers of the part.
        place: Coordinates (2, h, w).
    """
    networks, x = network.part_generators, compute_positions(network, place)
    depth = torch.zeros_like(x[0])
    for layer in range(sizes.layers):
        scale = networks.affine_weight[k, layer] @ rows[layer] / math.sqrt(STYLE) + networks.affine_bias[k, layer]
        weight = networks.weight[k, layer] * scale / math.sqrt(sizes.width)
        weight = weight / torch.sqrt((weight**2).sum(1, keepdim=True) + 1e-8)
        x = torch.einsum("oi,ihw->ohw", weight, x) + networks.bias[k, layer][:, None, None]
        x = math.sqrt(2) * F.leaky_relu(x, 0.2)
        if layer == sizes.shape - 1:
            if k > 0:
                weight = networks.depth_weight[k - 1] * networks.depth_scale[k - 1] / math.sqrt(sizes.width)
                depth = torch.einsum("i,ihw->hw", weight, x) + networks.depth_bias[k - 1]
            x = x.detach() if sizes.detach and layer < sizes.layers - 1 else x
    to_features = network.composition.weight[k] * network.composition.scale[k] / math.sqrt(sizes.width)
    return torch.einsum("oi,ihw->ohw", to_features, x) + network.composition.bias[k][:, None, None], depth


def compose_parts(sizes: NetworkSizes, wide: Tensor, depth: Tensor, visible: Tensor) -> tuple[Tensor, Tensor]:
    """Compose features (o, h, w) and masks (k, h, w) of one face (section 2.2, 4).

    Args:
        sizes: Sizes of the generator.
        wide: Wide features of all parts, (k, o, h, w).
        depth: Depths of all parts, (k, h, w).
        visible: Which parts are shown, (k,).
    """
    masks = torch.exp(depth) / torch.exp(depth).sum(0)
    if not bool(visible.all()):
        masks = masks * visible[:, None, None]
        masks = masks / (masks.sum(0) + 1e-8)
    shares = masks
    if sizes.transparent:
        solid = masks.clone()
        for k in sizes.transparent:
            solid[k] = 0
        shares = solid / (solid.sum(0) + 1e-8)
        for k in sizes.transparent:
            shares[k] = shares[k] + masks[k]
    return sum((shares[k] * wide[k] for k in range(sizes.parts)), torch.zeros_like(wide[0])), masks
