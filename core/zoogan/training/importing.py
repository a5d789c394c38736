"""Importing official weights into a run; `zoo import` calls the same function."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoogan.config.stages import check_stage_names
from zoogan.plugins.host import PluginHost, get_zoo
from zoogan.runs.imported import ImportedRun, check_new_folder, find_importable_method, import_run
from zoogan.training.configure import merge_options
from zoogan.training.stages.importing import import_staged_run


def import_weights(
    method: str,
    weights: str | Path | Sequence[str | Path],
    *,
    out: str | Path,
    settings: Mapping[str, Any] | None = None,
    photos: Sequence[str | Path] = (),
    stages: Mapping[str, Any] | None = None,
    zoo: PluginHost | None = None,
) -> ImportedRun:
    """Read official weights, build the networks that they describe and write a run, whole or not at all.

    The files of a method made of stages are sorted by what they hold: each goes to the importer of its stage.

    Args:
        method: The name of the method.
        weights: Files or folders of official weights, in any order.
        out: The run folder to create.
        settings: Settings that are not in the weights, nested: `{"data": {"attributes": ["Black_Hair", "Male"]}}`.
        photos: Faces to test ambiguous weights with; by default drawn faces.
        stages: For methods made of stages, by name: a result to copy (a run, a judge, official weights), or None to
            leave an optional stage out. Optional stages without files are left out.
        zoo: Methods and components; None = those of all installed plugins.

    Raises:
        ConfigError: A method without importer, a folder in use, files that are not the method's or are missing, weights
            that do not fit the config or each other, photos that cannot be read.
    """
    zoo, folder = zoo or get_zoo(), Path(out)
    spec = find_importable_method(zoo, method)
    layer = merge_options(settings or {}, stages=stages)
    check_stage_names(spec.name, spec.stages, layer.get("stages", {}))
    check_new_folder(folder)
    files = [Path(file) for file in ([weights] if isinstance(weights, str | Path) else weights)]
    make_run = import_staged_run if spec.stages else import_run
    return make_run(method, files, out=folder, settings=layer, photos=[Path(photo) for photo in photos], zoo=zoo)
