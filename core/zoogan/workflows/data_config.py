"""Recognises a data set, and chooses a source, settings and a method for it."""

from __future__ import annotations

import re
import shlex
import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from zoogan.config import DataConfig, compose_config, merge
from zoogan.config.registry import Registry
from zoogan.data.sources.attribute_columns import DataWarning
from zoogan.data.sources.domain_layout import find_domain_layout
from zoogan.errors import ConfigError
from zoogan.interfaces.source import Source
from zoogan.judges.train import choose_judge_data
from zoogan.training.configure import choose_device_recipe

IMAGES = {"celeba": "img_align_celeba", "celebamask_hq": "CelebA-HQ-img"}  # folders of the pictures in the root
# What a set of faces is good for, the best first: what it must have, and a method that needs no more.
SUGGESTED = (
    ("parts", "semantic-stylegan"), ("domains", "stargan-v2"), ("several", "stargan"), ("one", "sagan"),
    ("", "stylegan2"),
)  # fmt: skip
MOST_ATTRIBUTES = 5  # that a suggested command names
PROBLEM = re.compile(r"(?!known attributes)\S[^:]*: ")
CONSTANT = re.compile(r"data\.attributes: (\S+) is [01] on all \d+ training faces")


@dataclass(frozen=True)
class Recognised:
    """A layout of files that a source reads.

    Attributes:
        source: Name of the source.
        layout: The layout, for people.
    """

    source: str
    layout: str


@dataclass(frozen=True)
class OpenedSource:
    """A source, as far as it could be opened.

    Attributes:
        source: The source; None = it cannot be opened.
        config: Its settings; None = they are wrong.
        problems: Why it cannot be opened, one sentence each.
        notes: What was noticed while opening it.
        constant: Attributes with the same value on all training faces, which were left out.
    """

    source: Source | None
    config: DataConfig | None
    problems: Sequence[str]
    notes: Sequence[str]
    constant: Sequence[str] = ()


def recognise_layout(root: Path) -> Recognised:
    """Recognise which source reads a folder, by the names in it."""
    if (root / "list_attr_celeba.txt").exists() and (root / IMAGES["celeba"]).is_dir():
        return Recognised("celeba", "CelebA as distributed")
    if (root / IMAGES["celebamask_hq"]).is_dir():
        return Recognised("celebamask_hq", "CelebAMask-HQ as distributed")
    if (root / "labels.csv").exists():
        return Recognised("folder", "images with labels.csv")
    if any(path.suffix == ".tar" for path in root.iterdir()):
        return Recognised("shards", "tar files")
    layout = find_domain_layout(root)
    if layout.pattern != "<domain>" or len(layout.train) > 1:
        held_out = ", with held-out folders" if layout.held_out else ""
        return Recognised("folders", f"a folder for each domain ({layout.pattern}){held_out}")
    return Recognised("folder", "images without labels")


def open_source(
    registry: Registry, name: str, root: Path, attributes: str | None, size: int, settings: Mapping[str, Any]
) -> OpenedSource:
    """Open a source for a check; what is wrong becomes problems and notes.

    Args:
        registry: The registry.
        name: Name of the source.
        root: Its folder.
        attributes: Names with commas, `all` or `none`; None = all that have both values.
        size: Side of the faces in pixels.
        settings: Settings of the source, such as {"data": {"crop": 0.8}}.

    Raises:
        ConfigError: There is no such source, or no such setting.
    """
    labelled = name != "folder" or (root / "labels.csv").exists()
    asked = attributes or ("all" if labelled else "none")
    constant: list[str] = []
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", DataWarning)
        try:
            config = choose_judge_data(registry, name, root, asked, size, settings)
        except ConfigError as error:
            return OpenedSource(None, None, list_problems(error), _list_messages(caught))
        for _ in range(2):
            try:
                source = registry.build("source", config)
            except ConfigError as error:
                names = CONSTANT.findall(str(error))
                if attributes is not None or not names:
                    return OpenedSource(None, config, list_problems(error), _list_messages(caught))
                constant = names
                kept = tuple(attribute for attribute in config.attributes if attribute not in names)
                config = config.model_copy(update={"attributes": kept})
            else:
                return OpenedSource(source, config, (), _list_messages(caught), constant)
    return OpenedSource(None, config, (f"{root}: no attribute has both values",), _list_messages(caught), constant)


def list_problems(error: ConfigError) -> list[str]:
    """List the problems of an error, each with the lines of advice below it.

    A problem begins with its place, such as `data.root: ` or a path; other lines and indented ones belong to the
    problem above.
    """
    problems: list[str] = []
    for line in str(error).splitlines():
        if problems and not PROBLEM.match(line):
            problems[-1] += f"\n{line}"
        else:
            problems.append(line)
    return problems


def _list_messages(caught: Sequence[warnings.WarningMessage]) -> list[str]:
    """List the texts of warnings, each once."""
    return list(dict.fromkeys(str(record.message) for record in caught))


def suggest_command(
    registry: Registry, source: Source, config: DataConfig, root: Path, settings: Mapping[str, Any]
) -> str | None:
    """Write the `zoo train` command for a source, with a method that needs no more than it has.

    Args:
        registry: The registry; only methods in it are suggested.
        source: The opened source.
        config: Its settings.
        root: Its folder, as it was given.
        settings: Settings that were given, which the command repeats.

    Returns:
        The command, whose config was composed and whose source was opened; None if no method suits.
    """
    has = {
        "parts": "segmentation" in source.fields,
        "domains": len(source.domains) == len(source.attributes) > 1,  # others are edited by attribute
        "several": len(source.attributes) > 1,
        "one": len(source.attributes) == 1,
        "": True,
    }
    for need, method in SUGGESTED:
        if not has[need] or method not in registry.methods:
            continue
        own: dict[str, Any] = {}
        if config.source == "folder" and need in ("several", "one"):
            own["attributes"] = source.attributes[:MOST_ATTRIBUTES]
        elif need in ("", "parts") and not source.attributes:
            own["attributes"] = ()
        given = merge(settings, {"data": own})
        try:
            sets = merge(given, {"data": {"root": str(root.resolve())}})
            spec = registry.methods[method]
            recipe = choose_device_recipe(spec, config.source, "auto")  # as the command will
            complete = compose_config(spec, registry, recipe=recipe, source=config.source, sets=sets)
            with warnings.catch_warnings(action="ignore"):
                registry.build("source", complete.data)
        except ConfigError:
            continue
        size = {"image_size": complete.data.image_size}  # what to change for another one
        options = [f"data.{key}={_format_value(value)}" for key, value in {**size, **given.get("data", {})}.items()]
        words = ["zoo", "train", "--model", method, "--data", config.source, "--root", str(root)]
        return shlex.join([*words, *(word for option in options for word in ("--set", option))])
    return None


def _format_value(value: Any) -> str:
    """Write a setting as `--set` reads it."""
    if isinstance(value, list | tuple):
        return f"[{','.join(map(str, value))}]"
    return str(value)
