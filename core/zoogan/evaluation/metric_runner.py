"""Runs metrics over the edits or the samples of a study; if one metric fails, the others continue."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch

from zoogan.errors import ConfigError
from zoogan.evaluation.study import (
    BATCH,
    give_layouts,
    iterate_edits,
    iterate_generated,
    iterate_samples,
    list_kinds,
    make_edit_targets,
)
from zoogan.interfaces import Edit, Editor, Edits, Headline, Measure, Metric, Study, Unavailable, World
from zoogan.interfaces.edits import edit_to_labels, make_face_seeds
from zoogan.interfaces.generated_edits import add_attribute, sample_faces
from zoogan.interfaces.study import Kind
from zoogan.pictures.photo import normalize_image
from zoogan.resources import free_memory, is_out_of_memory


@dataclass
class StudyMeasures:
    """The measures of a study.

    Attributes:
        measures: (name of the metric, one of its measures).
        skipped: metric -> why it has no number; attribute -> why no face was edited.
        titles: metric -> its title, one line.
        headlines: measure -> how it is shown among the headline figures.
        digests: attribute -> sha256 of the faces and that label, equal for equal studies; None = all attributes. Empty
            for samples. For edits of generated faces, of the judge that chooses them.
        edited: attribute -> number of edited faces; the key None has the total, and for samples their number.
        left_out: attribute -> number of generated faces that were not edited, because the judge reads it on them.
    """

    measures: list[tuple[str, Measure]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    headlines: dict[str, Headline] = field(default_factory=dict)
    digests: dict[str | None, str] = field(default_factory=dict)
    edited: dict[str | None, int] = field(default_factory=dict)
    left_out: dict[str, int] = field(default_factory=dict)


@torch.no_grad()
def run_metrics(
    editor: Editor, study: Study, metrics: Mapping[str, Metric], attributes: Sequence[str], *, strict: bool = False
) -> StudyMeasures:
    """Pass all edits of all attributes, or all samples, to every metric, and collect the measures.

    A metric that is unavailable or raises is left out on all processes alike, and `skipped` says why.

    Args:
        editor: The editor to measure.
        study: The faces, or how many samples.
        metrics: The metrics by name.
        attributes: Attributes to edit; ignored for samples.
        strict: Raise the errors of metrics.

    Raises:
        ConfigError: There is no face to measure on.
        ValueError: The study was opened for another kind of editor, or for other exclusive groups.
    """
    if not study.faces:
        raise ConfigError(f"split {study.split!r} has no faces to measure on")
    if study.exclusive != editor.exclusive:
        raise ValueError(f"exclusive groups differ: {study.exclusive} in the study, {editor.exclusive} in the editor")
    if study.clears != editor.clears:
        raise ValueError(f"cleared attributes differ: {study.clears} in the study, {editor.clears} in the editor")
    if study.kind not in list_kinds(editor):
        raise ValueError(f"a study of {study.kind}, but {type(editor).__name__} shows {', '.join(list_kinds(editor))}")
    if study.kind == "samples" and editor.paints_layouts:
        give_layouts(editor, study)
    findings = StudyMeasures(digests=hash_study(study, attributes))
    editor.networks.eval()
    for name, metric in metrics.items():
        if reason := explain_mismatch(metric, study.kind, editor):
            findings.skipped[name] = reason
    fitting = {name: metric for name, metric in metrics.items() if name not in findings.skipped}
    runner = MetricRunner(study.world, fitting, findings.skipped, strict)
    runner.call_each(lambda metric: metric.start(study))
    if study.kind == "samples":
        for samples in iterate_samples(editor, study):
            runner.call_each(lambda metric, samples=samples: metric.update_samples(samples), together=False)  # type: ignore[misc]
        findings.edited[None] = study.faces
    else:
        feed_edits(editor, study, runner, attributes, findings)
    runner.call_each(lambda metric: None)  # agree on failures before metrics exchange rows
    for name, measures in runner.call_each(lambda metric: metric.compute()).items():
        findings.measures += [(name, measure) for measure in measures]
        findings.titles[name] = metrics[name].title
        findings.headlines |= metrics[name].headlines
    return findings


def explain_mismatch(metric: Metric, kind: Kind, editor: Editor) -> str | None:
    """Explain why a metric cannot measure the edits or samples of an editor; None if it can."""
    if kind in metric.kinds:
        if "image" in metric.reads and not editor.makes_images:
            return "it measures images, and this run's edits are maps of parts and have no image"
        if "segmentation" in metric.reads and not editor.parts:
            return "it measures maps of parts, and this run's edits have none"
        return None
    if kind == "generated":
        suffix = "; add --kind samples" if "samples" in metric.kinds else ""
        return f"it does not measure edits of generated faces, which have no labels and no true redraw{suffix}"
    if kind == "samples":
        return "it measures edits of faces, and this run generates faces"
    return "it measures generated faces, and this run edits given faces"


def feed_edits(
    editor: Editor, study: Study, runner: MetricRunner, attributes: Sequence[str], findings: StudyMeasures
) -> None:
    """Pass every edit of every attribute to the metrics, and count the edits in `findings`."""
    for attribute in attributes:
        count = 0
        if study.kind == "generated" and (study.judge is None or attribute not in study.judge.attributes):
            findings.skipped[attribute] = "the judge does not read it, so nobody knows which faces show it"
            continue
        for edits in iterate_batches(editor, study, attribute):
            count += len(edits.faces)
            runner.call_each(lambda metric, edits=edits: metric.update(edits), together=False)  # type: ignore[misc]
        findings.edited[attribute] = sum(study.world.gather_objects(count))
        if study.kind == "generated":
            findings.left_out[attribute] = study.faces - findings.edited[attribute]
        if not findings.edited[attribute]:
            findings.skipped[attribute] = "no face of the study can show it, or every face shows it already"
    findings.edited[None] = sum(findings.edited.values())


def iterate_batches(editor: Editor, study: Study, attribute: str) -> Iterator[Edits]:
    """Iterate over this process's share of the edits of one attribute, of given or of generated faces."""
    if study.kind == "generated":
        yield from iterate_generated(editor, study, attribute)
    else:
        yield from iterate_edits(editor, study, attribute)


class MetricRunner:
    """Calls metrics one by one and leaves out those that fail.

    Args:
        world: The processes that measure together.
        metrics: The metrics by name.
        skipped: The reason of each metric that fails is added here.
        strict: Raise what a metric raises, apart from `Unavailable`.
    """

    def __init__(self, world: World, metrics: dict[str, Metric], skipped: dict[str, str], strict: bool) -> None:
        self.world, self.metrics, self.skipped, self.strict = world, metrics, skipped, strict
        self.failed: dict[str, str] = {}

    def call_each(self, call: Callable[[Metric], Any], together: bool = True) -> dict[str, Any]:
        """Call every metric that has not failed.

        Args:
            call: What to do with a metric.
            together: Agree with the other processes on which metrics failed; all processes must call this together.

        Returns:
            The result of each metric that has not failed, by name.
        """
        results = {}
        for name, metric in self.metrics.items():
            if name in self.failed:
                continue
            try:
                results[name] = call(metric)
            except Unavailable as reason:
                self.failed[name] = str(reason)
            except Exception as error:
                if self.strict:
                    raise
                self.failed[name] = f"it raised {type(error).__name__}: {error}"
        if together:
            for failures in self.world.gather_objects(self.failed):
                self.failed |= failures
            self.skipped |= self.failed
        return {name: result for name, result in results.items() if name not in self.failed}


def hash_study(study: Study, attributes: Sequence[str]) -> dict[str | None, str]:
    """Hash what decides which faces are edited, see `StudyMeasures.digests`."""
    if study.kind == "edits":
        return hash_faces(study, attributes)
    if study.kind == "samples" or study.judge is None:
        return {}
    digest = hashlib.sha256(f"judge {study.judge.digest}".encode()).hexdigest()
    return {name: digest for name in (None, *attributes)}


def hash_faces(study: Study, attributes: Sequence[str]) -> dict[str | None, str]:
    """Hash the faces and labels of a study, so that equal studies are recognised.

    Args:
        study: The study whose faces are hashed.
        attributes: The attributes whose labels are hashed.

    Returns:
        sha256 of the pixels of all faces in order, the numbers of the edited faces where the study limits them, and
        the labels: by attribute, and under None of all attributes together.
    """
    pixels = hashlib.sha256()
    for first in range(0, study.faces, BATCH):
        sample = study.source.read(study.split, list(range(first, min(first + BATCH, study.faces))))
        pixels.update(sample["image"].numpy().tobytes())
    if study.face_numbers is not None:
        pixels.update(repr(sorted(study.face_numbers)).encode())
    labels = study.source.read_labels(study.split)[: study.faces].to(torch.uint8)
    digests: dict[str | None, str] = {}
    joint = pixels.copy()
    for attribute in sorted(attributes):  # the order in which a run names them must not matter
        alone, column = pixels.copy(), labels[:, study.source.attributes.index(attribute)]
        for digest in (alone, joint):
            digest.update(attribute.encode() + column.numpy().tobytes())
        digests[attribute] = alone.hexdigest()
    digests[None] = joint.hexdigest()
    return digests


@torch.no_grad()
def measure_speed(editor: Editor, study: Study, faces: int = BATCH, repeats: int = 3) -> float:
    """Measure how many faces a second an editor edits or makes.

    Args:
        editor: The editor to measure.
        study: The faces and the device.
        faces: Number of faces of the one batch, at most.
        repeats: Number of timed runs, after one warm-up run; the median is returned.
    """
    count = min(faces, study.faces)
    if study.kind == "samples":
        seeds = make_face_seeds(study.seed, torch.arange(count))

        def run_editor() -> Edit:
            return editor.sample(seeds)
    elif study.kind == "generated":
        numbers = torch.arange(count)
        faces_made = sample_faces(editor, study.seed, numbers, study.truncation)

        def run_editor() -> Edit:
            return add_attribute(editor, faces_made, study.generated_attributes[0])
    else:
        sample = study.source.read(study.split, list(range(count)))
        image, own = normalize_image(sample["image"]).to(study.device), sample["attributes"].to(study.device)
        target = make_edit_targets(study, sample["attributes"], study.source.attributes[0])[0].to(study.device)

        def run_editor() -> Edit:
            return edit_to_labels(editor, image, own, target, seed=study.seed, masks=editor.read_masks(sample, image))

    seconds: list[float] = []
    edit: Edit | None = None
    for _ in range(repeats + 1):
        start = time.perf_counter()
        try:
            edit = run_editor()
        except Exception as error:
            if count == 1 or not is_out_of_memory(error):
                raise
            edit = None
        if edit is None:
            free_memory()
            return measure_speed(editor, study, count // 2, repeats)
        shown = edit.segmentation if edit.image_or_none is None else edit.image_or_none
        assert shown is not None
        shown.sum().item()  # waits for the device
        seconds.append(time.perf_counter() - start)
    return count / sorted(seconds[1:])[repeats // 2]
