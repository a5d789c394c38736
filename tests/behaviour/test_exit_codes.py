"""Exit codes by the kind of failure, the advice that comes with them, and smaller batches where memory runs out."""

from __future__ import annotations

import errno
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import zoogan
from support.runs import FEW_FACES, make_semantic_config
from zoogan import errors
from zoogan.cli import main
from zoogan.data.config import DrawnData
from zoogan.data.drawn.source import DrawnSource
from zoogan.errors import ConfigError, DataError, OutOfMemory
from zoogan.evaluation.study import iterate_edits, iterate_samples, open_study
from zoogan.resources import is_disk_full, is_out_of_memory, run_in_batches
from zoogan.training.advice import explain_failure
from zoogan.training.trainer import Trainer

OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:117] err == 0. DefaultCPUAllocator: can't allocate memory: 9 bytes"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
]


def resume(run: Path) -> int:
    """Train one more iteration of a run of one."""
    return main(["train", "--out", str(run), "--resume", "--iterations", "2", "--device", "cpu"])


def list_checkpoint_names(run: Path) -> list[str]:
    """List what lies in the folder of checkpoints."""
    return sorted(path.name for path in (run / "checkpoints").iterdir())


def test_each_kind_of_error_has_its_code() -> None:
    kinds = [getattr(zoogan, name) for name in ("ConfigError", "DataError", "NotFinite", "OutOfMemory", "DiskError")]
    assert [kind.exit_code for kind in kinds] == [2, 3, 4, 5, 6]
    assert all(issubclass(kind, errors.ZooganError) for kind in kinds) and issubclass(DataError, ConfigError)


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=lambda error: f"{type(error).__name__} {error}"[:20])
def test_out_of_memory_is_recognised_and_advised(error: Exception, tmp_path: Path) -> None:
    config = make_semantic_config(data={"batch": 12}, training={"accumulate": 2})
    failure = explain_failure(error, config, tmp_path, 10)
    assert is_out_of_memory(error) and isinstance(failure, OutOfMemory)
    for part in ("12 faces of 16 px at once, 2 times, in fp32", "data.batch=6 --set training.accumulate=4", "bf16"):
        assert part in str(failure)
    assert not is_out_of_memory(RuntimeError("shapes differ")) and not is_disk_full(error)
    other = RuntimeError("shapes differ")
    assert explain_failure(other, config, tmp_path, 10) is other


def test_training_out_of_memory_exits_5(
    sagan_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def fail(*_: Any) -> None:
        raise torch.OutOfMemoryError("CUDA out of memory")

    monkeypatch.setattr(Trainer, "update", fail)
    assert resume(sagan_copy) == 5
    output = capsys.readouterr()
    assert f"zoo train --out {sagan_copy} --resume" in output.err
    assert "--set data.batch=2 --set training.accumulate=2 --allow data.batch --allow training.accumulate" in output.err
    assert "--resume goes on there" in " ".join(output.out.split())


@pytest.mark.parametrize("kind", [errno.ENOSPC, errno.EDQUOT, None])
def test_full_disk_exits_6_and_keeps_the_last_checkpoint(
    sagan_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], kind: int | None
) -> None:
    from safetensors import SafetensorError

    def fail(path: Path, *_: Any) -> None:
        raise SafetensorError("No space left on device (os error 28)") if kind is None else OSError(kind, "", str(path))

    monkeypatch.setattr("zoogan.runs.checkpoints.write_tensors", fail)
    assert resume(sagan_copy) == 6
    output = capsys.readouterr()
    assert "the disk is full" in output.err and "MB are free" in output.err and "training.keep=1" in output.err
    assert "iteration-00000001" in output.out and list_checkpoint_names(sagan_copy) == ["iteration-00000001"]


def test_damaged_face_exits_3(
    sagan_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(
        "zoogan.data.loader._NeedsDataset.__getitems__", lambda self, ks: ConfigError("faces/7.png: damaged")
    )
    assert resume(sagan_copy) == 3
    assert "zoo train: faces/7.png: damaged" in capsys.readouterr().err


def test_other_verbs_explain_a_full_disk_and_memory(
    sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for error, code, text in (
        (OSError(errno.ENOSPC, "No space left on device", "grid.png"), 6, "grid.png: the disk is full"),
        (torch.OutOfMemoryError("CUDA out of memory"), 5, "out of memory"),
    ):
        monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, error=error, **__: (_ for _ in ()).throw(error))
        out = tmp_path / "grid.png"
        assert main(["edit", str(sagan_run), "--grid", "--out", str(out), "--device", "cpu"]) == code
        assert text in capsys.readouterr().err


# ---- smaller batches ----


def test_batches_are_halved_down_to_one(caplog: pytest.LogCaptureFixture) -> None:
    sizes: list[int] = []

    def work(rows: Sequence[int]) -> list[int]:
        sizes.append(len(rows))
        if len(rows) > 3:
            raise OUT_OF_MEMORY[2]
        return list(rows)

    results = list(run_in_batches(range(10), 8, work))
    assert [row for part in results for row in part] == list(range(10))
    assert sizes == [8, 4, 2, 2, 2, 2, 2]
    assert [record.getMessage() for record in caplog.records] == [
        "out of memory with 8 faces at once; going on with 4", "out of memory with 4 faces at once; going on with 2",
    ]  # fmt: skip

    def fail(rows: Sequence[int]) -> None:
        raise MemoryError

    with pytest.raises(OutOfMemory, match="a single face"):
        list(run_in_batches(range(4), 4, fail))
    with pytest.raises(KeyError):
        list(run_in_batches([1, 2], 2, lambda rows: {}[rows[0]]))


def test_sampling_goes_on_with_smaller_batches(stylegan2_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = zoogan.load(stylegan2_run)
    expected, sample = run.sample(5).image, run.editor.sample

    def fail_with_many(seeds: Sequence[int], **options: Any) -> Any:
        if len(seeds) > 2:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return sample(seeds, **options)

    monkeypatch.setattr(run.editor, "sample", fail_with_many)
    assert torch.allclose(run.sample(5).image, expected, atol=1e-5)
    source = DrawnSource(DrawnData(image_size=16, **{k: FEW_FACES[k] for k in ("faces", "held_out")}))
    study = open_study(source, "drawn", faces=5, editor=run.editor)
    assert [batch.faces.tolist() for batch in iterate_samples(run.editor, study)] == [[0, 1], [2, 3], [4]]


def test_evaluation_goes_on_with_smaller_batches(sagan_run: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = zoogan.load(sagan_run)

    def fail_with_many(editor: Any, study: Any, attribute: str, faces: list[int], *_: Any) -> Any:
        if len(faces) > 4:
            raise MemoryError
        return SimpleNamespace(faces=faces)

    monkeypatch.setattr("zoogan.evaluation.study._edit_batch", fail_with_many)
    study = open_study(DrawnSource(run.config.data), "drawn", faces=16, editor=run.editor)
    batches = [batch.faces for batch in iterate_edits(run.editor, study, "Eyeglasses")]
    assert [face for faces in batches for face in faces] == list(range(16)) and max(map(len, batches)) <= 4
