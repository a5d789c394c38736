"""One run, measured: the same faces, crop and order for every method."""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.files import get_cache_folder
from zoogan.interfaces import Edit, Editor, Edits, Measure, Metric, Reader, Samples, Source, Study, Unavailable, World
from zoogan.interfaces.metric import Kind, edit_to, seeds_of
from zoogan.interfaces.source import Split
from zoogan.pictures.photo import to_range

BATCH = 50
FACES = 500


@dataclass
class Findings:
    """What a study found.

    measures: (name of the metric, what it told). titles: metric -> what it is. skipped: metric -> why it told nothing.
    digests: attribute -> sha256 of the faces and that label, by which equal studies are known; None = all attributes.
    edited: attribute -> how many faces were edited; None = all together. Of samples: how many there were, whatever they
    are asked about; no digest is theirs.
    """

    measures: list[tuple[str, Measure]] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    titles: dict[str, str] = field(default_factory=dict)
    digests: dict[str | None, str] = field(default_factory=dict)
    edited: dict[str | None, int] = field(default_factory=dict)


def held_out_split(source: Source) -> Split:
    """The split to measure on.

    Raises:
        ConfigError: the source holds no faces out.
    """
    splits: tuple[Split, ...] = ("test", "valid")
    for split in splits:
        if source.size(split):
            return split
    raise ConfigError("this source holds no faces out (no test and no valid split), so nothing can be measured on it")


def open_study(
    source: Source,
    source_name: str,
    *,
    faces: int = FACES,
    seed: int = 0,
    device: torch.device | str = "cpu",
    judge: Reader | None = None,
    split: Split | None = None,
    world: World | None = None,
    editor: Editor | None = None,
    truncation: float = 1.0,
    only: frozenset[int] | None = None,
) -> Study:
    """A study of the first faces of a split, by default the one that is held out for measuring; or of so many samples.

    editor: what will be measured; by default one that edits faces and has no exclusive groups of its own.
    truncation: of samples, 0 to 1. only: see `Study`.
    world: the processes that share the work; by default all there are. `World.alone()` if one measures by itself.

    Raises:
        ConfigError: the source holds no faces out.
    """
    split = split or held_out_split(source)
    shows = "edits" if editor is None else shown_by(editor)
    return Study(
        source=source, source_name=source_name, split=split, seed=seed, device=torch.device(device),
        faces=faces if shows == "samples" else min(faces, source.size(split)), cache=get_cache_folder(),
        world=world or World(), judge=judge, shows=shows, truncation=truncation,
        exclusive=() if editor is None else editor.exclusive, only=only,
    )  # fmt: skip


def shown_by(editor: Editor) -> Kind:
    """What is measured of an editor."""
    return "samples" if editor.makes_faces else "edits"


def served_by_all(editors: Sequence[Editor], sources: Sequence[Source], faces: int) -> frozenset[int] | None:
    """The numbers of the first held-out faces that every editor serves, by the labels that its own source reads of
    them; None where that is each of them.

    Raises:
        ConfigError: there is none.
    """
    labels = [source.labels(held_out_split(source))[:faces] for source in sources]
    served = [editor.serves(own).nonzero().flatten().tolist() for editor, own in zip(editors, labels)]
    shared = frozenset.intersection(*map(frozenset, served))
    if not shared:
        raise ConfigError(
            f"of the first {faces} held-out faces none is one that all of these runs are made for: take more, --faces N"
        )
    return None if len(shared) == len(labels[0]) else shared


def unfit(metric: Metric, shows: Kind) -> str | None:
    """Why a metric cannot be asked; None if it can."""
    if shows in metric.looks_at:
        return None
    if shows == "samples":
        return "it looks at edits of faces, and this run makes faces of its own"
    return "it looks at faces that a run makes of its own, and this run edits those that it is given"


def turned(study: Study, own: Tensor, attribute: str) -> tuple[Tensor, Tensor]:
    """(targets (n, a): the attribute turned over and its rivals cleared, rows that have something to turn).

    A member of an exclusive group is set, never cleared (a face has some hair).
    """
    names = study.source.attributes
    column, groups = names.index(attribute), study.groups(attribute)
    target = own.clone()
    if groups:
        for name in {name for group in groups for name in group} & set(names):
            target[:, names.index(name)] = 0
        target[:, column] = 1
        return target, own[:, column] < 0.5
    target[:, column] = 1 - own[:, column]
    return target, torch.ones(len(own), dtype=torch.bool)


def shown(source: Source, sample: Mapping[str, Tensor], attribute: str) -> Tensor:
    """Which faces can show the attribute at all (a hat hides hair colour)."""
    if "visible" not in sample:
        return torch.ones(len(sample["attributes"]), dtype=torch.bool)
    return sample["visible"][:, source.attributes.index(attribute)] > 0.5


@torch.no_grad()
def edits_of(editor: Editor, study: Study, attribute: str, batch: int = BATCH) -> Iterator[Edits]:
    """This process's share of the edits of one attribute, batch by batch."""
    source, split, device = study.source, study.split, study.device
    mine = list(range(study.faces))[study.world.rank :: study.world.size]
    for first in range(0, len(mine), batch):
        numbers = mine[first : first + batch]
        sample = source.read(split, numbers)
        target, some = turned(study, sample["attributes"], attribute)
        some &= shown(source, sample, attribute) & editor.serves(sample["attributes"])
        if study.only is not None:
            some &= torch.tensor([number in study.only for number in numbers])
        if not bool(some.any()):
            continue
        sample = {name: part[some] for name, part in sample.items()}
        rows = [number for number, take in zip(numbers, some.tolist()) if take]
        own, target = sample["attributes"].to(device), target[some].to(device)
        image = to_range(sample["image"]).to(device)
        # The source clears what it knows to exclude the attribute by itself.
        changed = [attribute, *(name for name in study.further_rivals(attribute) if name in source.attributes)]
        wanted = {name: target[:, source.attributes.index(name)].cpu() for name in changed}
        redrawn = source.redraw(split, rows, **wanted)
        yield Edits(
            editor, attribute, faces=torch.tensor(rows), image=image, own=own, target=target,
            edit=edit_to(
                editor, image, own, target,
                seed=seeds_of(study.seed, torch.tensor(rows)), known=editor.known(sample, image),
            ),
            truth=None if redrawn is None else to_range(redrawn["image"]).to(device),
            sample=sample, redrawn=redrawn, seed=study.seed,
        )  # fmt: skip


def samples_of(editor: Editor, study: Study, batch: int = BATCH) -> Iterator[Samples]:
    """This process's share of the samples, batch by batch."""
    mine = torch.arange(study.faces)[study.world.rank :: study.world.size]
    for faces in mine.split(batch) if len(mine) else ():
        yield Samples(editor, faces, seed=study.seed, truncation=study.truncation)


def digests_of(study: Study, attributes: Sequence[str]) -> dict[str | None, str]:
    """sha256 over the pixels of every face of the study, in order, and the labels of an attribute, or (None) of all;
    and which of them are edited, where the study says."""
    pixels = hashlib.sha256()
    for first in range(0, study.faces, BATCH):
        sample = study.source.read(study.split, list(range(first, min(first + BATCH, study.faces))))
        pixels.update(sample["image"].numpy().tobytes())
    if study.only is not None:
        pixels.update(repr(sorted(study.only)).encode())
    labels = study.source.labels(study.split)[: study.faces].to(torch.uint8)
    digests: dict[str | None, str] = {}
    joint = pixels.copy()
    for attribute in sorted(attributes):  # whatever the order in which a run names them
        alone, column = pixels.copy(), labels[:, study.source.attributes.index(attribute)]
        for digest in (alone, joint):
            digest.update(attribute.encode() + column.numpy().tobytes())
        digests[attribute] = alone.hexdigest()
    digests[None] = joint.hexdigest()
    return digests


@torch.no_grad()
def examine(
    editor: Editor, study: Study, metrics: Mapping[str, Metric], attributes: Sequence[str], *, strict: bool = False
) -> Findings:
    """Show every edit of every attribute to every metric; or every sample, in a study of samples.

    A metric that cannot be computed, or raises, is told in `skipped`, and the others go on; on all processes alike.

    strict: let what a metric raises through.

    Raises:
        ConfigError: there is no face to measure on. ValueError: a study of what the editor does not show, or that was
            opened for one of other exclusive groups.
    """
    if not study.faces:
        raise ConfigError(f"split {study.split!r} has no faces to measure on")
    if study.exclusive != editor.exclusive:
        raise ValueError(f"the study was told that {study.exclusive} exclude each other, the editor {editor.exclusive}")
    if study.shows != shown_by(editor):
        raise ValueError(f"a study of {study.shows}, but {type(editor).__name__} shows {shown_by(editor)}")
    found = Findings(digests={} if study.shows == "samples" else digests_of(study, attributes))
    editor.networks.eval()
    found.skipped |= {name: why for name, metric in metrics.items() if (why := unfit(metric, study.shows))}
    fit = {name: metric for name, metric in metrics.items() if name not in found.skipped}
    ready = Guarded(study.world, fit, found.skipped, strict)
    ready.each(lambda metric: metric.start(study))
    if study.shows == "samples":
        for samples in samples_of(editor, study):
            ready.each(lambda metric, samples=samples: metric.see(samples), together=False)  # type: ignore[misc]
        found.edited[None] = study.faces
    else:
        show_edits(editor, study, ready, attributes, found)
    ready.each(lambda metric: None)  # what failed on one process counts on all of them
    told = ready.each(lambda metric: metric.measures())
    for name, measures in told.items():
        found.measures += [(name, measure) for measure in measures]
        found.titles[name] = metrics[name].title
    return found


def show_edits(editor: Editor, study: Study, ready: Guarded, attributes: Sequence[str], found: Findings) -> None:
    """Show every edit of every attribute; notes in `found` how many there were."""
    for attribute in attributes:
        count = 0
        for edits in edits_of(editor, study, attribute):
            count += len(edits.faces)
            ready.each(lambda metric, edits=edits: metric.update(edits), together=False)  # type: ignore[misc]
        found.edited[attribute] = sum(study.world.everyone(count))
        if not found.edited[attribute]:
            found.skipped[attribute] = "no face of the study can show it, or every face shows it already"
    found.edited[None] = sum(found.edited.values())


class Guarded:
    """Metrics that are asked one by one: one that fails is left out from then on, and `skipped` says why."""

    def __init__(self, world: World, metrics: dict[str, Metric], skipped: dict[str, str], strict: bool) -> None:
        self.world, self.metrics, self.skipped, self.strict = world, metrics, skipped, strict
        self.failed: dict[str, str] = {}

    def each(self, ask: Callable[[Metric], Any], together: bool = True) -> dict[str, Any]:
        """The answer of every metric. together: agree with the other processes on what failed."""
        answers = {}
        for name, metric in self.metrics.items():
            if name in self.failed:
                continue
            try:
                answers[name] = ask(metric)
            except Unavailable as reason:
                self.failed[name] = str(reason)
            except Exception as error:
                if self.strict:
                    raise
                self.failed[name] = f"it raised {type(error).__name__}: {error}"
        if together:
            for failures in self.world.everyone(self.failed):
                self.failed |= failures
            self.skipped |= self.failed
        return {name: answer for name, answer in answers.items() if name not in self.failed}


@torch.no_grad()
def faces_per_second(editor: Editor, study: Study, faces: int = BATCH, repeats: int = 3) -> float:
    """How many faces a second the editor edits, or makes, in one batch: the median of a few tries."""
    count = min(faces, study.faces)
    if study.shows == "samples":
        seeds = seeds_of(study.seed, torch.arange(count))

        def show() -> Edit:
            return editor.sample(seeds)
    else:
        sample = study.source.read(study.split, list(range(count)))
        image, own = to_range(sample["image"]).to(study.device), sample["attributes"].to(study.device)
        target = turned(study, sample["attributes"], study.source.attributes[0])[0].to(study.device)

        def show() -> Edit:
            return edit_to(editor, image, own, target, seed=study.seed, known=editor.known(sample, image))

    seconds = []
    for _ in range(repeats + 1):
        begun = time.perf_counter()
        show().image.sum().item()  # waits for the device
        seconds.append(time.perf_counter() - begun)
    return count / sorted(seconds[1:])[repeats // 2]
