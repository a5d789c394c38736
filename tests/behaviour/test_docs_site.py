"""The docs site: pages are fresh and complete, its links resolve, and it is built without warnings and network."""

from __future__ import annotations

import importlib
import inspect
import logging
import re
import socket
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import BaseModel

from zoogan.cli.app import build_app
from zoogan.config import compose_config, find_slots, get_component_name
from zoogan.config.commands import VERBS
from zoogan.config.registry import ROLES
from zoogan.plugins import hooks
from zoogan.plugins.host import get_zoo

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
PAGES = sorted(DOCS.rglob("*.md"))
REGISTRY = get_zoo().registry
EVERY_RUN = ("method", "recipe", "extra_terms")
AT_GITHUB = re.compile(r"https://github\.com/zoogan/zoogan/(?:blob|tree)/main/([^)\s#]+)")
OUTSIDE = re.compile(r"<(?:script|img|iframe|link)\b[^>]*?\b(?:src|href)=\"?((?:https?:)?//[^\s\">]+)[^>]*>")


@pytest.fixture(scope="module")
def builder() -> Iterator[Any]:
    """The module docs/build_pages.py, which is in no package."""
    before = list(sys.path)
    sys.path.insert(0, str(DOCS))
    yield importlib.import_module("build_pages")
    sys.path[:] = before


@cache
def read_sections(page: str) -> dict[str, str]:
    """Read the text below each heading of a page, by heading."""
    text = (DOCS / page).read_text(encoding="utf-8")
    return {section.partition("\n")[0]: section for section in re.split(r"(?m)^#{2,3} ", text)[1:]}


@cache
def read_rows(page: str) -> dict[tuple[str, str], list[str]]:
    """Read the rows of all tables of a page as cells, by heading and the first word of the first cell."""
    rows = {}
    for section, text in read_sections(page).items():
        for line in text.splitlines():
            if name := re.match(r"\| (?:`|<code>)([^\s`<]+)", line):
                rows[section, name[1]] = [cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]]
    return rows


def find_row(page: str, section: str, name: str) -> list[str]:
    """Find the row of a name in the table of a section, as cells; empty if there is none."""
    return read_rows(page).get((section, name), [])


def iterate_settings(config: BaseModel, section: str, prefix: str = "") -> Iterator[tuple[str, str]]:
    """Yield the section and the name of every setting below a config."""
    slots = find_slots(type(config))
    for name in type(config).model_fields:
        value = getattr(config, name)
        if name in ("use", "source"):
            continue
        if name in slots:
            yield section, prefix + name
            yield from iterate_settings(value, f"{slots[name].role}: {get_component_name(value)}", "")
        elif isinstance(value, BaseModel):
            inner = "training" if name == "training" else section
            yield from iterate_settings(value, inner, f"{prefix}{name}.")
        else:
            yield section, prefix + name


@pytest.mark.slow
def test_generated_pages_are_fresh(builder: Any) -> None:
    files = builder.build_pages()
    stale = {
        name for name, content in files.items() if not (DOCS / name).exists() or (DOCS / name).read_bytes() != content
    }
    stale |= builder.list_generated_files() - files.keys()
    assert not stale, f"run python docs/build_pages.py, which changes {', '.join(sorted(stale))}"


def test_every_hook_and_verb_has_a_section() -> None:
    names = [name for name, value in vars(hooks).items() if hasattr(value, "zoogan_spec")]
    assert "zoo_register" in names
    for name in names:
        section = read_sections("hooks.md")[name]
        assert all(argument in section for argument in inspect.signature(getattr(hooks, name)).parameters), name
    app = build_app()
    for verb in VERBS:
        command = app.get_command(None, verb)
        commands = getattr(command, "commands", None) or {"": command}
        for inner, called in commands.items():
            section = f"zoo {verb} {inner}".strip()
            for parameter in called.params:
                if parameter.param_type_name == "option":
                    _, meaning, _ = find_row("cli.md", section, parameter.opts[0]) or ("", "", "")
                    assert meaning, f"docs/cli.md, {section}: {parameter.opts[0]} has no row, or no help"


def test_every_setting_role_and_slot_has_a_row() -> None:
    missing = []
    for method, spec in REGISTRY.methods.items():
        config = compose_config(spec, REGISTRY)
        for section, name in iterate_settings(config, method):
            page = "components.md" if ": " in section else "settings.md"
            name = f"data.{name}" if section.startswith("source: ") else name
            section = "Every run" if section == method and name in EVERY_RUN else section
            if len(find_row(page, section, name)) != 4 or not all(find_row(page, section, name)):
                missing.append(f"docs/{page}, {section}: {name}")
        for slot, filled in find_slots(spec.config).items():
            assert f"`{slot}`" in read_sections("components.md")[filled.role], f"{method}: {slot}"
            assert find_row(f"methods/{method}.md", "Slots", slot), f"docs/methods/{method}.md: {slot}"
    for (role, name), component in REGISTRY.components.items():
        page, section = ("metrics.md", name) if role == "metric" else ("components.md", f"{role}: {name}")
        assert section in read_sections(page), f"docs/{page}: {section}"
        names = component.config.model_fields.keys() - {"use", "source"}
        prefix = "data." if role == "source" else ""
        missing += [
            f"docs/{page}, {section}: {prefix}{field}"
            for field in names
            if not any(
                (heading, f"{name}.".startswith(f"{prefix}{field}.")) == (section, True)
                for heading, name in read_rows(page)
            )
        ]
    assert not missing, f"no row, or a setting without type or meaning: {', '.join(sorted(set(missing)))}"
    assert set(ROLES) <= read_sections("components.md").keys()


def test_navigation_lists_every_page_once() -> None:
    text = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
    listed = re.findall(r"([\w/-]+\.md)$", text, re.MULTILINE)
    assert sorted(listed) == sorted(path.relative_to(DOCS).as_posix() for path in PAGES), (
        "add pages to nav in mkdocs.yml"
    )
    assert yaml.safe_load(text)["theme"]["font"] is False


def test_links_to_files_of_the_repository_resolve() -> None:
    pages = [*PAGES, *ROOT.glob("*.md"), *(ROOT / ".github").rglob("*.md"), *ROOT.glob("*/README.md")]
    pages += (ROOT / "plugins").glob("*/*.md")
    for path in pages:
        text = path.read_text(encoding="utf-8")
        for target in AT_GITHUB.findall(text):
            assert (ROOT / target).exists(), f"{path.relative_to(ROOT)}: {target}"
        for link in re.findall(r"\]\((?!\w+:|#)([^)\s#]+)", text):
            assert (path.parent / link).exists(), f"{path.relative_to(ROOT)}: {link}"
            inside = (path.parent / link).resolve().is_relative_to(DOCS)
            assert inside or path not in PAGES, f"{path.relative_to(ROOT)}: the site has no {link}; link it at GitHub"


@pytest.mark.slow
def test_site_is_built_without_warnings_or_network(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    config = pytest.importorskip("mkdocs.config")
    build = importlib.import_module("mkdocs.commands.build")

    def refuse(*arguments: object, **options: object) -> None:
        raise AssertionError(f"the build asked the network for {arguments[1:]}")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setenv("NO_MKDOCS_2_WARNING", "1")
    with caplog.at_level(logging.WARNING):
        build.build(config.load_config(str(ROOT / "mkdocs.yml"), site_dir=str(tmp_path), strict=True))
    assert not [record.getMessage() for record in caplog.records if record.name.startswith("mkdocs")]
    built = sorted(tmp_path.rglob("*.html"))
    assert len(built) > len(PAGES)
    for path in built:
        html = path.read_text(encoding="utf-8")
        asked = [tag[0] for tag in OUTSIDE.finditer(html) if 'rel="canonical"' not in tag[0]]
        assert not [tag for tag in asked if re.search(r"rel=\"?(?:canonical|prev|next)", tag) is None], path
        text = re.sub(r"<pre.*?</pre>", "", html, flags=re.DOTALL)
        where = path.relative_to(tmp_path)
        assert not re.search(r"<p>[^<]*\n- ", text), f"{where}: a list needs an empty line above it"
        assert not re.search(r"<p>\s*\|", text), f"{where}: a table needs an empty line above it"
        assert not re.search(r"<code>[^<]*\\\|", text), f"{where}: write code with a bar as <code>a&#124;b</code>"
        assert "```" not in text, f"{where}: a block of code is not closed"
