"""Install galleries on disk for tests: real modules and entry points, found by the real discovery."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path

import pytest

from support.plugins import PluginFolder
from zoogan.plugins.gallery import open_gallery

ROOT = Path(__file__).resolve().parents[2] / "gallery"


def install_gallery(site: PluginFolder, distribution: str, entries: Mapping[str, str], body: str = "") -> None:
    """Write a module and the metadata of a distribution that brings a gallery.

    Args:
        site: Where it is installed.
        distribution: Its name.
        entries: Name of each entry, and the attribute of the module that it names.
        body: Source of the module.
    """
    module = f"{distribution.replace('-', '_')}_module"
    write_metadata(site.path, distribution, {name: f"{module}:{attribute}" for name, attribute in entries.items()})
    (site.path / f"{module}.py").write_text(body)


def write_metadata(folder: Path, distribution: str, entries: Mapping[str, str]) -> None:
    """Write the metadata of a distribution with entries of the gallery."""
    info = folder / f"{distribution.replace('-', '_')}-1.2.dist-info"
    info.mkdir()
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {distribution}\nVersion: 1.2\n")
    lines = [f"{name} = {value}" for name, value in entries.items()]
    (info / "entry_points.txt").write_text("[zoogan.gallery]\n" + "\n".join(lines) + "\n")


def read_shipped_entries() -> dict[str, str]:
    """Read the entry points of this repository's gallery."""
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    entries: dict[str, str] = project["entry-points"]["zoogan.gallery"]
    return entries


def install_shipped_gallery(site: PluginFolder, monkeypatch: pytest.MonkeyPatch) -> None:
    """Install this repository's gallery for one test, whether pip installed it or not."""
    monkeypatch.syspath_prepend(str(ROOT))
    write_metadata(site.path, "zoogan-gallery", read_shipped_entries())
    open_gallery.cache_clear()
