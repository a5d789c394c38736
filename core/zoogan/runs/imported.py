"""Importing official weights into a run."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
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
from zoogan.files import replace_folder
from zoogan.importing.official import Imported, Trial, TrialFaces, lay_over
from zoogan.interfaces import Editor
from zoogan.names import import_object
from zoogan.pictures.photo import crop_photo, normalize_image, read_photo
from zoogan.plugins.host import PluginHost
from zoogan.runs.folder import RunFolder
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.locations import explain_occupied_folder
from zoogan.runs.model_files import check_weights_finite, list_mismatches

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


@dataclass(frozen=True)
class Foundation:
    """What a run is imported on: what the stages of its method decide. Without stages there is nothing.

    Attributes:
        start: Settings that the stages decide, below those of the weights, see `compose_config`.
        find_facts: Returns facts that count where the weights do not tell, for a complete config.
        open_stages: Checks that the stages fit a run and opens them; raises ConfigError.
    """

    start: Mapping[str, Any] = field(default_factory=dict)
    find_facts: Callable[[GameConfig], Mapping[str, Any]] = lambda config: {}
    open_stages: Callable[[GameConfig, Facts], Mapping[str, Any]] = lambda config, facts: {}


def import_run(
    method: str,
    weights: Sequence[Path],
    *,
    out: Path,
    settings: Mapping[str, Any],
    photos: Sequence[Path] = (),
    zoo: PluginHost,
) -> ImportedRun:
    """Read official weights of a method without stages, and write a run, whole or not at all.

    Args:
        method: The name of the method.
        weights: Files or folders of official weights.
        out: The run folder to create.
        settings: Settings that are not in the weights, nested.
        photos: Faces to test ambiguous weights with; by default drawn faces.
        zoo: Methods and components.

    Raises:
        ConfigError: See `zoogan.import_weights`.
    """
    spec = find_importable_method(zoo, method)
    check_new_folder(out)
    with replace_folder(out) as draft:
        composition, notes = write_imported_run(draft, zoo.registry, spec, weights, settings, photos)
    return ImportedRun(LoadedRun(composition.config, composition.facts, _make_editor(composition), path=out), notes)


def find_importable_method(zoo: PluginHost, method: str) -> MethodSpec:
    """Find a method that has an importer.

    Raises:
        ConfigError: There is no such method, or it has none.
    """
    spec = zoo.get_method(method)
    if spec.importer is None:
        raise ConfigError(f"{method} has no importer of official weights")
    return spec


def check_new_folder(out: Path) -> None:
    """Check that a run can be written to a folder.

    Raises:
        ConfigError: The folder is in use.
    """
    if problem := explain_occupied_folder(out):
        raise ConfigError(f"--out {out}: {problem}; choose another folder")


def write_imported_run(
    folder: Path,
    registry: Registry,
    spec: MethodSpec,
    weights: Sequence[Path],
    settings: Mapping[str, Any],
    photos: Sequence[Path] = (),
    foundation: Foundation = Foundation(),
) -> tuple[Composition, tuple[str, ...]]:
    """Read official weights, build the networks that they describe and write config, facts and model.

    Args:
        folder: Where to write.
        registry: Methods and components.
        spec: The method; it has an importer.
        weights: Files or folders of official weights.
        settings: Settings that are not in the weights, nested.
        photos: Faces to test ambiguous weights with.
        foundation: What the stages of the method decide.

    Returns:
        The composition, and sentences for the person who imports.

    Raises:
        ConfigError: Files that are not the method's, weights or stages that do not fit the config, photos that cannot
            be read.
    """
    assert spec.importer is not None
    shared = {"data": foundation.start["data"]} if "data" in foundation.start else {}
    arguments = _make_importer_arguments(merge(shared, settings))
    imported: Imported = import_object(spec.importer)(list(weights), arguments)
    imported.config.pop("stages", None)  # defaults; the stages that were imported or given decide
    composition, choice_notes = _choose_composition(registry, spec, imported, settings, photos, foundation)
    config, facts = composition.config, composition.facts
    untrained = sorted(set(composition.networks) - set(imported.networks))
    run = RunFolder(folder)
    run.write_config(config, facts)
    run.write_model(config, facts, composition.networks, composition.game, untrained, raw=imported.raw)
    notes = [*imported.notes, *choice_notes]
    notes += [
        f"the {name} is not in the files and starts untrained; {imported.without_untrained}" for name in untrained
    ]
    return composition, tuple(notes)


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
    registry: Registry,
    spec: MethodSpec,
    imported: Imported,
    settings: Mapping[str, Any],
    photos: Sequence[Path],
    foundation: Foundation,
) -> tuple[Composition, Sequence[str]]:
    """Build the config and the networks; if the weights are ambiguous, the importer chooses an interpretation.

    Returns:
        The composition, and notes about the choice.
    """
    base = lay_over(imported.config, settings)
    built: dict[str, Composition] = {}

    def build(layer: Mapping[str, Any]) -> Composition:
        key = json.dumps(layer, sort_keys=True)
        if key not in built:
            built[key] = _build_composition(registry, spec, imported, merge(base, layer), foundation)
        return built[key]

    facts = build({}).facts
    choice = None
    if imported.choose is not None:
        choice = imported.choose(
            Trial(
                settings=settings,
                has_photos=bool(photos),
                open_editor=lambda layer: _make_editor(build(layer)),
                read_faces=lambda: _read_trial_faces(facts, photos),
            )
        )
    if choice is not None:
        return build(choice.layer), choice.notes
    unused = "--photo: not used; these weights are unambiguous, or --set decides"
    return build({}), [unused] if photos else []


def _build_composition(
    registry: Registry, spec: MethodSpec, imported: Imported, layer: dict[str, Any], foundation: Foundation
) -> Composition:
    """Complete a config layer and build its networks with the imported weights.

    Raises:
        ConfigError: Weights that are missing, or weights or stages that do not fit the config.
    """
    config = compose_config(spec, registry, sets=layer, start=foundation.start)
    config = config.model_copy(update={"recipe": None})  # no recipe of zoogan made these weights
    more = {**foundation.find_facts(config), **imported.facts}
    facts = Facts(image_size=config.data.image_size, attributes=config.data.attributes, **more)
    config = config.model_copy(update={"data": _match_transparent_parts(config.data, facts)})
    composition = compose(config, facts, registry, foundation.open_stages(config, facts))
    missing = set(composition.networks) - set(imported.networks)
    needed = sorted(missing - set(imported.untrained))
    if needed:
        raise ConfigError(f"--weights: no file holds the {' or the '.join(needed)}; name every file of the model")
    for name in list(imported.raw):
        if list_mismatches(name, imported.raw, composition.networks[name]):
            del imported.raw[name]
            imported.notes.append(f"the {name} in training is left out: it has other shapes than its average")
    for name, state in imported.networks.items():
        check_weights_finite(state | imported.raw.get(name, {}), f"--weights: the {name}")
        try:
            composition.networks[name].load_state_dict(state)
        except RuntimeError as error:
            raise ConfigError(f"--weights: the {name}'s weights do not fit its config: {error}") from error
    composition.game.load_state_dict(composition.game.state_dict() | imported.game)
    return composition


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
