"""`zoo show RUN` and `zoogan.summarize_run`: what the files of a run say, without opening it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml

import zoogan
from zoogan.cli import main
from zoogan.config import compose_config
from zoogan.evaluation.reports.report import Value
from zoogan.plugins.host import get_zoo
from zoogan.runs.summary import Figure, choose_figures, suggest_commands

Capture = pytest.CaptureFixture[str]

VALUES: list[dict[str, Any]] = [
    {"metric": "truth", "name": "edit_error", "attribute": "Eyeglasses", "value": 0.04, "low": 0.03, "high": 0.05},
    {"metric": "truth", "name": "edit_error", "attribute": None, "value": 0.03123, "low": 0.029, "high": 0.0334},
    {"metric": "success", "name": "success", "attribute": "Eyeglasses", "value": 0.9, "low": None, "high": None},
    {"metric": "lpips", "name": "lpips", "attribute": None, "value": None, "low": None, "high": None},
]


def test_show_run_says_what_it_is_and_what_to_do_next(sagan_copy: Path, capsys: Capture) -> None:
    (sagan_copy / "report").mkdir()
    (sagan_copy / "report" / "report.json").write_text(json.dumps({"values": VALUES}))
    (sagan_copy / "report" / "report.html").write_text("page")
    assert main(["show", str(sagan_copy)]) == 0
    lines = capsys.readouterr().out.splitlines()
    for expected in (
        f"run:          {sagan_copy}",
        "method:       sagan (SaGAN), recipe drawn-64",
        "faces:        drawn, 32 px",
        "attributes:   Eyeglasses",
        "checkpoints:  1",
        "measured:     edit_error 0.03123 (0.029 to 0.0334)",
        "measured:     success of Eyeglasses 0.9",
        f"  edit a photo     zoo edit {sagan_copy} PHOTO --attribute Eyeglasses=1",
        f"  train it longer  zoo train --out {sagan_copy} --resume --iterations 2",
    ):
        assert expected in lines
    assert any(line.startswith("trained:      1 iteration, ") for line in lines)
    assert any(line.startswith("networks:     discriminator, generator (") for line in lines)
    assert not any("zoo evaluate" in line for line in lines), "it is measured already"


def test_show_run_json_is_the_summary_of_python(sagan_run: Path, capsys: Capture) -> None:
    assert main(["show", str(sagan_run / "model"), "--json"]) == 0
    shown, summary = json.loads(capsys.readouterr().out), zoogan.summarize_run(sagan_run)
    loaded = zoogan.load(sagan_run)
    assert shown.pop("editor") == zoogan.describe_editor(loaded).model_dump(mode="json")
    assert shown == json.loads(json.dumps(summary.as_json()))
    assert (shown["method"], shown["image_size"], shown["iteration"], shown["report"]) == ("sagan", 32, 1, None)
    assert shown["path"] == str(sagan_run) and summary.commands["measure it"] == f"zoo evaluate {sagan_run}"
    assert (summary.attributes, summary.images) == (loaded.attributes, loaded.images)
    assert summary.files["generator.safetensors"] == (sagan_run / "model/generator.safetensors").stat().st_size


def test_unfinished_run_is_to_be_resumed(sagan_copy: Path, capsys: Capture) -> None:
    config = sagan_copy / "config.yaml"
    values = yaml.safe_load(config.read_text())
    values["training"]["iterations"] = 5
    config.write_text(yaml.safe_dump(values))
    summary = zoogan.summarize_run(sagan_copy)
    assert not summary.is_finished and summary.iterations == 5
    assert next(iter(summary.commands.values())) == f"zoo train --out {sagan_copy} --resume"
    for file in (sagan_copy / "model").iterdir():
        file.unlink()
    assert list(zoogan.summarize_run(sagan_copy).commands) == ["go on training"]
    capsys.readouterr()
    assert main(["show", str(sagan_copy), "--json"]) == 0 and json.loads(capsys.readouterr().out)["editor"] is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("sagn", "no method is called 'sagn', did you mean 'sagan'"),
        ("./sagan", "not a run: there is no folder"),
        ("{run}/samples", "did you mean '{run}'?"),
    ],
)
def test_show_of_no_run_and_no_model_is_refused(sagan_run: Path, capsys: Capture, name: str, expected: str) -> None:
    assert main(["show", name.format(run=sagan_run)]) == 2
    assert expected.format(run=sagan_run) in capsys.readouterr().err


def test_show_run_refuses_a_recipe(sagan_run: Path, capsys: Capture) -> None:
    assert main(["show", str(sagan_run), "--recipe", "drawn-64"]) == 2
    assert "whose recipe is fixed" in capsys.readouterr().err


def test_figures_are_the_first_of_each_metric() -> None:
    assert all(set(value) <= set(Value.model_fields) for value in VALUES)
    assert list(choose_figures({"values": VALUES})) == [
        Figure("edit_error", None, 0.03123, 0.029, 0.0334), Figure("success", "Eyeglasses", 0.9, None, None),
    ]  # fmt: skip
    assert list(choose_figures({})) == []


NEXT: list[tuple[str, dict[str, Any], str]] = [
    ("latent", {}, "zoo direction RUN --attribute NAME"),
    ("latent", {"directions": ("Smiling",)}, "zoo edit RUN --seed 0 --attribute Smiling=1"),
    ("latent", {"attributes": ("Bald",), "layouts": "optional"}, "zoo edit RUN PHOTO --attribute Bald=1"),
    ("latent", {"layouts": "needed"}, "zoo sample RUN"),
    ("decomposition", {"attributes": ("Face_Mask",)}, "zoo edit RUN --seed 0 --attribute Face_Mask=1"),
    ("domain", {"domains": ("male", "female")}, "zoo edit RUN PHOTO --domain male"),
    ("pairs", {"attributes": ("Bald",), "layouts": "needed"}, "zoo edit RUN PHOTO --layout MAP.png --attribute Bald=1"),
    ("of a plugin", {}, "zoo edit RUN --grid --out sheet.png"),
]


@pytest.mark.parametrize(("condition", "facts", "expected"), NEXT)
def test_commands_suit_the_condition(condition: str, facts: dict[str, Any], expected: str) -> None:
    registry = get_zoo().registry
    summary = {
        "condition": condition, "iteration": 9, "files": {"generator": 1}, "is_finished": True, "attributes": (),
        "domains": (), "directions": (), "layouts": "none", "report": None,
    }  # fmt: skip
    config = compose_config(registry.methods["sagan"], registry)
    commands = suggest_commands(summary | facts, config, "RUN")
    assert expected in commands.values() and "train it longer" in commands
    edits_latents = condition == "latent" and "layouts" not in facts
    assert ("find a direction" in commands) == (edits_latents and "directions" not in facts)
    fixed = suggest_commands(summary | facts, config, "gallery:RUN", is_fixed=True)
    assert not any(command.startswith("zoo train") for command in fixed.values())
