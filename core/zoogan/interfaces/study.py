"""A study: the conditions under which runs are measured, and the interface of judges."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal, NamedTuple, Protocol, runtime_checkable

import torch
from jaxtyping import Float, Int64
from torch import Tensor

from zoogan.interfaces.source import Source, Split
from zoogan.interfaces.world import World

Kind = Literal["edits", "samples", "generated"]
"""What is measured: edits of faces that the run is given, faces that it generates, or edits of faces that it generates.
"""


@runtime_checkable
class AttributeJudge(Protocol):
    """A judge that reads attributes off faces, and perhaps pose and parts.

    Attributes:
        attributes: Names of the attributes that it reads.
        thresholds: A face shows an attribute where its probability is above.
        digest: sha256 of everything that its readings depend on.
        backbone: Name of its network.
        resizer: How faces are resized for the network.
        table: Attribute -> scores on untouched held-out faces: `balanced_accuracy`, and `error`, its standard error.
    """

    attributes: tuple[str, ...]
    thresholds: Float[Tensor, " a"]
    digest: str
    backbone: str
    resizer: str
    table: Mapping[str, Mapping[str, float]]

    def read_attributes(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n a"]:
        """Return P(attribute) of each face in [-1, 1], one column for each of `attributes`."""

    def read_poses(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3"] | None:
        """Return yaw, pitch and roll in degrees; None if the judge reads no pose."""

    def read_parts(self, image: Float[Tensor, "n 3 h w"]) -> Int64[Tensor, "n h w"] | None:
        """Return the class of every pixel; None if the judge reads no parts."""


@runtime_checkable
class PartJudge(AttributeJudge, Protocol):
    """A judge that names the parts that it reads.

    Attributes:
        parts: Classes of its segmentation, in order; empty = it reads none.
        part_table: Part -> scores on untouched held-out faces: `iou`.
        part_scores: Scores over all parts: `mean_iou`, `pixel_accuracy`, and `faces`, the number of test faces.
    """

    parts: tuple[str, ...]
    part_table: Mapping[str, Mapping[str, float]]
    part_scores: Mapping[str, float]


class JudgeReading(NamedTuple):
    """What a judge reads off faces in one pass, with a graph.

    Attributes:
        logits: Logit of each attribute, as if both values were equally frequent.
        features: The pooled features that the logits are computed from.
    """

    logits: Float[Tensor, "n a"]
    features: Float[Tensor, "n f"]


@runtime_checkable
class TrainingJudge(Protocol):
    """A judge that a method can train with, as one of its stages.

    Attributes:
        attributes: Names of the attributes that it reads.
        parts: Classes of its segmentation, in order; empty = it reads none.
        digest: sha256 of everything that its readings depend on.
    """

    attributes: tuple[str, ...]
    parts: tuple[str, ...]
    digest: str

    def read_with_gradient(self, image: Float[Tensor, "n 3 h w"]) -> JudgeReading:
        """Return logits and features of faces in [-1, 1]; a gradient passes through them to the faces."""

    def read_part_probabilities(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n k s s"] | None:
        """Return the probability of every part at each pixel, without a graph; None if the judge reads no parts."""


@dataclass(frozen=True)
class Study:
    """The conditions under which runs are measured, the same for all methods.

    Attributes:
        source: The faces.
        source_name: Name of the source, as in `--data`.
        split: The split that is measured on.
        faces: Number of first held-out faces, or of samples, of which edits of kind `generated` take those without
            the attribute.
        seed: Seed of everything that is drawn.
        device: Device of the measurement.
        cache: Folder of results that are slow to compute and do not change, such as features of real faces.
        world: The processes that share the work.
        judge: The judge; None = there is none.
        kind: What is measured.
        truncation: Of samples and edits of them: how far from the mean face they may be, 0 to 1.
        exclusive: Groups of attributes of which the run shows at most one, in addition to those of the source.
        clears: Attributes that a newly set attribute clears in the run, by its name, as of `Editor`.
        face_numbers: Numbers of the faces below `faces` that are edited; None = all that the run can edit.
        generated_attributes: Of kind `generated`: attributes of the run that are added.
    """

    source: Source
    source_name: str
    split: Split
    faces: int
    seed: int
    device: torch.device
    cache: Path
    world: World
    judge: AttributeJudge | None = None
    kind: Kind = "edits"
    truncation: float = 1.0
    exclusive: tuple[tuple[str, ...], ...] = ()
    clears: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    face_numbers: frozenset[int] | None = None
    generated_attributes: tuple[str, ...] = ()

    @property
    def edited_attributes(self) -> tuple[str, ...]:
        """Attributes that are edited: those of the source, or of the run where it edits faces that it generates."""
        return self.generated_attributes if self.kind == "generated" else self.source.attributes

    def list_exclusive_groups(self, attribute: str) -> list[tuple[str, ...]]:
        """List the exclusive groups of an attribute, those of the source and those of the run."""
        return [group for group in (*self.source.exclusive, *self.exclusive) if attribute in group]

    def list_added_rivals(self, attribute: str) -> tuple[str, ...]:
        """List the attributes that this one excludes or clears in the run and not in the source, sorted."""
        in_source = {name for group in self.source.exclusive if attribute in group for name in group}
        rivals = {name for group in self.list_exclusive_groups(attribute) for name in group}
        cleared = set(self.clears.get(attribute, ()))
        return tuple(sorted((rivals | cleared) - in_source - {attribute}))

    @property
    def held_out_count(self) -> int:
        """Number of held-out faces to measure on: `faces`, or the whole split where it has fewer."""
        return min(self.faces, self.source.count_faces(self.split))
