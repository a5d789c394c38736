"""Plugins on disk for tests: real modules, real entry points, found by the real discovery."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from zoogan.plugins.host import PluginFailure, PluginHost, open_zoo

HEAD = "from zoogan.plugins.hooks import hookimpl\n"

GOOD = """
    from typing import Literal
    from zoogan.config import ComponentConfig

    class PlainConfig(ComponentConfig):
        use: Literal["plain"] = "plain"

    @hookimpl
    def zoo_register(registry):
        registry.component("term", "plain", config=PlainConfig, build=f"{__name__}:build")
"""


class Shelf:
    """A folder on sys.path into which a test installs plugins."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        monkeypatch.syspath_prepend(str(folder))
        self.before = set(sys.modules)

    def module(self, name: str, body: str) -> Path:
        """Write a module; `hookimpl` is imported in it."""
        path = self.folder / f"{name}.py"
        path.write_text(HEAD + textwrap.dedent(body))
        return path

    def install(self, name: str, body: str, *, distribution: str | None = None, value: str = "") -> Path:
        """Write a module and the metadata of a distribution whose entry point `name` it is."""
        module = f"{(distribution or name).replace('-', '_')}_module"
        info = self.folder / f"{(distribution or name).replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution or name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[zoogan.plugins]\n{name} = {value or module}\n")
        return self.module(module, body)

    def open(self, *files: Path, **environment: str) -> PluginHost:
        """A fresh zoo with what is on the shelf."""
        return open_zoo(files, environment)

    def clean(self) -> None:
        """Forget the modules that were imported from here, so that tests may reuse names."""
        for name in set(sys.modules) - self.before:
            origin = getattr(sys.modules[name], "__file__", None) or ""
            if origin.startswith(str(self.folder)):
                del sys.modules[name]


def only_failure(zoo: PluginHost) -> PluginFailure:
    """The one failure; the plugin called `good` and the core must be in use all the same."""
    assert {"zoogan", "good"} <= {info.name for info in zoo.plugins}, zoo.failures
    assert "plain" in zoo.registry.list_names("term")
    assert "adam" in zoo.registry.list_names("optimizer")
    (failure,) = zoo.failures
    assert failure.name not in {info.name for info in zoo.plugins}
    assert not zoo.manager.has_plugin(failure.name)
    traces: list[Mapping[object, object]] = [
        zoo.registry.methods,
        zoo.registry.components,
        zoo.registry.commands,
    ]
    for entries in traces:
        assert all(getattr(entry, "plugin", None) != failure.name for entry in entries.values())
    return failure
