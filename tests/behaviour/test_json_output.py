"""`--json`: one document on stdout for programs, and notes on stderr."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

import zoogan
from support.pictures import save_picture
from support.runs import make_train_command
from zoogan.cli import doctor, main


def run_json(capsys: pytest.CaptureFixture[str], *arguments: object, code: int = 0) -> tuple[Any, str]:
    """Run a verb with `--json`; return the document on stdout, and stderr."""
    capsys.readouterr()
    assert main([*map(str, arguments), "--json"]) == code
    output = capsys.readouterr()
    return json.loads(output.out), output.err


def test_edit_json_lists_the_files(sagan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    photo = save_picture(tmp_path / "me.png", size=(80, 40))
    edit = ("edit", sagan_run, photo, "--out", tmp_path / "edits", "--device", "cpu")
    document, notes = run_json(capsys, *edit, "--attribute", "Eyeglasses=1")
    assert document["run"] == str(sagan_run) and all(Path(file).is_file() for file in document["files"])
    assert str(tmp_path / "edits" / "me.png") in document["files"] and "--box x,y,w,h" in notes
    grid, _ = run_json(capsys, "edit", sagan_run, photo, "--grid", "--out", tmp_path / "sheet.png", "--device", "cpu")
    assert grid == {"run": str(sagan_run), "files": [str(tmp_path / "sheet.png")]}


def test_sample_json_lists_files_and_seeds(
    untrained_part_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sample = ("sample", untrained_part_run, "-n", "2", "--seed", "5", "--device", "cpu")
    document, _ = run_json(capsys, *sample, "--out", tmp_path / "faces")
    assert document["seeds"] == [5, 6] and len(document["files"]) >= 2
    assert all(Path(file).is_file() for file in document["files"])


def test_evaluate_json_has_the_numbers_of_the_report(
    sagan_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], fast_bootstrap: None
) -> None:
    evaluate = ("evaluate", sagan_run, "--metrics", "reconstruction", "--faces", "4", "--device", "cpu")
    document, _ = run_json(capsys, *evaluate, "--out", tmp_path / "report")
    report = json.loads((tmp_path / "report" / "report.json").read_text())
    numbers = {(value["name"], value["attribute"]): value["value"] for value in document["values"]}
    assert numbers == {(value["name"], value["attribute"]): value["value"] for value in report["values"]} != {}
    assert document["files"] == [str(tmp_path / "report" / name) for name in ("report.json", "report.html")]


def test_doctor_json_lists_findings(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    findings = [("ok", "python", "3.11"), ("problem", "disk", "full")]
    monkeypatch.setattr(doctor, "examine_machine", lambda files: iter(findings))
    document, _ = run_json(capsys, "doctor", code=1)
    assert document == {
        "problems": 1,
        "findings": [{"state": state, "subject": subject, "text": text} for state, subject, text in findings],
    }


def test_train_json_names_the_run(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = make_train_command("sagan", tmp_path / "run", iterations=1)
    document, notes = run_json(capsys, *command)
    assert document == {"run": str(tmp_path / "run"), "outcome": "finished", "iteration": 1, "stage": None}
    assert "training sagan" in notes and zoogan.load(document["run"]).iteration == 1
    again, _ = run_json(capsys, "train", "--out", tmp_path / "run", "--resume", "--device", "cpu")
    assert again == {"run": str(tmp_path / "run"), "outcome": "finished", "iteration": 1}
