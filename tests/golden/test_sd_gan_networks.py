"""SD-GAN's networks compute what the official ones do on the same weights, through the importers."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import pytest
import torch
from official import Case
from sd_gan_cases import check, find_offset, make_fusion, make_geometry, read_input
from synthesis_cases import networks_of, official_state
from torch import Tensor
from torch.nn import functional as F

from zoogan.config.registry import Registry
from zoogan.interfaces import LatentGenerator
from zoogan_sd_gan.official import OfficialFeatures, SdGanOfficialOffset
from zoogan_sd_gan.unsup3d import Unsup3dNetworks, resize_maps
from zoogan_stylegan2.weights import convert_stylegan2

INPUTS = ("face_image", "mask_image", "canonical")
FEATURES = ("face_feature", "mask_feature", "style_code", "fusion_result")
LEFT_OUT = 512 + 16 * (512 * 512 + 512)
"""Parameters of the official file that nothing reads: noise_var, and fc_mu3 to fc_mu18."""
Inputs = tuple[Tensor, Tensor, Tensor]


class Fusion(NamedTuple):
    """A case's network, what it computes, and the parameters of each tensor of the official file."""

    network: SdGanOfficialOffset
    inputs: Inputs
    features: OfficialFeatures
    sizes: dict[str, int]


_kept: dict[str, Fusion] = {}


@pytest.fixture(scope="module", autouse=True)
def _drop_networks() -> Iterator[None]:
    """Free the network of a case, a gigabyte, after the tests of this file."""
    yield
    _kept.clear()


@torch.no_grad()
def open_fusion(case: Case) -> Fusion:
    """The network of a case, once for all tests of it: that takes half a minute."""
    if case.name not in _kept:
        _kept.clear()
        network, sizes = make_fusion(case)
        face, composite, geometry = (read_input(case.says["inputs"][name]) for name in INPUTS)
        features = network.compute_features(face, composite, geometry)
        _kept[case.name] = Fusion(network, (face, composite, geometry), features, sizes)
    return _kept[case.name]


@torch.no_grad()
def test_fusion_network_matches_official(sd_gan_fusion_case: Case) -> None:
    case = sd_gan_fusion_case
    network, _, features, sizes = open_fusion(case)
    official = case.says["networks"]["fusion"]["params"]
    assert sum(sizes.values()) == official
    assert sum(parameter.numel() for parameter in network.parameters()) == official - LEFT_OUT
    offset = network.regressor(features.fused)
    check(case, dict(zip(FEATURES, features)) | {"offset": offset})


@torch.no_grad()
def test_only_the_last_code_moves_the_offset(sd_gan_fusion_case: Case) -> None:
    """The fault of the official regions: of the layers of the codes only the third has an effect."""
    case = sd_gan_fusion_case
    network, _, features, _ = open_fusion(case)
    face, composite, codes, _ = features
    linear = network.fusion.regions

    def compute_offset() -> Tensor:
        regions = torch.cat([torch.zeros_like(face[:, :2]), torch.ones_like(face[:, :1])], 1)
        return network.regressor(network.fusion(composite, regions, codes, guide=face))

    before = compute_offset()
    assert (face[:, :3] != 0).all()
    for k in range(3):
        change = case.says["max_change_of_offset_when_fc_mu_weight_plus_0.5"][f"fc_mu{k}"]
        linear.weight[k] += 0.5 / linear.weight_gain
        assert float((compute_offset() - before).abs().max()) == pytest.approx(change, rel=0.02, abs=0)
        linear.weight[k] -= 0.5 / linear.weight_gain


def keep_first_region(network: SdGanOfficialOffset, at: OfficialFeatures, inputs: Inputs) -> dict[str, Tensor]:
    regions = torch.cat([torch.ones_like(at.face[:, :1]), torch.zeros_like(at.face[:, :2])], 1)
    return {"fusion_result": network.fusion(at.composite, regions, at.codes, guide=at.face)}


def swap_blends(network: SdGanOfficialOffset, at: OfficialFeatures, inputs: Inputs) -> dict[str, Tensor]:
    """The layout's share for the codes: the case's blends are not a half."""
    fusion = network.fusion
    regions = torch.cat([torch.zeros_like(at.face[:, :2]), torch.ones_like(at.face[:, :1])], 1)
    fusion.blend.neg_()
    result = fusion(at.composite, regions, at.codes, guide=at.face)
    fusion.blend.neg_()
    return {"fusion_result": result}


def guide_by_regions(network: SdGanOfficialOffset, at: OfficialFeatures, inputs: Inputs) -> dict[str, Tensor]:
    """The plain branch reads the composite in place of the face."""
    regions = torch.cat([torch.zeros_like(at.face[:, :2]), torch.ones_like(at.face[:, :1])], 1)
    return {"fusion_result": network.fusion(at.composite, regions, at.codes, guide=at.composite)}


def pool_codes_plainly(network: SdGanOfficialOffset, at: OfficialFeatures, inputs: Inputs) -> dict[str, Tensor]:
    """Codes without the tanh."""
    features = network.codes.body(inputs[2])
    return {"style_code": features.mean((2, 3))[:, None].expand(-1, 3, -1)}


def transpose_matrices(network: SdGanOfficialOffset, at: OfficialFeatures, inputs: Inputs) -> dict[str, Tensor]:
    """Inputs and outputs of the locally connected layer exchanged, which shapes cannot tell."""
    regressor, layer = network.regressor, network.regressor.over_pixels
    y = torch.bmm(at.fused.flatten(2).permute(2, 0, 1), layer.weight.mT).permute(1, 2, 0).relu()
    return {"offset": regressor.norm(regressor.over_channels(y.mT).relu())}


def leave_out_last_relu(network: SdGanOfficialOffset, at: OfficialFeatures, inputs: Inputs) -> dict[str, Tensor]:
    regressor = network.regressor
    y = regressor.over_pixels(at.fused.flatten(2)).relu()
    return {"offset": regressor.norm(regressor.over_channels(y.mT))}


def pool_by_means(network: SdGanOfficialOffset, at: OfficialFeatures, inputs: Inputs) -> dict[str, Tensor]:
    """A mean in place of the largest value in the stem of the face encoder."""
    face = network.face
    stem = face.activation(face.norm(face.conv(inputs[0])))
    return {"face_feature": face.stages(F.avg_pool2d(stem, 2))}


def share_no_slope(network: SdGanOfficialOffset, at: OfficialFeatures, inputs: Inputs) -> dict[str, Tensor]:
    """Blocks that end without their PReLU."""
    face = network.face
    x = F.max_pool2d(face.activation(face.norm(face.conv(inputs[0]))), 2)
    stages: Any = face.stages
    for block in [block for stage in stages for block in stage]:
        y = block.conv2(block.activation(block.norm2(block.conv1(block.norm1(x)))))
        x = block.squeeze(block.norm3(y)) + block.shortcut(x)
    return {"face_feature": x}


MISTAKES = (
    keep_first_region,
    swap_blends,
    guide_by_regions,
    pool_codes_plainly,
    transpose_matrices,
    leave_out_last_relu,
    pool_by_means,
    share_no_slope,
)


@torch.no_grad()
def test_fusion_case_detects_mistakes(sd_gan_fusion_case: Case) -> None:
    """Each wrong detail misses the case, which proves that the case can tell."""
    case = sd_gan_fusion_case
    network, inputs, features, _ = open_fusion(case)
    for make_mistake in MISTAKES:
        outputs = make_mistake(network, features, inputs)
        with pytest.raises(AssertionError, match="differs by"):
            check(case, outputs, outputs)


# ---- Unsup3D ----


def compute_canonical(networks: Unsup3dNetworks, case: Case) -> dict[str, Tensor]:
    image, size = read_input(case.says["inputs"]["x"]), case.says["config"]["output_size"]
    face = resize_maps(networks(image, border=case.says["config"]["border_depth"]), size)
    return {
        "netD": networks.depth(image),
        "netA": networks.albedo(image),
        "netL": networks.light(image),
        "netV": networks.view(image),
        "canon_depth": face.depth[:, 0],
        "canon_normal": face.normal.permute(0, 2, 3, 1),
        "canon_diffuse_shading": face.shading,
        "canon_albedo": face.albedo,
        "canon_im": face.image,
        "view": face.view,
        "canon_light_a": face.ambient,
        "canon_light_b": face.diffuse,
        "canon_light_d": face.light,
    }


@torch.no_grad()
def test_unsup3d_matches_official(sd_gan_unsup3d_case: Case) -> None:
    case = sd_gan_unsup3d_case
    networks = make_geometry(case)
    for name, ours in (("netD", "depth"), ("netA", "albedo"), ("netL", "light"), ("netV", "view")):
        count = sum(parameter.numel() for parameter in getattr(networks, ours).parameters())
        assert count == case.says["networks"][name]["params"]
    check(case, compute_canonical(networks, case))


@torch.no_grad()
@pytest.mark.parametrize(
    ("name", "value", "output"),
    [
        ("MAX_ANGLE", 1.0, "view"),
        ("DEPTH_RANGE", 0.2, "canon_depth"),
        ("BORDER_COLUMNS", 1, "canon_depth"),
        ("compute_normals", lambda depth: F.normalize(torch.ones_like(depth).expand(-1, 3, -1, -1), dim=1), "canon_im"),
    ],
)
def test_unsup3d_case_detects_mistakes(
    sd_gan_unsup3d_case: Case, monkeypatch: pytest.MonkeyPatch, name: str, value: Any, output: str
) -> None:
    networks = make_geometry(sd_gan_unsup3d_case)
    monkeypatch.setattr(f"zoogan_sd_gan.unsup3d.{name}", value)
    with pytest.raises(AssertionError, match="differs by"):
        check(sd_gan_unsup3d_case, {output: compute_canonical(networks, sd_gan_unsup3d_case)[output]}, [output])


# ---- the whole pipeline ----


@torch.no_grad()
def test_pipeline_matches_official(sd_gan_pipeline_case: Case, registry: Registry) -> None:
    """Truncation after the edit is truncation of the face and the strength of the edit; in float32, as it is large."""
    case, says = sd_gan_pipeline_case, sd_gan_pipeline_case.says
    inputs = says["inputs"]
    w, basis, mean = (read_input(inputs[name]).float() for name in ("w", "n_b", "mean_latent"))
    offset = find_offset(inputs["n_o"], case.folder).float()
    states = {ours: official_state(says, official) for official, ours in (("G", "generator"), ("D", "discriminator"))}
    networks = networks_of(convert_stylegan2(states, {}, mean.cpu()), registry)
    generator, psi = networks["generator"], says["config"]["truncation"]
    assert isinstance(generator, LatentGenerator)
    rows = generator.repeat_latent(mean + psi * (w - mean))

    def generate(edit: Tensor | float) -> Tensor:
        return generator(rows + psi * edit).image

    edits: dict[str, Tensor | float] = {"origin": 0.0, "basis_only": basis[:, None], "edited": basis[:, None] + offset}
    images = {f"image_{name}": generate(edit) for name, edit in edits.items()}
    check(case, images)
    for name in edits:
        loss = F.softplus(-networks["discriminator"](images[f"image_{name}"])).mean()
        assert float(loss) == pytest.approx(says["losses"][f"adv_nonsaturating/{name}"], rel=1e-3)
    with pytest.raises(AssertionError, match="differs by"):
        check(case, {"image_edited": generator(rows + edits["edited"]).image}, ["image_edited"])
