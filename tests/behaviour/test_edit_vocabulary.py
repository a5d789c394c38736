"""`zoo edit` refuses unknown attributes before it loads a run."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoogan.cli import main
from zoogan.errors import ConfigError


def test_unknown_attribute_is_refused_before_the_run_is_loaded(
    sagan_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("zoogan.runs.opening.load", lambda *_, **__: pytest.fail("it loaded the run"))
    assert main(["edit", str(sagan_run), "me.png", "--attribute", "Eyeglases=1"]) == 2
    assert "this run does not know Eyeglases, did you mean 'Eyeglasses'?" in capsys.readouterr().err


def test_edited_config_is_refused_before_the_run_is_loaded(
    sagan_copy: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise ConfigError("loaded")

    monkeypatch.setattr("zoogan.runs.opening.load", stop)
    words = ["edit", str(sagan_copy), "me.png", "--attribute", "Eyeglasses=1", "--device", "cpu"]
    for options, opens in (((), True), (("--json",), False)):
        assert main([*words, *options]) == 2
        assert (f"Opening {sagan_copy} ...\n" in capsys.readouterr().err) == opens
    config = sagan_copy / "config.yaml"
    config.write_text(config.read_text().replace("precision:", "precison:"))
    assert main(words) == 2
    error = capsys.readouterr().err
    assert "training.precison: no such setting, did you mean 'precision'?" in error and "Opening" not in error
