"""The landmark network and its masks compute what the official ones do."""

from __future__ import annotations

from pathlib import Path

import torch
from heat_maps import bumps, check_strided, landmark_state, named_input
from official import Case
from safetensors.torch import save_file

from zoogan.auxiliary.heat_maps import LandmarkMaps, make_masks
from zoogan.layers.config import LandmarkMapsConfig


def test_landmark_network(landmark_case: Case, tmp_path: Path) -> None:
    """The published layout from a file, through the component."""
    says = landmark_case.says
    file = tmp_path / "landmarks.safetensors"
    save_file(landmark_state(says), file)
    component = LandmarkMaps(LandmarkMapsConfig(file=file))
    image = named_input(says["inputs"]["x"])
    found = {"heatmap98_raw": component.compute_maps(image)}
    assert component.network is not None
    assert sum(p.numel() for p in component.network.parameters()) == says["param_count"]
    with torch.no_grad():
        found["network_out_on_input_minus1_1"] = component.network(
            torch.nn.functional.interpolate(image, (256, 256), mode="bilinear", align_corners=False)
        )
    found["mask0"], found["mask1"] = component(image)
    for name, want in says["outputs"].items():
        # The maps reach several hundred: their rounding is that of float32 at this scale, the reference's too.
        atol = max(4 * want["max_abs_diff_vs_float64"], 1e-6)
        check_strided(name, found[name.partition("/")[2]], landmark_case, atol)


def test_masks(mask_case: Case) -> None:
    masks = make_masks(bumps(mask_case.says["inputs"]["heatmaps"]))
    for name, mask in zip(("mask0", "mask1"), masks):
        check_strided(name, mask, mask_case, 1e-6)
