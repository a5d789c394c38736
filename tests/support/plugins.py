"""Install plugins on disk for tests: real modules and entry points, found by the real discovery."""

from __future__ import annotations

import sys
import textwrap
from collections.abc import Mapping
from pathlib import Path

import pytest

from zoogan.plugins.host import PluginFailure, PluginHost, open_zoo

HEAD = "from zoogan.plugins.hooks import hookimpl\n"

GOOD_PLUGIN = """
    from typing import Literal
    from zoogan.config import ComponentConfig

    class PlainConfig(ComponentConfig):
        use: Literal["plain"] = "plain"

    @hookimpl
    def zoo_register(registry):
        registry.component("term", "plain", config=PlainConfig, build=f"{__name__}:build")
"""


class PluginFolder:
    """A folder on `sys.path` into which a test installs plugins."""

    def __init__(self, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.path = path
        monkeypatch.syspath_prepend(str(path))
        self.before = set(sys.modules)

    def write_module(self, name: str, body: str) -> Path:
        """Write a module that imports `hookimpl` and contains `body`."""
        path = self.path / f"{name}.py"
        path.write_text(HEAD + textwrap.dedent(body))
        return path

    def install(self, name: str, body: str, *, distribution: str | None = None, value: str = "") -> Path:
        """Write a module and the metadata of its distribution.

        Args:
            name: Name of the entry point.
            body: Source of the module.
            distribution: Name of the distribution; None for the name of the entry point.
            value: Module that the entry point names; empty for the written one.
        """
        module = f"{(distribution or name).replace('-', '_')}_module"
        info = self.path / f"{(distribution or name).replace('-', '_')}-1.2.dist-info"
        info.mkdir()
        (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution or name}\nVersion: 1.2\n")
        (info / "entry_points.txt").write_text(f"[zoogan.plugins]\n{name} = {value or module}\n")
        return self.write_module(module, body)

    def open_zoo(self, *files: Path, **environment: str) -> PluginHost:
        """Open a new zoo with the installed plugins and some files of plugins."""
        return open_zoo(files, environment)

    def unload_modules(self) -> None:
        """Remove the modules of this folder from `sys.modules`, so that other tests may reuse their names."""
        for name in set(sys.modules) - self.before:
            origin = getattr(sys.modules[name], "__file__", None) or ""
            if origin.startswith(str(self.path)):
                del sys.modules[name]


def get_only_failure(zoo: PluginHost) -> PluginFailure:
    """Return the only failure, and check that the core and the plugin `good` are in use and nothing of it is left."""
    assert {"zoogan", "good"} <= {info.name for info in zoo.plugins}, zoo.failures
    assert "plain" in zoo.registry.list_names("term")
    assert "adam" in zoo.registry.list_names("optimizer")
    (failure,) = zoo.failures
    assert failure.name not in {info.name for info in zoo.plugins}
    assert not zoo.manager.has_plugin(failure.name)
    groups: list[Mapping[object, object]] = [zoo.registry.methods, zoo.registry.components, zoo.registry.commands]
    for entries in groups:
        assert all(getattr(entry, "plugin", None) != failure.name for entry in entries.values())
    return failure
