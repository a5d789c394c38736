"""The official files of SD-GAN make one run of stages: fusion network, backbone and the networks of Unsup3D."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import zoogan
from support import stylegan2_weights
from support.sd_gan_files import make_official, make_official_state
from support.stylegan2_weights import make_official_states
from zoogan import ConfigError
from zoogan.editors import DecompositionEditor
from zoogan_sd_gan.unsup3d import Unsup3dNetworks
from zoogan_stylegan2.layouts import RosinalityLayout


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """Official files of narrow networks at 32 px: the fusion network, the backbone, Unsup3D."""
    monkeypatch.setattr(stylegan2_weights, "STYLE", 16)
    paths = [tmp_path / name for name in ("checkpoint_latest.pt", "network-snapshot.pt", "checkpoint030.pth")]
    torch.save({"model": {f"module.{k}": v for k, v in make_official_state(make_official(32)).items()}}, paths[0])
    states = make_official_states(RosinalityLayout(), stylegan2_weights.make_networks(32))
    torch.save({"g_ema": states["generator"], "d": states["discriminator"], "latent_avg": torch.zeros(16)}, paths[1])
    geometry = Unsup3dNetworks(width=4, code=8)
    content = {f"net{name[0].upper()}": part.state_dict() for name, part in geometry.named_children()}
    torch.save(content, paths[2])
    return paths


def test_official_files_make_a_run_of_stages(files: list[Path], tmp_path: Path) -> None:
    imported = zoogan.import_weights("sd-gan", files, out=tmp_path / "run")
    run = zoogan.load(tmp_path / "run")
    assert isinstance(run.editor, DecompositionEditor) and run.editor.attributes == ("Face_Mask",)
    assert set(run.stages) == {"backbone", "geometry"}
    assert run.stages["geometry"].channels == 9
    assert any("stage classifier is left out" in note for note in imported.notes)
    edit = run.edit(run.sample(2), Face_Mask=1)
    moved = edit.extras["latents"] - run.sample(2).extras["latents"]
    assert torch.equal(edit.extras["basis"], run.sample(2).image), "there is no direction"
    assert moved.abs().min(2).values.max() > 0, "every row moves by the offset"


def test_missing_official_files_are_all_named(files: list[Path], tmp_path: Path) -> None:
    with pytest.raises(ConfigError) as error:
        zoogan.import_weights("sd-gan", files[:1], out=tmp_path / "run")
    message = str(error.value)
    assert "missing: the generator of stage backbone (stylegan2)" in message
    assert "missing: the unsup3d of stage geometry; add --weights FILE or --stage geometry=FOLDER" in message
    assert not (tmp_path / "run").exists()
