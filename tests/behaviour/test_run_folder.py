"""The run folder: whose it is, and what of it can be lost without losing the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import zoogan
from zoogan.cli import main
from zoogan.runs import locations
from zoogan.runs.folder import RunFolder
from zoogan.training.session import Session

TINY = [
    "--device", "cpu", "--iterations", "1", "--set", "data.image_size=16", "--set", "data.batch=2", "--set",
    "data.workers=0", "--set", "data.faces=16", "--set", "data.held_out=4", "--set", "generator.width=4", "--set",
    "discriminator.width=4", "--set", "training.sample_every=0",
]  # fmt: skip


def train(*options: str) -> int:
    return main(["train", "--model", "sagan", *TINY, *options])


def test_two_trainings_that_saw_the_same_free_number_take_two_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    asked = locations.choose_run_folder

    def slow(parent: Path, stem: str) -> Path:
        found = asked(parent, stem)
        if found.name == "sagan-drawn-64-001":
            found.mkdir(parents=True)  # by another training, after this one has looked
        return found

    monkeypatch.setattr(locations, "choose_run_folder", slow)
    assert train() == 0
    assert "finished: runs/sagan-drawn-64-002" in capsys.readouterr().out
    assert (tmp_path / "runs/sagan-drawn-64-002/metrics.jsonl").exists()
    assert not list((tmp_path / "runs/sagan-drawn-64-001").iterdir())


def test_a_training_that_writes_nothing_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert train("--set", "training.evaluate_every=1", "--set", "training.evaluate=edit_eror") == 2
    assert not (tmp_path / "runs").exists()

    def fail(self: Session) -> None:
        raise RuntimeError("no tracker answers")

    monkeypatch.setattr(Session, "run_loop", fail)
    assert train() == 1
    assert not list((tmp_path / "runs").iterdir())


def test_each_checkpoint_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Though the last iteration, its turn, a measuring that was the best and the end all ask for it."""
    written: list[int] = []
    save = Session.save
    monkeypatch.setattr(Session, "save", lambda session: (written.append(session.trainer.iteration), save(session)))
    watched = ["evaluate_every=1", "evaluate=edit_error", "best=edit_error", "evaluate_faces=4", "checkpoint_every=2"]
    sets = [part for setting in watched for part in ("--set", f"training.{setting}")]
    assert train("--out", str(tmp_path / "run"), *sets, "--iterations", "2") == 0
    assert written == [1, 2]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run of one iteration, to be copied."""
    run = tmp_path_factory.mktemp("finished") / "run"
    assert train("--out", str(run)) == 0
    return run


def test_a_lost_model_comes_back_from_the_checkpoint(
    tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    resume = ["train", "--out", str(run), "--resume", "--device", "cpu"]
    was = (run / "model/generator.safetensors").read_bytes()
    assert main(resume) == 0
    assert "written anew" not in capsys.readouterr().out
    shutil.rmtree(run / "model")
    assert main(resume) == 0
    assert "written anew" in capsys.readouterr().out
    assert (run / "model/generator.safetensors").read_bytes() == was
    (run / "model/generator.safetensors").write_bytes(b"of iteration 0")
    about = json.loads((run / "model/config.json").read_text())
    (run / "model/config.json").write_text(json.dumps(about | {"iteration": 0}))
    assert main(resume) == 0
    assert (run / "model/generator.safetensors").read_bytes() == was


def test_a_model_tells_its_own_iteration(tmp_path: Path, finished: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    (newest,) = (run / "checkpoints").iterdir()
    state = (newest / "state.json").read_text()
    (newest / "state.json").unlink()
    loaded = zoogan.load(run)
    assert (loaded.iteration, loaded.images) == (1, json.loads(state)["position"])
    about = json.loads((run / "model/config.json").read_text())
    del about["iteration"], about["position"]  # as an import writes it
    (run / "model/config.json").write_text(json.dumps(about))
    assert zoogan.load(run).iteration is None


def test_a_model_whose_replacement_was_interrupted_is_found(tmp_path: Path, finished: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    before = {path.name: path.read_bytes() for path in (run / "model").iterdir()}
    (run / "model").rename(run / ".model.old")
    loaded = zoogan.load(run)
    assert loaded.iteration == 1
    assert main(["train", "--resume", str(run), "--set", "training.iterations=1"]) in (0, 2)
    networks: Any = loaded.networks
    RunFolder(run).write_model(loaded.config, loaded.facts, networks, torch.nn.Module())
    assert not (run / ".model.old").exists()
    after = {path.name: path.read_bytes() for path in (run / "model").iterdir()}
    assert after["generator.safetensors"] == before["generator.safetensors"]


def test_a_model_that_is_being_written_stands_beside_the_old_one(
    tmp_path: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    before = {path.name: path.read_bytes() for path in (run / "model").iterdir()}
    loaded, written = zoogan.load(run), []

    def full(path: Path, tensors: object) -> None:
        if written:
            raise OSError("No space left on device")
        written.append(path)
        path.write_bytes(b"new")

    monkeypatch.setattr("zoogan.runs.folder.write_tensors", full)
    networks: Any = loaded.networks
    with pytest.raises(OSError, match="No space"):
        RunFolder(run).write_model(loaded.config, loaded.facts, networks, torch.nn.Module())
    assert {path.name: path.read_bytes() for path in (run / "model").iterdir()} == before


def test_a_resumed_training_counts_its_seconds_on(tmp_path: Path, finished: Path) -> None:
    run = Path(shutil.copytree(finished, tmp_path / "run"))
    (first,) = map(json.loads, (run / "metrics.jsonl").read_text().splitlines())
    (run / "metrics.jsonl").write_text(json.dumps(first | {"seconds": 1000.0}) + "\n")
    assert main(["train", "--out", str(run), "--resume", "--device", "cpu", "--iterations", "2"]) == 0
    last = json.loads((run / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["iteration"] == 2 and last["seconds"] > 1000


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("data=null", "--set data: expected single settings, like data.root=FOLDER, got data=None"),
        ("training=5", "--set training: expected single settings, like training.iterations=N, got training=5"),
    ],
)
def test_a_resume_explains_a_value_in_place_of_settings(
    finished: Path, setting: str, says: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--out", str(finished), "--resume", "--set", setting]) == 2
    assert says in capsys.readouterr().err


def test_a_value_in_place_of_settings_is_explained(
    tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = ["--out", str(tmp_path / "run")]
    assert train("--set", "extra_terms=5", *out) == 2
    assert "extra_terms: " in capsys.readouterr().err
    assert main(["train", "--model", "sagan", "--from", str(finished), "--set", "data=5", *out]) == 2
    assert "data: expected a source" in capsys.readouterr().err


def test_attributes_must_be_named_to_be_edited(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert train("--set", "data.attributes=[]", "--out", str(tmp_path / "run")) == 2
    assert "data.attributes: sagan edits attributes" in capsys.readouterr().err


def test_a_file_at_out_is_told(tmp_path: Path, finished: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file.txt"
    file.write_text("precious")
    photo = tmp_path / "me.png"
    Image.new("RGB", (20, 20)).save(photo)
    wish = ["edit", str(finished), str(photo), "--attribute", "Eyeglasses=1"]
    assert train("--out", str(file)) == 2
    assert "a file of that name is there" in capsys.readouterr().err
    for options, says in (
        ([*wish, "--out", str(file)], "edits go into a folder"),
        (["edit", str(tmp_path / "norun"), "--grid", "--out", str(file)], "no picture ends in '.txt'"),
        (["edit", str(tmp_path / "norun"), "--grid", "--out", str(tmp_path)], "that is a folder"),
        ([*wish, "--strength", "nan"], "--strength nan: expected a number"),
        ([*wish, "--seed", "1", "--seed", "2"], "edits draw nothing"),
    ):
        assert main(options) == 2, options
        assert says in capsys.readouterr().err
    assert file.read_text() == "precious"


def test_a_judge_takes_its_source_from_one_option(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", "train", "--set", "data.source=celeba"]) == 2
    assert "the source is named by --data, which is drawn" in capsys.readouterr().err


def test_workers_share_the_memory_for_drawn_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoogan.data.config import DrawnData
    from zoogan.data.drawn import source as drawn_source

    monkeypatch.setattr(drawn_source, "CACHE_BYTES", 8 * 4 * 16 * 16)
    for workers, kept in ((0, 8), (1, 8), (4, 2)):
        source = drawn_source.DrawnSource(DrawnData(image_size=16, faces=32, held_out=4, workers=workers))
        source.read("train", [0])
        assert len(source._caches["train"].is_filled) == kept
