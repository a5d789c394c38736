"""Runs, pictures and settings that a training cannot start from, told before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import zoogan
from support.style_runs import paint, sets
from support.training_runs import FEW, NARROW, REGISTRY, SIZE, begin
from zoogan.config import GameConfig, validate
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.testing.conformance import make_tiny_config


def test_runs_that_are_none(glasses_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, said in (
        (glasses_run.with_name("glases"), "glases is not a run (no config.yaml in it), did you mean 'glasses'?"),
        (glasses_run / "model", f"did you mean {str(glasses_run)!r}?"),
        (tmp_path, "is not a run"),
    ):
        assert begin("sagan", tmp_path / "run", "--from", str(wrong)) == 2
        assert said in capsys.readouterr().err


def test_runs_of_another_kind(
    glasses_run: Path, semantic_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert begin("semantic-stylegan", tmp_path / "run", "--from", str(glasses_run)) == 2
    said = capsys.readouterr().err
    assert "is a run of sagan" in said and "semantic-stylegan has generator (latent_generator)" in said
    # The same roles, but the run's networks would be trained with numbers that were made for others.
    for method, origin, other in (("stargan", glasses_run, "sagan"), ("stylegan2", semantic_run, "semantic-stylegan")):
        assert begin(method, tmp_path / "run", "--from", str(origin)) == 2
        said = capsys.readouterr().err
        assert f"{origin} is a run of {other}: generator {other!r} where {method} has {method!r}" in said
        assert f"Train --model {other}, or start from a run of {method}" in said
    assert not (tmp_path / "run").exists()


def test_pictures_without_label_maps_are_told_of_before_a_folder_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        paint(tmp_path / "pictures" / f"{number}.png")
    plain = ["--data", "folder", "--root", str(tmp_path / "pictures"), "--recipe", "drawn-32"]
    few = sets(["data.label_set=celebamask-13", *NARROW, f"data.image_size={SIZE}", "data.batch=4", "data.workers=0"])
    assert begin("semantic-stylegan", tmp_path / "run", *plain, *few) == 2
    said = capsys.readouterr().err
    assert "needs segmentation" in said and "data.label_maps=FOLDER" in said and "judge_segmentation=false" in said
    assert not (tmp_path / "run").exists()


def test_settings_that_contradict_the_weights(
    glasses_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--from", str(glasses_run), *sets(FEW[1:])]
    assert begin("sagan", tmp_path / "run", *start, "--set", "discriminator.width=6") == 2
    said = capsys.readouterr().err
    assert "discriminator." in said and "(4, 3, 4, 4) in the run, (6, 3, 4, 4) here" in said and "in all)" in said
    assert "generator." not in said
    for wrong, told in (
        (["data.image_size=32"], "image_size (data.image_size): 16 in the run, 32 here"),
        (["data.attributes=Smiling"], "attributes (data.attributes): Eyeglasses in the run, Smiling here"),
    ):
        assert begin("sagan", tmp_path / "run", *start, *sets(wrong)) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_parts_that_are_others(
    semantic_run: Path, cartoons: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--from", str(semantic_run), "--data", "folder", "--root", str(cartoons)]
    assert begin("semantic-stylegan", tmp_path / "run", *start, "--set", "data.label_set=celebamask-19") == 2
    said = capsys.readouterr().err
    assert "parts (data.label_set): background, face" in said and "transparent (data.label_set): " in said


def test_facts_that_networks_do_not_need_may_differ(semantic_run: Path, tmp_path: Path) -> None:
    """Labels mean nothing to a generator of faces from noise, nor parts to one that has none."""
    from zoogan.training.origin import check_facts

    stored, before = validate_stored(semantic_run)
    check_facts(
        semantic_run, stored, before, before.model_copy(update={"attributes": ("Bald",), "crop": 0.5}), REGISTRY
    )
    plain = make_tiny_config("stylegan2", REGISTRY, {"data": {"image_size": SIZE}})
    for parts in ((), ("background", "face")):
        check_facts(tmp_path, plain, Facts(image_size=SIZE, parts=("a", "b")), Facts(image_size=SIZE, parts=parts),
                    REGISTRY)  # fmt: skip
    with pytest.raises(ConfigError, match=r"image_size .*: 16 in the run, 32 here"):
        check_facts(tmp_path, plain, Facts(image_size=SIZE), Facts(image_size=32), REGISTRY)


def validate_stored(run: Path) -> tuple[GameConfig, Facts]:
    values = yaml.safe_load((run / "config.yaml").read_text())
    return validate(REGISTRY.methods[values["method"]], REGISTRY, values), zoogan.load(run).facts
