"""Reading official weights. No pickle is executed."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from torch import Tensor

from zoogan.config import ConfigError, DataConfig, GameConfig, merge
from zoogan.files import StateDict, as_state_dict, read_weights_file


@dataclass
class Imported:
    """What an importer makes of official files.

    config: a layer of the method's config: the architecture that the weights tell, the training that the settings tell,
    the source that they were trained on. networks: state_dicts of our networks by slot. facts: what else `Facts` should
    know (crop, exclusive, domains). notes: sentences for the person who imports. alternative: a config layer that gives
    the same weights another meaning; whichever of the two gives faces back is right. Empty if there is none. untrained:
    slots that official files may lack, because no edit needs them; such a network starts afresh. game: what the weights
    tell of the game's own state (a mean latent). raw: of slots whose `networks` are moving averages, what the training
    itself had, as far as the files hold it: a training that starts from here goes on with that.
    """

    config: dict[str, Any]
    networks: dict[str, StateDict]
    facts: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    alternative: dict[str, Any] = field(default_factory=dict)
    untrained: tuple[str, ...] = ()
    game: StateDict = field(default_factory=dict)
    raw: dict[str, StateDict] = field(default_factory=dict)


def add_raw(imported: Imported, read: Callable[[], dict[str, StateDict]]) -> None:
    """Put what the training had beside its averages; a note where `read` cannot, for no edit needs it."""
    try:
        imported.raw = read()
    except ConfigError as error:
        imported.notes.append(f"what the training had beside the averages is left out: {error}")


def read_state_dict(path: Path) -> StateDict:
    """The tensors of a safetensors file or of a `torch.save`d state_dict, on the CPU.

    Raises:
        ConfigError: no such file, or one that holds anything but named tensors.
    """
    return as_state_dict(read_weights_file(path), path)


def read_state_dicts(path: Path) -> dict[str, StateDict]:
    """The networks of one file that holds several: name -> state_dict, on the CPU.

    Raises:
        ConfigError: no such file, or one that holds anything but named state_dicts.
    """
    content = read_weights_file(path)
    if not isinstance(content, Mapping) or not all(isinstance(part, Mapping) for part in content.values()):
        raise ConfigError(f"{path}: expected several networks (names, and a state_dict for each)")
    return {str(name): as_state_dict(part, path) for name, part in content.items()}


def renamed(state: Mapping[str, Tensor], names: Mapping[str, str], what: str, layout: str) -> StateDict:
    """`state` under our names.

    Args:
        names: official name -> our name, complete.
        what: of what the weights are, for messages. layout: whose layout `names` is.

    Raises:
        ConfigError: names missing, or left over.
    """
    missing, extra = [n for n in names if n not in state], [n for n in state if n not in names]
    if missing or extra:
        problems = [f"no {missing[0]!r} and {len(missing) - 1} more"] if missing else []
        problems += [f"an unknown {extra[0]!r} and {len(extra) - 1} more"] if extra else []
        raise ConfigError(f"the {what} weights are not in the layout of {layout}: {'; '.join(problems)}")
    return {ours: state[official] for official, ours in names.items()}


def same_number(what: str, found: Iterable[tuple[str, int]]) -> int:
    """The one number that several places tell.

    Raises:
        ConfigError: they differ; names each place and its number.
    """
    places = list(found)
    if len({number for _, number in places}) != 1:
        said = ", ".join(f"{place} says {number}" for place, number in places)
        raise ConfigError(f"the weights disagree about {what}: {said}")
    return places[0][1]


def tell_discriminator(imported: Imported, width: int, stages: int, kernel: int, settings: Mapping[str, Any]) -> None:
    """Write what a discriminator's weights tell into the config: its own shape, and the image size that it was made for.

    kernel: of the head over the last features, whose side it has. Several sizes come down to it, for a halving drops an
    odd row: without `image_size` among the official arguments it is the least of them.

    Raises:
        ConfigError: the official arguments say a size that comes down to another.
    """
    imported.config["discriminator"] |= {"width": width, "stages": stages}
    said = int(settings.get("image_size") or kernel << stages)
    least = said if said >> stages == kernel else kernel << stages
    size = same_number("the image size", [("the discriminator", least), ("image_size", said)])
    put(imported.config, "data.image_size", size)


def put(layer: dict[str, Any], path: str, value: Any) -> None:
    """Set `a.b.c` of a nested layer; None is left out."""
    if value is None:
        return
    *parents, last = path.split(".")
    for key in parents:
        layer = layer.setdefault(key, {})
    layer[last] = value


def read_networks(
    files: Iterable[Path], recognised: Callable[[Mapping[str, Tensor]], str | None], layout: str
) -> dict[str, StateDict]:
    """State_dicts by the slot that their keys tell; names of files do not matter.

    Raises:
        ConfigError: a file of another layout, or two of one network.
    """
    networks: dict[str, StateDict] = {}
    for path in files:
        state = read_state_dict(path)
        slot = recognised(state)
        if slot is None:
            raise ConfigError(f"{path}: neither a generator nor a discriminator of {layout}")
        if slot in networks:
            raise ConfigError(f"{path}: a second {slot}; give one file of each network")
        networks[slot] = state
    return networks


def newest_numbered(folder: Path, *endings: str) -> list[Path]:
    """The files `<number><ending>`, one for each ending, with the highest number that all of them have; anywhere under
    a folder.

    Raises:
        ConfigError: none of an ending, files in several folders, or no number that all have.
    """
    saved = {
        ending: [path for path in folder.rglob(f"*{ending}") if before(path, ending).isdigit()] for ending in endings
    }
    for ending, files in saved.items():
        if not files:
            raise ConfigError(f"{folder}: no <number>{ending} in this folder")
    in_one_folder(folder, "weights", [path for files in saved.values() for path in files])
    by_number = [{int(before(path, ending)): path for path in files} for ending, files in saved.items()]
    common = set.intersection(*map(set, by_number))
    if not common:
        raise ConfigError(f"{folder}: no number has all of {', '.join(f'<number>{ending}' for ending in endings)}")
    return [files[max(common)] for files in by_number]


def before(path: Path, ending: str) -> str:
    """What a file is called before the ending."""
    return path.name.removesuffix(ending)


def in_one_folder(folder: Path, what: str, files: Iterable[Path]) -> None:
    """Refuse files of several experiments below a folder.

    Raises:
        ConfigError: they lie in several folders; names them.
    """
    places = sorted({str(path.parent) for path in files})
    if len(places) > 1:
        raise ConfigError(f"{folder}: {what} of several experiments, in {', '.join(places)}: name one of these folders")


def published(config: GameConfig, data: Mapping[str, Any]) -> dict[str, Any]:
    """A method's own defaults as a layer, complete, so that nothing of a recipe shows through.

    data: the source that the official weights were trained on, with `source`; where its files lie nobody knows yet.
    """
    values = config.model_dump(mode="json")
    return {key: value for key, value in values.items() if key not in ("method", "recipe", "data")} | {
        "data": {"root": None, "balance": None} | dict(data)
    }


def laid_over(imported: Mapping[str, Any], sets: Mapping[str, Any]) -> dict[str, Any]:
    """A person's settings over an imported config. Another source keeps what every source understands: size, labels."""
    data = {key: value for key, value in imported.get("data", {}).items() if key in DataConfig.model_fields}
    return merge(merge(imported, sets), {"data": data | merge(imported, sets)["data"]})


def contradicts(sets: Mapping[str, Any], layer: Mapping[str, Any]) -> bool:
    """Whether `sets` says something of a setting that `layer` has."""
    return any(
        contradicts(sets[key], value) if isinstance(value, Mapping) and isinstance(sets[key], Mapping) else True
        for key, value in layer.items()
        if key in sets
    )


def as_sets(layer: Mapping[str, Any], at: str = "") -> list[str]:
    """A layer as a person would set it: `["generator.skip=false"]`."""
    told = []
    for key, value in layer.items():
        path = f"{at}.{key}" if at else key
        told += as_sets(value, path) if isinstance(value, Mapping) else [f"{path}={json.dumps(value)}"]
    return told


def attribute_names(named: str | Sequence[str] | None, count: int, what: str = "attributes") -> list[str]:
    """The labels in the order of the weights, which know only how many there are. what: the labels are, for messages.

    Raises:
        ConfigError: another number of labels is named, or none.
    """
    names = [named] if isinstance(named, str) else list(named or ())
    if len(names) != count:
        named_are = f"{len(names)} are named" if names else "none are named"
        raise ConfigError(
            f"the weights know {count} {what}, but {named_are}: "
            "give their names in the order of training, --set data.attributes=A,B,..."
        )
    return names


def translate(config: dict[str, Any], names: Mapping[str, Sequence[str]], settings: Mapping[str, Any]) -> None:
    """Write the official code's arguments into our config; Adam's betas are `beta1` and `beta2` everywhere."""
    for argument, paths in names.items():
        for path in paths:
            put(config, path, settings.get(argument))
    for optimizer in config["optimizers"].values():
        first, second = optimizer["betas"]
        optimizer["betas"] = [settings.get("beta1", first), settings.get("beta2", second)]
