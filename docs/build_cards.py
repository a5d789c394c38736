"""Build the pages of the docs site that are made of cards and files elsewhere in the repository.

A method's page is its catalogue entry, slots and recipes, then its card (`plugins/*/*.md`). Links of a card are turned
into links of the site; what lies outside of the site is linked at GitHub.
"""

from __future__ import annotations

import html
import os
import posixpath
import re
from collections.abc import Mapping
from functools import cache, partial
from pathlib import Path
from typing import Any

from zoogan.config import find_slots
from zoogan.config.registry import MethodSpec
from zoogan.plugins.catalogue import Entry
from zoogan.plugins.discovery import find_candidates
from zoogan.plugins.host import PluginHost, open_zoo

ROOT = Path(__file__).resolve().parents[1]
DOCS = ROOT / "docs"
RESULTS = ROOT / "benchmarks" / "results"
REPOSITORY = "https://github.com/zoogan/zoogan"
PICTURES = {".png", ".svg", ".gif", ".jpg"}
COPIES = {"gallery.md": "gallery/README.md", "contributing.md": "CONTRIBUTING.md", "changelog.md": "CHANGELOG.md"}
"""Pages of the site that are files elsewhere in the repository."""
LINK = re.compile(r"(?<=\]\()([^)\s]+)(?=\))")
MADE = "\n<!-- Written by `python docs/build_pages.py` from {source}: change that instead. -->\n"


@cache
def open_own_zoo() -> PluginHost:
    """Open the zoo with the plugins of this repository alone, whatever else is installed."""
    foreign = [plugin.name for plugin in find_candidates((), {}) if plugin.distribution != "zoogan"]
    return open_zoo(environment={"ZOOGAN_DISABLE_PLUGINS": ",".join(foreign)})


def build_cards() -> dict[str, str]:
    """Build a page for each method, their table, and the pages in `COPIES`, by their path below docs."""
    methods = open_own_zoo().registry.methods
    pages = {f"methods/{name}.md": build_method_page(spec) for name, spec in methods.items()}
    pages["methods/index.md"] = build_method_table()
    for page, source in COPIES.items():
        text = (ROOT / source).read_text(encoding="utf-8")
        pages[page] = rewrite_links(text, ROOT / source, page) + MADE.format(source=source)
    return pages


@cache
def find_cards() -> Mapping[str, Path]:
    """Find the card of each method: the file of its plugin whose first `zoo train --model` trains it.

    Raises:
        ValueError: A method has no card, or two.
    """
    cards: dict[str, Path] = {}
    for path in sorted((ROOT / "plugins").glob("*/*.md")):
        trained = re.search(r"^zoo train --model (\S+)", path.read_text(encoding="utf-8"), re.MULTILINE)
        if trained is None or trained[1] in cards:
            raise ValueError(f"{path}: begin its commands with `zoo train --model METHOD`, for a method without a card")
        cards[trained[1]] = path
    if missing := open_own_zoo().registry.methods.keys() - cards.keys():
        raise ValueError(f"methods without a card in plugins/: {', '.join(sorted(missing))}")
    return cards


def build_method_page(spec: MethodSpec) -> str:
    """Build the page of a method."""
    card, page = find_cards()[spec.name], f"methods/{spec.name}.md"
    title, _, body = card.read_text(encoding="utf-8").partition("\n")
    body = rewrite_links(body.lstrip("\n"), card, page)
    lead, _, rest = body.partition("\n\n")
    parts = [title, lead, build_facts(spec), rest.strip(), build_slots(spec)]
    return "\n\n".join(parts) + "\n" + MADE.format(source=card.relative_to(ROOT).as_posix())


def build_facts(spec: MethodSpec) -> str:
    """Build the table of what the catalogue says about a method."""
    entry = open_own_zoo().catalogue[spec.name]
    code = entry.code
    arxiv = f", [arXiv {entry.paper.arxiv}](https://arxiv.org/abs/{entry.paper.arxiv})" if entry.paper.arxiv else ""
    owner = "official" if code.official else "unofficial"
    source = f"[{code.repository}](https://github.com/{code.repository}) ({owner})" if code.repository else "none"
    facts = {
        "paper": f"{entry.paper.title} ({entry.paper.authors}; {entry.paper.venue} {entry.year}{arxiv})",
        "task": entry.task,
        "reads": "; ".join(f"{draw}: {', '.join(fields)}" for draw, fields in entry.needs.items()),
        "published code": f"{source}, licence: {code.licence or 'not stated'}",
        "published weights": "; ".join(describe_weights(entry)) or "none",
        "recipes": ", ".join(f"`{name}`" for name in spec.list_recipes()),
    }
    head = f"| name | `--model {spec.name}` |\n|---|---|\n"
    return head + "\n".join(f"| {key} | {text} |" for key, text in facts.items())


def describe_weights(entry: Entry) -> list[str]:
    """Describe the weights that a paper's authors published, and whether `zoo import` reads them."""
    return [
        f"{', '.join(f'`{name}`' for name in weights.files)} (licence: {weights.licence or 'not stated'}; "
        f"{'[`zoo import`](../import.md) reads them' if weights.importer else 'no importer'})"
        for weights in entry.weights
    ]


def build_slots(spec: MethodSpec) -> str:
    """Build the table of a method's slots: role, paper's component, and what else fits."""
    registry = open_own_zoo().registry
    rows = ["## Slots", "", "| slot | role | default | fits too |", "|---|---|---|---|"]
    for name, slot in find_slots(spec.config).items():
        default = getattr(spec.config.model_fields[name].default, slot.key, None)
        others = [f"`{other}`" for other in registry.list_names(slot.role) if other != default]
        role = f"[{slot.role}](../components.md#{slot.role})"
        rows.append(f"| `{name}` | {role} | {f'`{default}`' if default else ''} | {', '.join(others)} |")
    rows += ["", f"All settings with their defaults: [settings](../settings.md#{spec.name}); the values of a recipe:"]
    return "\n".join([*rows, "", "```bash", f"zoo show {spec.name}", "```"])


def build_method_table() -> str:
    """Build the page that lists all methods, with their thumbnails."""
    zoo = open_own_zoo()
    lines = [
        "# Methods",
        "",
        "Each method is a plugin; its page is its card: components, recipes, figures, differences from the paper.",
        "A face and its edit, or two made faces, stand beside each. [Bring your own](../plugins.md).",
        "",
        "| | method | what it does | game | paper |",
        "|---|---|---|---|---|",
    ]
    for name in sorted(zoo.registry.methods, key=lambda name: (zoo.catalogue[name].year, name)):
        entry = zoo.catalogue[name]
        thumbnail = f"![](../pictures/{name}.png)" if (DOCS / "pictures" / f"{name}.png").exists() else ""
        paper = f"{entry.paper.venue} {entry.year}"
        lines.append(f"| {thumbnail} | [`{name}`]({name}.md) | {entry.summary} | {entry.task} | {paper} |")
    return "\n".join(lines) + "\n" + MADE.format(source="registry.yaml")


def protect_bars(text: str) -> str:
    r"""Write code with an escaped bar, such as `a\|b`, as HTML: Python-Markdown would show the backslash."""

    def write_html(match: re.Match[str]) -> str:
        code = html.escape(match[1]).replace("\\|", "&#124;")
        return f"<code>{code}</code>" if "\\|" in match[1] else match[0]

    return re.sub(r"`([^`\n]+)`", write_html, text)


# ---- links ----


def rewrite_links(text: str, source: Path, page: str) -> str:
    """Rewrite the links of a file so that they work on a page of the site.

    Args:
        text: Markdown of the file.
        source: The file, from whose folder its links count.
        page: Path of the page below docs.
    """
    return LINK.sub(partial(rewrite_link, source=source, page=page), text)


def rewrite_link(match: re.Match[str], *, source: Path, page: str) -> str:
    """Rewrite one link: to a page, a copied picture, or else to the file at GitHub."""
    link = match[1]
    if re.match(r"[a-z]+:", link) or link.startswith("#"):
        return link
    path, mark, anchor = link.partition("#")
    target = Path(os.path.normpath(source.parent / path))
    if not target.exists():
        raise ValueError(f"{source.relative_to(ROOT)} links {link!r}, which does not exist")
    place = find_place(target)
    if place is None:
        kind = "tree" if target.is_dir() else "blob"
        return f"{REPOSITORY}/{kind}/main/{target.relative_to(ROOT).as_posix()}{mark}{anchor}"
    return posixpath.relpath(place, posixpath.dirname(page) or ".") + mark + anchor


def find_place(target: Path) -> str | None:
    """Return the path below docs at which the site shows a file of the repository; None = it does not."""
    if target.is_relative_to(DOCS):
        return target.relative_to(DOCS).as_posix()
    if target.parent == RESULTS and target.suffix in PICTURES:
        return f"pictures/results/{target.name}"
    pages: dict[Path, str] = {ROOT / source: page for page, source in COPIES.items()}
    pages |= {card: f"methods/{name}.md" for name, card in find_cards().items()}
    pages[ROOT / "README.md"] = "index.md"
    return pages.get(target)


def find_pictures(pages: Mapping[str, Any]) -> dict[str, Path]:
    """Find the pictures of benchmarks/results that pages show, by the path below docs of their copies."""
    names = {name for text in pages.values() for name in re.findall(r"pictures/results/([\w.-]+)", text)}
    return {f"pictures/results/{name}": RESULTS / name for name in sorted(names)}
