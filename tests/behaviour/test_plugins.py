"""Discovery and isolation of plugins: a broken plugin is reported with the reason, and everything else works."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

from support.plugins import GOOD_PLUGIN, PluginFolder, get_only_failure
from zoogan.cli import main
from zoogan.config.commands import VERBS
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.names import import_object

REGISTER_THEN = """
    from zoogan.config import ComponentConfig
    from typing import Literal

    class OtherConfig(ComponentConfig):
        use: Literal["other"] = "other"

    @hookimpl
    def zoo_register(registry):
        registry.component("term", "other", config=OtherConfig, build="m:f")
        registry.command("other", "m:f")
"""

# By defect: source of the plugin, part of the reason, part of the hint.
BROKEN = {
    "missing dependency": (
        "import dlib_that_nobody_has",
        "needs module 'dlib_that_nobody_has'",
        "pip install dlib_that",
    ),
    "other zoogan": ("from zoogan.plugins.hooks import zoo_dance", "written for another zoogan", "upgrade zoogan"),
    "other zoogan's module": ("import zoogan.dancing", "written for another zoogan", "upgrade zoogan"),
    "syntax": ("def zoo_register(:", "not valid Python", "report it to the authors of bad"),
    "raises at import": ("1 / 0", "ZeroDivisionError: division by zero at bad_module.py:2", "authors of bad"),
    "exits at import": ("raise SystemExit(3)", "tried to end the program", "authors of bad"),
    "any BaseException": (
        "class Odd(BaseException): pass\nraise Odd('so there')",
        "Odd: so there",
        "authors of bad",
    ),
    "misspelt hook": (
        "@hookimpl\ndef zoo_regster(registry): pass",
        "'zoo_regster', which does not exist, did you mean 'zoo_register'?",
        "zoo_train_start",
    ),
    "wrong argument": (
        "@hookimpl\ndef zoo_register(registri): pass",
        "its zoo_register takes 'registri', which the hook does not pass",
        "may take registry",
    ),
    "unmarked hook": ("def zoo_register(registry): pass", "not marked as a hook", "@zoogan.plugins.hookimpl"),
    "no hook": ("x = 1", "implements no hook", "zoo_register(registry)"),
    "later API": (
        "API_VERSION = 2\n@hookimpl\ndef zoo_register(registry): pass",
        "it needs zoogan's plugin API 2, this is 1",
        "upgrade zoogan",
    ),
    "odd API": (
        "API_VERSION = '2'\n@hookimpl\ndef zoo_register(registry): pass",
        "API_VERSION is '2'",
        "this is 1",
    ),
    "raises in zoo_register": (
        REGISTER_THEN + "        raise ValueError('half way')",
        "ValueError: half way at",
        "authors",
    ),
    "exits in zoo_register": (
        REGISTER_THEN + "        import sys; sys.exit()",
        "tried to end the program",
        "authors",
    ),
    "taken component": (
        REGISTER_THEN + "        registry.component('optimizer', 'adam', config=OtherConfig, build='m:f')",
        "optimizer 'adam' is already registered by plugin 'zoogan'",
        "rename",
    ),
    "taken method": (
        REGISTER_THEN
        + """
        from pathlib import Path
        from zoogan.config.registry import MethodSpec
        for _ in range(2):
            registry.method(MethodSpec("dance", OtherConfig, "m:f", Path(), "Dance"))
""",
        "method 'dance' is already registered by plugin 'bad'",
        "rename",
    ),
    "taken verb": (
        REGISTER_THEN + "        registry.command('list', 'm:f')",
        "'list' is one of zoo's own",
        "rename",
    ),
    "unknown role": (
        REGISTER_THEN + "        registry.component('optimiser', 'x', config=OtherConfig, build='m:f')",
        "no role is called 'optimiser', did you mean 'optimizer'?",
        "correct",
    ),
    "builder that is no import string": (
        REGISTER_THEN + "        registry.component('term', 'other2', config=OtherConfig, build='print')",
        "expected an import string like 'package.module:Name'",
        "correct",
    ),
    "config of another name": (
        REGISTER_THEN + "        registry.component('term', 'third', config=OtherConfig, build='m:f')",
        "field `use` of OtherConfig accepts only 'other'",
        "correct",
    ),
    "bad catalogue": (
        REGISTER_THEN
        + """
    from pathlib import Path
    CATALOGUE = Path(__file__).with_name("nowhere.yaml")
""",
        "nowhere.yaml: cannot be read",
        "correct",
    ),
}


@pytest.mark.slow
@pytest.mark.parametrize("case", BROKEN)
def test_broken_plugin_is_reported_and_others_work(good_plugin_folder: PluginFolder, case: str) -> None:
    body, reason, hint = BROKEN[case]
    good_plugin_folder.install("bad", body)
    failure = get_only_failure(good_plugin_folder.open_zoo())
    assert (failure.name, failure.distribution, failure.version) == ("bad", "bad", "1.2")
    assert reason in failure.reason and "\n" not in failure.reason
    assert hint in failure.hint
    assert "bad" in str(failure) and failure.reason in str(failure)


def test_ctrl_c_while_a_plugin_loads_ends_the_program(good_plugin_folder: PluginFolder) -> None:
    good_plugin_folder.install("bad", "raise KeyboardInterrupt")
    with pytest.raises(KeyboardInterrupt):
        good_plugin_folder.open_zoo()


def test_entry_point_without_a_module_is_reported(good_plugin_folder: PluginFolder) -> None:
    good_plugin_folder.install("bad", "", value="no_such_module_here")
    assert "no_such_module_here" in get_only_failure(good_plugin_folder.open_zoo()).reason


def test_second_plugin_of_one_name_is_not_used(good_plugin_folder: PluginFolder) -> None:
    good_plugin_folder.install("good", GOOD_PLUGIN, distribution="impostor")
    zoo = good_plugin_folder.open_zoo()
    (failure,) = zoo.failures
    assert failure.name == "good" and "has the same name" in failure.reason
    assert [info.name for info in zoo.plugins].count("good") == 1


def test_plugin_info_lists_components_and_hooks(good_plugin_folder: PluginFolder) -> None:
    info = next(info for info in good_plugin_folder.open_zoo().plugins if info.name == "good")
    assert (info.distribution, info.version) == ("good", "1.2")
    assert info.components == (("term", "plain"),)
    assert info.hooks == ("zoo_register",)
    assert info.warnings == ()


def test_plugins_load_after_the_core_in_order_of_name(plugin_folder: PluginFolder) -> None:
    for name in ("zebra", "ant"):
        plugin_folder.install(name, "@hookimpl\ndef zoo_train_end(run): pass")
    file = plugin_folder.write_module("beetle", "@hookimpl\ndef zoo_train_end(run): pass")
    plugin_folder.write_module("cat_module", "@hookimpl\ndef zoo_train_end(run): pass")
    names = [info.name for info in plugin_folder.open_zoo(file, ZOOGAN_PLUGINS="cat_module").plugins]
    assert names[0] == "zoogan"
    added = [name for name in names if name in {"zebra", "ant", "beetle", "cat_module"}]
    assert added == ["ant", "zebra", "cat_module", "beetle"]


@pytest.mark.parametrize("separator", [",", os.pathsep, " , "])
def test_zoo_plugins_variable_names_modules_and_files(plugin_folder: PluginFolder, separator: str) -> None:
    plugin_folder.write_module("by_module", GOOD_PLUGIN)
    path = plugin_folder.write_module("by_file", "@hookimpl\ndef zoo_train_end(run): pass")
    zoo = plugin_folder.open_zoo(ZOOGAN_PLUGINS=separator.join(["by_module", str(path)]))
    assert not zoo.failures
    assert {"by_module", "by_file"} <= {info.name for info in zoo.plugins}


def test_zoo_plugins_variable_may_name_installed_plugins(good_plugin_folder: PluginFolder) -> None:
    zoo = good_plugin_folder.open_zoo(ZOOGAN_PLUGINS="good_module")
    assert not zoo.failures
    assert [info.name for info in zoo.plugins].count("good") == 1


def test_disabled_plugins_are_not_imported(good_plugin_folder: PluginFolder) -> None:
    good_plugin_folder.install("bad", "raise SystemExit")
    zoo = good_plugin_folder.open_zoo(ZOOGAN_DISABLE_PLUGINS="bad,godo")
    assert not zoo.failures
    assert zoo.disabled == ["bad", "godo"]
    assert zoo.warnings == ["ZOOGAN_DISABLE_PLUGINS names 'godo', and there is no such plugin, did you mean 'good'?"]
    assert "bad_module" not in sys.modules


def test_plugin_files_of_one_name_stay_apart(plugin_folder: PluginFolder, tmp_path: Path) -> None:
    for folder in ("a", "b"):
        (tmp_path / folder).mkdir()
        text = f"from zoogan.plugins.hooks import hookimpl\nWHO = {folder!r}\n@hookimpl\ndef zoo_train_end(run): pass\n"
        (tmp_path / folder / "plugin.py").write_text(text)
    first, second = plugin_folder.open_zoo(tmp_path / "a/plugin.py"), plugin_folder.open_zoo(tmp_path / "b/plugin.py")
    assert first.manager.get_plugin("plugin").WHO == "a"
    assert second.manager.get_plugin("plugin").WHO == "b"


def test_import_strings_find_components_of_a_plugin_file(plugin_folder: PluginFolder) -> None:
    path = plugin_folder.write_module(
        "single", GOOD_PLUGIN + "\n    def build(config, facts):\n        return config.use\n"
    )
    zoo = plugin_folder.open_zoo(path)
    zoo.load_files([path])  # a second time, as when two commands run in one process
    assert not zoo.failures
    config = zoo.registry.components["term", "plain"].config()
    assert zoo.registry.build("term", config) == "plain"


def test_missing_plugin_file_is_reported(good_plugin_folder: PluginFolder) -> None:
    failure = get_only_failure(good_plugin_folder.open_zoo(Path("nowhere/my_plugin.py")))
    assert failure.name == "my_plugin"
    assert "no file" in failure.reason and failure.hint == "check the path"


def test_plugin_with_a_slow_import_is_named_once(
    good_plugin_folder: PluginFolder, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    clock = SimpleNamespace(now=0.0, monotonic=lambda: clock.now)
    monkeypatch.setattr("zoogan.plugins.host.time", clock)
    body = "import zoogan.plugins.host as host\nhost.time.now += {}\n@hookimpl\ndef zoo_train_end(run): pass"
    good_plugin_folder.install("slow", body.format(7.2))
    good_plugin_folder.install("brisk", body.format(4.9))
    zoo = good_plugin_folder.open_zoo()
    warnings = {info.name: info.warnings for info in zoo.plugins}
    (warning,) = warnings["slow"]
    assert "its import takes 7 s" in warning and warnings["brisk"] == ()
    (record,) = caplog.records
    assert "'slow'" in record.getMessage() and warning in record.getMessage()


def test_strict_plugins_make_a_broken_one_an_error(good_plugin_folder: PluginFolder) -> None:
    good_plugin_folder.install("bad", "import sys\nsys.exit(0)")
    for off in ("", "0", "no"):
        assert get_only_failure(good_plugin_folder.open_zoo(ZOOGAN_STRICT_PLUGINS=off)).name == "bad"
    for name in ("ZOOGAN_STRICT_PLUGINS", "ZOO_STRICT_PLUGINS"):
        with pytest.raises(ConfigError, match="plugin 'bad' is not in use: it tried to end the program"):
            good_plugin_folder.open_zoo(**{name: "1"})
    with pytest.raises(ConfigError, match="ZOOGAN_STRICT_PLUGINS=maybe: expected 1 or 0"):
        good_plugin_folder.open_zoo(ZOOGAN_STRICT_PLUGINS="maybe")


def test_prints_of_plugins_do_not_go_to_stdout(plugin_folder: PluginFolder, capsys: pytest.CaptureFixture[str]) -> None:
    body = "print('imported')\n@hookimpl\ndef zoo_register(registry): print('registered')\n"
    plugin_folder.install("loud", body + "@hookimpl\ndef zoo_train_end(run): print('ended')")
    plugin_folder.write_module("loud_part", "print('part imported')\nPART = 3")
    zoo = plugin_folder.open_zoo()
    zoo.notify_observers("zoo_train_end", run=Path("run"), outcome="finished")
    assert not zoo.failures and import_object("loud_part:PART") == 3
    output = capsys.readouterr()
    assert output.out == "" and output.err.split("\n") == ["imported", "registered", "ended", "part imported", ""]


def test_exit_of_a_component_or_verb_is_a_failure(
    plugin_folder: PluginFolder, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    plugin_folder.write_module("leaving_part", "import sys\nsys.exit(0)")
    with pytest.raises(ImportError, match="leaving_part tried to end the program"):
        import_object("leaving_part:PART")

    def leave(*arguments: object, **options: object) -> None:
        sys.exit(0)

    monkeypatch.setattr("zoogan.cli.app.build_app", lambda: leave)
    assert main(["list", "--json"]) == 1
    output = capsys.readouterr()
    assert output.out == "" and "zoo list: a plugin tried to end the program (SystemExit at test_plugins" in output.err


def test_plugin_that_imports_torch_gets_a_warning(plugin_folder: PluginFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delitem(sys.modules, "torch", raising=False)
    plugin_folder.write_module("torch", "")  # in place of the real one, which takes seconds
    plugin_folder.install("slow", "import torch\n@hookimpl\ndef zoo_train_end(run): pass")
    try:
        zoo = plugin_folder.open_zoo()
    finally:
        sys.modules.pop("torch", None)
    assert not zoo.failures
    (warning,) = next(info for info in zoo.plugins if info.name == "slow").warnings
    assert "imports torch when it is loaded" in warning


def test_unavailable_method_is_explained(good_plugin_folder: PluginFolder, planned_method: str) -> None:
    good_plugin_folder.install("my-gan", "import dlib_that_nobody_has")
    zoo = good_plugin_folder.open_zoo()
    with pytest.raises(ConfigError, match=r"'my-gan' is not available: .*dlib_that_nobody_has"):
        zoo.get_method("my-gan")
    with pytest.raises(ConfigError, match=r"'next-gan' \(NextGAN\) is not installed: planned"):
        zoo.get_method(planned_method)
    with pytest.raises(ConfigError, match="no method is called 'smle', did you mean 'smile'"):
        zoo.get_method("smle")


# ---- observers ----

OBSERVER = """
    calls = []

    @hookimpl
    def zoo_progress(run, terms):
        calls.append(dict(terms))
        {then}

    @hookimpl
    def zoo_train_end(run):
        calls.append("end")
"""


@pytest.mark.parametrize("then", ["raise ValueError('full disk')", "terms['loss'] = 0", "raise SystemExit"])
def test_observer_that_raises_is_reported_once_and_dropped(
    plugin_folder: PluginFolder, caplog: pytest.LogCaptureFixture, then: str
) -> None:
    plugin_folder.install("a-good", OBSERVER.format(then=""))
    plugin_folder.install("b-bad", OBSERVER.format(then=then))
    plugin_folder.install("c-good", OBSERVER.format(then=""))
    zoo = plugin_folder.open_zoo()
    assert not zoo.failures
    plugins = [zoo.manager.get_plugin(name) for name in ("a-good", "b-bad", "c-good")]
    with caplog.at_level(logging.WARNING):
        for step in range(3):
            zoo.notify_observers("zoo_progress", run=Path("run"), clock=None, terms={"loss": float(step)})
        zoo.notify_observers("zoo_train_end", run=Path("run"), outcome="finished")
    calls = [{"loss": 0.0}, {"loss": 1.0}, {"loss": 2.0}, "end"]
    assert [plugin.calls for plugin in plugins] == [calls, calls[:1], calls]
    (record,) = caplog.records
    assert "'b-bad'" in record.getMessage() and "zoo_progress" in record.getMessage()
    (failure,) = zoo.failures
    assert failure.name == "b-bad" and failure.reason.startswith("in zoo_progress: ")


def test_ctrl_c_in_an_observer_ends_the_program(plugin_folder: PluginFolder) -> None:
    plugin_folder.install("bad", OBSERVER.format(then="raise KeyboardInterrupt"))
    with pytest.raises(KeyboardInterrupt):
        plugin_folder.open_zoo().notify_observers("zoo_progress", run=Path("run"), clock=None, terms={})


# ---- the registry ----


def test_draft_registers_at_commit_and_overwrites_nothing() -> None:
    registry = Registry(plugin="core")
    registry.command("dance", "m:core")
    draft = registry.draft("other")
    draft.command("sing", "m:other")
    assert "sing" not in registry.commands
    draft.commands["dance"] = draft.commands["sing"]  # without the check of `command`
    registry.commit(draft)
    assert registry.commands["sing"].plugin == "other"
    assert registry.commands["dance"].build == "m:core"


def test_verbs_are_import_strings_of_the_cli() -> None:
    assert all(verb.build.startswith("zoogan.cli.") and ":" in verb.build for verb in VERBS.values())
