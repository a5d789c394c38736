"""Edits or samples as a set against a set of real faces: what the Frechet, kernel and manifold metrics share.

The protocol. Per attribute, the generated faces are the edits, all of them flips. The real ones are as many faces of
the train split, drawn without repetition so that the edited attribute is shown as often as the edits were asked to show
it: a perfect editor's faces would look like them. Samples are one set, and the real ones as many faces of the train
split, drawn without repetition (all of them, if it has no more). Both go through one resizer and one network.

Edits may be looked at several times, by other seeds (`draws`), and as StarGAN v2's authors do (`pairs`): those from one
domain to another are a set, the real ones are of the second domain, and the number is the mean over all such pairs.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from typing import ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from zoogan.auxiliary.config import DistributionConfig
from zoogan.auxiliary.features import Features, open_features
from zoogan.config import get_component_name
from zoogan.evaluation.metrics.reals import SPLIT, RealFaces, any_faces, real_faces, reference
from zoogan.facts import Facts
from zoogan.interfaces.metric import Edits, Kind, Measure, Metric, Samples, Study, Unavailable
from zoogan.interfaces.source import domain_of
from zoogan.interfaces.statistic import Statistic, Whole
from zoogan.interfaces.world import World

S = TypeVar("S")
# What is held against what, by what is shown.
SETS: Mapping[Kind | Literal["pairs"], tuple[str, str]] = {
    "edits": ("edits", "real faces that show the attribute as often"),
    "pairs": ("edits from one domain to another", "real faces of the second, mean over pairs"),
    "samples": ("samples", "real faces"),
}


class Task(NamedTuple):
    """What one set was asked to show: an attribute; in pairs, the second of two domains; nothing, of samples.

    pair: the domains, indices into the source's.
    """

    attribute: str | None = None
    pair: tuple[int, int] | None = None


@runtime_checkable
class Keeps(Protocol):
    """What a metric keeps of the features it sees, batch after batch."""

    def add(self, features: Float[Tensor, "n d"]) -> None:
        """See a batch."""

    def joined(self: S, world: World) -> S:
        """That of all processes."""


class Rows:
    """Every feature vector, in the order it came; then that of the processes."""

    def __init__(self, dimensions: int, device: torch.device) -> None:
        self.device = device
        self.parts = [torch.zeros(0, dimensions)]

    def add(self, features: Float[Tensor, "n d"]) -> None:
        """See a batch."""
        self.parts.append(features)

    def joined(self, world: World) -> Rows:
        """All processes' rows, in rank order."""
        rows = Rows(self.parts[0].shape[1], self.device)
        rows.add(world.gather_all(self.all().to(self.device)).cpu())
        return rows

    def all(self) -> Float[Tensor, "n d"]:
        """The rows."""
        return torch.cat(self.parts)


K = TypeVar("K", bound=Keeps)
Better = Literal["higher", "lower"]


class Distribution(Metric, Generic[K]):
    """Role `metric`: one number or a few for each attribute, from features of its edits and of real faces; and for
    samples, which have no attribute.

    titled: the title with {} for the two sets.

    Args:
        features: the network; by default the one that the config names.
    """

    looks_at = ("edits", "samples")
    titled: ClassVar[str]

    def __init__(
        self, config: DistributionConfig, facts: Facts | None = None, *, features: Features | None = None
    ) -> None:
        self.config, self.name, self._given = config, get_component_name(config), features
        self.name_sets("edits")

    def name_sets(self, shows: Kind | Literal["pairs"]) -> None:
        """Say in the title what is held against what."""
        self.title = f"{self.titled.format(*SETS[shows])}, through {self.config.backbone}"

    @abstractmethod
    def keep(self, dimensions: int, device: torch.device) -> K:
        """An empty store."""

    @abstractmethod
    def compare(
        self, task: Task, generated: K, real: Float[Tensor, "m d"], faces: Tensor, wanted: Tensor
    ) -> Mapping[str, tuple[Statistic, str]]:
        """The numbers of one set, each with its note, by the end of its name: `""`, `.recall`.

        faces: numbers of the generated faces, row by row as they are in `generated`; wanted: what each should show.
        """

    @abstractmethod
    def ends(self) -> Mapping[str, Better]:
        """The ends of the names of all numbers, each with which way is good."""

    def start(self, study: Study) -> None:
        """Open the network.

        Raises:
            Unavailable: no weights, no library, or too few faces.
        """
        sampled = study.shows == "samples"
        shown = {"samples": study.faces} if sampled else {f"{study.split} faces": study.held_out}
        for what, count in ({f"{SPLIT} faces": study.source.size(SPLIT)} | shown).items():
            if count < self.config.minimum:
                message = f"too few images: {count} {what}, {self.config.minimum} needed ({self.name}.minimum)"
                raise Unavailable(message)
        self.study = study
        self.tasks = self.tasks_of(study)  # all of them, so that every process joins the same ones
        self.name_sets("pairs" if self.config.pairs else study.shows)
        self.features = self._given or open_features(self.config, study)
        self.kept = {task: self.keep(self.features.dimensions, study.device) for task in self.tasks}
        self.varied = False  # whether another seed made another edit
        nobody = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool)
        self.seen: dict[Task, list[tuple[Tensor, Tensor]]] = {task: [nobody] for task in self.tasks}

    def tasks_of(self, study: Study) -> list[Task]:
        """The sets that this study may fill.

        Raises:
            Unavailable: options that are about edits, or about domains, where there are none.
        """
        config, domains = self.config, study.source.domains
        if study.shows == "samples":
            if config.draws > 1 or config.pairs:
                option = "pairs" if config.pairs else "draws"
                raise Unavailable(f"{self.name}.{option} is about edits of faces, and these are samples: leave it out")
            return [Task()]
        if not config.pairs:
            return [Task(attribute) for attribute in study.source.attributes]
        if len(domains) < 2:
            raise Unavailable(
                f"{self.name}.pairs needs two domains or more, as one attribute makes them, or a group of which a face "
                f"shows one; these faces have {', '.join(study.source.attributes)}: leave it out"
            )
        return [Task(pair=pair) for pair in permutations(range(len(domains)), 2)]

    def update(self, edits: Edits) -> None:
        """See a batch."""
        draws = self.config.draws
        rows = self.features.of(edits, draws)
        first, *others = rows.chunk(draws)
        self.varied = self.varied or any(not torch.equal(first, other) for other in others)
        for task in self.tasks:
            some = self.belong(edits, task)
            if bool(some.any()):
                again = some.repeat(draws)
                faces, wanted = (part.cpu().repeat(draws)[again] for part in (edits.faces, edits.wanted > 0.5))
                self.kept[task].add(rows[again])
                self.seen[task].append((faces, wanted))

    def belong(self, edits: Edits, task: Task) -> Bool[Tensor, " n"]:
        """Which edits of a batch a set is made of."""
        if task.pair is None:
            return torch.full((len(edits.faces),), edits.attribute == task.attribute)
        own, target = (domain_of(labels.cpu(), len(self.study.source.domains)) for labels in (edits.own, edits.target))
        return (own == task.pair[0]) & (target == task.pair[1])

    def see(self, samples: Samples) -> None:
        """See a batch."""
        (task,) = self.tasks
        self.kept[task].add(self.features.of(samples))
        self.seen[task].append((samples.faces.cpu(), torch.zeros(len(samples.faces), dtype=torch.bool)))

    def measures(self) -> list[Measure]:
        """The numbers of every attribute that was edited, of the pairs, or of the samples; nan where there were too few
        faces.

        Raises:
            Unavailable: several draws of an editor that draws nothing.
        """
        told = {task: found for task in self.tasks if (found := self.of(task))}
        draws = self.config.draws
        if told and draws > 1 and not any(self.study.world.everyone(self.varied)):
            raise Unavailable(f"{self.name}.draws={draws}: these edits are the same by every seed: leave it out")
        if self.config.pairs and told:
            return [self.mean_over(list(told), parts) for parts in zip(*told.values())]
        return [measure for found in told.values() for measure in found]

    def mean_over(self, tasks: Sequence[Task], parts: Sequence[Measure]) -> Measure:
        """The mean of one number over pairs; its note says each."""
        names, values = self.study.source.domains, [part.statistic.value() for part in parts]
        pairs = [f"{names[task.pair[0]]} to {names[task.pair[1]]}" for task in tasks if task.pair is not None]
        told = "; ".join(
            f"{pair} {value:.4g} ({part.statistic.faces()} faces)" for pair, value, part in zip(pairs, values, parts)
        )
        sets = " ".join(part.reference or "" for part in parts)
        mean = Whole(torch.cat([part.statistic.face for part in parts]), sum(values) / len(values))
        note = f"mean over {len(pairs)} pairs: {told}. The first: {parts[0].note}"
        return replace(parts[0], statistic=mean, reference=hashlib.sha256(sets.encode()).hexdigest(), note=note)

    def reals(self, task: Task, wanted: Bool[Tensor, " n"], *, others: bool = False) -> RealFaces:
        """What a set is held against; see `real_faces`."""
        source, seed = self.study.source, self.study.seed
        if task.attribute is None:
            domain = None if task.pair is None else task.pair[1]
            return any_faces(source, len(wanted), seed, domain=domain, others=others)
        return real_faces(source, task.attribute, wanted, seed, others=others)

    def of(self, task: Task) -> list[Measure]:
        """The numbers of one set; none if there was nothing to see."""
        faces, wanted = (self.gathered(task, column) for column in (0, 1))
        generated = self.kept[task].joined(self.study.world)
        if not len(faces):
            return []
        real, draws = self.reals(task, wanted > 0), self.config.draws
        sets = f"{len(faces)} {self.study.shows}{f' ({draws} of a face)' if draws > 1 else ''}"
        sets += f", {len(real.indices)} {SPLIT} faces"
        if min(len(faces), len(real.indices)) < self.config.minimum:
            digest = ""
            found = self.nothing(faces, f"too few images, {self.config.minimum} needed ({self.name}.minimum)")
        else:
            known = reference(real, self.features, self.study)
            digest = known.digest
            sets += f" (set {known.digest[:12]}, seed {self.study.seed})"
            found = self.compare(task, generated, known.features, faces, wanted > 0)
        return [
            self.measure(task.attribute, end, statistic, f"{sets}; {note}", digest)
            for end, (statistic, note) in found.items()
        ]

    def nothing(self, faces: Tensor, why: str) -> Mapping[str, tuple[Statistic, str]]:
        """What stands in for numbers that cannot be had."""
        return {end: (Whole(faces, float("nan")), why) for end in self.ends()}

    def measure(self, attribute: str | None, end: str, statistic: Statistic, note: str, reference: str) -> Measure:
        """One number with all that must be known to compare it."""
        return Measure(
            self.name + end,
            attribute,
            statistic,
            self.ends()[end],
            backbone=self.features.name,
            weights=self.features.weights,
            resizer=self.features.resizer,
            reference=reference,
            note=note,
            libraries=self.features.libraries,
        )

    def gathered(self, task: Task, column: int) -> Int64[Tensor, " n"]:
        """A column of what was seen of all processes, row by row as the features are joined."""
        own = torch.cat([rows[column] for rows in self.seen[task]]).long()
        return self.study.world.gather_all(own.to(self.study.device)).cpu()
