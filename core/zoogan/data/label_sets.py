"""Label sets: which parts a segmentation has, and which of a source's classes each of them is. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from zoogan.config import ConfigError, ConfigModel, Names, read_yaml, validate_model
from zoogan.config.registry import Registry
from zoogan.names import suggest_name

BUILT_IN = Path(__file__).parent / "label_set_files"
SUFFIXES = (".yaml", ".yml")
MOST = 256  # parts and classes are bytes
FORMS = "the path of a YAML file, or a mapping with names and merges"  # of a label set, besides a name


class LabelSet(ConfigModel):
    """Parts, and how a source's classes become them.

    names: the parts, index = class; the first is the background, whatever nothing else paints. classes: the source's
    own, index = value in its label maps; by default the parts themselves. merges: part -> the source's classes that are
    painted as it; a part left out is the class of its own name. order: the source's classes in the order in which they
    are painted, later wins, which matters where masks overlap; by default that of `classes`. transparent: parts that
    light shines through. mirrored: pairs of parts that swap when a picture is flipped.

    Raises:
        ValidationError: every mistake at once, one a line.
    """

    names: Names = Field(min_length=2, max_length=MOST)
    classes: Names = Field((), max_length=MOST)
    merges: dict[str, Names] = Field(default_factory=dict)
    order: Names = ()
    transparent: Names = ()
    mirrored: tuple[tuple[str, str], ...] = ()

    @model_validator(mode="after")
    def _consistent(self) -> LabelSet:
        if not self.classes and not self.merges:
            object.__setattr__(self, "classes", self.names)  # frozen, and not yet seen by anybody
        problems = list(self._problems())
        if problems:
            raise problem("\n".join(problems))
        return self

    @model_serializer(mode="wrap")
    def _kept(self, whole: Callable[..., Any]) -> Any:
        """As `config.yaml` keeps it: by name if it is built in, else all of it, so that the run needs no other file."""
        return next((name for name in built_in_names() if built_in(name) == self), None) or whole(self)

    def _problems(self) -> Iterator[str]:
        yield from repeated("names", self.names)
        yield from repeated("classes", self.classes)
        yield from repeated("order", self.order)
        yield from repeated("transparent", self.transparent)
        yield from unknown("merges", "part", self.merges, self.names)
        yield from unknown("transparent", "part", self.transparent, self.names)
        yield from unknown("mirrored", "part", (part for pair in self.mirrored for part in pair), self.names)
        swapped = [part for pair in self.mirrored for part in pair]
        for part in sorted({part for part in swapped if swapped.count(part) > 1}):
            yield f"mirrored: {part!r} swaps twice; a part is in one pair, with another part"
        if not self.classes:
            yield "classes: merges names classes of the source; list all of its classes, in the order of their values"
            return
        for part, merged in self.merges.items():
            yield from unknown(f"merges.{part}", "class", merged, self.classes)
        yield from unknown("order", "class", self.order, self.classes)
        painted: dict[str, str] = {}
        for part in self.names:
            of = self.classes_of(part)
            if not of and part != self.names[0]:
                hint = suggest_name(part, [name for name in self.classes if name not in self.names])
                yield f"merges: no class is painted as {part!r}: name one in merges.{part}{hint}"
            for name in of:
                if name in painted:
                    yield f"merges: class {name!r} is painted as {painted[name]!r} and as {part!r}; keep one"
                painted.setdefault(name, part)
        for name in self.order:
            if name in self.classes and name not in painted:
                yield f"order: class {name!r} is painted as no part; name it in merges, or leave it out"
        missing = [name for name, part in painted.items() if part != self.names[0] and name not in self.order]
        if self.order and missing:
            yield f"order: {', '.join(missing)} would never be painted; say when"

    def classes_of(self, part: str) -> tuple[str, ...]:
        """The source's classes that are painted as a part; the background's need not all be named."""
        if part in self.merges:
            return self.merges[part]
        return (part,) if part in self.classes else ()

    def part_of(self) -> dict[str, int]:
        """The part, an index into `names`, of every class of the source; 0 for those that no part takes."""
        painted = {name: k for k, part in enumerate(self.names) for name in self.classes_of(part)}
        return {name: painted.get(name, 0) for name in self.classes}

    def table(self) -> tuple[int, ...]:
        """The part of each value of a label map, as long as `classes`."""
        return tuple(self.part_of().values())

    def painting(self) -> tuple[tuple[str, int], ...]:
        """(class of the source, its part), in the order of painting. Classes that no part takes are not painted."""
        part = self.part_of()
        taken = {name for k in self.names for name in self.classes_of(k)}
        return tuple((name, part[name]) for name in self.order or self.classes if name in taken)


def repeated(where: str, names: Sequence[str]) -> Iterator[str]:
    """A line for every name that is there twice."""
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{where}: {name!r} is there twice"


def unknown(where: str, what: str, names: Iterable[str], known: Sequence[str]) -> Iterator[str]:
    """A line for every name that is not known, with the nearest one that is."""
    for name in dict.fromkeys(names):
        if name not in known:
            yield f"{where}: no {what} is called {name!r}{suggest_name(name, known)}; {what_all(what, known)}"


def what_all(what: str, known: Sequence[str]) -> str:
    """`parts: a, b, c`, or `classes: ...`."""
    return f"{'classes' if what == 'class' else f'{what}s'}: {', '.join(known)}"


def built_in_names() -> list[str]:
    """The label sets that come with the zoo."""
    return sorted(path.stem for path in BUILT_IN.glob("*.yaml"))


@lru_cache
def built_in(name: str) -> LabelSet:
    """A label set that comes with the zoo: `celebamask-19` or `celebamask-13`.

    Raises:
        ConfigError: none of that name, with the nearest one.
    """
    known = built_in_names()
    if name not in known:
        raise ConfigError(
            f"no label set is called {name!r}{suggest_name(name, known)}; known: {', '.join(known)}, {FORMS}"
        )
    return read_label_set(BUILT_IN / f"{name}.yaml")


def read_label_set(path: Path, classes: Sequence[str] = ()) -> LabelSet:
    """The label set of a YAML file. classes: of the source, where the file does not list any.

    Raises:
        ConfigError: no such file, no mapping, or every mistake in it, each with the file's name.
    """
    try:
        return validate_model(LabelSet, with_classes(read_yaml(path), classes), Registry())
    except ConfigError as error:
        lines = str(error).splitlines()
        raise ConfigError(
            "\n".join(line if line.startswith(str(path)) else f"{path}: {line}" for line in lines)
        ) from error


def with_classes(values: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """A label set as a mapping, with the source's classes where it does not list any."""
    return {**values, "classes": values.get("classes") or list(classes)}


def read_setting(value: Any, classes: Sequence[str] = ()) -> Any:
    """What the setting `data.label_set` means: the name of a built-in set, a path, a mapping, or a set itself.

    classes: of the source, for files and mappings that do not list any.

    Raises:
        PydanticCustomError: no such set or file, or every mistake in it.
    """
    if isinstance(value, Mapping):
        return with_classes(value, classes)
    if isinstance(value, LabelSet):
        return value
    known = built_in_names()
    if not isinstance(value, str | Path):
        raise problem(f"expected a name ({', '.join(known)}), {FORMS}, got {value!r}")
    path = Path(value).expanduser()
    is_path = str(value) not in known and (path.suffix in SUFFIXES or len(path.parts) > 1)
    if is_path and not path.exists():
        beside = {other.stem: str(other) for other in path.parent.glob("*") if other.suffix in SUFFIXES}
        close = get_close_matches(path.stem, [*known, *beside], 1, cutoff=0.5)  # endings would make all files alike
        hint = f", did you mean {beside.get(close[0], close[0])!r}?" if close else ""
        raise problem(f"{path}: cannot be read: no such file{hint}; or one of the names {', '.join(known)}")
    try:
        return read_label_set(path, classes) if is_path else built_in(str(value))
    except ConfigError as error:
        raise problem(str(error)) from error


def over_celebamask(value: Any) -> Any:
    """`read_setting` for sources whose classes are CelebAMask-HQ's.

    Raises:
        PydanticCustomError: as there, or a set over other classes.
    """
    classes = built_in("celebamask-19").classes
    found = read_setting(value, classes)
    got = found["classes"] if isinstance(found, Mapping) else getattr(found, "classes", classes)
    if isinstance(got, list | tuple) and tuple(got) != classes:  # what is no list, pydantic refuses
        told = ", ".join(map(str, got))
        raise problem(f"classes: this source's are {', '.join(classes)}; the set is over {told}")
    return found


def problem(told: str) -> PydanticCustomError:
    """What is wrong with a label set, one mistake a line."""
    return PydanticCustomError("label_set", "{problems}", {"problems": told})


AnyLabelSet = Annotated[LabelSet, BeforeValidator(read_setting)]
CelebAMaskLabelSet = Annotated[LabelSet, BeforeValidator(over_celebamask)]
