"""Environment variables, the place of the cache, and the log."""

from __future__ import annotations

import ast
import logging
import re
from pathlib import Path

import platformdirs
import pytest

from support.plugins import GOOD_PLUGIN, PluginFolder
from zoogan.cli import main
from zoogan.environment import FORMER_NAMES, VARIABLES, read_variable
from zoogan.files import get_cache_folder

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "environment.md").read_text()


def list_read_variables(path: Path) -> set[str]:
    """List the variables that a file reads or looks for."""
    readers = r"(environ(ment)?(\.(get|setdefault|pop))?|getenv|read_variable)$"
    names, text = set(), path.read_text()
    for node in ast.walk(ast.parse(text)) if re.search("environ|read_variable|getenv", text) else ():
        key, reader = None, None
        if isinstance(node, ast.Call) and node.args:
            key, reader = node.args[0], node.func
        elif isinstance(node, ast.Subscript):
            key, reader = node.slice, node.value
        elif isinstance(node, ast.Compare):
            key, reader = node.left, node.comparators[0]
        if isinstance(key, ast.Constant) and isinstance(key.value, str) and reader is not None:
            names |= {key.value} if re.search(readers, ast.unparse(reader)) else set()
    return names


def test_every_variable_that_is_read_is_on_the_page() -> None:
    files = [*(ROOT / "core").rglob("*.py"), *(ROOT / "plugins").rglob("*.py")]
    names = set().union(*map(list_read_variables, files)) | set(VARIABLES) | set(FORMER_NAMES.values())
    assert {"ZOOGAN_CACHE", "XDG_CACHE_HOME", "WORLD_SIZE", "GOMP_SPINCOUNT"} <= names
    assert sorted(name for name in names if f"`{name}`" not in PAGE) == []
    assert all(name.startswith("ZOOGAN_") for name in VARIABLES)


@pytest.mark.parametrize("former", ["ZOO_PLUGINS", "ZOO_DISABLE_PLUGINS", "ZOO_STRICT_PLUGINS"])
def test_former_names_work_and_new_names_win(former: str) -> None:
    (name,) = [new for new, old in FORMER_NAMES.items() if old == former]
    assert read_variable(name, {former: "a"}) == "a"
    assert read_variable(name, {former: "a", name: "b"}) == "b"
    assert read_variable(name, {}) == ""


def test_former_plugin_variable_loads_plugins(plugin_folder: PluginFolder) -> None:
    plugin_folder.write_module("by_former_name", GOOD_PLUGIN)
    zoo = plugin_folder.open_zoo(ZOO_PLUGINS="by_former_name")
    assert "by_former_name" in {info.name for info in zoo.plugins}


def test_cache_follows_variable_then_xdg_then_platform(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("ZOOGAN_CACHE", "~/mine")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "xdg"))
    assert get_cache_folder() == tmp_path / "mine"
    monkeypatch.delenv("ZOOGAN_CACHE")
    assert get_cache_folder() == tmp_path / "xdg" / "zoogan"
    monkeypatch.setenv("XDG_CACHE_HOME", "relative")
    monkeypatch.setattr(platformdirs, "user_cache_path", lambda name, appauthor: tmp_path / "platform" / name)
    assert get_cache_folder() == tmp_path / "platform" / "zoogan"


def test_library_adds_a_null_handler_alone() -> None:
    assert [type(handler) for handler in logging.getLogger("zoogan").handlers] == [logging.NullHandler]


def test_log_level_shows_what_a_verb_logs(
    sagan_run: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    edit = ["edit", str(sagan_run), "--grid", "--out", str(tmp_path / "sheet.png"), "--device", "cpu"]
    monkeypatch.setenv("ZOOGAN_LOG_LEVEL", "info")
    assert main(edit) == 0
    assert f"INFO zoogan.runs: opened {sagan_run}: LoadedRun(sagan, 32 px, Eyeglasses, 1 iteration, cpu)" in (
        capsys.readouterr().err
    )
    assert [type(handler) for handler in logging.getLogger("zoogan").handlers] == [logging.NullHandler]
    monkeypatch.setenv("ZOOGAN_LOG_LEVEL", "loud")
    assert main(["list"]) == 2
    assert "ZOOGAN_LOG_LEVEL=loud: expected debug, info, warning, error or critical" in capsys.readouterr().err
