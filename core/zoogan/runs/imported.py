"""To be written."""

from __future__ import annotations

import math
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoogan.config import ConfigError, DataConfig, GameConfig, compose_config, merge
from zoogan.config.registry import MethodSpec
from zoogan.names import import_object
from zoogan.plugins.host import PluginHost

if TYPE_CHECKING:
    from torch import Tensor

    from zoogan.composition.build import Composition
    from zoogan.facts import Facts
    from zoogan.importing.official import Imported
    from zoogan.interfaces import Editor


FACES = 16  # drawn ones, to try weights on
MUCH = 0.1  # mean |edit - input| of a face asked to stay as it is: reconstruction is what training weighs most


def import_weights(
    zoo: PluginHost,
    spec: MethodSpec,
    files: list[Path],
    sets: dict[str, Any],
    out: Path,
    photos: list[Path] | None = None,
) -> tuple[Editor, list[str]]:
    """Read official files, build the networks they describe and write the run. Returns its editor, and notes.

    photos: faces to try weights on that can be read in two ways; without, drawn ones.

    Raises:
        ConfigError: files that are not the method's, weights that do not fit the config, photos that cannot be read.
    """
    from zoogan.importing.official import contradicts, laid_over
    from zoogan.runs.run import RunFolder

    data = sets.get("data", {})
    if not isinstance(data, dict):
        raise ConfigError(f"--set data={data}: name the source by --set data.source={data}")
    attributes = data.get("attributes")
    settings = {} if attributes is None else {"attributes": [attributes] if isinstance(attributes, str) else attributes}
    settings |= parts_named(data.get("label_set")) | ({"source": data["source"]} if "source" in data else {})
    assert spec.importer is not None
    imported: Imported = import_object(spec.importer)(files, settings)
    layer = laid_over(imported.config, sets)
    first = built(zoo, spec, imported, layer)
    notes = list(imported.notes)
    if imported.alternative and not contradicts(sets, imported.alternative):
        other = built(zoo, spec, imported, merge(layer, imported.alternative))
        first, told = better(first, other, imported, photos or [])
        notes += told
    elif photos:
        notes.append("--photo: not looked at; there is one way only to read these weights, or --set says which")
    config, composition = first
    run = RunFolder(out)
    run.write(config, composition.facts)
    untrained = sorted(set(composition.networks) - set(imported.networks))
    run.write_model(config, composition.facts, composition.networks, composition.game, untrained, raw=imported.raw)
    notes += [f"the {name} is not in the files and starts untrained; edits do not need it" for name in untrained]
    return editor_of(composition), notes


def parts_named(label_set: Any) -> dict[str, Any]:
    """`parts` and `transparent` of the setting `data.label_set`: a name, a file or a mapping; nothing without one.

    Raises:
        ConfigError: no such set or file, or every mistake in it.
    """
    from pydantic_core import PydanticCustomError

    from zoogan.data.label_sets import read_setting

    if label_set is None:
        return {}
    try:
        found = read_setting(label_set)
    except PydanticCustomError as error:
        raise ConfigError(f"data.label_set: {error}") from error
    named = found if isinstance(found, dict) else dict(found)  # one that is not whole yet is checked with the config
    return {
        setting: named[key] for setting, key in (("parts", "names"), ("transparent", "transparent")) if named.get(key)
    }


def with_parts(data: DataConfig, facts: Facts) -> DataConfig:
    """A source whose label set is transparent where the weights are: a run's config and facts say the same."""
    kinds = getattr(data, "label_set", None)
    if kinds is None or not facts.parts or kinds.transparent == facts.transparent:
        return data
    return data.model_copy(update={"label_set": kinds.model_copy(update={"transparent": facts.transparent})})


def built(
    zoo: PluginHost, spec: MethodSpec, imported: Imported, layer: dict[str, Any]
) -> tuple[GameConfig, Composition]:
    """The complete config of a layer, and its networks with the imported weights.

    Raises:
        ConfigError: weights that are missing, or do not fit the config.
    """
    from zoogan.composition.build import compose
    from zoogan.facts import Facts
    from zoogan.runs.run import misfits

    config = compose_config(spec, zoo.registry, sets=layer)
    config = config.model_copy(update={"recipe": None})  # the weights come from no recipe of ours
    facts = Facts(image_size=config.data.image_size, attributes=config.data.attributes, **imported.facts)
    config = config.model_copy(update={"data": with_parts(config.data, facts)})
    composition = compose(config, facts, zoo.registry)
    missing = set(composition.networks) - set(imported.networks)
    needed = sorted(missing - set(imported.untrained))
    if needed:
        raise ConfigError(f"--weights: no file holds the {' or the '.join(needed)}; name every file of the model")
    for name in list(imported.raw):
        if misfits(name, imported.raw, composition.networks[name]):
            del imported.raw[name]
            imported.notes.append(f"the {name} in training is left out: it has other shapes than its average")
    for name, state in imported.networks.items():
        try:
            composition.networks[name].load_state_dict(state)
        except RuntimeError as error:
            raise ConfigError(f"--weights: the {name}'s weights do not fit its config: {error}") from error
    composition.game.load_state_dict(composition.game.state_dict() | imported.game)
    return config, composition


def better(
    first: tuple[GameConfig, Composition],
    other: tuple[GameConfig, Composition],
    imported: Imported,
    photos: list[Path],
) -> tuple[tuple[GameConfig, Composition], list[str]]:
    """The reading that gives faces back when they are asked to stay as they are, and what was seen.

    Raises:
        ConfigError: a photo that cannot be read.
    """
    from zoogan.importing.official import as_sets

    image, own, what = faces_for(first[1].facts, photos)
    figures = [change_of(editor_of(composition), image, own) for _, composition in (first, other)]
    settings = ", ".join(as_sets(imported.alternative))
    chosen = int(figures[1] < figures[0])
    told = (
        f"tried on {what} asked to stay as they are: mean |edit - input| is {figures[0]:.3f} as it stands and "
        f"{figures[1]:.3f} with {settings}; {'the second' if chosen else 'the first'} was taken"
    )
    notes = [told]
    if figures[chosen] > MUCH:
        instead = "other photos" if photos else "photos (--photo FILE), for drawn faces are not what it was trained on"
        undo = " ".join(f"--set {item}" for item in as_sets(imported.alternative))
        notes.append(
            f"neither gives faces back (expected {MUCH} or less): try {instead}, or decide by {undo} and what you see"
        )
    return (other if chosen else first), notes


def editor_of(composition: Composition) -> Editor:
    """The editor that a run of this composition will be."""
    networks = composition.networks.eval().requires_grad_(False)
    return composition.game.editor(networks, attributes=composition.facts.attributes)


def change_of(editor: Editor, image: Tensor, own: Tensor | None) -> float:
    """Mean |edit - image| of faces edited to labels that they have: `own`, or what the editor reads.

    inf if it is not finite.
    """
    import torch

    from zoogan.interfaces import Request

    with torch.no_grad():
        targets = editor.resolve(Request({}), image, own)
        change = float((editor.apply(image, targets).image - image).abs().mean())
    return change if math.isfinite(change) else math.inf


def faces_for(facts: Facts, photos: list[Path]) -> tuple[Tensor, Tensor | None, str]:
    """Faces (n, 3, s, s) in [-1, 1] to try weights on, their labels (n, a) where they are known, what they are.

    Raises:
        ConfigError: a photo that cannot be read.
    """
    import torch

    from zoogan.data.config import DrawnData
    from zoogan.data.drawn.labels import ATTRIBUTES
    from zoogan.data.drawn.source import DrawnSource
    from zoogan.pictures.photo import crop_to, read_photo, to_range

    if photos:
        crops = torch.stack([crop_to(read_photo(path), facts) for path in photos])
        return to_range(crops), None, f"{len(photos)} photos"
    known = set(facts.attributes) <= set(ATTRIBUTES)
    drawn = facts.attributes if known else DrawnData().attributes
    source = DrawnSource(DrawnData(image_size=facts.image_size, attributes=drawn, held_out=FACES))
    sample = source.read("test", list(range(FACES)))
    return to_range(sample["image"]), sample["attributes"] if known else None, f"{FACES} drawn faces"
