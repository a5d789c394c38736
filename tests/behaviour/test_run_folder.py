"""The run folder: which folder a training gets, and which of its files can be lost without losing the run."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

import zoogan
from support.runs import tiny_run
from zoogan.cli import main
from zoogan.plugins.host import get_zoo
from zoogan.runs import locations
from zoogan.runs.folder import RunFolder
from zoogan.training import configure
from zoogan.training.configure import configure_new_run
from zoogan.training.session import Session


def read_model_files(run: Path) -> dict[str, bytes]:
    """Read all files of a run's model by name."""
    return {path.name: path.read_bytes() for path in (run / "model").iterdir()}


@pytest.mark.slow
def test_two_trainings_that_choose_one_number_get_two_folders(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    choose = locations.choose_run_folder

    def choose_slowly(parent: Path, stem: str) -> Path:
        folder = choose(parent, stem)
        if folder.name == "sagan-drawn-64-001":
            folder.mkdir(parents=True)  # another training takes it after this one has chosen it
        return folder

    for module in (locations, configure):
        monkeypatch.setattr(module, "choose_run_folder", choose_slowly)
    assert tiny_run("sagan", None, iterations=1) == 0
    assert "finished: runs/sagan-drawn-64-002" in capsys.readouterr().out
    assert (tmp_path / "runs/sagan-drawn-64-002/metrics.jsonl").exists()
    assert not list((tmp_path / "runs/sagan-drawn-64-001").iterdir())


@pytest.mark.slow
def test_training_that_writes_nothing_leaves_no_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert tiny_run("sagan", None, training={"evaluate_every": 1, "evaluate": "edit_eror"}) == 2
    assert not (tmp_path / "runs").exists()

    def fail(self: Session) -> None:
        raise RuntimeError("no tracker answers")

    monkeypatch.setattr(Session, "run_loop", fail)
    assert tiny_run("sagan", None) == 1
    assert not list((tmp_path / "runs").iterdir())


@pytest.mark.slow
def test_checkpoint_with_several_reasons_is_written_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The interval, the best measure and the end of the training all ask for the checkpoint of the last iteration."""
    saved: list[int] = []
    save = Session.save
    monkeypatch.setattr(Session, "save", lambda session: (saved.append(session.trainer.iteration), save(session)))
    training = {
        "evaluate_every": 1, "evaluate": "edit_error", "best": "edit_error", "evaluate_faces": 4, "checkpoint_every": 2,
    }  # fmt: skip
    assert tiny_run("sagan", tmp_path / "run", training=training) == 0
    assert saved == [1, 2]


# ---- the model ----


def test_lost_model_is_restored_from_the_checkpoint(sagan_copy: Path, capsys: pytest.CaptureFixture[str]) -> None:
    generator = sagan_copy / "model/generator.safetensors"
    resume = ["train", "--out", str(sagan_copy), "--resume", "--device", "cpu"]
    before = generator.read_bytes()
    assert main(resume) == 0
    assert "written again" not in capsys.readouterr().out
    shutil.rmtree(sagan_copy / "model")
    assert main(resume) == 0
    assert "written again" in capsys.readouterr().out
    assert generator.read_bytes() == before
    generator.write_bytes(b"of iteration 0")
    about = json.loads((sagan_copy / "model/config.json").read_text())
    (sagan_copy / "model/config.json").write_text(json.dumps(about | {"iteration": 0}))
    assert main(resume) == 0
    assert generator.read_bytes() == before


def test_model_stores_its_own_iteration(sagan_copy: Path) -> None:
    (newest,) = (sagan_copy / "checkpoints").iterdir()
    state = (newest / "state.json").read_text()
    (newest / "state.json").unlink()
    loaded = zoogan.load(sagan_copy)
    assert (loaded.iteration, loaded.images) == (1, json.loads(state)["position"])
    about = json.loads((sagan_copy / "model/config.json").read_text())
    del about["iteration"], about["position"]  # as an import writes it
    (sagan_copy / "model/config.json").write_text(json.dumps(about))
    assert zoogan.load(sagan_copy).iteration is None


def test_model_whose_replacement_was_interrupted_is_found(sagan_copy: Path) -> None:
    before = read_model_files(sagan_copy)
    (sagan_copy / "model").rename(sagan_copy / ".model.old")
    loaded = zoogan.load(sagan_copy)
    assert loaded.iteration == 1
    assert main(["train", "--resume", str(sagan_copy), "--set", "training.iterations=1"]) in (0, 2)
    networks: Any = loaded.networks
    RunFolder(sagan_copy).write_model(loaded.config, loaded.facts, networks, torch.nn.Module())
    assert not (sagan_copy / ".model.old").exists()
    assert read_model_files(sagan_copy)["generator.safetensors"] == before["generator.safetensors"]


def test_failed_write_of_a_model_keeps_the_old_model(sagan_copy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, loaded = read_model_files(sagan_copy), zoogan.load(sagan_copy)
    written: list[Path] = []

    def fail_at_second_file(path: Path, tensors: object) -> None:
        if written:
            raise OSError("No space left on device")
        written.append(path)
        path.write_bytes(b"new")

    monkeypatch.setattr("zoogan.runs.folder.write_tensors", fail_at_second_file)
    networks: Any = loaded.networks
    with pytest.raises(OSError, match="No space"):
        RunFolder(sagan_copy).write_model(loaded.config, loaded.facts, networks, torch.nn.Module())
    assert read_model_files(sagan_copy) == before


@pytest.mark.slow
def test_resumed_training_continues_the_count_of_seconds(sagan_copy: Path) -> None:
    (first,) = map(json.loads, (sagan_copy / "metrics.jsonl").read_text().splitlines())
    (sagan_copy / "metrics.jsonl").write_text(json.dumps(first | {"seconds": 1000.0}) + "\n")
    assert main(["train", "--out", str(sagan_copy), "--resume", "--device", "cpu", "--iterations", "2"]) == 0
    last = json.loads((sagan_copy / "metrics.jsonl").read_text().splitlines()[-1])
    assert last["iteration"] == 2 and last["seconds"] > 1000


# ---- mistakes ----


@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ("data=null", "--set data: expected single settings, like data.root=FOLDER, got data=None"),
        ("training=5", "--set training: expected single settings, like training.iterations=N, got training=5"),
    ],
)
def test_resume_with_a_value_for_a_group_is_explained(
    sagan_run: Path, setting: str, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["train", "--out", str(sagan_run), "--resume", "--set", setting]) == 2
    assert expected in capsys.readouterr().err


def test_value_for_a_group_of_settings_is_explained(
    tmp_path: Path, sagan_run: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny_run("sagan", tmp_path / "run", "--set", "extra_terms=5") == 2
    assert "extra_terms: " in capsys.readouterr().err
    start = ["--from", str(sagan_run), "--out", str(tmp_path / "run")]
    assert main(["train", "--model", "sagan", *start, "--set", "data=5"]) == 2
    assert "data: expected a source" in capsys.readouterr().err


def test_train_without_attributes_is_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert tiny_run("sagan", tmp_path / "run", data={"attributes": []}) == 2
    assert "data.attributes: sagan edits attributes" in capsys.readouterr().err


def test_out_that_names_a_file_is_refused(tmp_path: Path, sagan_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "file.txt"
    file.write_text("precious")
    photo = tmp_path / "me.png"
    Image.new("RGB", (20, 20)).save(photo)
    edit = ["edit", str(sagan_run), str(photo), "--attribute", "Eyeglasses=1"]
    assert tiny_run("sagan", file) == 2
    assert "a file of that name exists" in capsys.readouterr().err
    for command, expected in (
        ([*edit, "--out", str(file)], "name a folder for the edits"),
        (["edit", str(tmp_path / "norun"), "--grid", "--out", str(file)], "no picture ends in '.txt'"),
        (["edit", str(tmp_path / "norun"), "--grid", "--out", str(tmp_path)], "this is a folder"),
        ([*edit, "--strength", "nan"], "--strength nan: expected a finite number"),
        ([*edit, "--seed", "1", "--seed", "2"], "this run's edits are deterministic"),
    ):
        assert main(command) == 2, command
        assert expected in capsys.readouterr().err
    assert file.read_text() == "precious"


def test_judge_source_in_settings_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["judge", "train", "--set", "data.source=celeba"]) == 2
    assert "the source is named by --data, which is drawn" in capsys.readouterr().err


def test_workers_share_the_memory_for_drawn_faces(monkeypatch: pytest.MonkeyPatch) -> None:
    from zoogan.data import cache
    from zoogan.data.config import DrawnData
    from zoogan.data.drawn.source import DrawnSource

    monkeypatch.setattr(cache, "CACHE_BYTES", 8 * 4 * 16 * 16)
    for workers, faces in ((0, 8), (1, 8), (4, 2)):
        source = DrawnSource(DrawnData(image_size=16, faces=32, held_out=4, workers=workers))
        source.read("train", [0])
        assert len(source._caches["train"].is_filled) == faces


@pytest.mark.parametrize(
    ("folder", "recipe", "name"),
    [
        ("photos", None, "stylegan2-photos-64-001"),
        ("Ünsere  Bilder (2)", None, "stylegan2-nsere-Bilder-2-64-001"),
        ("日本", None, "stylegan2-ffhq-256-001"),
        ("photos", "drawn-32", "stylegan2-drawn-32-001"),
    ],
)
def test_run_is_named_after_its_data(tmp_path: Path, folder: str, recipe: str | None, name: str) -> None:
    (tmp_path / folder).mkdir()
    settings = {"data": {"root": str(tmp_path / folder), "image_size": 64}}
    _, path = configure_new_run(
        get_zoo(), "stylegan2", recipe=recipe, source="folder", settings=settings, device="cuda"
    )
    assert path == Path("runs", name)
