"""Stages that a user gives instead of making them: what is checked, what they decide, what is copied."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml

import zoogan
from support.runs import are_same_tensors, tiny_run
from support.staged_runs import PLUGIN, begin, read_states, resume
from zoogan.cli import main
from zoogan.plugins.host import get_zoo
from zoogan.runs.stage_records import compute_digest
from zoogan.testing.tensors import make_faces

pytestmark = pytest.mark.slow

FAST = ("--iterations", "1")


@pytest.fixture(scope="module", autouse=True)
def staged_zoo() -> Iterator[Any]:
    """A zoo of this module with the staged method."""
    get_zoo.cache_clear()
    zoo = get_zoo()
    zoo.load_files([PLUGIN])
    yield zoo
    get_zoo.cache_clear()


@pytest.fixture(scope="module")
def given_run(sagan_run: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A staged run whose backbone is a copy of `sagan_run`, which is larger than the recipe; then it was moved."""
    folder = tmp_path_factory.mktemp("given")
    assert begin(folder / "run", "--stage", f"backbone={sagan_run}", *FAST) == 0
    return Path(shutil.move(folder / "run", folder / "elsewhere"))


def test_given_run_is_copied_with_origin_and_digest(given_run: Path, sagan_run: Path) -> None:
    record, copied = read_states(given_run)["backbone"], given_run / "stages/backbone"
    assert (record["state"], record["origin"]) == ("given", str(sagan_run))
    assert record["digest"] == compute_digest(sagan_run) == compute_digest(copied)
    assert {path.name for path in copied.iterdir()} == {"config.yaml", "facts.json", "model"}


def test_given_run_decides_size_and_networks(given_run: Path, sagan_run: Path) -> None:
    config = yaml.safe_load((given_run / "config.yaml").read_text())
    origin = yaml.safe_load((sagan_run / "config.yaml").read_text())
    assert config["data"]["image_size"] == origin["data"]["image_size"] == 32
    assert config["stages"]["backbone"]["set"]["generator"] == origin["generator"]


def test_moved_run_loads_edits_and_resumes(given_run: Path, sagan_run: Path) -> None:
    run = zoogan.load(given_run)
    origin = zoogan.load(sagan_run)
    states = [r.networks["generator"].state_dict() for r in (run.stages["backbone"], origin)]
    assert are_same_tensors(*states)
    edit = run.edit(make_faces(0, 2, 32), Eyeglasses=1)
    assert edit.image.shape == (2, 3, 32, 32) and torch.isfinite(edit.image).all()
    assert resume(given_run, "--iterations", "2") == 0
    assert zoogan.load(given_run).iteration == 2


def test_given_stage_of_other_faces_is_refused(
    sagan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out, given = tmp_path / "run", f"backbone={sagan_run}"
    assert begin(out, "--stage", given, "--set", "data.image_size=16") == 2
    message = capsys.readouterr().err
    assert (
        "stages.backbone: the networks of" in message and "image_size (data.image_size): 32 in the run, 16" in message
    )
    assert begin(out, "--stage", given, "--set", "data.attributes=Male") == 2
    assert "attributes (data.attributes): Eyeglasses in the run, Male here" in capsys.readouterr().err
    empty = Path(shutil.copytree(sagan_run, tmp_path / "empty"))
    for name in ("model", "checkpoints"):  # a checkpoint would mend the model
        shutil.rmtree(empty / name)
    assert begin(out, "--stage", f"backbone={empty}") == 2
    assert f"{empty}: no model in this run yet" in capsys.readouterr().err
    assert tiny_run("stargan", tmp_path / "stargan", iterations=1) == 0
    capsys.readouterr()
    assert begin(out, "--stage", f"backbone={tmp_path / 'stargan'}") == 2
    assert "is a run of stargan: generator 'stargan' where sagan has 'sagan'" in capsys.readouterr().err
    assert not out.exists()


def test_given_job_is_opened_before_anything_is_written(
    given_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    given = given_run / "stages/colours"
    (tmp_path / "no").mkdir()
    assert begin(tmp_path / "run", "--stage", f"colours={tmp_path / 'no'}") != 0
    assert not (tmp_path / "run").exists()
    capsys.readouterr()
    stop = ["--set", "stages.backbone.set.training.iterations=1"]
    assert begin(tmp_path / "run", "--stage", f"colours={given}", *stop, *FAST) == 0
    assert "colours: copied from" in capsys.readouterr().out
    assert read_states(tmp_path / "run")["colours"]["state"] == "given"


def test_official_file_goes_through_the_importer(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The importer itself is replaced; it describes networks of 32 px."""
    from zoogan.importing.official import Imported
    from zoogan_sagan import weights

    assert tiny_run("sagan", tmp_path / "origin", iterations=1, data={"image_size": 32}) == 0
    origin = zoogan.load(tmp_path / "origin")

    def read(files: Any, settings: Any) -> Imported:
        assert [file.name for file in files] == ["official.pth"]
        config = origin.config.model_dump(mode="json", include={"data", "generator", "discriminator"})
        states = {name: dict(network.state_dict()) for name, network in origin.networks.items()}
        return Imported(config=config, networks=states)

    monkeypatch.setattr(weights, "import_sagan", read)
    (tmp_path / "official.pth").write_bytes(b"weights")
    assert begin(tmp_path / "run", "--stage", f"backbone={tmp_path / 'official.pth'}", *FAST) == 0
    run = zoogan.load(tmp_path / "run")
    assert run.facts.image_size == 32
    copied = run.stages["backbone"].networks["generator"].state_dict()
    assert are_same_tensors(copied, origin.networks["generator"].state_dict())
    record = json.loads((tmp_path / "run/stages.json").read_text())["stages"][1]
    assert (record["state"], record["origin"]) == ("given", str(tmp_path / "official.pth"))


def test_stages_of_other_methods_are_refused_on_resume(sagan_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["train", "--out", str(sagan_copy), "--resume", "--device", "cpu", "--stage", "backbone=x"]) == 2
    assert "sagan has no stages" in capsys.readouterr().err
