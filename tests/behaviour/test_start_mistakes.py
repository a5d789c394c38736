"""Runs, pictures and settings that a training cannot start from; all are refused before anything is written."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

import zoogan
from support.pictures import save_picture
from support.runs import REGISTRY, SIZE, tiny_run
from zoogan.config import GameConfig, validate
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.testing.conformance import make_tiny_config
from zoogan.training.origin import check_facts


def read_config(run: Path) -> tuple[GameConfig, Facts]:
    """Read the config and the facts of a run."""
    values = yaml.safe_load((run / "config.yaml").read_text())
    return validate(REGISTRY.methods[values["method"]], REGISTRY, values), zoogan.load(run).facts


def test_start_from_a_folder_that_is_no_run_is_refused(
    averaged_sagan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    misspelt = averaged_sagan_run.with_name("glases")
    for path, expected in (
        (misspelt, "glases is not a run (no config.yaml in it), did you mean 'glasses'?"),
        (averaged_sagan_run / "model", f"did you mean {str(averaged_sagan_run)!r}?"),
        (tmp_path, "is not a run"),
    ):
        assert tiny_run("sagan", tmp_path / "run", start_from=path) == 2
        assert expected in capsys.readouterr().err


def test_start_from_a_run_of_another_method_is_refused(
    averaged_sagan_run: Path, semantic_stylegan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny_run("semantic-stylegan", tmp_path / "run", start_from=averaged_sagan_run) == 2
    message = capsys.readouterr().err
    assert "is a run of sagan" in message and "semantic-stylegan has generator (latent_generator)" in message
    # The roles are the same, but the run's networks would be trained with numbers that were made for others.
    for method, origin, other in (
        ("stargan", averaged_sagan_run, "sagan"),
        ("stylegan2", semantic_stylegan_run, "semantic-stylegan"),
    ):
        assert tiny_run(method, tmp_path / "run", start_from=origin) == 2
        message = capsys.readouterr().err
        assert f"{origin} is a run of {other}: generator {other!r} where {method} has {method!r}" in message
        assert f"Train --model {other}, or start from a run of {method}" in message
    assert not (tmp_path / "run").exists()


def test_pictures_without_segmentations_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in range(6):
        save_picture(tmp_path / "pictures" / f"{number}.png")
    source = ["--data", "folder", "--root", str(tmp_path / "pictures"), "--recipe", "drawn-32"]
    assert tiny_run("semantic-stylegan", tmp_path / "run", *source, data={"label_set": "celebamask-13"}) == 2
    message = capsys.readouterr().err
    assert "needs segmentation" in message
    assert "data.label_maps=FOLDER" in message and "judge_segmentation=false" in message
    assert not (tmp_path / "run").exists()


def test_settings_that_contradict_the_weights_are_refused(
    averaged_sagan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    assert tiny_run("sagan", run, start_from=averaged_sagan_run, discriminator={"width": 6}) == 2
    message = capsys.readouterr().err
    assert "discriminator." in message and "(4, 3, 4, 4) in the run, (6, 3, 4, 4) here" in message
    assert "in all)" in message and "generator." not in message
    for data, expected in (
        ({"image_size": 32}, "image_size (data.image_size): 16 in the run, 32 here"),
        ({"attributes": "Smiling"}, "attributes (data.attributes): Eyeglasses in the run, Smiling here"),
    ):
        assert tiny_run("sagan", run, start_from=averaged_sagan_run, data=data) == 2
        assert expected in capsys.readouterr().err
    assert not run.exists()


def test_other_parts_than_those_of_the_run_are_refused(
    semantic_stylegan_run: Path, plain_pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    source, data = ["--data", "folder", "--root", str(plain_pictures)], {"label_set": "celebamask-19"}
    assert tiny_run("semantic-stylegan", tmp_path / "run", *source, start_from=semantic_stylegan_run, data=data) == 2
    message = capsys.readouterr().err
    assert "parts (data.label_set): background, face" in message and "transparent (data.label_set): " in message


def test_facts_that_networks_do_not_need_may_differ(semantic_stylegan_run: Path, tmp_path: Path) -> None:
    """A generator of faces from noise ignores attributes, and one without parts ignores parts."""
    config, facts = read_config(semantic_stylegan_run)
    other = facts.model_copy(update={"attributes": ("Bald",), "crop": 0.5})
    check_facts(semantic_stylegan_run, config, facts, other, REGISTRY)
    config, facts = make_tiny_config("stylegan2", REGISTRY, {"data": {"image_size": SIZE}}), Facts(image_size=SIZE)
    for parts in ((), ("background", "face")):
        before, after = (facts.model_copy(update={"parts": names}) for names in (("a", "b"), parts))
        check_facts(tmp_path, config, before, after, REGISTRY)
    with pytest.raises(ConfigError, match=r"image_size .*: 16 in the run, 32 here"):
        check_facts(tmp_path, config, facts, Facts(image_size=32), REGISTRY)
