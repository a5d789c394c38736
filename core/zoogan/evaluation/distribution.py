"""Edits or samples as a set against a set of real faces: what the Frechet, kernel and manifold metrics share.

The protocol. Per attribute, the generated faces are the edits, all of them flips. The real ones are as many faces of
the train split, drawn without repetition so that the edited attribute is shown as often as the edits were asked to show
it: a perfect editor's faces would look like them. Samples are one set, and the real ones as many faces of the train
split, drawn without repetition (all of them, if it has no more). Both go through one resizer and one network.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import ClassVar, Generic, Literal, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from zoogan.config import component_name
from zoogan.evaluation.distribution_config import DistributionConfig
from zoogan.evaluation.features import Features, open_features
from zoogan.evaluation.reals import SPLIT, RealFaces, any_faces, real_faces, reference
from zoogan.facts import Facts
from zoogan.interfaces.metric import Edits, Kind, Measure, Metric, Samples, Study, Unavailable
from zoogan.interfaces.statistic import Statistic, Whole
from zoogan.interfaces.world import World

S = TypeVar("S")
# What is held against what, by what is shown.
SETS: Mapping[Kind, tuple[str, str]] = {
    "edits": ("edits", "real faces that show the attribute as often"),
    "samples": ("samples", "real faces"),
}


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
        self.config, self.name, self._given = config, component_name(config), features
        self.name_sets("edits")

    def name_sets(self, shows: Kind) -> None:
        """Say in the title what is held against what."""
        self.title = f"{self.titled.format(*SETS[shows])}, through {self.config.backbone}"

    @abstractmethod
    def keep(self, dimensions: int, device: torch.device) -> K:
        """An empty store."""

    @abstractmethod
    def compare(
        self, attribute: str | None, generated: K, real: Float[Tensor, "m d"], faces: Tensor, wanted: Tensor
    ) -> Mapping[str, tuple[Statistic, str]]:
        """The numbers of one attribute, or of the samples, each with its note, by the end of its name: `""`, `.recall`.

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
        self.name_sets(study.shows)
        self.features = self._given or open_features(self.config, study)
        self.kept: dict[str | None, K] = {}
        self.seen: dict[str | None, list[tuple[Tensor, Tensor]]] = {}
        attributes: tuple[str | None, ...] = (None,) if sampled else study.source.attributes
        for attribute in attributes:  # all of them, so that every process joins the same ones
            self.kept[attribute] = self.keep(self.features.dimensions, study.device)
            self.seen[attribute] = [(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool))]

    def update(self, edits: Edits) -> None:
        """See a batch."""
        self.kept[edits.attribute].add(self.features.of(edits))
        self.seen[edits.attribute].append((edits.faces.cpu(), edits.wanted.cpu() > 0.5))

    def see(self, samples: Samples) -> None:
        """See a batch."""
        self.kept[None].add(self.features.of(samples))
        self.seen[None].append((samples.faces.cpu(), torch.zeros(len(samples.faces), dtype=torch.bool)))

    def measures(self) -> list[Measure]:
        """The numbers of every attribute that was edited, or of the samples; nan where there were too few faces."""
        return [measure for attribute in self.kept for measure in self.of(attribute)]

    def reals(self, attribute: str | None, wanted: Bool[Tensor, " n"], *, others: bool = False) -> RealFaces:
        """What the generated faces are held against; see `real_faces`."""
        source, seed = self.study.source, self.study.seed
        if attribute is None:
            return any_faces(source, len(wanted), seed, others=others)
        return real_faces(source, attribute, wanted, seed, others=others)

    def of(self, attribute: str | None) -> list[Measure]:
        """The numbers of one attribute, or of the samples; none if there was nothing to see."""
        faces, wanted = (self.gathered(attribute, column) for column in (0, 1))
        generated = self.kept[attribute].joined(self.study.world)
        if not len(faces):
            return []
        real = self.reals(attribute, wanted > 0)
        sets = f"{len(faces)} {self.study.shows}, {len(real.indices)} {SPLIT} faces"
        if min(len(faces), len(real.indices)) < self.config.minimum:
            digest = ""
            found = self.nothing(faces, f"too few images, {self.config.minimum} needed ({self.name}.minimum)")
        else:
            known = reference(real, self.features, self.study)
            digest = known.digest
            sets += f" (set {known.digest[:12]}, seed {self.study.seed})"
            found = self.compare(attribute, generated, known.features, faces, wanted > 0)
        return [
            self.measure(attribute, end, statistic, f"{sets}; {note}", digest)
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

    def gathered(self, attribute: str | None, column: int) -> Int64[Tensor, " n"]:
        """A column of what was seen of all processes, row by row as the features are joined."""
        own = torch.cat([rows[column] for rows in self.seen[attribute]]).long()
        return self.study.world.gather_all(own.to(self.study.device)).cpu()
