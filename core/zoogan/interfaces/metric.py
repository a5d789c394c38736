"""The metric role: what is measured on edits or on samples, and what a measurement says of itself."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import ClassVar, Literal, Protocol, runtime_checkable

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from zoogan.interfaces.condition import Request, Targets
from zoogan.interfaces.draws import seed_of
from zoogan.interfaces.editor import Edit, Editor, Seed
from zoogan.interfaces.source import Source, Split
from zoogan.interfaces.statistic import Statistic
from zoogan.interfaces.world import World

# What is measured of an editor: faces that it was given, edited, or faces that it made.
Kind = Literal["edits", "samples"]


class Unavailable(Exception):
    """A metric cannot be computed here: why, and what to do about it. The report says so in its place."""


@runtime_checkable
class Reader(Protocol):
    """What a judge offers: it reads labels off faces, and perhaps pose and segmentation.

    table: attribute -> its accuracy on untouched held-out faces: balanced_accuracy, error (the standard error of that).
    """

    attributes: tuple[str, ...]
    thresholds: Float[Tensor, " a"]
    digest: str
    backbone: str
    resizer: str
    table: Mapping[str, Mapping[str, float]]

    def probabilities(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n a"]:
        """P(attribute) of each face in [-1, 1], one column for each of `attributes`."""

    def poses(self, image: Float[Tensor, "n 3 h w"]) -> Float[Tensor, "n 3"] | None:
        """Yaw, pitch and roll in degrees; None if it cannot tell."""

    def segmentation(self, image: Float[Tensor, "n 3 h w"]) -> Int64[Tensor, "n h w"] | None:
        """The class of every pixel; None if it cannot tell."""


@runtime_checkable
class Parser(Reader, Protocol):
    """A judge that names what it segments.

    parts: the classes of its segmentation, in their order; none = it cannot tell. part_table: part -> how right it is
    on untouched held-out faces: iou. part_scores: over all of them: mean_iou, pixel_accuracy, and
    faces, how many there were.
    """

    parts: tuple[str, ...]
    part_table: Mapping[str, Mapping[str, float]]
    part_scores: Mapping[str, float]


@dataclass(frozen=True)
class Study:
    """What is held fixed while one run is measured, whatever the method.

    source_name: as in `--data`. split, faces: the first so many held-out faces, or so many samples. seed: of everything
    that draws. cache: a folder for what is dear and does not change (statistics of real faces). judge: or None.
    shows: what metrics are shown. truncation: of samples, how far from the mean face they may be, 0 to 1. exclusive:
    groups of attributes of which the run shows at most one, besides those that the source knows of. only: numbers of
    the faces that are edited, of those whose number is below `faces`; None = all that the run serves.
    """

    source: Source
    source_name: str
    split: Split
    faces: int
    seed: int
    device: torch.device
    cache: Path
    world: World
    judge: Reader | None = None
    shows: Kind = "edits"
    truncation: float = 1.0
    exclusive: tuple[tuple[str, ...], ...] = ()
    only: frozenset[int] | None = None

    def groups(self, attribute: str) -> list[tuple[str, ...]]:
        """The exclusive groups that an attribute is in, of the source and of the run."""
        return [group for group in (*self.source.exclusive, *self.exclusive) if attribute in group]

    def further_rivals(self, attribute: str) -> tuple[str, ...]:
        """The attributes that exclude this one in the run, and not in the source; sorted."""
        known = {name for group in self.source.exclusive if attribute in group for name in group}
        return tuple(sorted({name for group in self.groups(attribute) for name in group} - known - {attribute}))

    @property
    def held_out(self) -> int:
        """How many held-out faces there are to look at: `faces`, or all of them where the split has fewer."""
        return min(self.faces, self.source.size(self.split))


class Edits:
    """Edits of one attribute on a batch of faces, each turned to the value it does not have; and what they may be held
    against. Images are (n, 3, s, s) in [-1, 1], rounded to the 256 levels of a saved picture; all on `image.device`.

    faces: numbers of the faces in their split. own, target: labels (n, a). sample: everything the source said of these
    faces. truth: the true redraw, where the source knows it, and `redrawn` everything it says of that. region: where
    the truth differs from the input.
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
        self.own, self.target, self.truth, self.seed = own, target, truth, seed
        self.sample, self.redrawn = sample, redrawn
        self.edit = edit
        self.edited: Float[Tensor, "n 3 s s"] = as_saved(edit.image)

    @property
    def names(self) -> tuple[str, ...]:
        """The attributes of the columns of `own` and `target`."""
        return self.editor.attributes

    @property
    def column(self) -> int:
        """The column of the edited attribute."""
        return self.names.index(self.attribute)

    @property
    def wanted(self) -> Float[Tensor, " n"]:
        """The asked-for value of the edited attribute, 0 or 1."""
        return self.target[:, self.column]

    @cached_property
    def region(self) -> Bool[Tensor, "n 1 s s"] | None:
        """Where the attribute truly shows; None where nobody knows."""
        return None if self.truth is None else (self.truth != self.image).any(1, keepdim=True)

    @cached_property
    def cycled(self) -> Float[Tensor, "n 3 s s"]:
        """The edit taken back."""
        return self.turned(self.edited, self.target, self.own, reference=self.image)

    @cached_property
    def kept(self) -> Float[Tensor, "n 3 s s"]:
        """The input asked to stay as it is."""
        return self.turned(self.image, self.own, self.own, reference=self.image)

    def again(self, seed: int) -> Float[Tensor, "n 3 s s"]:
        """The same edits with another seed; the same pictures from an editor that draws nothing."""
        return self.turned(self.image, self.own, self.target, seed=seed)

    def turned(
        self,
        image: Float[Tensor, "n 3 s s"],
        own: Float[Tensor, "n a"],
        target: Float[Tensor, "n a"],
        *,
        seed: int | None = None,
        reference: Float[Tensor, "n 3 s s"] | None = None,
    ) -> Float[Tensor, "n 3 s s"]:
        """`image`, which shows `own`, edited to show `target`; in `reference`'s style, if the editor has styles."""
        seeds = seeds_of(self.seed if seed is None else seed, self.faces)
        reference = reference if self.editor.takes_reference else None
        known = self.editor.known(self.sample, image)
        return as_saved(edit_to(self.editor, image, own, target, seed=seeds, reference=reference, known=known).image)


class Samples:
    """Faces that an editor made of its own, (n, 3, s, s) in [-1, 1], rounded to the 256 levels of a saved picture.

    faces: their numbers, from 0. Each has a seed of its own, which (seed, number) decides. truncation: see `Study`.
    made: the editor's answer, unrounded.
    """

    attribute: None = None  # nobody asked for any

    def __init__(self, editor: Editor, faces: Int64[Tensor, " n"], *, seed: int = 0, truncation: float = 1.0) -> None:
        self.editor, self.faces, self.seed, self.truncation = editor, faces, seed, truncation
        self.made: Edit = self.drawn(seed)
        self.image: Float[Tensor, "n 3 s s"] = as_saved(self.made.image)

    def again(self, seed: int) -> Float[Tensor, "n 3 s s"]:
        """As many other samples."""
        return as_saved(self.drawn(seed).image)

    @torch.no_grad()
    def drawn(self, seed: int) -> Edit:
        """What the editor makes of the seeds that belong to `seed`."""
        truncation = None if self.truncation == 1 else self.truncation
        return self.editor.sample(seeds_of(seed, self.faces), truncation=truncation)


def seeds_of(seed: int, faces: Int64[Tensor, " n"]) -> list[int]:
    """A seed for each face, the same in whatever batch it comes."""
    return [seed_of(seed, face) for face in faces.tolist()]


@torch.no_grad()
def edit_to(
    editor: Editor,
    image: Float[Tensor, "n 3 s s"],
    own: Float[Tensor, "n a"],
    target: Float[Tensor, "n a"],
    *,
    seed: Seed = 0,
    reference: Float[Tensor, "n 3 s s"] | None = None,
    known: Targets | None = None,
) -> Edit:
    """Edit each face to its own row of `target`. Faces with equal wishes go through `resolve` together.

    known: see `Editor.known`.
    """
    weight = next((p for p in editor.networks.parameters()), image)
    image, own = image.to(weight.dtype), own.to(weight.dtype)
    wishes, which = target.unique(dim=0, return_inverse=True)
    resolved: dict[str, Tensor] = {}
    for k, wish in enumerate(wishes):
        rows = (which == k).nonzero().flatten()
        style = None if reference is None else reference[rows].to(weight.dtype)
        request = Request(dict(zip(editor.attributes, wish.tolist())), reference=style)
        for name, part in editor.resolve(request, image[rows], own[rows]).items():
            if name not in resolved:
                resolved[name] = part.new_zeros(len(image), *part.shape[1:])
            resolved[name][rows] = part
    return editor.apply(image, resolved | (known or {}), seed=seed)


def as_saved(image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Rounded to the 256 levels of a saved picture, so that real and edited faces are measured alike."""
    levels = image.float().add(1).mul(127.5).round().clamp(0, 255)
    return levels.div(127.5).sub(1)


@dataclass(frozen=True)
class Measure:
    """One number of a report.

    name: of the metric, `fd_squeezenet` or `success.on`. attribute: the edited one, or the one that is looked for;
    None = over all of them. better: which way is good, None = neither. backbone, weights, resizer: the network that it
    looks through, the sha256 of its weights, and how faces were resized for it; None where no network looks. reference:
    digest of the real faces that edits or samples are held against, if they are. note: what a reader must know.
    libraries: distributions whose version matters, besides torch's and zoogan's.
    """

    name: str
    attribute: str | None
    statistic: Statistic
    better: Literal["higher", "lower"] | None
    backbone: str | None = None
    weights: str | None = None
    resizer: str | None = None
    reference: str | None = None
    note: str = ""
    libraries: Sequence[str] = field(default_factory=tuple)


class Metric(ABC):
    """Role `metric`: sees every edit of every attribute once, or every sample, then tells its measures.

    title: one line for the report. looks_at: what it can be shown; it has `update` for edits, `see` for samples. A
    metric keeps what it needs of a batch as rows with their face's number, so that neither the order nor the size of
    batches shows, and processes can be joined.
    """

    title: str
    looks_at: ClassVar[tuple[Kind, ...]] = ("edits",)

    @abstractmethod
    def start(self, study: Study) -> None:
        """Get ready.

        Raises:
            Unavailable: it cannot be computed in this study.
        """

    def update(self, edits: Edits) -> None:
        """See a batch of edits."""
        raise NotImplementedError(f"{type(self).__name__} has no `update`: it cannot look at edits")

    def see(self, samples: Samples) -> None:
        """See a batch of samples."""
        raise NotImplementedError(f"{type(self).__name__} has no `see`: it cannot look at samples")

    @abstractmethod
    def measures(self) -> list[Measure]:
        """What came out, over all processes."""
