"""The catalogue: what is true of each method without importing its code, installed or not."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any, Literal

from pydantic import Field, TypeAdapter, ValidationError

from zoogan.config import ConfigError, ConfigModel, read_yaml
from zoogan.config.registry import RegistrationError


class Paper(ConfigModel):
    """Where a method was published. arxiv: the number, like `1711.09020`."""

    authors: str
    venue: str
    title: str
    arxiv: str | None = None

    def short(self) -> str:
        """`Choi et al., CVPR`."""
        first, *others = self.authors.split(", ")
        return f"{first.split()[-1]}{' et al.' if others else ''}, {self.venue}"


class Code(ConfigModel):
    """The code that goes with the paper. official: by its authors. licence: of that code, not of zoogan's."""

    repository: str | None
    official: bool
    licence: str | None


class Weights(ConfigModel):
    """Released weights. files: as their authors name them. importer: whether `zoo import` reads them."""

    files: tuple[str, ...]
    licence: str | None
    importer: bool
    note: str | None = None


class Entry(ConfigModel):
    """One method.

    needs: the fields that it reads of each draw. distribution: what to pip install; null = not written yet.
    tier: reference = in this house and held to the official code's numbers; community = a third party's;
    planned = not written yet. results: paths of result files, relative to the repository.
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


def catalogue_path() -> Path:
    """registry.yaml: inside the package in a wheel, at the top of the repository in an editable install.

    Raises:
        ConfigError: neither is there: a broken install.
    """
    package = Path(__file__).resolve().parents[1]
    places = (package / "registry.yaml", package.parents[1] / "registry.yaml")
    for path in places:
        if path.is_file():
            return path
    raise ConfigError(f"registry.yaml is missing, looked for {places[0]} and {places[1]}: reinstall")


@cache
def core_catalogue() -> Mapping[str, Entry]:
    """The catalogue that ships with zoogan, by method id."""
    return read_catalogue(catalogue_path())


def read_catalogue(path: Path) -> dict[str, Entry]:
    """A catalogue file, zoogan's or a third party's.

    Raises:
        ConfigError: unreadable, unknown or missing fields, each with its key path.
    """
    values: Any = read_yaml(path)
    try:
        return TypeAdapter(dict[str, Entry]).validate_python(values)
    except ValidationError as error:
        lines = [f"{path}: {'.'.join(map(str, p['loc']))}: {p['msg'].lower()}" for p in error.errors()]
        raise ConfigError("\n".join(lines)) from error


def merged(low: Mapping[str, Entry], high: Mapping[str, Entry]) -> dict[str, Entry]:
    """Both catalogues. A plugin may bring a method that is only planned so far; other names are taken.

    Raises:
        RegistrationError: a name is taken.
    """
    taken = [name for name in high if name in low and low[name].tier != "planned"]
    if taken:
        raise RegistrationError(f"method {taken[0]!r} is in the catalogue already")
    return {**low, **high}
