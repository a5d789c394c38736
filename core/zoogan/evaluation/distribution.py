"""Edits as a set against a set of real faces: what the Frechet, kernel and manifold metrics share.

The protocol. Per attribute, the generated faces are the edits, all of them flips. The real ones are as many faces of
the train split, drawn without repetition so that the edited attribute is shown as often as the edits were asked to show
it: a perfect editor's faces would look like them. Both go through one resizer and one network.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping
from typing import Generic, Literal, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from zoogan.config import component_name
from zoogan.evaluation.distribution_config import DistributionConfig
from zoogan.evaluation.features import Features, open_features
from zoogan.evaluation.reals import SPLIT, real_faces, reference
from zoogan.facts import Facts
from zoogan.interfaces.metric import Edits, Measure, Metric, Study, Unavailable
from zoogan.interfaces.statistic import Statistic, Whole
from zoogan.interfaces.world import World

S = TypeVar("S")


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
    """Role `metric`: one number or a few for each attribute, from features of its edits and of real faces.

    Args:
        features: the network; by default the one that the config names.
    """

    def __init__(
        self, config: DistributionConfig, facts: Facts | None = None, *, features: Features | None = None
    ) -> None:
        self.config, self.name, self._given = config, component_name(config), features
        self.title = f"{type(self).title}, through {config.backbone}"

    @abstractmethod
    def keep(self, dimensions: int, device: torch.device) -> K:
        """An empty store."""

    @abstractmethod
    def compare(
        self, attribute: str, generated: K, real: Float[Tensor, "m d"], faces: Tensor, wanted: Tensor
    ) -> Mapping[str, tuple[Statistic, str]]:
        """The numbers of one attribute, each with its note, by the end of its name: `""`, or `.recall`.

        faces: numbers of the edited faces, row by row as they are in `generated`; wanted: what each should show.
        """

    @abstractmethod
    def ends(self) -> Mapping[str, Better]:
        """The ends of the names of all numbers, each with which way is good."""

    def start(self, study: Study) -> None:
        """Open the network.

        Raises:
            Unavailable: no weights, no library, or too few faces.
        """
        sizes = {SPLIT: study.source.size(SPLIT), study.split: min(study.faces, study.source.size(study.split))}
        for split, faces in sizes.items():
            if faces < self.config.minimum:
                message = f"too few images: {faces} {split} faces, {self.config.minimum} needed ({self.name}.minimum)"
                raise Unavailable(message)
        self.study = study
        self.features = self._given or open_features(self.config, study)
        self.kept: dict[str, K] = {}
        self.seen: dict[str, list[tuple[Tensor, Tensor]]] = {}
        for attribute in study.source.attributes:  # all of them, so that every process joins the same ones
            self.kept[attribute] = self.keep(self.features.dimensions, study.device)
            self.seen[attribute] = [(torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool))]

    def update(self, edits: Edits) -> None:
        """See a batch."""
        self.kept[edits.attribute].add(self.features.of_edits(edits))
        self.seen[edits.attribute].append((edits.faces.cpu(), edits.wanted.cpu() > 0.5))

    def measures(self) -> list[Measure]:
        """The numbers of every attribute that was edited; nan where there were too few faces."""
        return [measure for attribute in self.kept for measure in self.of(attribute)]

    def of(self, attribute: str) -> list[Measure]:
        """The numbers of one attribute; none if nobody edited it."""
        faces, wanted = (self.gathered(attribute, column) for column in (0, 1))
        generated = self.kept[attribute].joined(self.study.world)
        if not len(faces):
            return []
        real = real_faces(self.study.source, attribute, wanted > 0, self.study.seed)
        sets = f"{len(faces)} edits, {len(real.indices)} {SPLIT} faces"
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

    def measure(self, attribute: str, end: str, statistic: Statistic, note: str, reference: str) -> Measure:
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

    def gathered(self, attribute: str, column: int) -> Int64[Tensor, " n"]:
        """A column of what was seen of all processes, row by row as the features are joined."""
        own = torch.cat([rows[column] for rows in self.seen[attribute]]).long()
        return self.study.world.gather_all(own.to(self.study.device)).cpu()
