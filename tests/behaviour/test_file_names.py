"""Names that data, runs and plugins choose never become paths: they make safe file names, and are read back whole."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from zoogan.data.shards.index import FORMAT, Shard, parse_index
from zoogan.editors import Direction
from zoogan.errors import ConfigError
from zoogan.evaluation.reports import comparison_files
from zoogan.facts import Facts
from zoogan.judges.judge import get_judge_folder
from zoogan.paths import MAX_NAME, make_file_name
from zoogan.pictures.photo_files import number_stem
from zoogan.runs import latents
from zoogan.runs.vocabulary import list_direction_names, read_attribute_names
from zoogan.workflows.export_run import write_model_copy
from zoogan.workflows.photos import make_free_path

NASTY = (
    "../../x", "a/b", "a\\b", "CON", "con.txt", "LPT1", "a\nb", "n" * 300, "é" * 200, "", ".", "..", ".hidden", "-rf",
    "a\0b", "a:b", "a*?", "\u202eabc", "x ", "C:\\x", "~", "$HOME", "a;b", "\ud800",
)  # fmt: skip


def test_names_become_different_file_names_in_one_folder(tmp_path: Path) -> None:
    names = [make_file_name(name) for name in NASTY]
    assert len({name.lower() for name in names}) == len(NASTY)
    for name in names:
        path = tmp_path / f"{name}.safetensors"
        assert path.parent == tmp_path and path.name.isprintable() and len(path.name.encode()) < MAX_NAME
        assert name.strip(".- ") and not set(name) & set('/\\:*?"<>|\n\0$;~ ')
        path.touch()
    assert make_file_name("5_o_Clock_Shadow") == "5_o_Clock_Shadow" and make_file_name("Übermaß.2") == "Übermaß.2"
    assert make_file_name("a/b") == make_file_name("a/b") != make_file_name("a\\b")


@pytest.mark.parametrize("name", ["../../x", "CON", "a\nb", "n" * 300, "Smiling"])
def test_directions_keep_names_that_no_file_has(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "run" / "directions"
    normal = torch.ones(3, dtype=torch.float64)
    path = latents.write_direction(folder, name, Direction(normal, 0.0, normal, (-1.0, 1.0)), {"generator": "g"})
    assert [file.parent for file in tmp_path.rglob("*.safetensors")] == [folder] and path.is_file()
    monkeypatch.setattr(latents, "hash_generator", lambda editor: "g")
    editor: Any = SimpleNamespace()
    directions, unusable = latents.read_directions(folder, editor)
    assert list(directions) == [name] and not unusable
    assert list_direction_names(folder) == (name,)
    (folder.parent / "config.yaml").write_text("condition: {use: latent}\n")
    (folder.parent / "facts.json").write_text(Facts(image_size=16).model_dump_json())
    assert read_attribute_names(folder.parent) == (name,)
    path.write_bytes(b"damaged")
    assert list_direction_names(folder) == (path.stem,)


def test_comparison_writes_pictures_of_any_attribute_inside(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("format_markdown", "describe_comparison", "render_comparison"):
        monkeypatch.setattr(comparison_files, name, lambda *_: "")
    picture = torch.zeros(3, 4, 4, dtype=torch.uint8)
    pictures = {"../../x": picture, "a/b": picture, "Smiling": picture}
    comparison_files.write_comparison(tmp_path / "out", [], [], [], pictures, "zoo compare")
    written = sorted(tmp_path.rglob("*.png"))
    assert len(written) == 3 and {path.parent for path in written} == {tmp_path / "out"}
    assert tmp_path / "out" / "grid-Smiling.png" in written


@pytest.mark.parametrize("name", ["../../x.tar", "/tmp/x.tar", "a/b.tar", "", "..", "n" * 300])
def test_index_of_shards_names_only_files_beside_it(name: str) -> None:
    shards = [{"name": name, "split": "train"}]
    with pytest.raises(ConfigError, match="is no name of a file beside the index"):
        parse_index(json.dumps({"format": FORMAT, "attributes": [], "shards": shards}), "index.json")
    shards[0]["name"] = "train 1.tar"
    index = parse_index(json.dumps({"format": FORMAT, "attributes": [], "shards": shards}), "index.json")
    assert index.shards == [Shard("train 1.tar", "train")]


def test_networks_of_a_model_are_read_beside_it_only(tmp_path: Path) -> None:
    model = tmp_path / "run" / "model"
    model.mkdir(parents=True)
    latents.write_tensors_atomically(tmp_path / "secret.safetensors", {"x": torch.zeros(1)})
    latents.write_tensors_atomically(model / "generator.safetensors", {"x": torch.zeros(1)})
    (model / "config.json").write_text(json.dumps({"networks": ["generator", "../../secret"]}))
    write_model_copy(model, tmp_path / "copy", (), (), half=False)
    assert sorted(path.name for path in (tmp_path / "copy").glob("*.safetensors")) == ["generator.safetensors"]


def test_sources_and_long_photos_make_names_that_fit(tmp_path: Path) -> None:
    assert get_judge_folder("../../x", 64).parent == get_judge_folder("drawn", 64).parent
    stem, endings = "ü" * 126, ["-face-1-edited-seed-3.png", ".tiff"]
    short = number_stem(stem, endings, ())
    assert stem.startswith(short) and len(f".{short}{endings[0]}.1234567.tmp".encode()) <= MAX_NAME
    assert number_stem(stem, endings, {f"{short}.tiff"}) == f"{short}-2" and number_stem("me", [".png"], ()) == "me"
    path = make_free_path(tmp_path, "n" * 251, "inverted", [])
    path.touch()
    path.with_name(path.name.replace("-inverted.png", "-generator.safetensors")).touch()
