"""Laws of SD-GAN's offset networks, of locally connected layers and of the import of official weights."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from support.sd_gan_files import SIDE, draw, fill, make_official, make_official_state
from zoogan import ConfigError
from zoogan.files import write_tensors
from zoogan.interfaces import LatentOffset
from zoogan.layers import ImprovedResidualBlock, LocallyConnected, SqueezeExcitation
from zoogan.plugins import Facts, Registry
from zoogan_sd_gan import register_networks
from zoogan_sd_gan.fusion_config import SdGanOfficialOffsetConfig, SdGanOffsetConfig
from zoogan_sd_gan.networks import SdGanOffset, count_rows
from zoogan_sd_gan.official import SdGanOfficialOffset, select_last
from zoogan_sd_gan.unsup3d import Unsup3dNetworks
from zoogan_sd_gan.weights import (
    convert_fusion,
    identify_fusion_network,
    identify_unsup3d,
    import_sd_gan,
    read_fusion,
    read_unsup3d,
)

SMALL: dict[str, Any] = {"style_dim": 8, "width": 4, "channels": 8}
Make = Callable[[], LatentOffset]


def make_default(size: int = SIDE, **changes: Any) -> SdGanOffset:
    torch.manual_seed(0)
    network = SdGanOffset(SdGanOffsetConfig(**(SMALL | changes)), Facts(image_size=size))
    fill(network)
    return network.eval()


def make_inputs(n: int, size: int = SIDE, seed: int = 0, geometry: int = 16) -> tuple[Tensor, ...]:
    """Faces and composites beyond [-1, 1], masks, geometry."""
    face = draw(seed, n, 3, size, size, scale=1.5)
    mask = (draw(seed + 1, n, 1, size, size) > 0.5).float()
    mask[0, :, : size // 2] = 1
    composite = face * (1 - mask) + mask * draw(seed + 2, n, 3, size, size)
    return face, composite, mask, draw(seed + 3, n, 9, geometry, geometry).tanh()


# ---- offsets ----

NETWORKS = pytest.mark.parametrize(
    "make", [make_default, lambda: make_default(geometry=True), make_official], ids=["plain", "geometry", "official"]
)


@NETWORKS
@given(n=st.integers(1, 3), seed=st.integers(0, 9))
@settings(max_examples=3, deadline=None)
def test_offset_shape_and_determinism(make: Make, n: int, seed: int) -> None:
    network = make()
    inputs = make_inputs(n, seed=seed)
    with torch.no_grad():
        offset = network(*inputs)
        assert offset.shape == (n, network.rows, network.style_dim) and offset.isfinite().all()
        assert torch.equal(offset, network(*inputs))


@NETWORKS
@given(order=st.permutations(range(3)), seed=st.integers(0, 9))
@settings(max_examples=3, deadline=None)
def test_offset_of_a_face_is_independent_of_others(make: Make, order: list[int], seed: int) -> None:
    network = make().double()
    inputs = [tensor.double() for tensor in make_inputs(3, seed=seed)]
    with torch.no_grad():
        offset = network(*inputs)
        permuted = network(*(tensor[order] for tensor in inputs))
        alone = network(*(tensor[1:2] for tensor in inputs))
    torch.testing.assert_close(permuted, offset[order])
    torch.testing.assert_close(alone, offset[1:2])


def test_default_offset_is_independent_in_training_too() -> None:
    network = make_default().double().train()
    inputs = [tensor.double() for tensor in make_inputs(3)]
    torch.testing.assert_close(network(*(tensor[:1] for tensor in inputs)), network(*inputs)[:1])


@pytest.mark.parametrize("geometry", [False, True])
def test_default_offset_starts_at_zero(geometry: bool) -> None:
    network = SdGanOffset(SdGanOffsetConfig(**SMALL, geometry=geometry), Facts(image_size=SIDE))
    inputs = make_inputs(2)
    assert not network(*inputs).any()
    network(*inputs).sum().backward()
    assert network.last.weight.grad is not None and network.last.weight.grad.any(), "the first step must move it"


def test_default_offset_reads_face_composite_and_mask() -> None:
    network = make_default(geometry=True)
    inputs = [tensor.requires_grad_() for tensor in make_inputs(2)]
    gradients = torch.autograd.grad(network(*inputs).square().sum(), inputs)
    for name, gradient in zip(("face", "composite", "mask", "geometry"), gradients):
        assert gradient.isfinite().all() and gradient.flatten(1).any(1).all(), name


def test_official_offset_ignores_the_mask() -> None:
    network = make_official()
    face, composite, mask, geometry = make_inputs(2)
    inputs = [tensor.requires_grad_() for tensor in (face, composite, mask, geometry)]
    gradients = torch.autograd.grad(network(*inputs).square().sum(), inputs, allow_unused=True)
    of_face, of_composite, of_mask, of_geometry = gradients
    assert of_mask is None and all(g is not None and g.any() for g in (of_face, of_composite, of_geometry))


def test_official_rows_have_a_learned_length() -> None:
    """The fault that is kept: whatever the face, each row has the mean and deviation of the last norm."""
    network = make_official().double()
    with torch.no_grad():
        offset = network(*(tensor.double() for tensor in make_inputs(2)))
    norm = network.regressor.norm
    torch.testing.assert_close(offset.mean(2), norm.bias.expand(2, -1))
    torch.testing.assert_close(offset.std(2, correction=0), norm.weight.abs().expand(2, -1), rtol=1e-3, atol=0)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_default_offset_of_an_empty_or_full_mask_is_finite(share: float) -> None:
    network = make_default()
    face, composite, mask, _ = make_inputs(2)
    offset = network(face, composite, torch.full_like(mask, share).requires_grad_())
    offset.sum().backward()
    assert offset.isfinite().all() and all(p.grad is None or p.grad.isfinite().all() for p in network.parameters())


@pytest.mark.parametrize("size", [16, 32, 48, 64])
def test_default_offset_of_any_image_size(size: int) -> None:
    network = make_default(size, rows=6)
    assert network(*make_inputs(1, size)).shape == (1, 6, 8)


@pytest.mark.parametrize("side", [8, 20, 128])
def test_default_offset_of_any_geometry_size(side: int) -> None:
    network = make_default(geometry=True)
    assert network(*make_inputs(1, geometry=side)).shape == (1, 8, 8)


@pytest.mark.parametrize("make", [lambda: make_default(geometry=True), make_official], ids=["default", "official"])
def test_offset_without_needed_geometry_is_refused(make: Make) -> None:
    face, composite, mask, _ = make_inputs(1)
    with pytest.raises(ValueError, match="give their geometry"):
        make()(face, composite, mask)


def test_rows_follow_the_image_size() -> None:
    assert [count_rows(None, size) for size in (16, 32, 256, 1024)] == [6, 8, 14, 18]
    assert count_rows(5, 48) == 5
    with pytest.raises(ConfigError, match=r"fusion\.rows: 48 px is no power of two"):
        count_rows(None, 48)


@pytest.mark.parametrize("size", [16, 40])
def test_official_image_size_is_refused(size: int) -> None:
    with pytest.raises(ConfigError, match="take a multiple of 16 from 32 px"):
        make_official(size)


def test_default_offset_at_32_px_stays_cheap() -> None:
    with torch.device("meta"):
        network = SdGanOffset(SdGanOffsetConfig(style_dim=128), Facts(image_size=32))
    assert sum(parameter.numel() for parameter in network.parameters()) < 2_100_000


def test_official_offset_on_meta_has_the_published_parameters() -> None:
    with torch.device("meta"):
        network = SdGanOfficialOffset(SdGanOfficialOffsetConfig(), Facts(image_size=256))
        offset = network(*(torch.empty(2, c, s, s) for c, s in ((3, 256), (3, 256), (1, 256), (9, 128))))
    unused = 512 + 16 * (512 * 512 + 512)  # noise_var and fc_mu3 to fc_mu18, which nothing reads
    assert sum(parameter.numel() for parameter in network.parameters()) + unused == 128_386_343
    assert offset.shape == (2, 14, 512)


def test_networks_are_registered() -> None:
    registry = Registry(plugin="zoogan_sd_gan")
    register_networks(registry)
    for name, network in (("sd-gan", SdGanOffset), ("sd-gan-official", SdGanOfficialOffset)):
        config = registry.components["latent_offset", name].config(style_dim=16)
        assert isinstance(registry.build("latent_offset", config, Facts(image_size=SIDE)), network)


def test_select_last_leaves_one_region_a_pixel() -> None:
    regions = torch.tensor([[1, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)[:, :, None, None]
    expected = torch.tensor([[0, 1, 0], [0, 1, 0], [1, 0, 0], [0, 0, 0]], dtype=torch.bool)[:, :, None, None]
    assert torch.equal(select_last(regions), expected)


# ---- layers ----


@given(n=st.integers(1, 4), positions=st.integers(1, 5), inputs=st.integers(1, 5), outputs=st.integers(1, 5))
@settings(max_examples=25, deadline=None)
def test_locally_connected_equals_einsum(n: int, positions: int, inputs: int, outputs: int) -> None:
    layer = LocallyConnected(positions, inputs, outputs).double()
    x = draw(n, n, inputs, positions).double().requires_grad_()
    expected = torch.einsum("nip,pio->nop", x, layer.weight)
    torch.testing.assert_close(layer(x), expected)
    found, wanted = (torch.autograd.grad(y.square().sum(), [x, layer.weight]) for y in (layer(x), expected))
    torch.testing.assert_close(found, wanted)


def test_locally_connected_keeps_variance_at_the_start() -> None:
    torch.manual_seed(0)
    output = LocallyConnected(64, 256, 32)(draw(0, 16, 256, 64))
    assert float(output.std()) == pytest.approx(1, rel=0.05)
    assert float(LocallyConnected(64, 256, 32, std=1.0).weight.std()) == pytest.approx(1, rel=0.05)


def test_squeeze_excitation_scales_channels_by_their_means() -> None:
    layer = SqueezeExcitation(4).double()
    x = draw(0, 2, 4, 3, 5).double()
    ratio = layer(x) / x
    assert torch.allclose(ratio, ratio[:, :, :1, :1]) and ((ratio > 0) & (ratio < 1)).all()
    shuffled = x.flatten(2)[:, :, torch.randperm(15)].view_as(x)
    torch.testing.assert_close(layer(shuffled) / shuffled, ratio)


def test_improved_residual_block_has_one_slope_for_both_activations() -> None:
    block = ImprovedResidualBlock(4, 6, 2).double().eval()
    fill(block)
    x = draw(0, 2, 4, 8, 8).double()
    before = block(x)
    assert before.shape == (2, 6, 4, 4)
    assert sum(name.startswith("activation") for name, _ in block.named_parameters()) == 1
    assert isinstance(ImprovedResidualBlock(4, 4).shortcut, nn.Identity)
    with torch.no_grad():
        block.activation.weight.fill_(1)
    y = block.squeeze(block.norm3(block.conv2(block.norm2(block.conv1(block.norm1(x))))))
    torch.testing.assert_close(block(x), y + block.shortcut(x))


# ---- official weights ----


def test_fusion_file_gives_the_same_network(tmp_path: Path) -> None:
    network = make_official()
    state = make_official_state(network)
    torch.save({"model": {f"module.{key}": tensor for key, tensor in state.items()}}, tmp_path / "latest.pt")
    layer, image_size, weights = convert_fusion(read_fusion(tmp_path / "latest.pt"))
    assert (layer, image_size) == ({"use": "sd-gan-official", "style_dim": 16, "rows": 8}, SIDE)
    again = SdGanOfficialOffset(SdGanOfficialOffsetConfig(**layer), Facts(image_size=image_size)).eval()
    again.load_state_dict(weights)
    inputs = make_inputs(2)
    torch.testing.assert_close(again(*inputs), network(*inputs))


@pytest.mark.parametrize("given", [(), ("Eyeglasses",)])
def test_fusion_import_describes_the_run(tmp_path: Path, given: tuple[str, ...]) -> None:
    state = make_official_state(make_official())
    torch.save({"model": {f"module.{key}": tensor for key, tensor in state.items()}}, tmp_path / "latest.pt")
    imported = import_sd_gan([tmp_path / "latest.pt"], {"attributes": list(given)})
    assert set(imported.networks) == {"fusion"} and imported.config["fusion"]["use"] == "sd-gan-official"
    assert imported.config["data"]["image_size"] == SIDE
    assert imported.config["data"]["attributes"] == list(given or ["Face_Mask"])
    assert any("Face_Mask is assumed" in note for note in imported.notes) != bool(given)
    with pytest.raises(ConfigError, match="is needed, got 0"):
        import_sd_gan([], {})


@pytest.mark.parametrize("missing", ["fusion.fc_mu1.bias", "arcfacenet.layer2.0.se.fc.1.weight", "regre.in3.weight"])
def test_fusion_weights_without_a_tensor_are_refused(missing: str) -> None:
    state = make_official_state(make_official())
    del state[missing]
    with pytest.raises(ConfigError, match=missing.replace(".", r"\.")):
        convert_fusion(state)


def test_fusion_weights_with_an_unknown_tensor_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"unknown: 'fusion\.other'"):
        convert_fusion(make_official_state(make_official()) | {"fusion.other": torch.zeros(1)})


def test_files_are_told_apart(tmp_path: Path) -> None:
    fusion = {"model": {f"module.{key}": 0 for key in make_official_state(make_official())}}
    networks = Unsup3dNetworks(width=4, code=8)
    official = {f"net{name[0].upper()}": getattr(networks, name).state_dict() for name, _ in networks.named_children()}
    assert identify_fusion_network(fusion) == "fusion" and identify_unsup3d(fusion) is None
    for content in (official, networks.state_dict()):
        assert identify_unsup3d(content) == "unsup3d" and identify_fusion_network(content) is None
    torch.save({"g_ema": {}}, tmp_path / "other.pt")
    with pytest.raises(ConfigError, match="no fusion network"):
        read_fusion(tmp_path / "other.pt")
    with pytest.raises(ConfigError, match="not the networks netD, netA, netL, netV"):
        read_unsup3d(tmp_path / "other.pt")


def test_unsup3d_files_give_the_same_networks(tmp_path: Path) -> None:
    networks = Unsup3dNetworks(width=4, code=8).eval()
    states: dict[str, Any] = {
        f"net{name[0].upper()}": getattr(networks, name).state_dict() for name, _ in networks.named_children()
    }
    torch.save(states | {"netC": {}, "epoch": 30, "optimizerD": {"state": {}}}, tmp_path / "checkpoint030.pth")
    write_tensors(tmp_path / "unsup3d.safetensors", networks.state_dict())
    for name in ("checkpoint030.pth", "unsup3d.safetensors"):
        again = read_unsup3d(tmp_path / name)
        assert all(torch.equal(a, b) for a, b in zip(again.state_dict().values(), networks.state_dict().values()))
        assert list(again.state_dict()) == list(networks.state_dict())
    del states["netD"]["network.13.weight"]
    torch.save(states, tmp_path / "broken.pth")
    with pytest.raises(ConfigError, match="geometry weights are not in the layout"):
        read_unsup3d(tmp_path / "broken.pth")
