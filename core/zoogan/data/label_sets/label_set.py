"""Label sets: the parts of a segmentation, and the classes of a source that each part is made of. Imports no torch."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from difflib import get_close_matches
from functools import lru_cache
from pathlib import Path
from typing import Annotated, Any

from pydantic import BeforeValidator, Field, model_serializer, model_validator
from pydantic_core import PydanticCustomError

from zoogan.config import ConfigModel, Names, read_yaml, validate_model
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.paths import explain_path, shorten

LABEL_SETS = Path(__file__).parent
_SUFFIXES = (".yaml", ".yml")
MAX_CLASSES = 256  # parts and classes are bytes
FORMS = "the path of a YAML file, or a mapping with names and merges"  # forms of the setting, besides a name


class LabelSet(ConfigModel):
    """The parts of a segmentation, and how the classes of a source become parts.

    Attributes:
        names: The parts, by index; the first is the background, everything that no class paints.
        classes: The classes of the source, by value in its label maps. Default: the parts themselves.
        merges: Part -> classes of the source that are painted as it. A part left out is the class of its own name.
        order: Classes of the source in the order of painting; later ones cover earlier ones, which matters where masks
            overlap. Default: the order of `classes`.
        transparent: Parts that light shines through.
        mirrored: Pairs of parts that swap when an image is flipped.

    Raises:
        ValidationError: The set is inconsistent; the message lists every mistake, one a line.
    """

    names: Names = Field(min_length=2, max_length=MAX_CLASSES)
    classes: Names = Field((), max_length=MAX_CLASSES)
    merges: dict[str, Names] = Field(default_factory=dict)
    order: Names = ()
    transparent: Names = ()
    mirrored: tuple[tuple[str, str], ...] = ()

    @model_validator(mode="after")
    def _check(self) -> LabelSet:
        """Fill in `classes`, and raise for every inconsistency."""
        if not self.classes and not self.merges:
            object.__setattr__(self, "classes", self.names)  # the model is frozen, but still being made
        problems = list(self._find_problems())
        if problems:
            raise _make_error("\n".join(problems))
        return self

    @model_serializer(mode="wrap")
    def _serialize(self, serialize: Callable[..., Any]) -> Any:
        """Serialize a built-in set by its name, another one completely, so that a run needs no other file."""
        return next((name for name in list_label_sets() if load_label_set(name) == self), None) or serialize(self)

    def _find_problems(self) -> Iterator[str]:
        """Yield a line for every mistake."""
        yield from _find_repeated("names", self.names)
        yield from _find_repeated("classes", self.classes)
        yield from _find_repeated("order", self.order)
        yield from _find_repeated("transparent", self.transparent)
        yield from _find_unknown("merges", "part", self.merges, self.names)
        yield from _find_unknown("transparent", "part", self.transparent, self.names)
        yield from _find_unknown("mirrored", "part", (part for pair in self.mirrored for part in pair), self.names)
        swapped = [part for pair in self.mirrored for part in pair]
        for part in sorted({part for part in swapped if swapped.count(part) > 1}):
            yield f"mirrored: {part!r} swaps twice; a part is in one pair, with another part"
        if not self.classes:
            yield "classes: merges names classes of the source; list all of its classes, in the order of their values"
            return
        for part, merged in self.merges.items():
            yield from _find_unknown(f"merges.{part}", "class", merged, self.classes)
        yield from _find_unknown("order", "class", self.order, self.classes)
        painted: dict[str, str] = {}
        for part in self.names:
            classes = self.get_classes(part)
            if not classes and part != self.names[0]:
                hint = suggest_name(part, [name for name in self.classes if name not in self.names])
                yield f"merges: no class is painted as {part!r}: name one in merges.{part}{hint}"
            for name in classes:
                if name in painted:
                    yield f"merges: class {name!r} is painted as {painted[name]!r} and as {part!r}; keep one"
                painted.setdefault(name, part)
        for name in self.order:
            if name in self.classes and name not in painted:
                yield f"order: class {name!r} is painted as no part; name it in merges, or leave it out"
        missing = [name for name, part in painted.items() if part != self.names[0] and name not in self.order]
        if self.order and missing:
            yield f"order: {', '.join(missing)} would never be painted; add them"

    def get_classes(self, part: str) -> tuple[str, ...]:
        """Return the classes of the source that are painted as a part; those of the background may be incomplete."""
        if part in self.merges:
            return self.merges[part]
        return (part,) if part in self.classes else ()

    def map_classes(self) -> dict[str, int]:
        """Map every class of the source to its part, an index into `names`; 0 for classes of no part."""
        painted = {name: k for k, part in enumerate(self.names) for name in self.get_classes(part)}
        return {name: painted.get(name, 0) for name in self.classes}

    def list_parts(self) -> tuple[int, ...]:
        """List the part, an index into `names`, of each value of a label map."""
        return tuple(self.map_classes().values())

    def list_layers(self) -> tuple[tuple[str, int], ...]:
        """List (class of the source, index of its part) in the order of painting, without the classes of no part."""
        parts = self.map_classes()
        painted = {name for part in self.names for name in self.get_classes(part)}
        return tuple((name, parts[name]) for name in self.order or self.classes if name in painted)


def _find_repeated(where: str, names: Sequence[str]) -> Iterator[str]:
    """Yield a line for every name that occurs twice."""
    for name in sorted({name for name in names if names.count(name) > 1}):
        yield f"{where}: {name!r} is there twice"


def _find_unknown(where: str, kind: str, names: Iterable[str], choices: Sequence[str]) -> Iterator[str]:
    """Yield a line for every name that is not among the choices, with the nearest choice. kind: `part` or `class`."""
    plural = {"part": "parts", "class": "classes"}[kind]
    for name in dict.fromkeys(names):
        if name not in choices:
            hint = suggest_name(name, choices)
            yield f"{where}: no {kind} is called {name!r}{hint}; {plural}: {', '.join(choices)}"


def list_label_sets() -> list[str]:
    """List the names of the built-in label sets."""
    return sorted(path.stem for path in LABEL_SETS.glob("*.yaml"))


@lru_cache
def load_label_set(name: str) -> LabelSet:
    """Load a built-in label set.

    Args:
        name: `celebamask-19` or `celebamask-13`.

    Raises:
        ConfigError: There is no set of that name; the message suggests the nearest one.
    """
    names = list_label_sets()
    if name not in names:
        raise ConfigError(
            f"no label set is called {name!r}{suggest_name(name, names)}; known: {', '.join(names)}, {FORMS}"
        )
    return read_label_set(LABEL_SETS / f"{name}.yaml")


def read_label_set(path: Path, classes: Sequence[str] = ()) -> LabelSet:
    """Read the label set of a YAML file.

    Args:
        path: The file.
        classes: Classes of the source, used if the file lists none.

    Raises:
        ConfigError: The file cannot be read or holds no mapping, or the set is inconsistent; every line of the message
            names the file.
    """
    try:
        return validate_model(LabelSet, _add_classes(read_yaml(path), classes), Registry())
    except ConfigError as error:
        lines = str(error).splitlines()
        raise ConfigError(
            "\n".join(line if line.startswith(str(path)) else f"{path}: {line}" for line in lines)
        ) from error


def _add_classes(values: Mapping[str, Any], classes: Sequence[str]) -> dict[str, Any]:
    """Add the classes of the source to a label set, given as a mapping, that lists none."""
    return {**values, "classes": values.get("classes") or list(classes)}


def parse_label_set(value: Any, classes: Sequence[str] = ()) -> Any:
    """Parse the setting `data.label_set`.

    Args:
        value: The name of a built-in set, the path of a YAML file, a mapping, or a set.
        classes: Classes of the source, used if a file or mapping lists none.

    Returns:
        A set, or a mapping that is still to be validated.

    Raises:
        PydanticCustomError: There is no such set or file, or the set in the file is inconsistent.
    """
    if isinstance(value, Mapping):
        return _add_classes(value, classes)
    if isinstance(value, LabelSet):
        return value
    names = list_label_sets()
    if not isinstance(value, str | Path):
        raise _make_error(f"expected a name ({', '.join(names)}), {FORMS}, got {value!r}")
    if reason := explain_path(value):
        raise _make_error(f"{shorten(str(value))}: {reason}; name another path")
    path = Path(value).expanduser()
    is_path = str(value) not in names and (path.suffix in _SUFFIXES or len(path.parts) > 1)
    if is_path and not path.exists():
        beside = {other.stem: str(other) for other in path.parent.glob("*") if other.suffix in _SUFFIXES}
        # Compare without the endings, which would make all files alike.
        close = get_close_matches(path.stem, [*names, *beside], 1, cutoff=0.5)
        hint = f", did you mean {beside.get(close[0], close[0])!r}?" if close else ""
        raise _make_error(f"{path}: cannot be read: no such file{hint}; or one of the names {', '.join(names)}")
    try:
        return read_label_set(path, classes) if is_path else load_label_set(str(value))
    except ConfigError as error:
        raise _make_error(str(error)) from error


def parse_celebamask_label_set(value: Any) -> Any:
    """Parse `data.label_set` of a source whose classes are CelebAMask-HQ's, see `parse_label_set`.

    Args:
        value: The name of a built-in set, the path of a YAML file, a mapping, or a set.

    Returns:
        A set, or a mapping that is still to be validated.

    Raises:
        PydanticCustomError: As `parse_label_set`, or the set is made of other classes.
    """
    classes = load_label_set("celebamask-19").classes
    result = parse_label_set(value, classes)
    own = result["classes"] if isinstance(result, Mapping) else getattr(result, "classes", classes)
    if isinstance(own, list | tuple) and tuple(own) != classes:  # pydantic refuses everything but lists
        raise _make_error(
            f"classes: this source's are {', '.join(classes)}; the set is over {', '.join(map(str, own))}"
        )
    return result


def _make_error(problems: str) -> PydanticCustomError:
    """Make the error that pydantic reports for a label set, from problems, one a line."""
    return PydanticCustomError("label_set", "{problems}", {"problems": problems})


AnyLabelSet = Annotated[LabelSet, BeforeValidator(parse_label_set)]
"""A label set, given by its name, the path of a YAML file, or a mapping."""
CelebAMaskLabelSet = Annotated[LabelSet, BeforeValidator(parse_celebamask_label_set)]
