"""Every hook is documented, typed and versioned, and has a test of its own in this file."""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from support.plugins import GOOD_PLUGIN, PluginFolder
from zoogan import API_VERSION
from zoogan.plugins import hooks
from zoogan.plugins.isolation import list_hooks

RUN = Path("runs/demo-001")


@pytest.mark.parametrize("name", list_hooks())
def test_each_hook_is_documented_typed_and_tested(name: str) -> None:
    hook = getattr(hooks, name)
    assert hook.zoogan_spec, f"{name} is not marked with @hookspec"
    doc = inspect.getdoc(hook) or ""
    versions = [version for version in range(1, API_VERSION + 1) if doc.endswith(f"Since API {version}.")]
    assert versions, (
        f"the docstring of {name} does not end with the first plugin API version that has it: 'Since API 1.'"
    )
    signature = inspect.signature(hook)
    assert all(p.annotation is not p.empty for p in signature.parameters.values()), f"{name}: untyped argument"
    assert signature.return_annotation in (None, "None"), f"{name} returns something, but observers only read"
    assert f"test_hook_{name}" in globals(), f"write test_hook_{name} in {Path(__file__).name}"


def test_every_hook_test_belongs_to_a_hook() -> None:
    tested = {name.removeprefix("test_hook_") for name in globals() if name.startswith("test_hook_")}
    assert tested == set(list_hooks())


def call_hook(folder: PluginFolder, hook: str, **arguments: Any) -> dict[str, Any]:
    """Call a hook that a plugin implements with all arguments; return what the plugin received."""
    names = list(inspect.signature(getattr(hooks, hook)).parameters)
    assert sorted(names) == sorted(arguments)
    keywords = ", ".join(f"{name}={name}" for name in names)
    body = f"calls = []\n@hookimpl\ndef {hook}({', '.join(names)}): calls.append(dict({keywords}))\n"
    folder.install("watcher", body)
    zoo = folder.open_zoo()
    assert not zoo.failures
    zoo.notify_observers(hook, **arguments)
    (received,) = zoo.manager.get_plugin("watcher").calls
    return dict(received)


def test_hook_zoo_register(plugin_folder: PluginFolder) -> None:
    plugin_folder.install("good", GOOD_PLUGIN)
    zoo = plugin_folder.open_zoo()
    assert zoo.registry.components["term", "plain"].plugin == "good"


def test_hook_zoo_train_start(plugin_folder: PluginFolder) -> None:
    assert call_hook(plugin_folder, "zoo_train_start", run=RUN) == {"run": RUN}


def test_hook_zoo_progress(plugin_folder: PluginFolder) -> None:
    received = call_hook(plugin_folder, "zoo_progress", run=RUN, clock="clock", terms={"generator/cycle": 0.5})
    assert received["run"] == RUN and received["clock"] == "clock"
    assert isinstance(received["terms"], Mapping) and dict(received["terms"]) == {"generator/cycle": 0.5}
    with pytest.raises(TypeError):
        received["terms"]["generator/cycle"] = 0.0


def test_hook_zoo_checkpoint_saved(plugin_folder: PluginFolder) -> None:
    path = RUN / "checkpoints/iteration-00000500"
    assert call_hook(plugin_folder, "zoo_checkpoint_saved", run=RUN, path=path) == {"run": RUN, "path": path}


def test_hook_zoo_evaluated(plugin_folder: PluginFolder) -> None:
    received = call_hook(plugin_folder, "zoo_evaluated", run=RUN, report={"fid": 12.5})
    assert received["run"] == RUN and dict(received["report"]) == {"fid": 12.5}


def test_hook_zoo_train_end(plugin_folder: PluginFolder) -> None:
    assert call_hook(plugin_folder, "zoo_train_end", run=RUN, outcome="stopped") == {"run": RUN, "outcome": "stopped"}
