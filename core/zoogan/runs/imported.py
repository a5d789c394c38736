"""Importing official weights into a run."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic_core import PydanticCustomError

from zoogan.composition.build import Composition, compose
from zoogan.config import DataConfig, GameConfig, compose_config, merge
from zoogan.config.registry import MethodSpec, Registry
from zoogan.data.config import DrawnData
from zoogan.data.drawn.attributes import ATTRIBUTES
from zoogan.data.drawn.source import DrawnSource
from zoogan.data.label_sets import parse_label_set
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.importing.official import Imported, Trial, TrialFaces, lay_over
from zoogan.interfaces import Editor
from zoogan.names import import_object
from zoogan.pictures.photo import crop_photo, normalize_image, read_photo
from zoogan.plugins.host import PluginHost, get_zoo
from zoogan.runs.folder import RunFolder
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.locations import explain_occupied_folder
from zoogan.runs.opening import list_mismatches

TRIAL_FACES = 16


@dataclass(frozen=True)
class ImportedRun:
    """A run made of official weights.

    Attributes:
        run: The run, opened.
        notes: Sentences for the person who imports: what was assumed, and what is missing.
    """

    run: LoadedRun
    notes: tuple[str, ...]


def import_weights(
    method: str,
    weights: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    settings: Mapping[str, Any] | None = None,
    photos: Sequence[str | Path] = (),
    zoo: PluginHost | None = None,
) -> ImportedRun:
    """Read official weights, build the networks that they describe and write a run.

    Args:
        method: The name of the method.
        weights: Files or folders of official weights.
        out: The run folder to create.
        settings: Settings that are not in the weights, nested: `{"data": {"attributes": ["Black_Hair", "Male"]}}`.
        photos: Faces to test ambiguous weights with; by default drawn faces.
        zoo: Methods and components; None = those of all installed plugins.

    Raises:
        ConfigError: A method without importer, a folder in use, files that are not the method's, weights that do not
            fit the config, photos that cannot be read.
    """
    zoo, path, layer = zoo or get_zoo(), Path(out), dict(settings or {})
    spec = zoo.get_method(method)
    if spec.importer is None:
        raise ConfigError(f"{method} has no importer of official weights")
    if spec.stages:
        names = ", ".join(stage.name for stage in spec.stages)
        raise ConfigError(
            f"{method} is made of stages ({names}), and its weights alone are no run; train it with zoo train --model "
            f"{method}, with --stage NAME=FILE for official weights of a stage"
        )
    if problem := explain_occupied_folder(path):
        raise ConfigError(f"--out {path}: {problem}; choose another folder")
    files = [weights] if isinstance(weights, str | Path) else weights
    arguments = _make_importer_arguments(layer)
    imported: Imported = import_object(spec.importer)([Path(file) for file in files], arguments)
    config, composition, choice_notes = _choose_composition(
        zoo.registry, spec, imported, layer, [Path(photo) for photo in photos]
    )
    untrained = sorted(set(composition.networks) - set(imported.networks))
    folder = RunFolder(path)
    folder.write_config(config, composition.facts)
    folder.write_model(config, composition.facts, composition.networks, composition.game, untrained, raw=imported.raw)
    notes = [*imported.notes, *choice_notes]
    notes += [
        f"the {name} is not in the files and starts untrained; {imported.without_untrained}" for name in untrained
    ]
    return ImportedRun(LoadedRun(config, composition.facts, _make_editor(composition), path=path), tuple(notes))


def _make_importer_arguments(settings: Mapping[str, Any]) -> dict[str, Any]:
    """Select the settings that importers read: labels, parts and the source.

    Raises:
        ConfigError: `data` is no layer, or names no label set.
    """
    data = settings.get("data", {})
    if not isinstance(data, Mapping):
        raise ConfigError(f"--set data={data}: name the source by --set data.source={data}")
    attributes = data.get("attributes")
    arguments: dict[str, Any] = _read_parts(data.get("label_set"))
    if attributes is not None:
        arguments["attributes"] = [attributes] if isinstance(attributes, str) else attributes
    if "source" in data:
        arguments["source"] = data["source"]
    return arguments


def _read_parts(label_set: Any) -> dict[str, Any]:
    """Return `parts` and `transparent` of the setting `data.label_set`: a name, a file or a mapping; {} without one.

    Raises:
        ConfigError: No such set or file, or every mistake in it.
    """
    if label_set is None:
        return {}
    try:
        value = parse_label_set(label_set)
    except PydanticCustomError as error:
        raise ConfigError(f"data.label_set: {error}") from error
    values = value if isinstance(value, dict) else dict(value)  # an incomplete one is checked with the config
    return {
        setting: values[key] for setting, key in (("parts", "names"), ("transparent", "transparent")) if values.get(key)
    }


def _choose_composition(
    registry: Registry, spec: MethodSpec, imported: Imported, settings: Mapping[str, Any], photos: Sequence[Path]
) -> tuple[GameConfig, Composition, Sequence[str]]:
    """Build the config and the networks; if the weights are ambiguous, the importer chooses an interpretation.

    Returns:
        The config, the composition, and notes about the choice.
    """
    base = lay_over(imported.config, settings)
    built: dict[str, tuple[GameConfig, Composition]] = {}

    def build(layer: Mapping[str, Any]) -> tuple[GameConfig, Composition]:
        key = json.dumps(layer, sort_keys=True)
        if key not in built:
            built[key] = _build_composition(registry, spec, imported, merge(base, layer))
        return built[key]

    facts = build({})[1].facts
    choice = None
    if imported.choose is not None:
        choice = imported.choose(
            Trial(
                settings=settings,
                has_photos=bool(photos),
                open_editor=lambda layer: _make_editor(build(layer)[1]),
                read_faces=lambda: _read_trial_faces(facts, photos),
            )
        )
    if choice is not None:
        return *build(choice.layer), choice.notes
    unused = "--photo: not used; these weights are unambiguous, or --set decides"
    return *build({}), [unused] if photos else []


def _build_composition(
    registry: Registry, spec: MethodSpec, imported: Imported, layer: dict[str, Any]
) -> tuple[GameConfig, Composition]:
    """Complete a config layer and build its networks with the imported weights.

    Raises:
        ConfigError: Weights that are missing, or do not fit the config.
    """
    config = compose_config(spec, registry, sets=layer)
    config = config.model_copy(update={"recipe": None})  # no recipe of zoogan made these weights
    facts = Facts(image_size=config.data.image_size, attributes=config.data.attributes, **imported.facts)
    config = config.model_copy(update={"data": _match_transparent_parts(config.data, facts)})
    composition = compose(config, facts, registry)
    missing = set(composition.networks) - set(imported.networks)
    needed = sorted(missing - set(imported.untrained))
    if needed:
        raise ConfigError(f"--weights: no file holds the {' or the '.join(needed)}; name every file of the model")
    for name in list(imported.raw):
        if list_mismatches(name, imported.raw, composition.networks[name]):
            del imported.raw[name]
            imported.notes.append(f"the {name} in training is left out: it has other shapes than its average")
    for name, state in imported.networks.items():
        try:
            composition.networks[name].load_state_dict(state)
        except RuntimeError as error:
            raise ConfigError(f"--weights: the {name}'s weights do not fit its config: {error}") from error
    composition.game.load_state_dict(composition.game.state_dict() | imported.game)
    return config, composition


def _match_transparent_parts(data: DataConfig, facts: Facts) -> DataConfig:
    """Make the source's label set transparent where the weights are, so that config and facts agree."""
    label_set = getattr(data, "label_set", None)
    if label_set is None or not facts.parts or label_set.transparent == facts.transparent:
        return data
    return data.model_copy(update={"label_set": label_set.model_copy(update={"transparent": facts.transparent})})


def _make_editor(composition: Composition) -> Editor:
    """Make the editor that a run of this composition will have."""
    networks = composition.networks.eval().requires_grad_(False)
    return composition.game.make_editor(networks, attributes=composition.facts.attributes)


def _read_trial_faces(facts: Facts, photos: Sequence[Path]) -> TrialFaces:
    """Read the photos, cropped as the data was, or draw faces.

    Raises:
        ConfigError: A photo that cannot be read.
    """
    if photos:
        crops = torch.stack([crop_photo(read_photo(path), facts) for path in photos])
        return TrialFaces(normalize_image(crops), None, f"{len(photos)} photos")
    has_labels = set(facts.attributes) <= set(ATTRIBUTES)
    attributes = facts.attributes if has_labels else DrawnData().attributes
    source = DrawnSource(DrawnData(image_size=facts.image_size, attributes=attributes, held_out=TRIAL_FACES))
    sample = source.read("test", list(range(TRIAL_FACES)))
    labels = sample["attributes"] if has_labels else None
    return TrialFaces(normalize_image(sample["image"]), labels, f"{TRIAL_FACES} drawn faces")
