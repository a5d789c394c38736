"""Base of the metrics that compare a set of edits or samples with a set of real faces.

Edits: there is one comparison for each attribute. Its generated set has every edit that changes the attribute. Its real
set has as many faces of the train split, and the attribute is as frequent among them as among the requests, so that the
edits of a perfect editor would have the same distribution. With `draws` each face is edited with several seeds.

Samples: all samples are the generated set, and as many faces of the train split (or all of them) the real set.

Pairs (`pairs`, as in StarGAN v2's evaluation): there is one comparison for each ordered pair of domains, of the edits
from the first domain to the second with real faces of the second. The result is the mean over all pairs.

No real face is drawn twice. Both sets go through one resizer and one network.
"""

from __future__ import annotations

import hashlib
from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import permutations
from pathlib import Path
from typing import ClassVar, Generic, Literal, NamedTuple, Protocol, TypeVar, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from pydantic import Field
from torch import Tensor

from zoogan.auxiliary.features import Features, open_features
from zoogan.config import ComponentConfig, get_component_name
from zoogan.evaluation.metrics.real_faces import (
    SPLIT,
    RealFaces,
    choose_any_faces,
    choose_matching_faces,
    load_reference,
)
from zoogan.facts import Facts
from zoogan.interfaces import (
    Better,
    Edits,
    Kind,
    Measure,
    Metric,
    Samples,
    SetStatistic,
    Statistic,
    Study,
    Unavailable,
    World,
)
from zoogan.interfaces.source import find_domains

Self = TypeVar("Self")
# The words of the title for the two sets that are compared, by kind.
COMPARED_SETS: Mapping[Kind | Literal["pairs"], tuple[str, str]] = {
    "edits": ("edits", "real faces that show the attribute as often"),
    "pairs": ("edits from one domain to another", "real faces of the second, mean over pairs"),
    "samples": ("samples", "real faces"),
}


class DistributionConfig(ComponentConfig):
    """Options of a metric that compares sets of faces.

    Attributes:
        weights: File of the network's weights; by default the one in the folder of metric weights.
        minimum: Images that either side needs; with fewer there is no number.
        draws: Edits of each face, each with another seed; all of them are in the set.
        pairs: Compare the edits of each ordered pair of domains with faces of the second, and average over pairs.
    """

    weights: Path | None = None
    minimum: int = Field(50, ge=2)
    draws: int = Field(1, ge=1)
    pairs: bool = False

    @property
    def immaterial(self) -> frozenset[str]:
        """Options that are not part of a measure's key: they change no number, or have their default."""
        defaults = {name for name, value in {"draws": 1, "pairs": False}.items() if getattr(self, name) == value}
        return frozenset({"weights", "minimum", "download", "floor"} | defaults)


class InceptionConfig(DistributionConfig):
    """Options of a metric through the Inception network of FID.

    Attributes:
        download: Fetch the network's weights (91 MB) where no file is found.
    """

    download: bool = True


class FaceSet(NamedTuple):
    """The attribute or the pair of domains of one set; samples have neither.

    Attributes:
        attribute: The edited attribute.
        pair: With `pairs`: the domain that was edited and the domain that was asked for, indices into the source's.
    """

    attribute: str | None = None
    pair: tuple[int, int] | None = None


@runtime_checkable
class FeatureStore(Protocol):
    """Accumulates the features of a set, batch after batch."""

    def add(self, features: Float[Tensor, "n d"]) -> None:
        """Add a batch."""

    def gather(self: Self, world: World) -> Self:
        """Return the store of all processes' batches."""


class FeatureRows:
    """A store of every feature vector, in the order in which they come, process after process.

    Args:
        dimensions: Length of a feature vector.
        device: Device on which processes exchange rows.
    """

    def __init__(self, dimensions: int, device: torch.device) -> None:
        self.device = device
        self.parts = [torch.zeros(0, dimensions)]

    def add(self, features: Float[Tensor, "n d"]) -> None:
        """Add a batch."""
        self.parts.append(features)

    def gather(self, world: World) -> FeatureRows:
        """Return the rows of all processes, in rank order."""
        rows = FeatureRows(self.parts[0].shape[1], self.device)
        rows.add(world.gather_uneven(self.stack().to(self.device)).cpu())
        return rows

    def stack(self) -> Float[Tensor, "n d"]:
        """Return the rows as one tensor."""
        return torch.cat(self.parts)


Store = TypeVar("Store", bound=FeatureStore)


class Distribution(Metric, Generic[Store]):
    """Role `metric`: a few numbers of each attribute, from features of its edits and of real faces; or of the samples.

    Args:
        config: The options.
        facts: Unused.
        features: The network; by default `load_features` opens the one that `backbone` names.

    Attributes:
        backbone: The network, a key of `zoogan.auxiliary.features.BACKBONES`.
        title_template: The title with {} for each of the two sets.
        better: Suffix of a measure's name, such as `.recall` -> which way is good.
    """

    kinds = ("edits", "samples")
    backbone: ClassVar[str]
    title_template: ClassVar[str]
    better: ClassVar[Mapping[str, Better]]
    config: DistributionConfig

    def __init__(
        self, config: DistributionConfig | None = None, facts: Facts | None = None, *, features: Features | None = None
    ) -> None:
        super().__init__(config, facts)
        self.name, self._given_features = get_component_name(self.config), features
        self._set_title("edits")

    def _set_title(self, sets: Kind | Literal["pairs"]) -> None:
        """Put the names of the compared sets into the title."""
        self.title = f"{self.title_template.format(*COMPARED_SETS[sets])}, through {self.backbone}"

    @abstractmethod
    def make_store(self, dimensions: int, device: torch.device) -> Store:
        """Make an empty store for features of so many dimensions."""

    @abstractmethod
    def compare_sets(
        self, face_set: FaceSet, generated: Store, real: Float[Tensor, "m d"], faces: Tensor, target: Tensor
    ) -> Mapping[str, tuple[Statistic, str]]:
        """Compute the numbers of one set.

        Args:
            face_set: The set.
            generated: The features of the edits or samples.
            real: The features of the real faces.
            faces: Number of each generated face, row by row as in `generated`.
            target: Requested value of the attribute for each generated face.

        Returns:
            Suffix of the measure's name -> its statistic and note, for each suffix of `better`.
        """

    def load_features(self, study: Study) -> Features:
        """Open the network.

        Raises:
            Unavailable: Its weights or its library are missing.
        """
        download = isinstance(self.config, InceptionConfig) and self.config.download
        return open_features(
            self.backbone, study.device, study.world, metric=self.name, weights=self.config.weights, download=download
        )

    def start(self, study: Study) -> None:
        """Open the network and empty the stores.

        Raises:
            Unavailable: No weights, no library, too few faces, or options that do not fit the study.
        """
        sampled = study.kind == "samples"
        generated = {"samples": study.faces} if sampled else {f"{study.split} faces": study.held_out_count}
        for images, count in ({f"{SPLIT} faces": study.source.count_faces(SPLIT)} | generated).items():
            if count < self.config.minimum:
                message = f"too few images: {count} {images}, {self.config.minimum} needed ({self.name}.minimum)"
                raise Unavailable(message)
        self.study = study
        self.sets = self._list_sets(study)  # all of them, so that every process gathers the same ones
        self._set_title("pairs" if self.config.pairs else study.kind)
        self.features = self._given_features or self.load_features(study)
        self.stores = {face_set: self.make_store(self.features.dimensions, study.device) for face_set in self.sets}
        self.seeds_differ = False  # whether edits with different seeds differ
        empty = torch.zeros(0, dtype=torch.int64), torch.zeros(0, dtype=torch.bool)
        self.rows: dict[FaceSet, list[tuple[Tensor, Tensor]]] = {face_set: [empty] for face_set in self.sets}

    def _list_sets(self, study: Study) -> list[FaceSet]:
        """List the sets that this study may fill.

        Raises:
            Unavailable: An option of edits is set and samples are measured, or the source has no domains for `pairs`.
        """
        config, domains = self.config, study.source.domains
        if study.kind == "samples":
            if config.draws > 1 or config.pairs:
                option = "pairs" if config.pairs else "draws"
                raise Unavailable(f"{self.name}.{option} applies to edits, and these are samples: leave it out")
            return [FaceSet()]
        if not config.pairs:
            return [FaceSet(attribute) for attribute in study.source.attributes]
        if len(domains) < 2:
            raise Unavailable(
                f"{self.name}.pairs needs two domains or more, as one attribute makes them, or a group of which a face "
                f"shows one; these faces have {', '.join(study.source.attributes)}: leave it out"
            )
        return [FaceSet(pair=pair) for pair in permutations(range(len(domains)), 2)]

    def update(self, edits: Edits) -> None:
        """Add the features of a batch to the sets that it belongs to."""
        draws = self.config.draws
        features = self.features.extract_batch(edits, draws)
        first, *others = features.chunk(draws)
        self.seeds_differ = self.seeds_differ or any(not torch.equal(first, other) for other in others)
        for face_set in self.sets:
            chosen = self._select_edits(edits, face_set)
            if bool(chosen.any()):
                rows = chosen.repeat(draws)
                faces, target = (part.cpu().repeat(draws)[rows] for part in (edits.faces, edits.target_value > 0.5))
                self.stores[face_set].add(features[rows])
                self.rows[face_set].append((faces, target))

    def _select_edits(self, edits: Edits, face_set: FaceSet) -> Bool[Tensor, " n"]:
        """Select the edits of a batch that belong to a set."""
        if face_set.pair is None:
            return torch.full((len(edits.faces),), edits.attribute == face_set.attribute)
        own, target = (
            find_domains(labels.cpu(), len(self.study.source.domains)) for labels in (edits.own, edits.target)
        )
        return (own == face_set.pair[0]) & (target == face_set.pair[1])

    def update_samples(self, samples: Samples) -> None:
        """Add the features of a batch to the only set."""
        (face_set,) = self.sets
        self.stores[face_set].add(self.features.extract_batch(samples))
        self.rows[face_set].append((samples.faces.cpu(), torch.zeros(len(samples.faces), dtype=torch.bool)))

    def compute(self) -> list[Measure]:
        """Compute the numbers of every set; nan where there were too few faces, none where there was no face.

        Raises:
            Unavailable: Several draws of a deterministic editor.
        """
        results = {face_set: measures for face_set in self.sets if (measures := self._measure_set(face_set))}
        draws = self.config.draws
        if results and draws > 1 and not any(self.study.world.gather_objects(self.seeds_differ)):
            raise Unavailable(f"{self.name}.draws={draws}: these edits are the same with every seed: leave it out")
        if self.config.pairs and results:
            return [self._average_pairs(list(results), parts) for parts in zip(*results.values())]
        return [measure for measures in results.values() for measure in measures]

    def _average_pairs(self, sets: Sequence[FaceSet], parts: Sequence[Measure]) -> Measure:
        """Average one number over pairs of domains; its note lists the values of all pairs."""
        names, values = self.study.source.domains, [part.statistic.compute() for part in parts]
        pairs = [f"{names[item.pair[0]]} to {names[item.pair[1]]}" for item in sets if item.pair is not None]
        listed = "; ".join(
            f"{pair} {value:.4g} ({part.statistic.count_faces()} faces)"
            for pair, value, part in zip(pairs, values, parts)
        )
        digests = " ".join(part.reference or "" for part in parts)
        mean = SetStatistic(torch.cat([part.statistic.face for part in parts]), sum(values) / len(values))
        note = f"mean over {len(pairs)} pairs: {listed}. The first: {parts[0].note}"
        return replace(parts[0], statistic=mean, reference=hashlib.sha256(digests.encode()).hexdigest(), note=note)

    def choose_real_faces(self, face_set: FaceSet, target: Bool[Tensor, " n"], *, others: bool = False) -> RealFaces:
        """Choose the real faces that a set is compared with.

        Args:
            face_set: The set.
            target: Requested value of the attribute for each generated face.
            others: Choose a second such set, without a face of the first.
        """
        source, seed = self.study.source, self.study.seed
        if face_set.attribute is None:
            domain = None if face_set.pair is None else face_set.pair[1]
            return choose_any_faces(source, len(target), seed, domain=domain, others=others)
        return choose_matching_faces(source, face_set.attribute, target, seed, others=others)

    def _measure_set(self, face_set: FaceSet) -> list[Measure]:
        """Compute the measures of one set; none if it has no face."""
        faces, target = (self._gather_column(face_set, column) for column in (0, 1))
        generated = self.stores[face_set].gather(self.study.world)
        if not len(faces):
            return []
        real, draws = self.choose_real_faces(face_set, target > 0), self.config.draws
        sets = f"{len(faces)} {self.study.kind}{f' ({draws} of a face)' if draws > 1 else ''}"
        sets += f", {len(real.indices)} {SPLIT} faces"
        if min(len(faces), len(real.indices)) < self.config.minimum:
            digest = ""
            reason = f"too few images, {self.config.minimum} needed ({self.name}.minimum)"
            statistics = self.make_missing(faces, reason)
        else:
            reference = load_reference(real, self.features, self.study)
            digest = reference.digest
            sets += f" (set {digest[:12]}, seed {self.study.seed})"
            statistics = self.compare_sets(face_set, generated, reference.features, faces, target > 0)
        return [
            self._make_measure(face_set.attribute, suffix, statistic, f"{sets}; {note}", digest)
            for suffix, (statistic, note) in statistics.items()
        ]

    def make_missing(self, faces: Tensor, reason: str) -> Mapping[str, tuple[Statistic, str]]:
        """Make nan for every number, with the reason as its note."""
        return {suffix: (SetStatistic(faces, float("nan")), reason) for suffix in self.better}

    def _make_measure(
        self, attribute: str | None, suffix: str, statistic: Statistic, note: str, reference: str
    ) -> Measure:
        """Make one measure with everything that its key needs."""
        return Measure(
            self.name + suffix,
            attribute,
            statistic,
            self.better[suffix],
            backbone=self.features.name,
            weights=self.features.weights,
            resizer=self.features.resizer,
            reference=reference,
            note=note,
            libraries=self.features.libraries,
        )

    def _gather_column(self, face_set: FaceSet, column: int) -> Int64[Tensor, " n"]:
        """Gather a column of the rows of all processes, in the order of the gathered features."""
        own = torch.cat([rows[column] for rows in self.rows[face_set]]).long()
        return self.study.world.gather_uneven(own.to(self.study.device)).cpu()
