"""Write the generated pages of the docs site: methods, command line, settings, components, metrics, hooks, public API.

Run `python docs/build_pages.py` after a change of a card, an option, a setting, a metric or a hook. `mkdocs build` and
`zensical build` read the pages in docs/ as they are.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # these modules are in no package

from build_api import build_api
from build_cards import DOCS, build_cards, find_pictures, protect_bars
from build_cli import build_cli
from build_reference import build_reference


def build_pages() -> dict[str, bytes]:
    """Build every generated file, by its path below docs: pages, and copies of the pictures that pages show."""
    pages = {**build_cards(), **build_reference(), "cli.md": build_cli(), "api.md": build_api()}
    pictures = find_pictures({**read_written_pages(), **pages})
    files = {name: protect_bars(text).encode() for name, text in pages.items()}
    return files | {name: path.read_bytes() for name, path in pictures.items()}


def read_written_pages() -> Mapping[str, str]:
    """Read the pages that people write, and generated ones as they are."""
    return {path.name: path.read_text(encoding="utf-8") for path in DOCS.glob("*.md")}


def list_generated_files() -> set[str]:
    """List the files in the folders that hold nothing but generated files."""
    paths = [*(DOCS / "methods").glob("*"), *(DOCS / "pictures" / "results").glob("*")]
    return {path.relative_to(DOCS).as_posix() for path in paths}


if __name__ == "__main__":
    files = build_pages()
    for name in list_generated_files() - files.keys():
        (DOCS / name).unlink()
    for name, content in files.items():
        (DOCS / name).parent.mkdir(parents=True, exist_ok=True)
        (DOCS / name).write_bytes(content)
