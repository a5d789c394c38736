"""Helpers of all importers: reading official weights and writing imported configs. No pickle is executed."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jaxtyping import Float
from torch import Tensor

from zoogan.config import DataConfig, GameConfig, merge
from zoogan.errors import ConfigError
from zoogan.files import StateDict as StateDict
from zoogan.files import as_state_dict as as_state_dict
from zoogan.files import map_layer_names as map_layer_names
from zoogan.files import read_weights_file as read_weights_file
from zoogan.interfaces import Editor


@dataclass(frozen=True)
class TrialFaces:
    """Faces to try imported weights on.

    Attributes:
        image: The faces (n, 3, s, s) in [-1, 1].
        labels: Their labels (n, a) in {0, 1}; None if they are unknown.
        description: Their description, for notes: `2 photos`.
    """

    image: Float[Tensor, "n 3 s s"]
    labels: Float[Tensor, "n a"] | None
    description: str


@dataclass(frozen=True)
class Trial:
    """Access to an editor and to faces, with which an importer tests settings that are not in the weights.

    Attributes:
        settings: The user's settings, as a config layer.
        has_photos: Whether the user named photos to test weights with.
        open_editor: Builds the run's editor with a config layer over the imported config.
        read_faces: Reads the user's photos, or draws faces if there are none.
    """

    settings: Mapping[str, Any]
    has_photos: bool
    open_editor: Callable[[Mapping[str, Any]], Editor]
    read_faces: Callable[[], TrialFaces]


@dataclass(frozen=True)
class Choice:
    """The result of a trial.

    Attributes:
        layer: The config layer that is laid over the imported config.
        notes: Sentences for the user.
    """

    layer: Mapping[str, Any]
    notes: Sequence[str]


@dataclass
class Imported:
    """The result of an importer: a config and weights, from official files.

    Attributes:
        config: A layer of the method's config: the architecture from the weights, the training from the official
            arguments, and the source that they were trained on.
        networks: State_dicts of our networks by slot.
        facts: Further fields of `Facts` (crop, exclusive, domains).
        notes: Sentences for the person who imports.
        choose: For ambiguous weights, chooses an interpretation after a trial; returns None if the user's settings
            decide. None for unambiguous weights.
        untrained: Slots that official files may lack, because edits can do without; such a network starts untrained.
        without_untrained: Tells the user what edits need instead of an untrained network.
        game: Tensors of the game's own state that are in the files (a mean latent).
        raw: For slots whose `networks` are moving averages, the weights in training, if the files hold them; a training
            that starts from the run continues with these.
    """

    config: dict[str, Any]
    networks: dict[str, StateDict]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    choose: Callable[[Trial], Choice | None] | None = None
    untrained: tuple[str, ...] = ()
    without_untrained: str = "edits do not need it"
    game: StateDict = field(default_factory=dict)
    raw: dict[str, StateDict] = field(default_factory=dict)


def add_raw(imported: Imported, read: Callable[[], dict[str, StateDict]]) -> None:
    """Add the weights in training beside their averages; if `read` fails, add a note, since no edit needs them."""
    try:
        imported.raw = read()
    except ConfigError as error:
        imported.notes.append(f"the weights in training, beside the averages, are left out: {error}")


# ---- files ----


def read_state_dict(path: Path) -> StateDict:
    """Read a safetensors file or a `torch.save`d state_dict, on the CPU.

    Raises:
        ConfigError: No such file, or one that holds anything but named tensors.
    """
    return as_state_dict(read_weights_file(path), path)


def read_state_dicts(path: Path) -> dict[str, StateDict]:
    """Read a file that holds several networks: name -> state_dict, on the CPU.

    Raises:
        ConfigError: No such file, or one that holds anything but named state_dicts.
    """
    content = read_weights_file(path)
    if not isinstance(content, Mapping) or not all(isinstance(part, Mapping) for part in content.values()):
        raise ConfigError(f"{path}: expected several networks (names, and a state_dict for each)")
    return {str(name): as_state_dict(part, path) for name, part in content.items()}


def read_networks(
    files: Iterable[Path],
    recognise: Callable[[Mapping[str, Tensor]], str | None],
    layout: str,
    known: str = "neither a generator nor a discriminator",
) -> dict[str, StateDict]:
    """Read files of one network each into state_dicts by slot; file names are ignored.

    Args:
        files: The files.
        recognise: Returns the slot of a state_dict by its keys, or None.
        layout: Name of the layout, for messages.
        known: Says that a file holds none of the networks of the layout, for messages.

    Raises:
        ConfigError: A file of another layout, or two of one network.
    """
    networks: dict[str, StateDict] = {}
    for path in files:
        state = read_state_dict(path)
        slot = recognise(state)
        if slot is None:
            raise ConfigError(f"{path}: {known} of {layout}")
        if slot in networks:
            raise ConfigError(f"{path}: a second {slot}; give one file of each network")
        networks[slot] = state
    return networks


def find_newest_files(folder: Path, *endings: str) -> list[Path]:
    """Find the files `<number><ending>`, one for each ending, with the highest number that all of them have.

    Args:
        folder: Where to look, at any depth.
        endings: The endings of the files' names.

    Raises:
        ConfigError: None of an ending, files in several folders, or no number that all have.
    """
    saved = {
        ending: [path for path in folder.rglob(f"*{ending}") if path.name.removesuffix(ending).isdigit()]
        for ending in endings
    }
    for ending, files in saved.items():
        if not files:
            raise ConfigError(f"{folder}: no <number>{ending} in this folder")
    require_one_folder(folder, "weights", [path for files in saved.values() for path in files])
    by_number = [{int(path.name.removesuffix(ending)): path for path in files} for ending, files in saved.items()]
    common = set.intersection(*map(set, by_number))
    if not common:
        raise ConfigError(f"{folder}: no number has all of {', '.join(f'<number>{ending}' for ending in endings)}")
    return [files[max(common)] for files in by_number]


def require_one_folder(folder: Path, what: str, files: Iterable[Path]) -> None:
    """Refuse files of several experiments below a folder.

    Args:
        folder: The folder that was searched, for messages.
        what: The kind of files, for messages.
        files: The files found.

    Raises:
        ConfigError: They lie in several folders; names them.
    """
    places = sorted({str(path.parent) for path in files})
    if len(places) > 1:
        raise ConfigError(f"{folder}: {what} of several experiments, in {', '.join(places)}: name one of these folders")


# ---- numbers in the weights ----


def rename_tensors(state: Mapping[str, Tensor], names: Mapping[str, str], what: str, layout: str) -> StateDict:
    """Return a state_dict under our names.

    Args:
        state: The official state_dict.
        names: Official name -> our name, complete.
        what: The network, for messages.
        layout: Name of the layout, for messages.

    Raises:
        ConfigError: Names missing, or left over; names all of them.
    """
    missing, extra = [n for n in names if n not in state], [n for n in state if n not in names]
    if missing or extra:
        problems = [f"no {', '.join(map(repr, missing))}"] if missing else []
        problems += [f"unknown: {', '.join(map(repr, extra))}"] if extra else []
        raise ConfigError(f"the {what} weights are not in the layout of {layout}: {'; '.join(problems)}")
    return {ours: state[official] for official, ours in names.items()}


def require_same_number(what: str, numbers: Iterable[tuple[str, int]]) -> int:
    """Return the one number on which several places agree.

    Args:
        what: What the number counts, for messages.
        numbers: Places and their numbers.

    Raises:
        ConfigError: They differ; names each place and its number.
    """
    places = list(numbers)
    if len({number for _, number in places}) != 1:
        listed = ", ".join(f"{place} says {number}" for place, number in places)
        raise ConfigError(f"the weights disagree about {what}: {listed}")
    return places[0][1]


def require_same_numbers(numbers: Mapping[str, Mapping[str, int]]) -> dict[str, int]:
    """Check that several places agree on all numbers that they share, and return the numbers.

    Args:
        numbers: By place, its numbers by what they count.

    Raises:
        ConfigError: Two places differ; names each place and its number.
    """
    return {
        what: require_same_number(what, [(place, counts[what]) for place, counts in numbers.items() if what in counts])
        for what in dict.fromkeys(what for counts in numbers.values() for what in counts)
    }


def require_attribute_names(names: str | Sequence[str] | None, count: int, what: str = "attributes") -> list[str]:
    """Return the names of the labels in the order of the weights, which hold only their number.

    Args:
        names: The names that the user gave.
        count: How many the weights have.
        what: What the labels are, for messages.

    Raises:
        ConfigError: Another number of labels is named, or none.
    """
    labels = [names] if isinstance(names, str) else list(names or ())
    if len(labels) != count:
        given = f"{len(labels)} are named" if labels else "none are named"
        raise ConfigError(
            f"the weights know {count} {what}, but {given}: "
            "give their names in the order of training, --set data.attributes=A,B,..."
        )
    return labels


def configure_discriminator(
    imported: Imported, width: int, stages: int, kernel: int, arguments: Mapping[str, Any]
) -> None:
    """Write a discriminator's shape and the image size that it was made for into the imported config.

    A halving drops an odd row, so several image sizes have the same head: without `image_size` among the official
    arguments it is the least of them.

    Args:
        imported: Its config is changed.
        width: Channels at full size.
        stages: Halvings.
        kernel: The kernel size of the head over the last features, whose side it has.
        arguments: The official arguments.

    Raises:
        ConfigError: The official arguments name a size that has another head.
    """
    imported.config["discriminator"] |= {"width": width, "stages": stages}
    named = int(arguments.get("image_size") or kernel << stages)
    least = named if named >> stages == kernel else kernel << stages
    size = require_same_number("the image size", [("the discriminator", least), ("image_size", named)])
    set_nested(imported.config, "data.image_size", size)


def assume_image_size(imported: Imported, arguments: Mapping[str, Any], usual: int) -> None:
    """Write the image size of a generator alone, whose weights fit every size, and add a note.

    Args:
        imported: Its config is changed.
        arguments: The official arguments, which may name the size.
        usual: The size of the released weights.
    """
    size = int(arguments.get("image_size") or usual)
    set_nested(imported.config, "data.image_size", size)
    if not arguments.get("image_size"):
        imported.notes.append(
            f"a generator alone does not tell its image size; {size} px is assumed (--set data.image_size=N changes it)"
        )


# ---- config layers ----


def set_nested(layer: dict[str, Any], key: str, value: Any) -> None:
    """Set `a.b.c` of a nested layer; None is left out."""
    if value is None:
        return
    *parents, last = key.split(".")
    for parent in parents:
        layer = layer.setdefault(parent, {})
    layer[last] = value


def make_published_layer(config: GameConfig, data: Mapping[str, Any]) -> dict[str, Any]:
    """Make a complete layer of a method's own defaults, which overrides every setting of a recipe.

    Args:
        config: The method's defaults.
        data: The source that the official weights were trained on, with `source`; the folder of its files stays open.
    """
    values = config.model_dump(mode="json")
    return {key: value for key, value in values.items() if key not in ("method", "recipe", "data")} | {
        "data": {"root": None, "balance": None} | dict(data)
    }


def translate_arguments(
    config: dict[str, Any], names: Mapping[str, Sequence[str]], arguments: Mapping[str, Any]
) -> None:
    """Write the official code's arguments into our config; Adam's betas are `beta1` and `beta2` everywhere.

    Args:
        config: The layer that is changed.
        names: Official argument -> our settings.
        arguments: The official arguments with their values.
    """
    for argument, keys in names.items():
        for key in keys:
            set_nested(config, key, arguments.get(argument))
    for optimizer in config["optimizers"].values():
        first, second = optimizer["betas"]
        optimizer["betas"] = [arguments.get("beta1", first), arguments.get("beta2", second)]


def lay_over(imported: Mapping[str, Any], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Merge the user's settings into an imported config; with another source, size and labels are kept."""
    data = {key: value for key, value in imported.get("data", {}).items() if key in DataConfig.model_fields}
    return merge(merge(imported, settings), {"data": data | merge(imported, settings)["data"]})
