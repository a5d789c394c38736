"""Reads YAML files of settings. Whatever is odd about a file becomes one ConfigError. Imports no torch."""

from __future__ import annotations

import codecs
import copy
import re
from collections import Counter
from collections.abc import Iterator
from functools import lru_cache
from pathlib import Path
from typing import Any

import yaml

from zoogan.errors import ConfigError
from zoogan.names import join_problems
from zoogan.paths import check_regular_file, expand_path, shorten

MAX_BYTES = 256_000
MAX_VALUES = 100_000  # with every alias written out
MAX_DEPTH = 50

_TAG = "tag:yaml.org,2002:"
_TAGS = {_TAG + name for name in ("null", "bool", "int", "float", "str", "seq", "map", "merge")}


class SettingsLoader(yaml.SafeLoader):
    """A SafeLoader that leaves dates as text: no setting is a date, but a name or a folder may look like one."""


SettingsLoader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != _TAG + "timestamp"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}


def read_yaml(path: Path) -> dict[str, Any]:
    """Read a YAML mapping of settings.

    Args:
        path: The file: UTF-8, or UTF-16 with a byte order mark; at most 256 kB.

    Raises:
        ConfigError: The file is missing, no regular file, no mapping or not valid YAML (with the line), repeats a key,
            or would be huge with its aliases written out.
    """
    path = expand_path(path)
    content = copy.deepcopy(_parse_file(read_settings_text(path), str(path)))
    if not isinstance(content, dict):
        got = "nothing" if content is None else type(content).__name__
        raise ConfigError(f"{path}: expected a mapping of settings, got {got}")
    return content


@lru_cache(maxsize=64)
def _parse_file(text: str, where: str) -> Any:
    """Parse the text of a file; choosing a recipe reads all of a method again and again."""
    return parse_yaml(text, where)


def read_settings_text(path: Path) -> str:
    """Read a small text file.

    Raises:
        ConfigError: It cannot be read, is larger than 256 kB, or is no text.
    """
    check_regular_file(path, "a YAML file of settings")
    try:
        if (size := path.stat().st_size) > MAX_BYTES:
            raise ConfigError(
                f"{path}: {size / 1000:.0f} kB is too large for settings; the limit is {MAX_BYTES // 1000} kB"
            )
        data = path.read_bytes()
        encoding = "utf-16" if data.startswith((codecs.BOM_UTF16_LE, codecs.BOM_UTF16_BE)) else "utf-8-sig"
        return data.decode(encoding)
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise ConfigError(f"{path}: byte {error.start} is no UTF-8 text; save the file as UTF-8") from error


def parse_yaml(text: str, where: str) -> Any:
    """Parse YAML, without executing anything.

    Args:
        text: One document.
        where: The file or option, for messages.

    Returns:
        Mappings with text keys, lists, texts, numbers, booleans and None.

    Raises:
        ConfigError: It is not valid, or more than settings need. Names every problem.
    """
    depth = 0
    for bracket in re.findall(r"[][{}]", text):  # before the parser, which takes minutes for thousands of levels
        depth += 1 if bracket in "[{" else -1
        if depth > 2 * MAX_DEPTH:
            raise ConfigError(f"{where}: nested deeper than {MAX_DEPTH} levels")
    try:
        loader = SettingsLoader(text)
        try:
            node = loader.get_single_node()
            if node is None:
                return None
            if problems := list(dict.fromkeys(find_problems(node))):
                raise ConfigError(join_problems([f"{where}: {problem}" for problem in problems]))
            return loader.construct_document(node)
        finally:
            loader.dispose()
    except yaml.MarkedYAMLError as error:
        line = f"line {error.problem_mark.line + 1}: " if error.problem_mark else ""
        reason = ", ".join(filter(None, (error.context, error.problem)))
        raise ConfigError(f"{where}: not valid YAML: {line}{shorten(reason)}") from error
    except yaml.YAMLError as error:
        raise ConfigError(f"{where}: not valid YAML: {' '.join(str(error).split())}") from error
    except RecursionError as error:
        raise ConfigError(f"{where}: nested deeper than {MAX_DEPTH} levels") from error
    except (ValueError, TypeError, OverflowError) as error:  # such as an integer of 5,000 digits
        raise ConfigError(f"{where}: not valid YAML: {shorten(str(error))}") from error


def find_problems(root: yaml.Node) -> Iterator[str]:
    """Yield what settings may not have: cycles, depth, too many values, tags, and keys that repeat or are no text."""
    counts: dict[int, int] = {}
    open_nodes: set[int] = set()

    def count(node: yaml.Node, depth: int) -> Iterator[str]:
        """Yield the problems of a node, and note how many values it has with all aliases written out."""
        line = node.start_mark.line + 1
        if id(node) in open_nodes:
            yield f"line {line}: the alias contains itself"
            return
        if id(node) in counts:
            return
        if depth > MAX_DEPTH:
            yield f"line {line}: nested deeper than {MAX_DEPTH} levels"
            return
        if node.tag not in _TAGS:
            yield f"line {line}: tags such as {node.tag.replace(_TAG, '!!')} are not read; write plain values"
        children = list(node.value) if isinstance(node, yaml.SequenceNode) else []
        if isinstance(node, yaml.MappingNode):
            yield from find_key_problems(node)
            children = [value for _, value in node.value]
        open_nodes.add(id(node))
        for child in children:
            yield from count(child, depth + 1)
        open_nodes.remove(id(node))
        counts[id(node)] = 1 + sum(counts.get(id(child), 0) for child in children)

    yield from count(root, 0)
    if (total := counts.get(id(root), 0)) > MAX_VALUES:
        size = total if total < 10**9 else "more than a billion"
        yield f"{size} values with its aliases written out; the limit is {MAX_VALUES}"


def find_key_problems(node: yaml.MappingNode) -> Iterator[str]:
    """Yield the keys of a mapping that are no text, or appear more than once."""
    keys: Counter[str] = Counter()
    for key, _ in node.value:
        line = key.start_mark.line + 1
        if not isinstance(key, yaml.ScalarNode):
            yield f"line {line}: a {'list' if isinstance(key, yaml.SequenceNode) else 'mapping'} cannot be a key"
        elif key.tag == _TAG + "str":
            keys[key.value] += 1
            if keys[key.value] == 2:
                yield f"line {line}: {shorten(key.value)} appears twice; keep one"
        elif key.tag != _TAG + "merge":
            kind = key.tag.replace(_TAG, "")
            yield f"line {line}: the key {shorten(key.value)!r} is read as {kind}; put it in quotes"
