"""Find the commands and the Python of Markdown pages, and make commands quick enough to run in a test."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

from support.runs import FEW_FACES, NARROW, SIZE, STARGAN_V2_SIZE, STYLE_METHODS, list_settings, make_set_options
from zoogan.config import merge

BLOCK = re.compile(
    r"(?:^<!-- not run: (?P<reason>.+?) -->\n)?^```(?P<language>\w*)\n(?P<text>.*?)^```", re.DOTALL | re.MULTILINE
)
LAUNCHED = re.compile(r"^(?:torchrun|accelerate launch)\b.*? -m zoogan ")
QUICK_JUDGE = ["--size", "16", "--iterations", "2", "--set", "data.faces=80", "--set", "data.held_out=60"]


class Snippet(NamedTuple):
    """A block of code of a page.

    Attributes:
        page: The page.
        language: `bash`, `python` or another; empty = none is named.
        text: The code.
        reason: Why it is not run, as the comment above it says; None = it is run.
    """

    page: Path
    language: str
    text: str
    reason: str | None


def find_snippets(page: Path) -> list[Snippet]:
    """Find the blocks of code of a page."""
    found = BLOCK.finditer(page.read_text(encoding="utf-8"))
    return [Snippet(page, match["language"], match["text"], match["reason"]) for match in found]


def list_commands(snippet: Snippet) -> Iterator[list[str]]:
    """Yield the words of each command of a shell's block; comments are left out, `a && b` are two commands.

    A script, which begins with `#!`, is no list of commands.
    """
    if snippet.language not in ("bash", "") or snippet.text.startswith("#!"):
        return
    for line in snippet.text.replace("\\\n", " ").splitlines():
        words = shlex.split(LAUNCHED.sub("zoo ", line), comments=True)
        while "&&" in words:
            place = words.index("&&")
            yield words[:place]
            words = words[place + 1 :]
        if words:
            yield words


def list_zoo_commands(snippet: Snippet) -> list[list[str]]:
    """List the arguments of the `zoo` commands of a block."""
    return [words[1:] for words in list_commands(snippet) if words[0] == "zoo" and len(words) > 1]


def shorten_command(words: list[str]) -> list[str]:
    """Add options that make a command quick: few faces, iterations and channels; all else stays as the page says."""
    verb = words[0]
    words = ["Eyeglasses" if word == "Blond_Hair" else word for word in words]  # the domain that the tiny run has
    if verb == "train":
        return replace_options(words, [*shorten_training(words), "--iterations", "1", "--device", "cpu"])
    quick = {
        "edit": ["--refine", "1"] if "--refine" in words else [],
        "judge": [*QUICK_JUDGE, "--force", "--device", "cpu"],
        "direction": ["-n", "100"],
        "invert": ["--iterations", "1", "--likeness", "l1"],
        "evaluate": ["--faces", "4", "--metrics", "diversity"],
        "compare": ["--faces", "4", "--metrics", "edit_error"],
    }  # fmt: skip
    return replace_options(words, quick.get(verb, []))


def replace_options(words: list[str], options: list[str]) -> list[str]:
    """Append options to a command, and remove those that it gives with another value, which would be a mistake."""
    given = list(pairwise(options))
    names = {name for name, value in given if name.startswith("-") and not value.startswith("-")} - {"--set"}
    keys = {value.partition("=")[0] for name, value in given if name == "--set"}
    kept, place = [], 0
    while place < len(words):
        is_set_again = words[place] == "--set" and words[place + 1].partition("=")[0] in keys
        if is_set_again or words[place] in names:
            place += 2
            continue
        kept.append(words[place])
        place += 1
    return [*kept, *options]


def shorten_training(words: list[str]) -> list[str]:
    """Make the `--set` options of a tiny training of the method that a command names."""
    method = words[words.index("--model") + 1]
    data = {"batch": 4, "workers": 0} if "--data" in words else dict(FEW_FACES)
    training = {"log_every": 1, "sample_every": 0, "evaluate_faces": 4}
    if "--from" in words:
        return make_set_options(list_settings({"data": data, "training": training}))
    size = STARGAN_V2_SIZE if method in STYLE_METHODS else SIZE
    settings = merge(NARROW[method], {"data": data | {"image_size": size}, "training": training})
    lines = [line for line in list_settings(settings) if f"{line.partition('=')[0]}=" not in " ".join(words)]
    return make_set_options(lines)
