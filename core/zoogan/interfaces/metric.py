"""The metric role: the edits or samples that metrics see, and the measures that they return."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any, ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from zoogan.interfaces.condition import Request, Targets
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.editor import Edit, Editor, Seed
from zoogan.interfaces.source import Source, Split
from zoogan.interfaces.statistic import Statistic
from zoogan.interfaces.world import World

Kind = Literal["edits", "samples"]  # what is measured: edits of faces that the run was given, or faces that it made
DefaultKind = Literal["edits", "samples", "parts"]  # parts: samples of faces with parts
Better = Literal["higher", "lower"] | None  # which way is good; None = neither


class Unavailable(Exception):
    """A metric cannot be computed here. The message says why and what to do; reports show it in place of numbers."""


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


@dataclass(frozen=True)
class Study:
    """Everything that stays the same while runs are measured, whatever the method.

    Attributes:
        source: The faces.
        source_name: Name of the source, as in `--data`.
        split: The split that is measured on.
        faces: Number of first held-out faces, or of samples.
        seed: Seed of everything that is drawn.
        device: Device of the measurement.
        cache: Folder of results that are slow to compute and do not change, such as features of real faces.
        world: The processes that share the work.
        judge: The judge; None = there is none.
        kind: Whether edits or samples are measured.
        truncation: Of samples: how far from the mean face they may be, 0 to 1.
        exclusive: Groups of attributes of which the run shows at most one, in addition to those of the source.
        only: Numbers of the faces below `faces` that are edited; None = all that the run serves.
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
    only: frozenset[int] | None = None

    def list_exclusive_groups(self, attribute: str) -> list[tuple[str, ...]]:
        """List the exclusive groups of an attribute, those of the source and those of the run."""
        return [group for group in (*self.source.exclusive, *self.exclusive) if attribute in group]

    def list_added_rivals(self, attribute: str) -> tuple[str, ...]:
        """List the attributes that exclude this one in the run but not in the source, sorted."""
        in_source = {name for group in self.source.exclusive if attribute in group for name in group}
        rivals = {name for group in self.list_exclusive_groups(attribute) for name in group}
        return tuple(sorted(rivals - in_source - {attribute}))

    @property
    def held_out_count(self) -> int:
        """Number of held-out faces to look at: `faces`, or the whole split where it has fewer."""
        return min(self.faces, self.source.count_faces(self.split))


class Edits:
    """A batch of faces, each edited to the value of one attribute that it does not have.

    Images are (n, 3, s, s) in [-1, 1] on one device, rounded to the 256 levels of a saved picture.

    Args:
        editor: The editor that is measured.
        attribute: The edited attribute.
        faces: Number of each face in its split.
        image: The input faces.
        own: Labels of the input faces, one column for each attribute of the editor.
        target: Labels that the edits were asked to show.
        edit: What the editor returned; `edited_image` is its rounded image.
        truth: The true redraws; None where the source knows none. Stored as `true_redraw`.
        sample: Everything that the source says of these faces.
        redrawn: Everything that the source says of the true redraws. Stored as `redraw_sample`.
        seed: Seed of the edits.
    """

    def __init__(
        self,
        editor: Editor,
        attribute: str,
        *,
        faces: Int64[Tensor, " n"],
        image: Float[Tensor, "n 3 s s"],
        own: Float[Tensor, "n a"],
        target: Float[Tensor, "n a"],
        edit: Edit,
        truth: Float[Tensor, "n 3 s s"] | None,
        sample: Mapping[str, Tensor],
        redrawn: Mapping[str, Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        self.editor, self.attribute, self.faces, self.image = editor, attribute, faces, image
        self.own, self.target, self.true_redraw, self.seed = own, target, truth, seed
        self.sample, self.redraw_sample = sample, redrawn
        self.edit = edit
        self.edited_image: Float[Tensor, "n 3 s s"] = round_as_saved(edit.image)

    @property
    def names(self) -> tuple[str, ...]:
        """Attributes of the columns of `own` and `target`."""
        return self.editor.attributes

    @property
    def column(self) -> int:
        """Column of the edited attribute."""
        return self.names.index(self.attribute)

    @property
    def target_value(self) -> Float[Tensor, " n"]:
        """Requested value of the edited attribute, 0 or 1."""
        return self.target[:, self.column]

    @cached_property
    def region(self) -> Bool[Tensor, "n 1 s s"] | None:
        """Where the true redraw differs from the input; None without a true redraw."""
        return None if self.true_redraw is None else (self.true_redraw != self.image).any(1, keepdim=True)

    @cached_property
    def cycled_image(self) -> Float[Tensor, "n 3 s s"]:
        """The edits edited back to the labels of the input."""
        return self.edit_image(self.edited_image, self.target, self.own, reference=self.image)

    @cached_property
    def identity_image(self) -> Float[Tensor, "n 3 s s"]:
        """The inputs edited to the labels that they have already."""
        return self.edit_image(self.image, self.own, self.own, reference=self.image)

    def edit_with_seed(self, seed: int) -> Float[Tensor, "n 3 s s"]:
        """Make the same edits with another seed; a deterministic editor returns the same pictures."""
        return self.edit_image(self.image, self.own, self.target, seed=seed)

    def edit_image(
        self,
        image: Float[Tensor, "n 3 s s"],
        own: Float[Tensor, "n a"],
        target: Float[Tensor, "n a"],
        *,
        seed: int | None = None,
        reference: Float[Tensor, "n 3 s s"] | None = None,
    ) -> Float[Tensor, "n 3 s s"]:
        """Edit images of these faces to other labels.

        Args:
            image: Images of the faces of this batch.
            own: Labels that they show.
            target: Labels that they should show.
            seed: Seed of the edits; None = that of the batch.
            reference: Faces whose style to use, if the editor takes styles from faces.

        Returns:
            The edited images, rounded as saved pictures are.
        """
        seeds = make_face_seeds(self.seed if seed is None else seed, self.faces)
        reference = reference if self.editor.takes_reference else None
        known = self.editor.read_masks(self.sample, image)
        edit = edit_to_labels(self.editor, image, own, target, seed=seeds, reference=reference, known=known)
        return round_as_saved(edit.image)


class Samples:
    """A batch of faces that an editor made itself, in [-1, 1], rounded to the 256 levels of a saved picture.

    Args:
        editor: The editor that is measured.
        faces: Numbers of the samples, from 0; (seed, number) decides the seed of each.
        seed: Seed of the samples.
        truncation: How far from the mean face they may be, 0 to 1.

    Attributes:
        edit: What the editor returned, not rounded.
        image: Its images, rounded.
    """

    attribute: None = None  # nothing was edited

    def __init__(self, editor: Editor, faces: Int64[Tensor, " n"], *, seed: int = 0, truncation: float = 1.0) -> None:
        self.editor, self.faces, self.seed, self.truncation = editor, faces, seed, truncation
        self.edit: Edit = self.make_samples(seed)
        self.image: Float[Tensor, "n 3 s s"] = round_as_saved(self.edit.image)

    def sample_with_seed(self, seed: int) -> Float[Tensor, "n 3 s s"]:
        """Make as many images with another seed, rounded as saved pictures are."""
        return round_as_saved(self.make_samples(seed).image)

    @torch.no_grad()
    def make_samples(self, seed: int) -> Edit:
        """Let the editor make one face for each number, with the seeds that belong to `seed`."""
        truncation = None if self.truncation == 1 else self.truncation
        return self.editor.sample(make_face_seeds(seed, self.faces), truncation=truncation)


def make_face_seeds(seed: int, faces: Int64[Tensor, " n"]) -> list[int]:
    """Make a seed for each face, which does not depend on the batch that the face is in."""
    return [derive_seed(seed, face) for face in faces.tolist()]


@torch.no_grad()
def edit_to_labels(
    editor: Editor,
    image: Float[Tensor, "n 3 s s"],
    own: Float[Tensor, "n a"],
    target: Float[Tensor, "n a"],
    *,
    seed: Seed = 0,
    reference: Float[Tensor, "n 3 s s"] | None = None,
    known: Targets | None = None,
) -> Edit:
    """Edit each face to its own row of `target`. Faces with equal targets go through `resolve` together.

    Args:
        editor: The editor.
        image: Faces in [-1, 1].
        own: Their labels, one column for each attribute of the editor.
        target: Labels that they should show.
        seed: One seed, or one for each face.
        reference: Faces whose style to use; None = styles are drawn.
        known: Targets that the source knows, see `Editor.known`.

    Returns:
        The edit of the whole batch.
    """
    weight = next((p for p in editor.networks.parameters()), image)
    image, own = image.to(weight.dtype), own.to(weight.dtype)
    distinct_targets, which = target.unique(dim=0, return_inverse=True)
    resolved: dict[str, Tensor] = {}
    for k, labels in enumerate(distinct_targets):
        rows = (which == k).nonzero().flatten()
        style = None if reference is None else reference[rows].to(weight.dtype)
        request = Request(dict(zip(editor.attributes, labels.tolist())), reference=style)
        for name, part in editor.resolve(request, image[rows], own[rows]).items():
            if name not in resolved:
                resolved[name] = part.new_zeros(len(image), *part.shape[1:])
            resolved[name][rows] = part
    return editor.apply(image, resolved | (known or {}), seed=seed)


def round_as_saved(image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Round to the 256 levels of a saved picture, so that real and edited faces are measured alike."""
    levels = image.float().add(1).mul(127.5).round().clamp(0, 255)
    return levels.div(127.5).sub(1)


@dataclass(frozen=True)
class Measure:
    """One number of a report.

    Attributes:
        name: Name of the measure, such as `fd_squeezenet` or `success.on`.
        attribute: The attribute that was edited or read; None = over all of them.
        statistic: The number and the rows behind it.
        better: Which way is good; None = neither.
        backbone: The network that it is measured through; None = no network is used.
        weights: sha256 of that network's weights.
        resizer: How faces were resized for that network.
        reference: Digest of the real faces that edits or samples are compared with, if they are.
        note: What a reader must know.
        libraries: Distributions whose version matters, besides torch and zoogan.
    """

    name: str
    attribute: str | None
    statistic: Statistic
    better: Better
    backbone: str | None = None
    weights: str | None = None
    resizer: str | None = None
    reference: str | None = None
    note: str = ""
    libraries: Sequence[str] = field(default_factory=tuple)


@dataclass(frozen=True)
class Headline:
    """How a measure is shown among the headline figures of reports and comparisons.

    Attributes:
        label: Its short name.
        meaning: What its value says; the caption below it.
        report_place: Its place among the headline figures of a report, which shows the first few that were measured;
            low numbers come first. None = not shown there.
        comparison_place: Its place in the first table of a comparison. None = not shown there.
    """

    label: str
    meaning: str
    report_place: int | None = None
    comparison_place: int | None = None


class Metric(ABC):
    """Role `metric`: sees every edit of every attribute once, or every sample, then computes its measures.

    A metric is one class, registered by one line: `registry.metric("redness", "my_package.redness:Redness")`. It keeps
    rows with the number of their face, so that neither the order nor the size of batches changes the result, and the
    rows of several processes can be joined.

    Args:
        config: Its options; None = their defaults.
        facts: Facts of the data; unused by most metrics.

    Attributes:
        Config: Its options, a `ComponentConfig` with `use: Literal["redness"] = "redness"`; None = it has no options.
        title: One line for the report.
        kinds: What it measures: `edits` needs `update`, `samples` needs `update_samples`.
        default_for: What `zoo evaluate` runs it on unless metrics are named -> its place in that report, low first:
            `edits`, `samples`, `parts` (samples of faces with parts). Empty = only when it is named.
        headlines: Measure -> how it is shown among the headline figures.
    """

    Config: ClassVar[Any] = None
    title: str
    kinds: ClassVar[tuple[Kind, ...]] = ("edits",)
    default_for: ClassVar[Mapping[DefaultKind, int]] = MappingProxyType({})
    headlines: ClassVar[Mapping[str, Headline]] = MappingProxyType({})

    def __init__(self, config: Any = None, facts: Any = None) -> None:
        self.config = self.Config() if config is None and self.Config is not None else config

    @abstractmethod
    def start(self, study: Study) -> None:
        """Prepare for a study: forget earlier batches, open networks.

        Raises:
            Unavailable: The metric cannot be computed in this study.
        """

    def update(self, edits: Edits) -> None:
        """Take a batch of edits."""
        raise NotImplementedError(f"{type(self).__name__} has no `update`: it measures no edits")

    def update_samples(self, samples: Samples) -> None:
        """Take a batch of samples."""
        raise NotImplementedError(f"{type(self).__name__} has no `update_samples`: it measures no samples")

    @abstractmethod
    def compute(self) -> list[Measure]:
        """Compute the measures over the batches of all processes."""
