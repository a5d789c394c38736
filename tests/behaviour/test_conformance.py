"""Every registered method, whoever brings it, passes the same suite."""

from __future__ import annotations

from pathlib import Path

import pytest

from zoogan.config import ConfigError
from zoogan.plugins import zoo
from zoogan.testing import CHECKS, check_method, conformance

REGISTRY = zoo().registry


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("method", sorted(REGISTRY.methods))
def test_conformance(method: str, check) -> None:  # type: ignore[no-untyped-def]
    check(method, REGISTRY)


MINE = """
from dataclasses import replace
from zoogan.hooks import hookimpl
from zoogan.plugins import zoo

@hookimpl
def zoo_register(registry):
    registry.method(replace(zoo().registry.methods["sagan"], name="mine", plugin=""))
"""


def test_a_single_file_is_held_against_the_suite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(conformance, "CHECKS", (lambda name, registry: checked.append(registry.methods[name].name),))
    with pytest.raises(ConfigError, match="no model is called 'mine'"):
        check_method("mine")
    (tmp_path / "mine.py").write_text(MINE)
    try:
        check_method("mine", plugin=tmp_path / "mine.py")
    finally:
        zoo.cache_clear()
    assert checked == ["mine"]
