"""Files and plugins of strangers: told in our own words, and never executed."""

from __future__ import annotations

import dataclasses
import pickle
import shlex
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.files import read_weights_file
from zoogan.plugins.host import get_zoo
from zoogan.plugins.pasting import quote_run, quote_word
from zoogan.runs.opening import load
from zoogan.runs.summary import summarize_run
from zoogan.testing.tensors import make_noise
from zoogan.training.importing import import_weights
from zoogan.workflows.photo_outputs import plan_stems

PAGE = b"\n<!DOCTYPE html><html><body>Quota exceeded</body></html>"
POINTER = b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 12345\n"


class Custom:
    """A class that only its own program knows."""


@pytest.mark.parametrize("suffix", [".pt", ".pkl", ".safetensors"])
@pytest.mark.parametrize(
    ("content", "message"),
    [
        (PAGE, "this is a web page, not weights"),
        (POINTER, "this is a git-lfs pointer, not the weights; run `git lfs pull`"),
        (b"", "the file is empty; download it again"),
        (b"nonsense " * 9, None),
    ],
)
def test_file_that_is_no_weights_is_explained(tmp_path: Path, suffix: str, content: bytes, message: str | None) -> None:
    path = tmp_path / f"weights{suffix}"
    path.write_bytes(content)
    damaged = suffix == ".safetensors"
    message = message or ("the file is damaged" if damaged else "this is no file of weights")
    with pytest.raises(ConfigError) as error:
        read_weights_file(path)
    assert message in str(error.value) and "weights_only" not in str(error.value)


def test_pickles_and_cut_downloads_are_explained(tmp_path: Path) -> None:
    path = tmp_path / "weights.pt"
    for content in ({"model": Custom()}, Custom()):
        torch.save(content, path)
        with pytest.raises(ConfigError, match=r"holds Python objects \(.*Custom\).*never does.*torch\.save") as error:
            read_weights_file(path)
        assert "weights_only" not in str(error.value) and "add_safe_globals" not in str(error.value)
    path.write_bytes(pickle.dumps({"a": Custom()}))
    with pytest.raises(ConfigError, match=r"holds Python objects.*never does"):
        read_weights_file(path)
    torch.save({"a": torch.zeros(100)}, path)
    path.write_bytes(path.read_bytes()[:-300])
    with pytest.raises(ConfigError, match="damaged or was not downloaded to its end"):
        read_weights_file(path)


def test_wrappers_of_training_scripts_are_taken_off(tmp_path: Path) -> None:
    state, path = {"a.weight": make_noise(0, 2)}, tmp_path / "weights.pt"
    wrapped = {f"module.{name}": value for name, value in state.items()}
    for content, expected in (
        ({"state_dict": state, "epoch": 3}, state),
        ({"model_state_dict": wrapped, "optimizer": {"lr": 0.1}}, state),
        ({"g_ema": wrapped, "args": {"x": 1}}, {"g_ema": state, "args": {"x": 1}}),
        (wrapped, state),
    ):
        torch.save(content, path)
        assert repr(read_weights_file(path)) == repr(expected)


def test_stranger_as_run_judge_or_start_is_explained(sagan_run: Path, read_error: Any, tmp_path: Path) -> None:
    (page := tmp_path / "page.pt").write_bytes(PAGE)
    assert "this is a web page" in read_error("train", "--model", "sagan", "--from", page)
    assert "this is a web page" in read_error("evaluate", sagan_run, "--judge", page)
    with pytest.raises(ConfigError, match="this is a web page"):
        import_weights("sagan", page, out=tmp_path / "run")
    copy = tmp_path / "copy"
    shutil.copytree(sagan_run, copy)
    shutil.rmtree(copy / "checkpoints")  # which would mend the model
    (copy / "model/generator.safetensors").write_bytes(POINTER)
    with pytest.raises(ConfigError, match="git-lfs pointer"):
        load(copy)


def test_printed_commands_survive_pasting(sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    copy = tmp_path / "my runs' best"
    shutil.copytree(sagan_run, copy)
    commands = summarize_run(copy).commands
    assert shlex.split(commands["edit a photo"])[:3] == ["zoo", "edit", str(copy)]
    assert quote_word(Path("-x")) == "./-x" and quote_word("Wavy Hair") == "'Wavy Hair'"
    zoo, file = get_zoo(), tmp_path / "my plugin.py"
    info = dataclasses.replace(zoo.plugins[0], name="mine", where=str(file), methods=("sagan",), components=())
    monkeypatch.setattr(zoo, "plugins", [*zoo.plugins, info])
    monkeypatch.setattr(zoo, "files", [file, tmp_path / "unused.py"])
    assert shlex.split(quote_run(copy)) == [str(copy), "--plugin", str(file)]


def test_files_from_seeds_are_not_replaced_silently(stylegan2_run: Path, read_error: Any, tmp_path: Path) -> None:
    folder = tmp_path / "faces"
    sample = ["sample", str(stylegan2_run), "-n", "1", "--out", str(folder)]
    assert main(sample) == 0
    before = (folder / "seed-0.png").stat().st_mtime_ns
    assert "seed-0.png: exists already\nchoose another --out, or replace" in read_error(*sample)
    assert (folder / "seed-0.png").stat().st_mtime_ns == before and main([*sample, "--overwrite"]) == 0
    assert plan_stems(["seed-0", "a", "a"], ["-edited.png"], tmp_path / "new") == ["seed-0", "a", "a-2"]
    (folder / "seed-0-edited.png").touch()
    with pytest.raises(ConfigError, match=r"seed-0-edited.png: exists already"):
        plan_stems(["seed-0"], ["-edited.png"], folder)
