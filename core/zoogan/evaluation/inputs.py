"""The inputs of an evaluation: the run, the metrics, the source and the styles. Imports torch only when called.

Functions return messages for the user as notes, whole sentences.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from zoogan.config import ComponentConfig, check_root, merge, validate_model
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.names import import_object, suggest_name
from zoogan.paths import expand_path

if TYPE_CHECKING:
    import torch

    from zoogan.interfaces import Editor, Kind, Source, Study
    from zoogan.judges.judge import Judge, JudgeFacts
    from zoogan.runs.loaded import LoadedRun

FACES = 500  # held-out faces at most, or samples
STYLES = ("latent", "reference")


def check_jinja() -> None:
    """Check that pages can be rendered, before anything is measured.

    Raises:
        ConfigError: jinja2 is missing.
    """
    if importlib.util.find_spec("jinja2") is None:
        raise ConfigError('reports need jinja2: pip install "zoogan[evaluate]"')


def check_styles(styles: str) -> None:
    """Check `--styles`.

    Raises:
        ConfigError: The value is neither latent nor reference.
    """
    if styles not in STYLES:
        raise ConfigError(f"--styles {styles}: expected latent or reference{suggest_name(styles, STYLES)}")


def open_run(
    run: str | Path | LoadedRun, device: torch.device, registry: Registry, checkpoint: int | str | None = None
) -> tuple[LoadedRun, Path]:
    """Open a run, unless it is open already.

    Args:
        run: A run folder, `gallery:NAME` or an opened run.
        device: Where its networks go; an opened run stays where it is.
        registry: Methods and components.
        checkpoint: An iteration or `best`; None = the final model.

    Returns:
        (the run, its folder).

    Raises:
        ConfigError: There is no such run or checkpoint, or the opened run cannot be measured.
    """
    if isinstance(run, str | Path):
        from zoogan.runs.opening import load

        opened = load(run, checkpoint=checkpoint, device=device, registry=registry)
        assert opened.path is not None  # it was read from there
        return opened, opened.path
    if checkpoint is not None:
        raise ConfigError(
            "checkpoint: this run is open already; pass the path of its folder, or zoogan.load(checkpoint=)"
        )
    if run.path is None:
        raise ConfigError("run: it has no folder; pass the path of its folder, or the result of zoogan.load")
    return run, run.path


def choose_metrics(
    registry: Registry,
    names: Sequence[str] | None,
    settings: Mapping[str, Any],
    kind: Kind,
    has_parts: bool = False,
    has_layouts: bool = False,
) -> dict[str, ComponentConfig]:
    """Choose the metrics and make their configs.

    Args:
        registry: The registered metrics.
        names: Names of the metrics; None = the default ones for what is measured.
        settings: Settings of the metrics, by name.
        kind: What is measured, edits or samples.
        has_parts: Whether the samples have parts.
        has_layouts: Whether the edits are segmentations alone.

    Returns:
        The config of each metric, by name.

    Raises:
        ConfigError: A metric is unknown, settings are given for a metric that was not chosen, or settings are wrong.
    """
    from zoogan.evaluation.metrics.lookup import list_default_metrics

    available = registry.list_names("metric")
    chosen = names or list_default_metrics(registry, kind, has_parts, has_layouts)
    problems = [
        f"--metrics: no metric is called {name!r}{suggest_name(name, available)}; metrics: {', '.join(available)}"
        for name in chosen
        if name not in available
    ]
    problems += [
        f"--set {name}: not among the metrics asked for{suggest_name(name, chosen)}; they are {', '.join(chosen)}"
        for name in settings
        if name not in chosen
    ]
    configs = {}
    for name in chosen:
        if name not in available:
            continue
        try:
            config = registry.components["metric", name].config
            configs[name] = validate_model(config, settings.get(name, {}), registry, name)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return configs


def choose_source(
    registry: Registry, run: LoadedRun, name: str | None, root: Path | None, settings: Mapping[str, Any]
) -> tuple[Any, list[str]]:
    """Choose the source to measure on.

    It is the run's own, or another one with the run's image size, attributes and label set. Another folder of the
    run's kind of source is cropped and split as the run's was, so that no training face is measured on.

    Args:
        registry: The registered sources.
        run: The run to measure.
        name: Name of the source; None = the run's own.
        root: Its folder; None = as in the run, or the source's default.
        settings: Settings of the source.

    Returns:
        (the config of the source, notes).

    Raises:
        ConfigError: The source is unknown, its settings are wrong, or the run was not trained for such faces.
    """
    own = run.config.data.model_dump(mode="json")
    is_own = name is None
    name = name or str(own["source"])
    sources = registry.list_names("source")
    if name not in sources:
        raise ConfigError(
            f"--data: no source is called {name!r}{suggest_name(name, sources)}; sources: {', '.join(sources)}"
        )
    values = own if is_own else {
        "source": name, "image_size": run.facts.image_size, "attributes": list(run.facts.attributes),
    }  # fmt: skip
    if name == own["source"] and name in ("celeba", "celebamask_hq"):
        values |= {key: own[key] for key in ("crop", "split", "test_share", "masks") if key in own}
    notes: list[str] = []
    if not is_own and "label_set" not in settings:
        label_set, notes = carry_label_set(registry, own.get("label_set"), name)
        values |= label_set
    if root is not None:
        values = {**values, "root": str(expand_path(root).resolve())}
    config: Any = validate_model(registry.components["source", name].config, merge(values, settings), registry, "data")
    check_root(config, root)
    problems = [
        f"data.{key}: the run has {expected}, got {given}; a run can only be measured on what it was trained for"
        for key, given, expected in (
            ("image_size", config.image_size, run.facts.image_size),
            ("attributes", ", ".join(config.attributes), ", ".join(run.facts.attributes)),
        )
        if given != expected and (key == "image_size" or not run.editor.can_sample)
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return config, notes


def carry_label_set(registry: Registry, label_set: Any, name: str) -> tuple[dict[str, Any], list[str]]:
    """Carry a run's label set over to another source, if that source can be read with it.

    Args:
        registry: The registered sources.
        label_set: As config.yaml stores it, a name or a mapping; None = the run has none.
        name: Name of the other source.

    Returns:
        (settings of the source, notes where its own label set would have been another one).
    """
    config: Any = registry.components["source", name].config
    field = config.model_fields.get("label_set")
    if label_set is None or field is None:
        return {}, []
    settings = {"label_set": label_set}
    outcome = f"is taken for the {name} faces too; --set data.label_set=NAME takes another"
    try:
        carried = validate_model(config, {"source": name} | settings, registry, "data").label_set
    except ConfigError as error:
        settings, carried = {}, None
        outcome = f"is not taken for the {name} faces, which keep their own: {error}"
    if carried == field.get_default(call_default_factory=True):
        return settings, []
    described = label_set if isinstance(label_set, str) else ", ".join(label_set["names"])
    return settings, [f"the label set that the run was trained with ({described}) {outcome}"]


def open_labelled_source(registry: Registry, config: Any, judge: Any) -> Source:
    """Open a source with the labels of all attributes that both the judge and the source have.

    More labels change no image. Where the source refuses them, perhaps because no face shows one of them, it is opened
    with its own attributes.
    """
    list_known = getattr(import_object(registry.components["source", config.source].build), "list_attributes", None)
    known = list_known(config) if list_known and judge else ()
    added = [name for name in getattr(judge, "attributes", ()) if name in known and name not in config.attributes]
    try:
        wider = config.model_copy(update={"attributes": (*config.attributes, *added)})
        return cast("Source", registry.build("source", wider))
    except ConfigError:
        return cast("Source", registry.build("source", config))


def guide_editor(study: Study, editor: Editor) -> Editor:
    """Give an editor the styles of the study's own faces.

    Raises:
        ConfigError: The editor takes no styles from faces, or a domain has no face.
    """
    import torch

    from zoogan.pictures.photo import normalize_image

    faces = torch.arange(study.held_out_count)
    if study.source.domains:  # a hat hides the hair whose colour is the domain
        faces = (study.source.read_domains(study.split)[: study.faces] >= 0).nonzero().flatten()
    sample = study.source.read(study.split, faces.tolist())
    image, own = normalize_image(sample["image"]).to(study.device), sample["attributes"].to(study.device)
    if "visible" in sample:
        own = own.masked_fill(sample["visible"].to(study.device) < 0.5, torch.nan)
    editor.networks.eval()
    try:
        return editor.make_guided_editor(image, own, editor.read_masks(sample, image))
    except ValueError as error:
        raise ConfigError(f"--styles reference: {error} (among the {study.faces} held-out faces)") from error


def find_own_judge(judge: Judge | None, stages: Mapping[str, Any]) -> str | None:
    """Explain that a run has learned from the judge that should measure it; None if it has not.

    Args:
        judge: The judge; None = there is none.
        stages: What the run's stages gave, by name.
    """
    own = [
        name for name, opened in stages.items() if judge is not None and getattr(opened, "digest", "") == judge.digest
    ]
    if not own:
        return None
    return (
        f"the judge is stage {own[0]} of this run, which was trained with it, so its readings prove nothing; train "
        "another with zoo judge train --seed 1 --out JUDGE and add --judge JUDGE"
    )


def describe_judge_mismatch(facts: JudgeFacts, source: Source) -> str | None:
    """Warn where the cached judge of a source was trained on other files than the source has; None if it fits."""
    if facts.pictures is None or source.compute_fingerprint("train", include_origin=False) == facts.pictures:
        return None
    return (
        f"the cached judge of {facts.source} faces was trained on other pictures than these; to use another judge, "
        "train it on these with zoo judge train --out JUDGE and add --judge JUDGE"
    )


def describe_missing_fields(editor: Editor, fields: Collection[str] = ()) -> str | None:
    """Describe the data that a run was trained with and the faces to edit lack, such as heat maps; None if complete.

    Args:
        editor: Editor of the run.
        fields: Fields that the faces have.
    """
    missing = [name for name in editor.mask_fields if name not in fields]
    if not missing:
        return None
    return (
        f"this run was trained with {', '.join(missing)} from files, and these faces have none: their edits "
        "lose details of the input and may look worse than the run's samples"
    )
