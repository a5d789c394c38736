"""Atomic writes: an interruption at any step leaves the old content or the new content of a file or folder."""

from __future__ import annotations

import os
import shutil
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from zoogan import files
from zoogan.files import (
    find_folder,
    replace_file,
    replace_folder,
    write_tensors_atomically,
    write_text_atomically,
)


class Killed(BaseException):
    """The process is killed here."""


class Killer:
    """Kills the process at its `at`-th system call: that call and all later ones raise `Killed`."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, at: int) -> None:
        self.at, self.calls = at, 0
        for owner, name in (
            (os, "replace"),
            (files, "exchange_folders"),
            (os, "fsync"),
            (os, "open"),
            (shutil, "rmtree"),
            (Path, "mkdir"),
            (Path, "write_text"),
            (Path, "unlink"),
        ):
            monkeypatch.setattr(owner, name, self.wrap(getattr(owner, name)))

    def wrap(self, call: Callable[..., Any]) -> Callable[..., Any]:
        """Count the calls of a function, and raise from the `at`-th call on."""

        def call_or_raise(*arguments: Any, **options: Any) -> Any:
            self.calls += 1
            if self.calls >= self.at:
                raise Killed
            return call(*arguments, **options)

        return call_or_raise


@pytest.fixture(params=["exchanged", "renamed"])
def exchanges(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the file system exchanges folders in one step."""
    if request.param == "renamed":
        monkeypatch.setattr(files, "exchange_folders", lambda one, other: False)
    return bool(request.param == "exchanged")


def write_folder(folder: Path, text: str) -> None:
    """Replace a folder by one of two files with this text."""
    with replace_folder(folder) as draft:
        (draft / "one.txt").write_text(text)
        (draft / "two.txt").write_text(text)


def read_both(folder: Path) -> tuple[str, str]:
    """Read both files of a folder, wherever an interrupted write left it."""
    path = find_folder(folder)
    return (path / "one.txt").read_text(), (path / "two.txt").read_text()


def kill_at_each_step(act: Callable[[], None]) -> Iterator[int]:
    """Run `act` repeatedly and kill it one system call later each time; yield after each kill, until it finishes."""
    for at in range(1, 100):
        with pytest.MonkeyPatch.context() as patch:
            Killer(patch, at)
            try:
                act()
            except Killed:
                pass
            else:
                return
        yield at
    raise AssertionError("the write never ends")


def test_folder_swap_killed_at_any_step_leaves_old_or_new(tmp_path: Path, exchanges: bool) -> None:
    folder, contents = tmp_path / "model", set()
    for k in kill_at_each_step(lambda: write_folder(folder, "new")):
        contents.add(read_both(folder)[0] if find_folder(folder).exists() else "nothing")
        if k > 1:
            assert folder.exists() or not exchanges, "there is no moment without the folder"
            assert read_both(folder) in {("old", "old"), ("new", "new")}
        shutil.rmtree(tmp_path)
        tmp_path.mkdir()
        write_folder(folder, "old")
    assert contents == {"nothing", "old", "new"}, "before the first kill there is no folder"
    assert read_both(folder) == ("new", "new")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_folder_swap_after_a_kill_removes_leftovers(tmp_path: Path, exchanges: bool) -> None:
    folder = tmp_path / "model"
    write_folder(folder, "old")
    for _ in kill_at_each_step(lambda: write_folder(folder, "new")):
        assert read_both(folder) in {("old", "old"), ("new", "new")}
        write_folder(folder, "old")
        assert read_both(folder) == ("old", "old")
        assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_folder_swap_that_fails_restores_the_old_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "model"
    write_folder(folder, "old")
    replace = os.replace

    def refuse_draft(source: Path, target: Path) -> None:
        if source.name.endswith(".tmp"):
            raise OSError("No space left on device")
        replace(source, target)

    monkeypatch.setattr(files, "exchange_folders", lambda one, other: False)
    monkeypatch.setattr(files.os, "replace", refuse_draft)
    with pytest.raises(OSError, match="No space"):
        write_folder(folder, "new")
    assert read_both(folder) == ("old", "old")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_folder_swap_with_an_error_inside_keeps_the_old_folder(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    write_folder(folder, "old")
    with pytest.raises(KeyError), replace_folder(folder) as draft:
        (draft / "one.txt").write_text("new")
        raise KeyError
    assert read_both(folder) == ("old", "old")
    assert [path.name for path in tmp_path.iterdir()] == ["model"]


def test_file_killed_at_any_step_is_old_or_new(tmp_path: Path) -> None:
    path = tmp_path / "best.json"
    write_text_atomically(path, "old")
    for _ in kill_at_each_step(lambda: write_text_atomically(path, "new")):
        assert path.read_text() in {"old", "new"}
        write_text_atomically(path, "old")
    assert path.read_text() == "new"
    assert [path.name for path in tmp_path.iterdir()] == ["best.json"]


def test_file_with_an_error_inside_keeps_the_old_content(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "best.json"
    write_text_atomically(path, "old")
    with pytest.raises(KeyError), replace_file(path) as draft:
        draft.write_text("new")
        raise KeyError
    assert path.read_text() == "old"
    assert [path.name for path in path.parent.iterdir()] == ["best.json"]


def test_written_tensors_have_the_permissions_of_the_umask(tmp_path: Path) -> None:
    path, plain = tmp_path / "weights.safetensors", tmp_path / "plain"
    write_tensors_atomically(path, {"one": torch.ones(2)}, {"format": "1"})
    plain.touch()
    assert stat.S_IMODE(path.stat().st_mode) == stat.S_IMODE(plain.stat().st_mode)
    assert torch.equal(load_file(path)["one"], torch.ones(2))


def test_files_are_synced_before_they_are_renamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    events: list[str] = []
    fsync, replace = os.fsync, os.replace

    def record_sync(descriptor: int) -> None:
        events.append(Path(os.readlink(f"/proc/self/fd/{descriptor}")).name)
        fsync(descriptor)

    def record_rename(source: Path, target: Path) -> None:
        events.append(f"{source.name} -> {target.name}")
        replace(source, target)

    monkeypatch.setattr(files.os, "fsync", record_sync)
    monkeypatch.setattr(files.os, "replace", record_rename)
    write_folder(tmp_path / "model", "new")
    assert sorted(events[:2]) == ["one.txt", "two.txt"]
    assert events[2:] == [".model.tmp", ".model.tmp -> model", tmp_path.name]
