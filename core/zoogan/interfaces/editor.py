"""The editor role: edits or generates faces with the networks of a run."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from types import MappingProxyType

import torch
from jaxtyping import Bool, Float, Integer
from torch import Tensor, nn

from zoogan.facts import Facts
from zoogan.interfaces.condition import Condition, Request, Targets
from zoogan.interfaces.edit_result import Edit
from zoogan.interfaces.graph import Pipelines

Seed = int | Sequence[int]
"""One seed for all images, or one for each."""


@dataclass(frozen=True)
class Column:
    """A column of a sample grid.

    Attributes:
        caption: Text above the column.
        images: Images (n, c, h, w) in [-1, 1], or segmentations (n, h, w).
        head: Image (c, h, w) above the column: the face whose style its images take. None = no such image.
        classes: Number of classes of segmentations, which are shown in colours; 0 = the column holds images.
    """

    caption: str
    images: Float[Tensor, "n c h w"] | Integer[Tensor, "n h w"]
    head: Float[Tensor, "c h w"] | None = None
    classes: int = 0


class Editor(ABC):
    """The networks of a run, ready to edit or generate. Every verb after training uses an editor, never the networks.

    Attributes:
        networks: The networks by name, in eval mode and without gradients.
        attributes: Names that a request may use, in the order of the label columns.
        exclusive: Groups of attributes of which at most one is shown, as far as the editor was trained on them; a
            source may know of others.
        clears: Attributes that a newly set attribute hides and therefore clears, by its name; not the other way round.
        condition: Parses requests.
        grades_attributes: Whether a request may give an attribute a value between 0 and 1; False = only 0 and 1.
        added_only: Attributes that an edit can add and not remove.
        domains: Names that the word `domain` of a request may take; the attributes then name domains too.
        reads_labels: Whether `predict_labels` works: off images, or off layouts where `makes_images` is False.
        measures_attributes: Whether `measure_attributes` works.
        takes_strength: Whether `apply` takes a strength other than 0 and 1.
        takes_truncation: Whether `apply` takes a truncation, of the styles or codes that it draws.
        makes_masks: Whether an edit has a mask, which a threshold can make hard.
        takes_reference: Whether a request may carry faces whose style is taken.
        takes_whole_reference: Whether a reference without attributes or domain is a request of its own: everything of
            that face.
        takes_layout: Whether the layout of a face may be given: `layout` (n, k, h, w), one-hot, among the targets of
            `apply`. Own labels may then be given too.
        needs_layout: Whether the layout must be given.
        takes_parts: Whether a request may carry `parts` of another face, the `donor` or that of `from_seed`.
        takes_donor: Whether that face may be given as `donor`; False = only as `from_seed`.
        takes_drive: Whether a request may carry faces whose pose and expression the edit takes (`Request.drive`).
        takes_offset: Whether a request may say how much of its `offset` an edit takes, and which `template` shows the
            attribute; the edit then has the images of its steps in `extras`.
        offset_attributes: Attributes that have such an offset.
        templates: Number of templates that a request can name; 0 = none.
        can_keep_background: Whether `apply` takes `keep_background` (n,) among its targets: where it is 1, the
            background of the input stays.
        reads_photos: Whether an edit depends on the photo of the face; False = its layout is enough.
        can_sample: Whether it generates faces of its own from a seed alone (`sample`).
        also_samples: Whether `sample` works although edits are those of photos, so that `can_sample` is False.
        edits_generated: Whether its edits of the faces that it generates are measured by default. `apply` then gives
            `basis`, the images of the move alone that is the same for all faces, among the extras of an edit, and
            `composite` and `composite_mask` for attributes of which it has composites.
        paints_layouts: Whether `sample` paints faces of given layouts. Such an editor edits photos, so that
            `can_sample` is False.
        makes_images: Whether an edit is an image, and a reference or a drive a photo; False = they are layouts.
        is_random: Whether an edit depends on its seed.
        mask_fields: Fields of a source that hold masks of its faces, which `apply` takes among its targets.
        optional_networks: Networks that a shared run may lack: edits do not need them, though `predict_labels` may.
        untrained: Networks that have only their initial weights, as imported files may lack those that no edit needs.
    """

    networks: nn.ModuleDict
    attributes: tuple[str, ...] = ()
    exclusive: tuple[tuple[str, ...], ...] = ()
    clears: Mapping[str, tuple[str, ...]] = MappingProxyType({})
    condition: Condition
    grades_attributes: bool = False
    domains: tuple[str, ...] = ()
    takes_truncation: bool = False
    takes_reference: bool = False
    takes_whole_reference: bool = False
    takes_layout: bool = False
    needs_layout: bool = False
    takes_parts: bool = False
    takes_drive: bool = False
    takes_offset: bool = False
    can_keep_background: bool = False
    reads_photos: bool = True
    can_sample: bool = False
    also_samples: bool = False
    edits_generated: bool = False
    paints_layouts: bool = False
    makes_images: bool = True
    is_random: bool = True
    mask_fields: tuple[str, ...] = ()
    optional_networks: tuple[str, ...] = ()
    untrained: tuple[str, ...] = ()

    @property
    def added_only(self) -> tuple[str, ...]:
        """Attributes that an edit can add and not remove; by default none."""
        return ()

    @property
    def reads_labels(self) -> bool:
        """Whether `predict_labels` works; by default not."""
        return False

    @property
    def measures_attributes(self) -> bool:
        """Whether `measure_attributes` works; by default not."""
        return False

    @property
    def takes_strength(self) -> bool:
        """Whether `apply` takes a strength other than 0 and 1; by default it does."""
        return True

    @property
    def makes_masks(self) -> bool:
        """Whether an edit has a mask; by default not."""
        return False

    @property
    def takes_donor(self) -> bool:
        """Whether the face whose parts are taken may be given; by default where parts are taken and no layout needed.

        An editor that needs the layout of every face cannot tell the parts of another one.
        """
        return self.takes_parts and not self.needs_layout

    @property
    def offset_attributes(self) -> tuple[str, ...]:
        """Attributes that have an offset, see `takes_offset`; by default none."""
        return ()

    @property
    def templates(self) -> int:
        """Number of templates that a request can name; by default none."""
        return 0

    @property
    def parts(self) -> tuple[str, ...]:
        """Names of the classes of the segmentations that it makes; empty = it makes none."""
        return ()

    @property
    def part_kinds(self) -> Mapping[str, tuple[str, ...]]:
        """Kinds of codes that a request may take from another face, by part.

        By default `texture` of each of `parts`; empty where `takes_parts` is False.
        """
        return {name: ("texture",) for name in self.parts} if self.takes_parts else {}

    def read_masks(self, sample: Mapping[str, Tensor], image: Float[Tensor, "n c h w"]) -> Targets:
        """Collect the masks of faces that `apply` takes, as far as their source has them.

        Args:
            sample: What `Source.read` returned.
            image: The images, whose device and dtype the masks get.

        Returns:
            Masks in [0, 1] by name, for each of `mask_fields` in `sample`.
        """
        return {name: sample[name].to(image) / 255 for name in self.mask_fields if name in sample}

    def sample(
        self,
        seeds: Sequence[int],
        *,
        truncation: float | None = None,
        cutoff: int | None = None,
        layout: Float[Tensor, "#n k h w"] | None = None,
    ) -> Edit:
        """Generate faces, one for each seed. A seed gives the same face in every batch.

        Args:
            seeds: One seed a face.
            truncation: How far the faces may be from the mean face, 0 to 1; None = 1.
            cutoff: How many rows of a face's latents are truncated, the coarse ones first; None = all.
            layout: For editors with `paints_layouts`: the layout of each face or one for all, one-hot; None = the seed
                chooses one of those that `set_layouts` was given.

        Raises:
            ValueError: The editor generates no faces, an option is out of range, or there is no layout to paint.
        """
        raise ValueError("this editor cannot generate faces, only edit given ones")

    def set_layouts(self, layouts: Float[Tensor, "m k h w"]) -> None:
        """Set the layouts, one-hot, from which `sample` chooses by seed; for editors with `paints_layouts`.

        Raises:
            ValueError: The editor paints no layouts.
        """
        raise ValueError("this editor paints no layouts")

    @abstractmethod
    def resolve(
        self, request: Request, image: Float[Tensor, "n c h w"], own: Float[Tensor, "n a"] | None = None
    ) -> Targets:
        """Turn a request into targets for these images. May run networks, for unknown labels, masks or mean styles.

        Args:
            request: The parsed request.
            image: Images in [-1, 1].
            own: Labels of the images, 0 or 1; None = the editor reads them off the images.

        Returns:
            Targets for `apply`.
        """

    @abstractmethod
    def apply(
        self,
        image: Float[Tensor, "n c h w"],
        targets: Targets,
        *,
        seed: Seed = 0,
        strength: float = 1.0,
        threshold: float | None = None,
        truncation: float | None = None,
    ) -> Edit:
        """Edit images.

        Args:
            image: Images in [-1, 1].
            targets: What `resolve` returned.
            seed: Seed of what is drawn, one for all images, or one for each.
            strength: 0 returns the input, 1 the full edit.
            threshold: Make the mask hard: 1 where it exceeds this value, else 0. None = the mask stays soft.
            truncation: How far drawn styles may be from the mean style, 0 to 1; None = 1.

        Raises:
            ValueError: The editor does not support an option.
        """

    def find_supported(self, own: Float[Tensor, "n a"]) -> Bool[Tensor, " n"]:
        """Return which faces, by their labels, the editor can edit; by default all."""
        return torch.ones(len(own), dtype=torch.bool, device=own.device)

    def make_guided_editor(
        self, image: Float[Tensor, "m c h w"], own: Float[Tensor, "m a"], masks: Targets | None = None
    ) -> Editor:
        """Make a copy of this editor that takes styles from these faces instead of drawing them.

        A seed chooses a face among those that show the target.

        Args:
            image: Faces whose style is taken, in [-1, 1].
            own: Their labels, 0 or 1; NaN where something hides the attribute.
            masks: What `read_masks` returned for them.

        Raises:
            ValueError: The editor takes no references, or no face shows one of its domains.
        """
        raise ValueError("this editor takes no style from other faces")

    def predict_labels(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n a"]:
        """Predict the labels, 0 or 1, of faces without known labels.

        Raises:
            ValueError: The editor predicts no labels.
        """
        raise ValueError("this editor reads no labels off faces")

    def measure_attributes(self, latents: Float[Tensor, "n rows s"]) -> Float[Tensor, "n a"]:
        """Measure off the latents of faces how far they show each attribute, for editors that generate faces.

        Args:
            latents: w+ of the faces.

        Returns:
            0 as a typical face without the attribute, 1 as one with it; NaN where that is unknown.

        Raises:
            ValueError: The editor cannot tell.
        """
        raise ValueError("this editor reads no attributes off latents")

    def make_columns(
        self, image: Float[Tensor, "n c h w"], attributes: Float[Tensor, "n a"], masks: Targets | None = None
    ) -> list[Column]:
        """Make the columns of a sample grid, without the input.

        Args:
            image: Faces in [-1, 1].
            attributes: Their labels, 0 or 1.
            masks: What `read_masks` returned for them.
        """
        return []

    def make_graphs(self, facts: Facts) -> Pipelines:
        """Make the graphs of this editor, which `zoo export` writes.

        Args:
            facts: Size, channels and parts of the run's faces.

        Raises:
            ValueError: The editor has none, as by default.
        """
        raise ValueError(
            f"{type(self).__name__} has no graphs, so this run cannot be exported; its method must define "
            "`make_graphs` (docs/export.md)"
        )
