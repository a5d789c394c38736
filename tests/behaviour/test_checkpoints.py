"""Checkpoints: saving, reading, pruning, and detecting damage."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from zoogan import files
from zoogan.runs import checkpoints
from zoogan.runs.checkpoints import CheckpointError, TrainingState


def make_state(iteration: int) -> TrainingState:
    """Make a small training state whose numbers depend on the iteration."""
    network = {"weight": torch.full((3, 2), float(iteration)), "count": torch.tensor(iteration)}
    return TrainingState(
        iteration,
        16 * iteration,
        {},
        {"generator": network},
        {"generator": network},
        {"generator": {"weight/step": torch.tensor(1.0)}},
    )


def test_saved_checkpoint_is_read_back(tmp_path: Path) -> None:
    loaded = checkpoints.read_checkpoint(checkpoints.save_checkpoint(tmp_path, make_state(7)))
    assert (loaded.iteration, loaded.position) == (7, 112)
    assert torch.equal(loaded.networks["generator"]["weight"], torch.full((3, 2), 7.0))
    assert torch.equal(loaded.averages["generator"]["count"], torch.tensor(7))
    assert list(loaded.optimizers["generator"]) == ["weight/step"]


def test_pruning_deletes_the_oldest_checkpoints(tmp_path: Path) -> None:
    for k in range(1, 6):
        checkpoints.prune_checkpoints(tmp_path, checkpoints.save_checkpoint(tmp_path, make_state(k)), keep=2)
    assert [path.name for path in checkpoints.list_checkpoints(tmp_path)] == [
        "iteration-00000004",
        "iteration-00000005",
    ]


def test_pruning_keeps_spared_iterations(tmp_path: Path) -> None:
    for k in range(1, 6):
        checkpoints.prune_checkpoints(tmp_path, checkpoints.save_checkpoint(tmp_path, make_state(k)), keep=1, spare={2})
    assert [checkpoints.parse_iteration(path) for path in checkpoints.list_checkpoints(tmp_path)] == [2, 5]


@pytest.mark.parametrize("damage", ["truncate", "flip", "delete", "manifest"])
def test_damaged_checkpoint_is_detected(tmp_path: Path, damage: str) -> None:
    whole, broken = (
        checkpoints.save_checkpoint(tmp_path, make_state(1)),
        checkpoints.save_checkpoint(tmp_path, make_state(2)),
    )
    file = broken / "generator.safetensors"
    if damage == "truncate":
        file.write_bytes(file.read_bytes()[:-4])
    elif damage == "flip":
        content = bytearray(file.read_bytes())
        content[-1] ^= 1
        file.write_bytes(bytes(content))
    elif damage == "delete":
        file.unlink()
    else:
        (broken / "manifest.json").write_text("{")
    newest, messages = checkpoints.find_newest_checkpoint(tmp_path)
    assert newest == whole
    assert len(messages) == 1 and "iteration-00000002" in messages[0]
    with pytest.raises(CheckpointError, match="iteration-00000002"):
        checkpoints.read_checkpoint(broken)


def test_interrupted_save_leaves_no_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checkpoints.save_checkpoint(tmp_path, make_state(1))

    def fail(*_: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr(files, "save_file", fail)
    with pytest.raises(OSError, match="No space"):
        checkpoints.save_checkpoint(tmp_path, make_state(2))
    assert checkpoints.find_newest_checkpoint(tmp_path)[0] == tmp_path / "iteration-00000001"
    assert checkpoints.find_newest_checkpoint(tmp_path)[1] == []


def test_files_have_the_permissions_of_the_umask(tmp_path: Path) -> None:
    path = checkpoints.save_checkpoint(tmp_path, make_state(1))
    plain = tmp_path / "plain"
    plain.touch()
    assert stat.S_IMODE((path / "generator.safetensors").stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)


@pytest.mark.slow
@given(st.lists(st.integers(0, 10**7), min_size=1, unique=True))
def test_checkpoint_names_sort_by_iteration(iterations: list[int]) -> None:
    assert sorted(map(checkpoints.make_checkpoint_name, iterations)) == [
        checkpoints.make_checkpoint_name(k) for k in sorted(iterations)
    ]


def test_pruning_keeps_the_newest_valid_checkpoint(tmp_path: Path) -> None:
    damaged = checkpoints.save_checkpoint(tmp_path, make_state(4))
    (damaged / "generator.safetensors").write_bytes(b"")
    whole = checkpoints.save_checkpoint(tmp_path, make_state(3))
    checkpoints.prune_checkpoints(tmp_path, whole, keep=1)
    assert checkpoints.find_newest_checkpoint(tmp_path)[0] == whole
