"""Verbs that train nothing: their output, their messages about mistakes, and that they do not import torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator

import pytest

from support.plugins import PluginFolder
from zoogan import __version__
from zoogan.cli import main
from zoogan.cli.show import parse_attribute_lines
from zoogan.config.commands import VERBS
from zoogan.plugins.host import get_zoo

SMALL = """
    import os
    from pathlib import Path
    from typing import Annotated, Literal
    import typer
    from pydantic import Field
    from zoogan.config import ComponentConfig, DataConfig, ConfigModel, GameConfig, Slot
    from zoogan.config.registry import MethodSpec

    class SmallSource(DataConfig):
        source: Literal["small"] = "small"

    class SmallCondition(ComponentConfig):
        use: Literal["small"] = "small"

    class SmallTerm(ComponentConfig):
        '''A term.

        power: how
        steep it is. floor, ceiling: bounds in units of w: both inclusive.
        '''
        use: Literal["small"] = "small"
        power: float = 2.0
        floor: int = 0
        ceiling: int = 9

    class SmallConfig(GameConfig):
        method: Literal["small-gan"] = "small-gan"
        regulariser: Annotated[ComponentConfig, Slot("term")] = SmallTerm()
        depth: int = Field(4, ge=1, description="how deep it is")

    @hookimpl
    def zoo_register(registry):
        registry.component("source", "small", config=SmallSource, build="m:f")
        registry.component("condition", "small", config=SmallCondition, build="m:f")
        registry.component("term", "small", config=SmallTerm, build="m:f")
        recipes = Path(__file__).with_name("recipes")
        recipes.mkdir(exist_ok=True)
        body = "data: {source: small}\\ncondition: {use: small}\\ntraining: {iterations: %d}\\n"
        (recipes / "drawn-16.yaml").write_text(body % 16)
        (recipes / "drawn-64.yaml").write_text(body % 64)
        registry.method(MethodSpec("small-gan", SmallConfig, "m:f", recipes, "SmallGAN"))
        for name in ("crash", "answer", "broken"):
            registry.command(name, f"{__name__}:{name}")

    def crash() -> None:
        '''Crash.'''
        raise ValueError("first line\\nsecond line")

    def answer(code: int) -> int:
        '''Answer with a code.'''
        return code
"""


@pytest.fixture(autouse=True)
def open_zoo_of_plugin_folder(plugin_folder: PluginFolder) -> Iterator[None]:
    """Open the process's zoo anew, with the plugins of this test's folder."""
    plugin_folder.install("small", SMALL)
    get_zoo.cache_clear()
    yield
    get_zoo.cache_clear()


Capture = pytest.CaptureFixture[str]


# ---- list ----


def test_list_shows_installed_and_planned_methods(
    plugin_folder: PluginFolder, planned_method: str, capsys: Capture
) -> None:
    plugin_folder.install("bad", "import dlib_that_nobody_has")
    assert main(["list"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["method", "title", "year", "recipes", "stages", "plugin"]
    assert max(map(len, lines[:-1])) <= 130
    (row,) = [line for line in lines if line.startswith("small-gan ")]
    assert row.split() == ["small-gan", "SmallGAN", "drawn-16,", "drawn-64", "small"]
    (planned,) = [line for line in lines if line.startswith(planned_method)]
    assert planned.split("  ")[-2:] == ["2026", "(planned)"]
    assert lines[-1].startswith("plugin 'bad' is not in use: it needs module 'dlib_that_nobody_has'")


def test_list_json_has_methods_and_failures(plugin_folder: PluginFolder, planned_method: str, capsys: Capture) -> None:
    plugin_folder.install("bad", "1 / 0")
    assert main(["list", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert "small-gan" in [row["name"] for row in facts["installed"]]
    assert planned_method in [row["name"] for row in facts["known"]]
    assert [failure["plugin"] for failure in facts["failures"]] == ["bad"]


def test_list_includes_a_plugin_file(plugin_folder: PluginFolder, capsys: Capture) -> None:
    path = plugin_folder.write_module("one_file", SMALL.replace("small", "other").replace('"answer", "broken", ', ""))
    path.write_text(path.read_text().replace('("crash", "answer", "broken")', "()"))
    assert main(["list", "--plugin", str(path)]) == 0
    out = capsys.readouterr().out
    assert "other-gan" in out and "one_file" in out and "not in use" not in out


def test_list_draws_a_table_on_a_terminal(monkeypatch: pytest.MonkeyPatch, capsys: Capture) -> None:
    monkeypatch.setattr(sys.stdout, "isatty", lambda: True)
    monkeypatch.setenv("COLUMNS", "160")
    assert main(["list"]) == 0
    out = capsys.readouterr().out
    assert "┃" in out and "│" in out and "small-gan" in out


# ---- show ----


def test_show_lists_slots_and_settings(capsys: Capture) -> None:
    assert main(["show", "small-gan", "--settings", "--recipe", "drawn-64"]) == 0
    out = capsys.readouterr().out
    assert "recipes:      drawn-16, drawn-64" in out
    settings = {line.split()[0]: line for line in out.splitlines() if line}
    assert settings["training.iterations"].split()[1:3] == ["64", "1000"], "the recipe's value, and the default"
    assert settings["depth"].split(maxsplit=2)[1:] == ["4", "how deep it is"]
    assert settings["regulariser.power"].endswith("how steep it is")
    assert settings["regulariser.ceiling"].endswith("bounds in units of w: both inclusive")
    assert settings["data.batch"].endswith("Faces that a process reads for one micro-batch")
    (slot,) = [line for line in out.splitlines() if line.startswith("regulariser  ")]
    assert slot.split()[:3] == ["regulariser", "term", "small"]


def test_show_json_has_values_and_defaults(capsys: Capture) -> None:
    assert main(["show", "small-gan", "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    settings = {row["key"]: row for row in facts["settings"]}
    assert facts["recipe"] == "drawn-16" and facts["catalogue"] is None
    assert (settings["training.iterations"]["value"], settings["training.iterations"]["default"]) == (
        16,
        1000,
    )
    assert settings["data.attributes"]["default"] == ["Eyeglasses"]
    assert {row["slot"]: row["use"] for row in facts["slots"]} == {
        "data": "small", "condition": "small", "regulariser": "small"
    }  # fmt: skip


@pytest.mark.parametrize("model", ["sagan", "stargan"])
def test_show_describes_methods_of_zoogan(model: str, capsys: Capture) -> None:
    assert main(["show", model]) == 0
    out = capsys.readouterr().out
    assert "licence: MIT" in out and "zoo import reads them" in out
    assert f"zoo train --model {model}\n" in out and f"zoo show {model} --settings" in out
    assert "optimizers.generator.lr" not in out and len(out.splitlines()) < 30
    assert main(["show", model, "--settings"]) == 0
    out = capsys.readouterr().out
    assert "optimizers.generator.lr" in out and "generator.use" in out


def test_descriptions_of_settings_are_parsed() -> None:
    descriptions = parse_attribute_lines(
        "Head: no field.\n\nbatch: how many.\nflip: mirror, for batch: no.\n\nTail.", ["batch", "flip"]
    )
    assert descriptions == {
        "batch": "no",
        "flip": "mirror, for",
    }  # the name of a field and a colon always begin an entry
    assert parse_attribute_lines("lr: rate (of `data.lr: x`).", ["lr"]) == {"lr": "rate (of `data.lr: x`)"}


# ---- mistakes ----


def test_planned_method_cannot_be_shown(planned_method: str, capsys: Capture) -> None:
    assert main(["show", planned_method]) == 2
    assert "not installed: planned" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("command", "expected"),
    [
        (["lsit"], "no verb is called 'lsit', did you mean 'list'?"),
        (["trian"], "no verb is called 'trian', did you mean 'train'?"),
        (["list", "--jsno"], "zoo list: No such option"),
        (["show"], "METHOD"),
        (["show", "smal-gan"], "no method is called 'smal-gan', did you mean 'small-gan'?"),
        (["show", "small-gan", "--recipe", "drown-16"], "did you mean 'drawn-16'?"),
        (["show", "small-gan", "--plugin", "nowhere.py"], "plugin 'nowhere' is not in use: no file"),
        (["--nonsense"], "--nonsense"),
    ],
)
def test_mistake_exits_2_with_a_message(command: list[str], expected: str, capsys: Capture) -> None:
    assert main(command) == 2
    output = capsys.readouterr()
    assert expected in output.err and "Traceback" not in output.err
    assert not output.out


def test_error_in_a_verb_exits_1_in_one_line(capsys: Capture) -> None:
    assert main(["crash"]) == 1
    assert capsys.readouterr().err == ("zoo crash: ValueError: first line; run with --debug for the traceback\n")


@pytest.mark.parametrize("command", [["crash", "--debug"], ["--debug", "crash"]])
def test_debug_option_shows_the_traceback(command: list[str], capsys: Capture) -> None:
    assert main(command) == 1
    assert "Traceback (most recent call last)" in capsys.readouterr().err


def test_verb_returns_its_exit_code() -> None:
    assert [main(["answer", "0"]), main(["answer", "7"])] == [0, 7]


def test_help_lists_verbs_beside_a_broken_command(capsys: Capture) -> None:
    assert main(["--help"]) == 0
    out = capsys.readouterr().out
    assert all(f"\n  {verb} " in out for verb in [*VERBS, "crash", "answer"])
    assert "(not available: " in out.partition("\n  broken ")[2].partition("\n  crash")[0]
    assert main(["broken"]) == 1
    assert "plugin 'small' cannot load this command" in capsys.readouterr().err


@pytest.mark.parametrize("verb", VERBS)
def test_every_verb_has_help(verb: str, capsys: Capture) -> None:
    assert main([verb, "-h"]) == 0
    out = capsys.readouterr().out
    assert out.startswith(f"Usage: zoo {verb}") and "not available" not in out


def test_version_option_and_call_without_verb(capsys: Capture) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"zoogan {__version__}\n"
    assert main([]) == 0
    assert capsys.readouterr().out.startswith("Usage: zoo")


# ---- doctor ----


def test_doctor_counts_broken_plugins(plugin_folder: PluginFolder, capsys: Capture) -> None:
    assert main(["doctor"]) == 0
    out = capsys.readouterr().out
    assert "0 problems" in out and "python:" in out and "cpu:" in out and "small (small 1.2)" in out
    assert "pyyaml:" in out and "numpy:" in out and "pillow:" in out and "jinja2:" in out and "pytest:" not in out
    assert "fp16" not in out.replace("bf16", ""), "no training runs in fp16"
    plugin_folder.install("bad", "import dlib_that_nobody_has")
    get_zoo.cache_clear()
    assert main(["doctor"]) == 1
    out = capsys.readouterr().out
    assert "1 problem\n" in out
    assert "bad: it needs module 'dlib_that_nobody_has', which is not installed (hint: pip install" in out


# ---- imports ----

PROBE = "import sys; from zoogan.cli import main; code = main({0!r}); print(code, 'torch' in sys.modules)"


@pytest.mark.slow
@pytest.mark.parametrize("command", [["list"], ["--help"], ["show", "smile"]])
def test_verb_imports_no_torch(command: list[str]) -> None:
    result = subprocess.run([sys.executable, "-c", PROBE.format(command)], capture_output=True, text=True)
    assert result.stdout.splitlines()[-1].endswith(" False"), result.stderr


def test_shell_completion_offers_verbs_and_methods(
    plugin_folder: PluginFolder, monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setenv("_ZOO_COMPLETE", "complete_bash")
    for words, expected in (("zoo sh", "show"), ("zoo show small-", "small-gan")):
        monkeypatch.setenv("COMP_WORDS", words)
        monkeypatch.setenv("COMP_CWORD", str(len(words.split()) - 1))
        with pytest.raises(SystemExit):
            main([])
        assert capsys.readouterr().out.split() == [expected]
