"""Prepared faces: decoded once into files, and then bit-equal to faces that are decoded anew, whatever happens."""

from __future__ import annotations

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest
import torch
from PIL import Image

from support.celeba_files import write_celeba
from support.pictures import save_picture
from zoogan.data import prepare, prepare_faces
from zoogan.data.config import CelebAData, CelebAMaskHQData, DrawnData, FolderData, FoldersData
from zoogan.data.drawn.source import DrawnSource
from zoogan.data.loader import make_loader
from zoogan.data.prepare import PreparedSource, use_prepared_faces
from zoogan.data.prepared import describe_faces, locate_prepared_faces, open_prepared_faces
from zoogan.data.sources.attribute_columns import DataWarning
from zoogan.data.sources.celeba import CelebA
from zoogan.data.sources.celebamask_hq import CelebAMaskHQ
from zoogan.data.sources.folder import Folder
from zoogan.data.sources.folders import Folders
from zoogan.data.sources.heat_map_files import save_masks
from zoogan.errors import ConfigError
from zoogan.interfaces import Need, Source, World

KINDS = {"names": ["nothing", "face", "l_eye", "r_eye"], "mirrored": [["l_eye", "r_eye"]]}
MANY = 10**6

pytestmark = pytest.mark.usefixtures("temporary_cache")


class Opened(NamedTuple):
    """A source and its settings."""

    source: Source
    config: Any


def save_map(path: Path, values: int = 4, seed: int = 0) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.random.default_rng(seed).integers(0, values, (40, 36)).astype(np.uint8)).save(path)


def open_folder(root: Path, faces: int = 5, **settings: Any) -> Opened:
    """Open a folder with label maps, which is written unless it is there."""
    for k in range(0 if root.exists() else faces):
        save_picture(root / f"{k}.jpg")
        save_map(root / f"maps/{k}.png", seed=k)
    given = {"image_size": 16, "attributes": (), "test_share": 0, "label_set": KINDS, "label_maps": "maps"}
    config = FolderData(**given | {"root": root} | settings)
    return Opened(Folder(config), config)


def open_folders(root: Path) -> Opened:
    for k in range(4):
        image = save_picture(root / f"{'ab'[k % 2]}/{k}.png")
        masks = torch.rand(2, 1, 1, 8, 8, generator=torch.Generator().manual_seed(k))
        save_masks(root / "heat_maps" / image.relative_to(root), (masks[0], masks[1]))
    config = FoldersData(root=root, image_size=16, attributes=(), test_share=0, heat_maps=True)
    return Opened(Folders(config), config)


def open_celeba(root: Path) -> Opened:
    config = CelebAData(root=write_celeba(root), image_size=16, attributes=("Male", "Eyeglasses"))
    return Opened(CelebA(config), config)


def open_celebamask_hq(root: Path) -> Opened:
    for k in range(3):
        save_picture(root / f"CelebA-HQ-img/{k}.jpg")
        for part in ("skin", "hair"):
            path = root / f"CelebAMask-HQ-mask-anno/0/{k:05}_{part}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(np.random.default_rng(k).integers(0, 2, (40, 36)).astype(np.uint8) * 255).save(path)
    config = CelebAMaskHQData(root=root, image_size=16, attributes=(), test_share=0)
    return Opened(CelebAMaskHQ(config), config)


def open_drawn(root: Path) -> Opened:
    config = DrawnData(image_size=16, faces=6, held_out=2)
    return Opened(DrawnSource(config), config)


def read_all(source: Source) -> dict[str, torch.Tensor]:
    return source.read("train", range(source.count_faces("train")))


def assert_equal_faces(one: dict[str, torch.Tensor], other: dict[str, torch.Tensor]) -> None:
    assert list(one) == list(other)
    for name in one:
        assert one[name].dtype == other[name].dtype and torch.equal(one[name], other[name]), name


@pytest.mark.parametrize("open_source", [open_folder, open_folders, open_celeba, open_celebamask_hq, open_drawn])
def test_prepared_faces_are_bit_equal_to_fresh_ones(
    tmp_path: Path, open_source: Callable[[Path], Opened], monkeypatch: pytest.MonkeyPatch
) -> None:
    source, config = open_source(tmp_path / "root")
    fresh = read_all(source)
    result = prepare_faces(source, config)[0]
    assert (result.made, result.is_complete) == (source.count_faces("train"), True)
    prepared = use_prepared_faces(source, config.model_copy(update={"prepare": "always"}), MANY)
    monkeypatch.setattr(type(source), "read", lambda *args: pytest.fail("a prepared face was decoded again"))
    assert_equal_faces(read_all(prepared), fresh)
    for name in ("fields", "parts", "mirrored_parts", "domains", "crop", "groups", "image_size"):
        assert getattr(prepared, name) == getattr(source, name), name


@pytest.mark.parametrize("workers", [0, 2])
def test_loader_fills_the_cache_and_its_batches_stay_equal(tmp_path: Path, workers: int) -> None:
    source, config = open_folder(tmp_path / "root")
    config = config.model_copy(update={"flip": True, "workers": workers})
    needs, notes = {"source": Need(("image", "segmentation"))}, []
    prepared = use_prepared_faces(source, config, MANY, show=notes.append)
    assert isinstance(prepared, PreparedSource) and "1 MB" in notes[0] and "data.prepare=never" in notes[0]
    loaders = [make_loader(faces, config, needs, 0, World(), 0, 4) for faces in (source, prepared)]
    for _ in range(6):
        one, other = (next(loader)["source"] for loader in loaders)
        assert_equal_faces(one, other)
    for loader in loaders:
        loader.close()
    store = open_prepared_faces(source, config, "train")
    assert store is not None and store.count() == 5


def test_auto_keeps_faces_only_where_it_pays(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, config = open_folder(tmp_path / "root")
    notes: list[str] = []
    assert use_prepared_faces(source, config, 9, show=notes.append) is source, "not two epochs"
    assert use_prepared_faces(source, config.model_copy(update={"prepare": "never"}), MANY) is source
    assert use_prepared_faces(*open_drawn(tmp_path), MANY, show=notes.append).fields  # has a cache in memory
    assert not notes and not (tmp_path / "cache").exists()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 1000))  # type: ignore[attr-defined]
    assert use_prepared_faces(source, config, MANY, show=notes.append) is source
    assert "needs 1 MB, more than half of the 1 MB that are free" in notes[0]
    with pytest.raises(ConfigError, match="preparing 5 faces needs 1 MB, and 1 MB are free; free some, choose another"):
        prepare_faces(source, config)
    monkeypatch.undo()


def test_full_disk_ends_no_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source, config = open_folder(tmp_path / "root")
    prepared = use_prepared_faces(source, config, MANY, show=lambda note: None)
    write, calls = os.pwrite, []

    def fail_later(*args: Any) -> int:
        calls.append(args)
        if len(calls) > 4:  # in the second face
            raise OSError(28, "No space left on device")
        return write(*args)

    monkeypatch.setattr(os, "pwrite", fail_later)
    with pytest.warns(DataWarning, match="the disk is full; the training goes on"):
        assert_equal_faces(read_all(prepared), read_all(source))
    assert len(calls) == 5, "it is not tried again"
    assert_equal_faces(read_all(prepared), read_all(source))
    with pytest.raises(OSError, match="No space left"):
        prepare_faces(source, config)
    monkeypatch.setattr(os, "pwrite", write)
    assert prepare_faces(source, config)[0].made == 4


def test_stopped_preparation_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(prepare, "AT_ONCE", 2)
    source, config = open_folder(tmp_path / "root")
    seen: list[int] = []

    def stop_at_four(done: int, faces: int) -> bool:
        seen.append(done)
        return done == 4

    first = prepare_faces(source, config, watch=stop_at_four)[0]
    assert (first.made, first.is_complete, seen) == (4, False, [2, 4])
    assert prepare_faces(source, config)[0][3:] == (1, True)


@pytest.mark.parametrize("damage", ["byte", "cut", "index", "description"])
def test_damaged_faces_are_made_again(tmp_path: Path, damage: str) -> None:
    source, config = open_folder(tmp_path / "root")
    folder = prepare_faces(source, config)[0].folder
    image = bytearray((folder / "image.bin").read_bytes())
    if damage == "byte":
        image[3 * 256 + 7] ^= 1
        (folder / "image.bin").write_bytes(image)
    elif damage == "cut":
        (folder / "image.bin").write_bytes(image[:-1])
    elif damage == "index":
        (folder / "rows.bin").write_bytes(b"")
    else:
        (folder / "prepared.json").write_text("{")
    prepared = use_prepared_faces(source, config, MANY)
    if damage in ("byte", "cut"):
        with pytest.warns(DataWarning, match="the prepared face . is damaged; it is made again"):
            assert_equal_faces(read_all(prepared), read_all(source))
    else:
        assert_equal_faces(read_all(prepared), read_all(source))
    assert prepare_faces(source, config)[0].made == 0, "reading has mended it"
    if damage == "byte":
        (folder / "image.bin").write_bytes(image)
        with pytest.warns(DataWarning):
            assert prepare_faces(source, config)[0].made == 1


@pytest.mark.skipif(not hasattr(os, "fork"), reason="forks")
def test_killed_and_concurrent_preparations_leave_whole_faces(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A child is killed inside a write; then two work at once, of which one waits; every face is made once."""
    monkeypatch.setattr(prepare, "AT_ONCE", 2)
    source, config = open_folder(tmp_path / "root", faces=9)

    def run_child(work: Callable[[], int]) -> int:
        child = os.fork()
        if child == 0:
            os._exit(work())
        return child

    def die_in_a_write() -> int:
        write, calls = os.pwrite, []

        def write_or_die(*args: Any) -> int:
            calls.append(args)
            if len(calls) == 11:  # image and map of the fourth face are there, its entry is not
                os.kill(os.getpid(), signal.SIGKILL)
            return write(*args)

        os.pwrite = write_or_die
        prepare_faces(source, config)
        return 0

    assert os.waitstatus_to_exitcode(os.waitpid(run_child(die_in_a_write), 0)[1]) == -signal.SIGKILL
    store = open_prepared_faces(source, config, "train")
    assert store is not None and 0 < store.count() < 9
    left = 9 - store.count()
    children = [run_child(lambda: prepare_faces(source, config, show=lambda line: None)[0].made) for _ in range(2)]
    made = sorted(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children)
    assert made == [0, left]
    assert_equal_faces(read_all(PreparedSource(source, {"train": store})), read_all(source))


def test_folder_name_follows_whatever_changes_a_picture(tmp_path: Path) -> None:
    root = tmp_path / "root"

    def locate(**settings: Any) -> Path:
        description = describe_faces(*open_folder(root, **settings), "train")
        assert description is not None
        return locate_prepared_faces(description)

    same = locate()
    assert locate(batch=3, workers=1, flip=True, random_crop=0.5, prepare="never") == same
    others = [locate(crop=0.5), locate(image_size=32), locate(label_maps=None)]
    os.utime(root / "maps/1.png", ns=(1, 1))
    others.append(locate())
    save_picture(root / "9.jpg")
    save_map(root / "maps/9.png")
    others.append(locate())
    assert len({same, *others}) == 6


def test_unreadable_faces_are_passed_over_on_request(tmp_path: Path) -> None:
    source, config = open_folder(tmp_path / "root")
    (tmp_path / "root/2.jpg").write_bytes(b"no picture")
    with pytest.raises(ConfigError, match=r"2\.jpg"):
        prepare_faces(source, config)
    assert prepare_faces(source, config.model_copy(update={"on_bad": "skip"}))[0][3:] == (4, True)


def test_unknown_side_files_are_never_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A source of a plugin that does not say which files its label maps are."""
    source, config = open_folder(tmp_path / "root")
    monkeypatch.setattr(Folder, "list_side_files", Source.list_side_files)
    assert use_prepared_faces(source, config, MANY) is source
    with pytest.raises(ConfigError, match="it is not known what the pictures of source 'folder' depend on"):
        prepare_faces(source, config)
