"""Faces in tar files: the same faces as in the source that was packed, near and far, damaged and missing."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from support.pictures import save_picture
from zoogan.cli import main
from zoogan.data import DrawnData, FolderData, FoldersData, Shards, ShardsData, index_shards, pack_faces
from zoogan.data.drawn.source import DrawnSource
from zoogan.data.loader import make_loader
from zoogan.data.shards.files import RemoteShardFiles, locate_fetched_shards
from zoogan.data.sources.folder import Folder
from zoogan.data.sources.folders import Folders
from zoogan.errors import ConfigError
from zoogan.interfaces import Need, Source, World

SUFFIXES = (".jpg", ".png", ".JPEG", ".webp")


def open_photos(root: Path, faces: int = 24, **settings: Any) -> tuple[Source, Any]:
    lines = ["file,Male,Smiling"]
    for k in range(faces):
        name = f"{'ab'[k % 2]}/größe {k}{SUFFIXES[k % 4]}"
        save_picture(root / name, size=(36, 40))
        lines.append(f"{name},{k % 2},{k // 2 % 2}")
    (root / "labels.csv").write_text("\n".join(lines), encoding="utf-8")
    config = FolderData(root=root, image_size=16, attributes=("Male", "Smiling"), test_share=0.3, crop=0.8, **settings)
    return Folder(config), config


def open_domains(root: Path) -> tuple[Source, Any]:
    for k in range(9):
        save_picture(root / f"{'xyz'[k % 3]}/{k}.png")
    config = FoldersData(root=root, image_size=16, attributes=(), test_share=0)
    return Folders(config), config


def open_drawn(root: Path) -> tuple[Source, Any]:
    names, chances = ("Blond_Hair", "Wearing_Hat"), {"Blond_Hair": 0.5, "Wearing_Hat": 0.5}
    config = DrawnData(image_size=16, faces=8, held_out=2, attributes=names, probabilities=chances)
    return DrawnSource(config), config


def pack(opened: tuple[Source, Any], out: Path, **options: Any) -> Path:
    pack_faces(*opened, out, **options)
    return out


def open_packed(root: Path, **settings: Any) -> Shards:
    return Shards(ShardsData(**{"root": root, "image_size": 16, **settings}))


def find_names(root: Path, split: str) -> list[str]:
    """Find the name of each packed face's picture in its source, in the order of the index."""
    names = []
    for path in sorted(root.glob(f"{split}-*.tar")):
        with tarfile.open(path) as tar:
            members = [member for member in tar if member.name.endswith(".json")]
            names += [json.loads(tar.extractfile(member).read())["__name__"] for member in members]  # type: ignore[union-attr]
    return names


@pytest.mark.parametrize(
    ("open_source", "squares"),
    [(open_photos, False), (open_photos, True), (open_domains, False), (open_drawn, False)],
)
def test_packed_faces_equal_those_of_the_source(
    tmp_path: Path, open_source: Callable[[Path], tuple[Source, Any]], squares: bool
) -> None:
    """Pictures, labels, splits, parts and domains are the same; only the order differs."""
    source, config = open_source(tmp_path / "root")
    out = pack((source, config), tmp_path / "out", squares=squares)
    packed = open_packed(out)
    for name in ("attributes", "exclusive", "groups", "domains", "parts", "mirrored_parts", "transparent", "crop"):
        assert getattr(packed, name) == getattr(source, name), name
    assert set(source.fields) - set(packed.fields) <= {"pose"}
    for split in ("train", "valid", "test"):
        assert packed.count_faces(split) == source.count_faces(split)  # type: ignore[arg-type]
        files = source.list_files(split)  # type: ignore[arg-type]
        faces = [f"{split}/{k}" for k in range(source.count_faces(split))] if files is None else list(files[1])  # type: ignore[arg-type]
        places = [faces.index(name) for name in find_names(out, split)]
        assert sorted(places) == list(range(len(faces))) and (len(faces) < 6 or places != sorted(places)), "shuffled"
        if places:
            ours, theirs = packed.read(split, range(len(places))), source.read(split, places)  # type: ignore[arg-type]
            for name in packed.fields:
                assert ours[name].dtype == theirs[name].dtype and torch.equal(ours[name], theirs[name]), name
    assert (
        pack((source, config), tmp_path / "again", squares=squares).joinpath("index.json").read_bytes()
        == (out / "index.json").read_bytes()
    ), "the same faces make the same files"


def read_batches(source: Source, config: Any, count: int, start: int = 0, rank: int = 0, size: int = 1) -> list[Any]:
    world = World.make_single()
    world.rank, world.size = rank, size
    needs = {"source": Need(("image", "domain"), sampler="domains"), "other": Need(("image", "attributes"))}
    loader = make_loader(source, config, needs, 3, world, start, 4)
    batches = [next(loader) for _ in range(count)]
    loader.close()
    return [torch.cat([x.flatten().float() for need in batch.values() for x in need.values()]) for batch in batches]


@pytest.fixture(scope="module")
def packed_photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Photos in small shards of a few faces, packed by the verb."""
    folder = tmp_path_factory.mktemp("shards")
    open_photos(folder / "root")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("zoogan.workflows.store_data.pack_faces", pack_small)
        command = ["data", "pack", str(folder / "root"), "--out", str(folder / "out"), "--set", "data.test_share=0.3"]
        assert main(command) == 0
    return folder / "out"


def pack_small(source: Source, config: Any, out: Path, **options: Any) -> Any:
    """Begin a new shard after 8000 bytes."""
    from zoogan.data.shards import packing

    with pytest.MonkeyPatch.context() as patch:
        real = packing.ShardWriter
        patch.setattr(packing, "ShardWriter", lambda folder, split, limit, index: real(folder, split, 8000, index))
        return pack_faces(source, config, out, **options)


def test_draws_go_on_exactly_and_over_processes(packed_photos: Path) -> None:
    config = ShardsData(root=packed_photos, image_size=16, attributes=("Male",), window=2, flip=True)
    source = Shards(config)
    assert len(source.index.shards) > 5
    whole = read_batches(source, config, 4)
    assert all(map(torch.equal, read_batches(source, config, 2, start=8), whole[2:])), "resumed"
    shares = [read_batches(source, config, 2, rank=rank, size=2) for rank in (0, 1)]
    assert all(map(torch.equal, [batch for pair in zip(*shares) for batch in pair], whole)), "two processes"
    workers = config.model_copy(update={"workers": 1})
    assert all(map(torch.equal, read_batches(source, workers, 4), whole))


def test_remote_shards_stay_within_their_limit(
    packed_photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ZOOGAN_CACHE", str(tmp_path / "cache"))
    url = packed_photos.as_uri()
    config = ShardsData(url=url, image_size=16, attributes=("Male",), window=2)
    local = config.model_copy(update={"url": None, "root": packed_photos})
    source = Shards(config)
    largest = max(shard.bytes for shard in source.index.shards)
    assert isinstance(source.files, RemoteShardFiles)
    source.files.limit = 6 * largest  # two needs, whose windows are two shards each, and two shards to come
    assert all(map(torch.equal, read_batches(source, config, 9), read_batches(Shards(local), local, 9)))
    folder = locate_fetched_shards(url)
    fetched = [path for path in folder.glob("*.tar")]
    assert fetched and sum(path.stat().st_size for path in fetched) <= 6 * largest
    assert len(fetched) < len(source.index.shards)
    again = Shards(config)
    monkeypatch.setattr("zoogan.data.shards.files.fetch_file", lambda *args: pytest.fail("fetched twice"))
    shard = next(n for n, shard in enumerate(again.index.shards) if shard.name == fetched[0].name)
    assert again.files.locate(shard) == fetched[0]


def test_damaged_and_missing_shards_are_named_with_their_checksum(packed_photos: Path, tmp_path: Path) -> None:
    root = Path(shutil.copytree(packed_photos, tmp_path / "copy"))
    shard = open_packed(root).index.shards[0]
    path = root / shard.name
    content = bytearray(path.read_bytes())
    content[700] ^= 1
    path.write_bytes(content)
    source = open_packed(root)
    face = int((source.list_shards(shard.split) == 0).nonzero()[0])
    with pytest.raises(ConfigError, match=f"{shard.name}: damaged: sha256 [0-9a-f]+, expected sha256 {shard.sha256}"):
        source.read(shard.split, [face])
    remote = Shards(ShardsData(url=root.as_uri(), image_size=16))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ZOOGAN_CACHE", str(tmp_path / "cache"))
        remote = Shards(ShardsData(url=root.as_uri(), image_size=16))
        with pytest.raises(ConfigError, match=f"{shard.name}: damaged: .*{shard.sha256}"):
            remote.read(shard.split, [face])
        assert not list((tmp_path / "cache").rglob("*.tar")), "nothing damaged is kept"
        path.unlink()
        with pytest.raises(ConfigError, match=f"{shard.name}: missing .sha256 {shard.sha256}"):
            remote.read(shard.split, [face])
    with pytest.raises(ConfigError, match=f"{shard.name}: missing .sha256 {shard.sha256}"):
        open_packed(root)
    (root / "index.json").write_text("[")
    with pytest.raises(ConfigError, match=r"index\.json: damaged index"):
        open_packed(root)
    (root / "index.json").unlink()
    with pytest.raises(ConfigError, match=r"has no index\.json; pack faces with zoo data pack, or make the index"):
        open_packed(root)


def test_tar_files_of_other_programs_get_an_index(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """As webdataset's writer makes them: in folders, other members between, labels as JSON values."""
    rng = np.random.default_rng(0)
    pixels = [rng.integers(0, 256, (20, 20, 3), dtype=np.uint8) for _ in range(4)]
    for n, name in enumerate(("part-0.tar", "test-0.tar")):
        with tarfile.open(tmp_path / name, "w") as tar:
            for k in (2 * n, 2 * n + 1):
                file = io.BytesIO()
                Image.fromarray(pixels[k]).save(file, format="PNG")
                facts = {"Male": bool(k % 2), "Hat": None if k else 1, "age": 31, "caption": "a face"}
                for suffix, content in (("png", file.getvalue()), ("txt", b"x"), ("json", json.dumps(facts).encode())):
                    info = tarfile.TarInfo(f"faces/{k:06}.{suffix}")
                    info.size = len(content)
                    tar.addfile(info, io.BytesIO(content))
    assert main(["data", "pack", str(tmp_path), "--index", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["faces"] == {"train": 2, "test": 2}
    source = open_packed(tmp_path, image_size=20, attributes=("Male",))
    assert source.index.attributes == ("Male", "Hat")
    read = source.read("test", [1, 0])
    assert torch.equal(read["image"].permute(0, 2, 3, 1), torch.from_numpy(np.stack([pixels[3], pixels[2]])))
    assert (
        read["attributes"].tolist() == [[1.0], [0.0]] and open_packed(tmp_path, image_size=20).fields[-1] == "visible"
    )
    with pytest.raises(ConfigError, match=r"part-0.tar, faces/000000.json: no label 0, 1 or null for age"):
        index_shards(tmp_path, attributes=("age",))


def test_packing_refuses_before_it_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    opened = open_photos(tmp_path / "root", faces=8)
    (tmp_path / "out").mkdir()
    (tmp_path / "out/mine.txt").touch()
    with pytest.raises(ConfigError, match="is not empty; choose a folder"):
        pack(opened, tmp_path / "out")
    (tmp_path / "root/a/größe 4.jpg").unlink()
    with pytest.raises((ConfigError, OSError), match=r"größe 4"):
        pack(opened, tmp_path / "new")
    with pytest.raises(ConfigError, match=r"größe 4.jpg"):
        pack(opened, tmp_path / "new", squares=True)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: shutil._ntuple_diskusage(0, 0, 1000))  # type: ignore[attr-defined]
    with pytest.raises(ConfigError, match="packing 8 faces needs about 0 MB, and 0 MB are free"):
        pack(opened, tmp_path / "new", squares=True)
    monkeypatch.undo()
    assert os.listdir(tmp_path / "out") == ["mine.txt"] and not (tmp_path / "new").exists()


def test_squares_fit_their_own_size_alone(tmp_path: Path) -> None:
    out = pack(open_photos(tmp_path / "root", faces=8), tmp_path / "out", squares=True)
    for settings in ({"image_size": 32}, {"crop": 0.5}):
        with pytest.raises(ConfigError, match="are squares of 16 pixels; train at that size"):
            open_packed(out, **settings)


def test_prepare_verb_prepares_what_a_training_reads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from zoogan.data.prepared import open_prepared_faces

    monkeypatch.setenv("ZOOGAN_CACHE", str(tmp_path / "cache"))
    source, config = open_photos(tmp_path / "root", faces=16)
    command = ["data", "prepare", str(tmp_path / "root"), "--size", "16", "--set", "data.crop=0.8"]
    command += ["--set", "data.test_share=0.3", "--split", "train", "--split", "test", "--json"]
    assert main(command) == 0
    results = json.loads(capsys.readouterr().out)
    assert [result["made"] for result in results] == [source.count_faces("train"), source.count_faces("test")]
    store = open_prepared_faces(source, config, "train", creates=False)
    assert store is not None and store.count() == store.faces
    assert main(command) == 0 and [result["made"] for result in json.loads(capsys.readouterr().out)] == [0, 0]
