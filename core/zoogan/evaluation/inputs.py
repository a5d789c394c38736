"""To be written."""

from __future__ import annotations

import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import typer

from zoogan.config import ComponentConfig, ConfigError, merge, validate_model
from zoogan.config.registry import Registry
from zoogan.names import import_object, suggest_name

if TYPE_CHECKING:
    from zoogan.interfaces import Editor, Kind, Source, Study
    from zoogan.judges.judge import JudgeFacts
    from zoogan.runs.loaded import LoadedRun


def metric_configs(
    registry: Registry, names: str | None, sets: Mapping[str, Any], shows: Kind, parts: bool = False
) -> dict[str, ComponentConfig]:
    """The config of each metric asked for, by name; by default of those that look at what is shown.

    parts: whether what is shown has parts.

    Raises:
        ConfigError: unknown metrics, options of metrics that were not asked for, bad options.
    """
    from zoogan.evaluation.config import DEFAULTS, OF_PARTS

    known = registry.names("metric")
    usual = [*DEFAULTS[shows], *(OF_PARTS if parts else ())]
    asked = [name.strip() for name in names.split(",") if name.strip()] if names else usual
    problems = [
        f"--metrics: no metric is called {name!r}{suggest_name(name, known)}; metrics: {', '.join(known)}"
        for name in asked
        if name not in known
    ]
    problems += [
        f"--set {name}: not among the metrics asked for{suggest_name(name, asked)}; they are {', '.join(asked)}"
        for name in sets
        if name not in asked
    ]
    configs = {}
    for name in asked:
        if name not in known:
            continue
        try:
            configs[name] = validate_model(
                registry.components["metric", name].config, sets.get(name, {}), registry, name
            )
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return configs


def source_config(
    registry: Registry, run: LoadedRun, data: str | None, root: Path | None, sets: Mapping[str, Any]
) -> Any:
    """What to measure on: the run's own data, or another source with the run's size, attributes and label set.

    Raises:
        ConfigError: an unknown source, or settings that it does not have.
    """
    own = run.config.data.model_dump(mode="json")
    name = data or str(own["source"])
    known = registry.names("source")
    if name not in known:
        raise ConfigError(
            f"--data: no source is called {name!r}{suggest_name(name, known)}; sources: {', '.join(known)}"
        )
    values = own if name == own["source"] and data is None else {
        "source": name, "image_size": run.facts.image_size, "attributes": list(run.facts.attributes),
    }  # fmt: skip
    if name == own["source"] and name in ("celeba", "celebamask_hq"):
        # As it was trained: cut alike, and on no face of its training.
        values |= {key: own[key] for key in ("crop", "split", "test_share", "masks") if key in own}
    if values is not own and "label_set" not in sets:
        values |= label_set_carried(registry, own.get("label_set"), name)
    if root is not None:
        values = {**values, "root": str(root.expanduser().resolve())}
    config: Any = validate_model(registry.components["source", name].config, merge(values, sets), registry, "data")
    wrong = [
        f"data.{key}: the run has {theirs}, got {ours}; a run can only be measured on what it was trained for"
        for key, ours, theirs in (
            ("image_size", config.image_size, run.facts.image_size),
            ("attributes", ", ".join(config.attributes), ", ".join(run.facts.attributes)),
        )
        if ours != theirs and (key == "image_size" or not run.editor.makes_faces)
    ]
    if wrong:
        raise ConfigError("\n".join(wrong))
    return config


def label_set_carried(registry: Registry, own: Any, name: str) -> dict[str, Any]:
    """A run's `label_set` as a setting of another source, if that knows label sets and can be read as this one. Says
    so where the source's own would be another.

    own: as `config.yaml` keeps it, a name or a mapping; None = the run has none.
    """
    from zoogan.interfaces import World

    config: Any = registry.components["source", name].config
    field = config.model_fields.get("label_set")
    if own is None or field is None:
        return {}
    told = own if isinstance(own, str) else ", ".join(own["names"])
    carried, said = {"label_set": own}, f"is taken for the {name} faces too; --set data.label_set=NAME takes another"
    try:
        found = validate_model(config, {"source": name} | carried, registry, "data").label_set
    except ConfigError as error:
        carried, found, said = {}, None, f"is not taken for the {name} faces, which keep their own: {error}"
    if World().rank == 0 and found != field.get_default(call_default_factory=True):
        typer.echo(f"note: the label set that the run was trained with ({told}) {said}", err=True)
    return carried


def labelled(registry: Registry, data: Any, judge: Any) -> Source:
    """The source with labels of all that the judge knows, as far as it has them; they change no picture."""
    tell = getattr(import_object(registry.components["source", data.source].build), "known_attributes", None)
    known = tell(data) if tell and judge else ()
    more = [name for name in getattr(judge, "attributes", ()) if name in known and name not in data.attributes]
    try:
        wider = data.model_copy(update={"attributes": (*data.attributes, *more)})
        return cast("Source", registry.build("source", wider))
    except ConfigError:  # perhaps an attribute that no face of these shows
        return cast("Source", registry.build("source", data))


def guided_by(study: Study, editor: Editor) -> Editor:
    """The editor with the styles of the study's own faces.

    Raises:
        ConfigError: it takes no styles from faces, or a domain has no face.
    """
    from zoogan.pictures.photo import to_range

    shows = study.source.domain(study.split)[: study.faces] >= 0  # a hat hides the hair whose colour is the domain
    sample = study.source.read(study.split, shows.nonzero().flatten().tolist())
    editor.networks.eval()
    try:
        return editor.guided(to_range(sample["image"]).to(study.device), sample["attributes"].to(study.device))
    except ValueError as error:
        raise ConfigError(f"--styles reference: {error} (the {study.faces} held-out faces were looked at)") from error


def judge_for(path: Path | None, source: str, image_size: int) -> Any:
    """The judge that was named, or that of the source in the cache; None where there is none.

    Raises:
        ConfigError: the named one cannot be opened.
    """
    from zoogan.judges.judge import judge_in_cache, load_judge

    if path is not None:
        return load_judge(path)
    judge, trouble = judge_in_cache(source, image_size)
    if trouble:
        typer.echo(f"note: {trouble}", err=True)
    return judge


def check_learnt(facts: JudgeFacts, source: Source) -> None:
    """Say so where the judge that was found for a source learnt from other files than this one has."""
    from zoogan.interfaces import World

    if facts.pictures is None or source.fingerprint("train", dated=False) == facts.pictures or World().rank:
        return
    typer.echo(
        f"note: the judge of {facts.source} faces in the cache learnt from other pictures than these; if it should not "
        "judge them, train one on these with zoo judge train --out JUDGE and name it by --judge JUDGE",
        err=True,
    )


def check_pages() -> None:
    """That reports can be written, before anything is measured.

    Raises:
        ConfigError: jinja2 is missing.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigError('reports need jinja2: pip install "zoogan[evaluate]"')
