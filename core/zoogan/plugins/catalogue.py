"""The catalogue: facts about each method, installed or not, without importing its code."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from zoogan.config import ConfigModel, read_yaml
from zoogan.config.registry import RegistrationError
from zoogan.errors import ConfigError


class Paper(ConfigModel):
    """The publication of a method.

    Attributes:
        authors: Names, separated by commas.
        venue: Conference or journal.
        title: Title of the paper.
        arxiv: The number, such as `1711.09020`.
    """

    authors: str
    venue: str
    title: str
    arxiv: str | None = None

    def format_short(self) -> str:
        """Format as `Choi et al., CVPR`."""
        first, *others = self.authors.split(", ")
        return f"{first.split()[-1]}{' et al.' if others else ''}, {self.venue}"


class Code(ConfigModel):
    """The code that the paper's results come from.

    Attributes:
        repository: Its address.
        official: Whether it is by the paper's authors.
        licence: Licence of that code, not of zoogan's.
    """

    repository: str | None
    official: bool
    licence: str | None


class Weights(ConfigModel):
    """Released weights.

    Attributes:
        files: Names of the files, as their authors call them.
        licence: Licence of the weights.
        importer: Whether `zoo import` reads them.
        published: Where they were published: a repository, whose README links them.
        note: A remark for lists.
    """

    files: tuple[str, ...]
    licence: str | None
    importer: bool
    published: str | None = None
    note: str | None = None


class Entry(ConfigModel):
    """The facts about one method in the catalogue.

    Attributes:
        title: The name for people.
        summary: What it does, in one sentence.
        paper: Where it was published.
        year: Year of publication.
        task: What it is used for.
        needs: Fields that it reads, by stream.
        distribution: Package to install; null = not written yet.
        tier: reference = in this repository and tested against the official code; community = by a third party;
            planned = not written yet.
        code: The code that the paper's results come from.
        weights: Released weights.
        results: Paths of result files, relative to the repository.
        stages: Names of the trainings and jobs that come before its own training, in order.
    """

    title: str
    summary: str
    paper: Paper
    year: int = Field(ge=2014)
    task: str
    needs: dict[str, tuple[str, ...]]
    distribution: str | None
    tier: Literal["reference", "community", "planned"]
    code: Code
    weights: tuple[Weights, ...] = ()
    results: tuple[str, ...] = ()
    stages: tuple[str, ...] = ()


def find_catalogue() -> Path:
    """Find registry.yaml: inside the package in a wheel, at the top of the repository in an editable install.

    Raises:
        ConfigError: Neither file exists: the installation is broken.
    """
    package = Path(__file__).resolve().parents[1]
    places = (package / "registry.yaml", package.parents[1] / "registry.yaml")
    for path in places:
        if path.is_file():
            return path
    raise ConfigError(f"registry.yaml is missing, looked for {places[0]} and {places[1]}: reinstall")


@cache
def read_core_catalogue() -> Mapping[str, Entry]:
    """Read the catalogue that ships with zoogan, by method id."""
    return read_catalogue(find_catalogue())


def read_catalogue(path: Path) -> dict[str, Entry]:
    """Read a catalogue file, zoogan's or a third party's.

    Raises:
        ConfigError: The file is unreadable, or has unknown or missing fields; each with its key path.
    """
    values: Any = read_yaml(path)
    try:
        return TypeAdapter(dict[str, Entry]).validate_python(values)
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, p['loc']))}: {p['msg'].lower()}" for p in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def merge_catalogues(low: Mapping[str, Entry], high: Mapping[str, Entry]) -> dict[str, Entry]:
    """Merge two catalogues. A plugin may provide a method that is only planned so far; other names are taken.

    Raises:
        RegistrationError: A name is taken.
    """
    taken = [name for name in high if name in low and low[name].tier != "planned"]
    if taken:
        raise RegistrationError(f"method {taken[0]!r} is in the catalogue already")
    return {**low, **high}
