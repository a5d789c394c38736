"""`zoo edit` refuses unknown attributes before it loads a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoogan.cli import main


def test_unknown_attribute_is_refused_before_the_run_is_loaded(
    sagan_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, **__: pytest.fail("it loaded the run"))
    assert main(["edit", str(sagan_run), "me.png", "--attribute", "Eyeglases=1"]) == 2
    assert "this run does not know Eyeglases, did you mean 'Eyeglasses'?" in capsys.readouterr().err
