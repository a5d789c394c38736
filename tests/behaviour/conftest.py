"""Fixtures of the behaviour tests."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from plugin_kit import GOOD, Shelf


@pytest.fixture
def shelf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Shelf]:
    """An empty folder of installed plugins."""
    folder = tmp_path / "site"
    folder.mkdir()
    shelf = Shelf(folder, monkeypatch)
    yield shelf
    shelf.clean()


@pytest.fixture
def busy_shelf(shelf: Shelf) -> Shelf:
    """A shelf with the plugin `good`, which a failing neighbour must not disturb."""
    shelf.install("good", GOOD)
    return shelf
