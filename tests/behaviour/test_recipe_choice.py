"""Without --recipe a CPU trains small recipes on real pictures, and other devices train as ever."""

from __future__ import annotations

import shlex
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

import zoogan
from support.runs import REGISTRY
from zoogan.cli import main
from zoogan.config import compose_config
from zoogan.config.layers import choose_recipe, find_cpu_recipe, is_meant_for_cpu
from zoogan.errors import ConfigError
from zoogan.plugins.host import get_zoo
from zoogan.training import configure
from zoogan.training.configure import configure_new_run, configure_resumed_run
from zoogan.workflows import data_config

Capture = pytest.CaptureFixture[str]
USUAL = {
    ("stargan", "celeba"): "celeba-64",
    ("stargan-v2", "folders"): "afhq-256",
    ("stargan-v2", "celeba"): "celeba-64",
    ("stylegan2", "folder"): "ffhq-256",
    ("stylegan2", "celeba"): "celeba-64",
    ("semantic-stylegan", "celebamask_hq"): "celebamask-hq-64",
    ("smile-layout", "celebamask_hq"): "celeba-hq-256",
    ("smile-image", "folder"): "ffhq-256",
    ("smile", "celebamask_hq"): "celeba-hq-256",
}
"""Recipes that are too large for a CPU, by method and source."""


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    (tmp_path / "photos").mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 255, (80, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"photos/{k}.png")
    return tmp_path / "photos"


@pytest.mark.parametrize("method", sorted(REGISTRY.methods))
def test_recipe_of_a_cpu_is_small(method: str) -> None:
    spec = REGISTRY.methods[method]
    for source in ("celeba", "celebamask_hq", "folder", "folders", "shards"):
        data = {"root": ".", **({"label_maps": "."} if (method, source) == ("smile-image", "folder") else {})}
        usual, small = choose_recipe(spec, source), choose_recipe(spec, source, is_cpu=True)
        config = compose_config(spec, REGISTRY, recipe=small, source=source, sets={"data": data})
        assert config.data.image_size <= 64 and config.training.iterations <= 8000 and config.recipe == small
        assert usual == USUAL.get((method, source), usual) and not is_meant_for_cpu(spec, usual)
        assert find_cpu_recipe(spec, source) == (small if small != usual else None)
        if (method, source) in USUAL:
            assert is_meant_for_cpu(spec, small)
    assert find_cpu_recipe(spec, "drawn") is None


def test_training_from_a_run_still_freezes_first() -> None:
    spec = REGISTRY.methods["semantic-stylegan"]
    assert choose_recipe(spec, "folder", started=True, is_cpu=True) == "adapt"


@pytest.mark.parametrize(
    ("device", "machine", "recipe", "chosen"),
    [
        ("cpu", "cuda", None, "folder-64-cpu"),
        ("auto", "cpu", None, "folder-64-cpu"),
        ("auto", "cuda", None, "ffhq-256"),
        ("cuda", "cpu", None, "ffhq-256"),
        ("cpu", "cpu", "ffhq-256", "ffhq-256"),
    ],
)
def test_device_chooses_the_recipe(
    device: str, machine: str, recipe: str | None, chosen: str, photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(configure, "choose_device", lambda name: torch.device(machine))
    monkeypatch.chdir(photos.parent)
    shown: list[str] = []
    settings = {"data": {"root": str(photos)}, "training": {"iterations": 7}}
    config, path = configure_new_run(
        get_zoo(), "stylegan2", recipe=recipe, source="folder", settings=settings, device=device, show=shown.append
    )
    assert (config.recipe, config.training.iterations, config.data.source) == (chosen, 7, "folder")
    message = "recipe folder-64-cpu: small enough for a CPU; with a GPU it would be ffhq-256 (--recipe ffhq-256)"
    assert shown == ([message] if chosen == "folder-64-cpu" else [])
    path.mkdir(parents=True)
    (path / "config.yaml").write_text(config.model_dump_json())
    monkeypatch.setattr(configure, "choose_device", None)  # a resume asks for no device
    assert configure_resumed_run(get_zoo(), None, out=path)[0] == config


def test_verbs_choose_the_recipe_of_the_training(
    photos: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(photos.parent)
    (photos.parent / "empty").mkdir()
    train = ["train", "--model", "stylegan2", "--data", "folder", "--root", "empty", "--device"]
    assert main([*train, "cpu"]) == 2
    assert capsys.readouterr().out.startswith("recipe folder-64-cpu: ")
    with pytest.raises(ConfigError):
        zoogan.train("stylegan2", data="folder", root="empty", device="cpu")
    assert capsys.readouterr().out.startswith("recipe folder-64-cpu: ")
    for device, size in (("cpu", 64), ("cuda", 256)):
        out = f"{device}.png"
        preview = ["data", "preview", "photos", "--model", "stylegan2", "--faces", "1", "--device", device]
        assert main([*preview, "--out", out]) == 0
        assert Image.open(out).width == 4 + max(size, 128) + 4
    recipes: list[object] = []

    def compose(*arguments: object, **options: object) -> object:
        recipes.append(options["recipe"])
        return compose_config(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(data_config, "compose_config", compose)
    monkeypatch.setattr(configure, "choose_device", lambda name: torch.device("cpu"))
    capsys.readouterr()
    assert main(["data", "check", "photos"]) == 0
    command = capsys.readouterr().out.splitlines()[-1]
    assert recipes == ["folder-64-cpu"] and "--recipe" not in shlex.split(command)


def test_meant_for_is_not_inherited_and_is_checked(tmp_path: Path) -> None:
    spec = replace(REGISTRY.methods["sagan"], recipes=tmp_path)
    (tmp_path / "small.yaml").write_text("meant_for: cpu\ndata: {source: drawn, image_size: 16}\n")
    (tmp_path / "other.yaml").write_text("extends: small.yaml\n")
    assert choose_recipe(spec, "drawn") == "other" and choose_recipe(spec, "drawn", is_cpu=True) == "small"
    assert compose_config(spec, REGISTRY, recipe="small").data.image_size == 16
    (tmp_path / "other.yaml").write_text("meant_for: gpu\ndata: {source: drawn}\n")
    with pytest.raises(ConfigError, match=r"other\.yaml: meant_for: expected cpu, got 'gpu'"):
        choose_recipe(spec, "drawn")
