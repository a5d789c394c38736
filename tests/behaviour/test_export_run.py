"""Copies of runs to share: what they hold, half of the bytes, and the same pictures to less than a grey level."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import torch
import yaml
from safetensors.torch import load_file

import zoogan
from support.runs import are_same_tensors
from zoogan.editors.directions import Direction
from zoogan.errors import ConfigError
from zoogan.runs.latents import hash_generator, write_direction
from zoogan.testing.tensors import make_faces


def measure_size(folder: Path) -> int:
    return sum(file.stat().st_size for file in folder.rglob("*.safetensors"))


@pytest.fixture
def faces_run(stylegan2_run: Path, tmp_path: Path) -> Path:
    """A run that makes faces, with a direction and paths of this machine in its config."""
    run = Path(shutil.copytree(stylegan2_run, tmp_path / "faces"))
    loaded = zoogan.load(run)
    normal = torch.nn.functional.normalize(torch.ones(loaded.editor.generator.style_dim, dtype=torch.float64), dim=0)
    facts = {"generator": hash_generator(loaded.synthesis_editor)}
    write_direction(run / "directions", "Smiling", Direction(normal, 0.0, normal, (-1.0, 1.0), {}), facts)
    config = yaml.safe_load((run / "config.yaml").read_text())
    config["data"]["root"] = str(tmp_path / "secret")
    config["training"]["start_from"] = str(tmp_path / "origin")
    (run / "config.yaml").write_text(yaml.safe_dump(config))
    return run


def test_exported_run_holds_what_editing_needs(faces_run: Path, tmp_path: Path) -> None:
    copy = zoogan.export_run(faces_run, tmp_path / "copy")
    names = {path.relative_to(copy).as_posix() for path in copy.rglob("*") if path.is_file()}
    model = {f"model/{name}.safetensors" for name in ("generator", "mapping", "game")}
    assert names == {"config.yaml", "facts.json", "model/config.json", "directions/Smiling.safetensors", *model}
    assert str(tmp_path) not in "".join(
        path.read_text() for path in copy.rglob("*") if path.suffix in (".yaml", ".json")
    )
    assert json.loads((copy / "model/config.json").read_text())["networks"] == ["generator", "mapping"]
    assert are_same_tensors(
        load_file(copy / "model/generator.safetensors"), load_file(faces_run / "model/generator.safetensors")
    )
    assert "discriminator" not in zoogan.load(copy).networks


def test_half_weights_change_faces_less_than_a_level(faces_run: Path, tmp_path: Path) -> None:
    copy = zoogan.export_run(zoogan.load(faces_run), tmp_path / "copy", half=True)
    exact = zoogan.export_run(faces_run, tmp_path / "exact")
    stored = load_file(copy / "model/generator.safetensors")
    assert {tensor.dtype for tensor in stored.values() if tensor.is_floating_point()} == {torch.float16}
    assert measure_size(copy / "model") < 0.62 * measure_size(exact / "model"), "headers weigh in tiny networks"
    run, half = zoogan.load(faces_run), zoogan.load(copy)
    assert all(weight.dtype == torch.float32 for weight in half.networks.parameters())
    change = (run.sample(4).image - half.sample(4).image).abs().mean() * 127.5
    assert 0 < float(change) < 1
    edited = half.edit(half.sample(2), Smiling=1).image, run.edit(run.sample(2), Smiling=1).image
    assert float((edited[0] - edited[1]).abs().mean()) * 127.5 < 1, "its direction is carried over"


def test_half_weights_change_edits_less_than_a_level(sagan_run: Path, tmp_path: Path) -> None:
    copy = zoogan.export_run(sagan_run, tmp_path / "copy", half=True)
    faces = make_faces(1, 4, 32)
    one, two = (zoogan.load(path).edit(faces, Eyeglasses=1).image for path in (sagan_run, copy))
    assert 0 < float((one - two).abs().mean()) * 127.5 < 1
    assert (copy / "model/discriminator.safetensors").exists(), "its editor reads labels with it"


def test_optional_network_can_be_left_out(sagan_run: Path, tmp_path: Path) -> None:
    copy = zoogan.export_run(sagan_run, tmp_path / "copy", without=["discriminator"])
    assert not (copy / "model/discriminator.safetensors").exists()
    run, faces = zoogan.load(copy), make_faces(1, 2, 32)
    assert not run.editor.reads_labels
    assert torch.equal(run.edit(faces, Eyeglasses=1).image, zoogan.load(sagan_run).edit(faces, Eyeglasses=1).image)
    with pytest.raises(ValueError, match=r"no trained discriminator.*--own Eyeglasses=0"):
        run.editor.predict_labels(faces)
    again = zoogan.export_run(copy, tmp_path / "again")
    assert not zoogan.load(again).editor.reads_labels, "a copy of the copy is whole too"


def test_needed_network_cannot_be_left_out(sagan_run: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"without: generator: sagan cannot edit without it.*: discriminator$"):
        zoogan.export_run(sagan_run, tmp_path / "copy", without=["generator"])
    assert not (tmp_path / "copy").exists()


def test_values_that_half_cannot_hold_stay(sagan_run: Path, tmp_path: Path) -> None:
    from zoogan.workflows.export_run import halve

    tensors = {"large": torch.tensor([1e5]), "small": torch.tensor([0.1]), "count": torch.tensor([3])}
    stored = halve(tensors)
    assert [stored[name].dtype for name in tensors] == [torch.float32, torch.float16, torch.int64]
    assert float(stored["large"]) == 1e5


def test_export_refuses_a_folder_in_use(sagan_run: Path, tmp_path: Path) -> None:
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(ConfigError, match="the folder already holds files; name an empty or new folder"):
        zoogan.export_run(sagan_run, tmp_path / "used")
    with pytest.raises(ConfigError, match=r"not a judge"):
        zoogan.export_judge(sagan_run, tmp_path / "judge")
