"""The progress display of a training."""

from __future__ import annotations

import pytest

from zoogan.terminal import progress


def test_time_left_is_computed_from_the_last_reports(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A slow start (imports, first batches, another program) is forgotten after some reports."""
    now = [0.0]
    monkeypatch.setattr(progress.time, "monotonic", lambda: now[0])
    display = progress.Display(0, 1000, 8)
    now[0] = 100.0
    display.report(10, {})
    assert "0.10 it/s" in capsys.readouterr().out
    for report in range(1, 6):
        now[0] = 100.0 + 10 * report
        display.report(10 + 20 * report, {})
    assert "2.00 it/s  16 images/s  7:25 left" in capsys.readouterr().out
    assert display.get_rate() == 2.0 and display.get_seconds() == 150.0
