"""Heat maps: what masks promise, whose file the landmarks come from, and masks as files."""

from __future__ import annotations

from collections import OrderedDict
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image
from pydantic import ValidationError
from safetensors.torch import save_file
from torch import Tensor, nn

import zoogan.builtin
from zoogan.auxiliary.heat_maps import (
    MOVING_REGIONS,
    REGIONS,
    LandmarkMaps,
    NoHeatMaps,
    load_landmark_network,
    make_masks,
)
from zoogan.auxiliary.landmarks import LandmarkNetwork, convert_landmark_weights, make_coordinates, map_landmark_names
from zoogan.config import use_component
from zoogan.config.registry import Registry
from zoogan.data.sources.heat_map_files import get_masks_path, read_masks, save_masks
from zoogan.errors import ConfigError
from zoogan.files import hash_file
from zoogan.interfaces import ContractError, HeatMaps
from zoogan.layers.config import UPPER_CONTOUR, WITHOUT_CONTOUR_AND_CORNERS, LandmarkMapsConfig
from zoogan.testing.strategies import make_noise, seeds

# Rows by which each landmark moves, + = down, as StarGAN v2 publishes it; what is not named stays.
MOVES = {
    **dict.fromkeys(range(33, 51), (7,)), **dict.fromkeys(range(52, 55), (-4,)), **dict.fromkeys(range(55, 60), (-8,)),
    **dict.fromkeys(range(60, 76), (8, 24)), **dict.fromkeys(range(77, 82), (8,)),
    **dict.fromkeys(range(83, 88), (-8,)), **dict.fromkeys(range(88, 96), (2,)),
}  # fmt: skip
COARSE_ONLY = {*range(8, 25), *range(33, 51), *range(76, 96)}


@pytest.fixture(scope="session")
def weights() -> dict[str, Tensor]:
    """Random landmark weights in the published layout, whose maps pass the threshold here and there."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        network = LandmarkNetwork()
    with torch.no_grad():
        network.maps.weight.mul_(5)
    state = network.state_dict()
    return {official: state[ours] for official, ours in map_landmark_names().items()}


@pytest.fixture(scope="session")
def file(weights: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("landmarks") / "landmarks.safetensors"
    save_file(weights, path)
    return path


@pytest.fixture(scope="session")
def landmarks(file: Path) -> LandmarkMaps:
    return LandmarkMaps(LandmarkMapsConfig(file=file))


def in_range(masks: Any) -> None:
    for mask in masks:
        assert not mask.requires_grad and bool((mask >= 0).all()) and bool((mask <= 1).all())


# ---- masks of maps ----


def test_each_landmark_belongs_to_a_region() -> None:
    channels = [channel for region in REGIONS for channel in region.channels]
    assert sorted(set(channels)) == list(range(98))
    assert {c for c in channels if channels.count(c) == 2} == set(range(60, 76))


@pytest.mark.slow
@given(landmark=st.integers(0, 97), row=st.integers(0, 255), column=st.integers(0, 255), smile=st.booleans())
def test_landmark_map_follows_its_region(landmark: int, row: int, column: int, smile: bool) -> None:
    """Around the edge, too."""
    zeroed = UPPER_CONTOUR if smile else WITHOUT_CONTOUR_AND_CORNERS
    maps = torch.zeros(1, 98, 256, 256)
    maps[0, landmark, row, column] = 0.7
    coarse, fine = make_masks(maps, zeroed)
    want = torch.zeros(256, 256)
    if landmark not in zeroed:
        for move in MOVES.get(landmark, (0,)):
            want[(row + move) % 256, column] = 1
    torch.testing.assert_close(coarse[0, 0], want, rtol=0, atol=1e-5)
    torch.testing.assert_close(
        fine[0, 0], torch.zeros_like(want) if landmark in COARSE_ONLY else want, atol=1e-5, rtol=0
    )


# Rows by which a moving landmark moves, + = down, and its power, as SMILE publishes them for re-enactment.
MOVING = {
    **dict.fromkeys(range(8, 25), (-6, 0.1)), **dict.fromkeys(range(33, 51), (0, 0.5)),
    **dict.fromkeys(range(60, 76), (0, 1.0)), **dict.fromkeys(range(76, 83), (0, 0.1)),
    **dict.fromkeys(range(83, 88), (8, 0.01)), **dict.fromkeys(range(88, 96), (0, 0.1)),
}  # fmt: skip


@pytest.mark.parametrize("landmark", [0, 8, 24, 25, 33, 50, 51, 54, 59, 60, 75, 76, 80, 82, 83, 87, 88, 95, 96])
def test_inverted_map_leaves_out_its_moving_landmark(landmark: int) -> None:
    """One pixel at the peak and one at 4/7 of it: 0 and 1 - (4/7)^power, moved; everything else is kept."""
    maps = torch.zeros(1, 98, 256, 256)
    maps[0, landmark, 100, 30], maps[0, landmark, 200, 40] = 0.7, 0.4
    coarse, fine = make_masks(maps, (), MOVING_REGIONS, inverted=True)
    want = torch.ones(256, 256)
    if landmark in MOVING:
        move, power = MOVING[landmark]
        want[100 + move, 30], want[200 + move, 40] = 0, 1 - (4 / 7) ** power
    torch.testing.assert_close(coarse[0, 0], want, rtol=0, atol=1e-5)
    assert torch.equal(coarse, fine)
    maps[0, 62, 5, 5] = float("nan")
    in_range(make_masks(maps, (), MOVING_REGIONS, inverted=True))


def test_inverted_maps_leave_out_no_corner(file: Path) -> None:
    component = LandmarkMaps(LandmarkMapsConfig(file=file, inverted=True))
    assert component.zeroed == frozenset() and component.regions == MOVING_REGIONS and component.inverted
    assert LandmarkMaps(LandmarkMapsConfig(file=file, inverted=True, zeroed=(76,))).zeroed == {76}
    assert LandmarkMaps(LandmarkMapsConfig(file=file)).zeroed == frozenset(WITHOUT_CONTOUR_AND_CORNERS)


@pytest.mark.slow
@given(seed=seeds, n=st.integers(1, 2), side=st.sampled_from([16, 64]), scale=st.sampled_from([0.01, 1.0, 100.0]))
def test_masks_are_in_range_and_independent(seed: int, n: int, side: int, scale: float) -> None:
    maps = make_noise(seed, n, 98, side, side).mul(scale).requires_grad_()
    masks = make_masks(maps)
    in_range(masks)
    assert all(mask.shape == (n, 1, 256, 256) for mask in masks)
    alone = [make_masks(one[None]) for one in maps]
    for k, mask in enumerate(masks):
        torch.testing.assert_close(mask, torch.cat([masks_[k] for masks_ in alone]))
    assert all(torch.equal(a, b) for a, b in zip(masks, make_masks(maps)))


@pytest.mark.parametrize("value", [0.0, 0.05, 3.0, -3.0])
def test_blank_heat_map_gives_empty_mask(value: float) -> None:
    """At full size; enlarging leaves the rounding of a constant, which stretching to [0, 1] makes visible."""
    assert all(not mask.any() for mask in make_masks(torch.full((1, 98, 256, 256), value)))
    in_range(make_masks(torch.full((1, 98, 64, 64), value)))


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_masks_are_finite(bad: float) -> None:
    maps = torch.rand(1, 98, 64, 64)
    maps[0, 62, 5, 5] = bad
    in_range(make_masks(maps))
    maps = torch.rand(1, 98, 64, 64)
    maps[0, 10, 5, 5] = bad  # of the chin, which the fine mask does not show
    coarse, fine = make_masks(maps)
    in_range((coarse, fine))
    assert fine.any()


def test_heat_maps_accept_no_landmarks() -> None:
    assert all(not mask.any() for mask in make_masks(torch.rand(1, 98, 64, 64), range(98)))


# ---- the network ----


def test_landmark_network_has_published_parameters() -> None:
    assert sum(p.numel() for p in LandmarkNetwork().parameters()) == 6_333_603


@given(height=st.integers(2, 40), width=st.integers(2, 40))
def test_coordinate_channels_equal_hand_computation(height: int, width: int) -> None:
    row, column, radius = make_coordinates(height, width, torch.device("cpu"), torch.float32)[0]
    assert row[0].unique() == -1 and row[-1].unique() == 1 and column[:, 0].unique() == -1
    assert radius[0, 0] == 1 == radius.max() and bool((radius >= 0).all())


@pytest.mark.slow
@settings(max_examples=5)
@given(seed=seeds, n=st.integers(1, 2), height=st.integers(16, 300), width=st.integers(16, 300))
def test_heat_maps_accept_any_image_size(landmarks: LandmarkMaps, seed: int, n: int, height: int, width: int) -> None:
    image = make_noise(seed, n, 3, height, width).requires_grad_()
    masks = landmarks(image)
    in_range(masks)
    assert all(mask.shape == (n, 1, 256, 256) and mask.dtype == torch.float32 for mask in masks)
    assert any(bool(((mask > 0) & (mask < 1)).any()) for mask in masks)
    assert all(torch.equal(a, b) for a, b in zip(masks, landmarks(image)))
    torch.testing.assert_close(
        landmarks.compute_maps(image)[:1], landmarks.compute_maps(image[:1]), rtol=1e-4, atol=1e-4
    )


@pytest.mark.slow
@pytest.mark.parametrize("level", [-1.0, 0.0, 1.0])
def test_blank_image_has_finite_masks(landmarks: LandmarkMaps, level: float) -> None:
    in_range(landmarks(torch.full((1, 3, 64, 64), level)))


def test_heat_map_network_is_frozen(landmarks: LandmarkMaps) -> None:
    landmarks(torch.zeros(1, 3, 32, 32))
    assert isinstance(landmarks, HeatMaps) and not isinstance(landmarks, nn.Module)
    assert landmarks.network is not None and not landmarks.network.training
    assert not any(p.requires_grad for p in landmarks.network.parameters())


@pytest.mark.slow
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_masks_stay_float32_for_half_images(landmarks: LandmarkMaps, dtype: torch.dtype) -> None:
    image = make_noise(0, 1, 3, 64, 64).bfloat16().to(dtype)
    with torch.autocast("cpu", torch.bfloat16):
        masks = landmarks(image)
    want = landmarks(image.float())
    assert all(mask.dtype == torch.promote_types(dtype, torch.float32) for mask in masks)
    assert all(torch.equal(mask.float(), one) for mask, one in zip(masks, want))


def test_rehearsal_reads_no_weight_file(file: Path) -> None:
    with torch.device("meta"):
        component = LandmarkMaps(LandmarkMapsConfig(file=file))
        masks = component(torch.zeros(4, 3, 64, 64))
    assert component.network is None
    assert all(mask.is_meta and mask.shape == (4, 1, 256, 256) for mask in masks)


@pytest.mark.slow
def test_network_loads_on_first_use_outside_meta(landmarks: LandmarkMaps, file: Path) -> None:
    image = make_noise(1, 1, 3, 64, 64)
    component = LandmarkMaps(LandmarkMapsConfig(file=file))
    with torch.device("meta"):
        masks = component(image)
    assert component.network is not None
    assert {t.device.type for t in component.network.state_dict().values()} == {"cpu"}
    assert all(torch.equal(a, b) for a, b in zip(masks, landmarks(image)))


def test_heat_maps_refuse_grey_images(landmarks: LandmarkMaps) -> None:
    with pytest.raises(ContractError, match=r"RGB.*\(1, 4, 32, 32\)"):
        landmarks(torch.zeros(1, 4, 32, 32))


# ---- the user's file ----


def containers(weights: dict[str, Tensor]) -> dict[str, Any]:
    more = {"m1.b1_4.bn1.weight": torch.ones(256), "l3.weight": torch.ones(99, 256, 1, 1)}  # of further hourglasses
    wrapped = {f"module.{key}": value for key, value in weights.items()}
    old = {key: value for key, value in weights.items() if not key.endswith("num_batches_tracked")}
    return {
        "bare": weights,
        "wrapped": wrapped,
        "old": old,
        "wing": {"state_dict": OrderedDict(weights | more), "epoch": 3, "optimizer": {"lr": 1e-4}},
        "stargan-v2": {"generator": {"hpf.filter": torch.ones(3, 3)}, "fan": OrderedDict(weights)},
        "stargan-v2-wrapped": {"generator": {}, "fan": wrapped},
    }


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["bare", "wrapped", "old", "wing", "stargan-v2", "stargan-v2-wrapped"])
def test_landmark_weights_load_from_every_container(kind: str, weights: dict[str, Tensor], tmp_path: Path) -> None:
    path = tmp_path / "file.ckpt"
    torch.save(containers(weights)[kind], path)
    found, wanted = load_landmark_network(path).state_dict(), convert_landmark_weights(weights)
    assert list(found) == list(LandmarkNetwork().state_dict())
    assert all(torch.equal(found[key], wanted[key]) for key in wanted)


def test_weights_with_code_are_not_executed(tmp_path: Path) -> None:
    path, trace = tmp_path / "file.ckpt", tmp_path / "trace"

    class Hostile:
        def __reduce__(self) -> Any:
            return (Path.touch, (trace,))

    torch.save({"fan": Hostile()}, path)
    with pytest.raises(ConfigError, match="without executing code"):
        load_landmark_network(path)
    assert not trace.exists()


def test_wrong_weight_file_is_reported(weights: dict[str, Tensor], tmp_path: Path) -> None:
    def message(content: Any) -> str:
        path = tmp_path / "file.ckpt"
        torch.save(content, path)
        with pytest.raises(ConfigError) as caught:
            LandmarkMaps(LandmarkMapsConfig(file=path))(torch.zeros(1, 3, 32, 32))
        assert str(path) in str(caught.value)
        return str(caught.value)

    short = {key: value for key, value in weights.items() if not key.startswith("l0.")}
    assert "no 'l0.weight' and 1 more" in message(short)
    larger = weights | {"l0.weight": torch.ones(69, 256, 1, 1)}
    assert "'l0.weight' has shape (69, 256, 1, 1) instead of (99, 256, 1, 1)" in message(larger)
    assert "trained without masks" in message({"generator": {"a": torch.ones(1)}, "mapping_network": {}})
    assert "expected a bare state_dict" in message({"state_dict": {"epoch": 3}})
    assert "expected a bare state_dict" in message([torch.ones(1)])


def test_missing_weight_files_are_reported_at_build(file: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        LandmarkMaps(LandmarkMapsConfig())
    for part in ("heat_maps.file", "AdaptiveWingLoss", "StarGAN v2", "generator.high_pass=0", "heat_maps.use=none"):
        assert part in str(caught.value)
    with pytest.raises(ConfigError, match=r"nowhere\.ckpt: no such file"):
        LandmarkMaps(LandmarkMapsConfig(file=tmp_path / "nowhere.ckpt"))
    with pytest.raises(ConfigError, match=f"another file, its sha256 is {hash_file(file)}"):
        LandmarkMaps(LandmarkMapsConfig(file=file, sha256="0" * 64))
    LandmarkMaps(LandmarkMapsConfig(file=file, sha256=hash_file(file)))


def test_heat_map_configs_validate() -> None:
    assert LandmarkMapsConfig(zeroed=3).zeroed == (3,)  # type: ignore[arg-type]
    with pytest.raises(ValidationError):
        LandmarkMapsConfig(zeroed=(98,))
    with pytest.raises(ValidationError):
        LandmarkMapsConfig(sha256="abc")


def test_heat_map_components_are_registered(file: Path) -> None:
    registry = Registry()
    zoogan.builtin.zoo_register(registry)
    assert registry.list_names("heat_maps") == ["files", "landmarks", "none", "parts"]
    none = registry.build("heat_maps", use_component("heat_maps", "none"))
    assert isinstance(none, NoHeatMaps) and none(torch.zeros(1, 3, 16, 16)) is None
    assert isinstance(registry.build("heat_maps", LandmarkMapsConfig(file=file)), LandmarkMaps)


# ---- masks as files ----


@given(seed=seeds, side=st.sampled_from([16, 256]))
def test_mask_file_round_trip(tmp_path_factory: pytest.TempPathFactory, seed: int, side: int) -> None:
    path = get_masks_path(tmp_path_factory.mktemp("faces"), Path("cat/0001.jpg"))
    masks = make_noise(seed, 1, 1, side, side).sigmoid(), make_noise(seed + 1, 1, 1, side, side).sigmoid()
    save_masks(path, masks)
    found = read_masks(path)
    for mask, kept in zip(masks, found):
        torch.testing.assert_close(kept, mask, rtol=0, atol=1 / 510 + 1e-6)
    save_masks(path, found)
    assert all(torch.equal(a, b) for a, b in zip(found, read_masks(path)))
    assert [p.name for p in path.parent.iterdir()] == ["0001.png"]


def test_mask_path_follows_image_path(tmp_path: Path) -> None:
    want = tmp_path / "heat_maps" / "cat" / "0001.png"
    assert (
        get_masks_path(tmp_path, Path("cat/0001.jpg"))
        == get_masks_path(tmp_path, tmp_path / "cat" / "0001.jpg")
        == want
    )
    with pytest.raises(ValueError, match="subpath"):
        get_masks_path(tmp_path / "a", tmp_path / "b" / "0001.jpg")


def test_wrong_mask_files_are_reported(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="no such file"):
        read_masks(tmp_path / "0001.png")
    Image.new("RGB", (8, 8)).save(tmp_path / "rgb.png")
    with pytest.raises(ConfigError, match=r"not heat maps.*RGB"):
        read_masks(tmp_path / "rgb.png")
    whole = tmp_path / "whole.png"
    save_masks(whole, (make_noise(0, 1, 1, 64, 64).sigmoid(), make_noise(1, 1, 1, 64, 64).sigmoid()))
    (tmp_path / "half.png").write_bytes(whole.read_bytes()[: whole.stat().st_size // 2])
    (tmp_path / "text.png").write_text("text")
    for name in ("half.png", "text.png"):
        with pytest.raises(ConfigError, match=r"damaged or unreadable picture|not a picture by its content"):
            read_masks(tmp_path / name)
    with pytest.raises(ValueError, match="expected two masks"):
        save_masks(whole, (torch.zeros(2, 1, 8, 8), torch.zeros(2, 1, 8, 8)))
