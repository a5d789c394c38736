"""The input of metrics: batches of edits, and batches of samples."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor

from zoogan.interfaces.condition import Request, Targets
from zoogan.interfaces.draws import derive_seed
from zoogan.interfaces.edit_result import Edit
from zoogan.interfaces.editor import Editor, Seed
from zoogan.interfaces.pixels import check_pixels_finite


class Edits:
    """A batch of faces, each edited to the value of one attribute that it does not have.

    Images are (n, 3, s, s) in [-1, 1] on one device, rounded to the 256 levels of a saved picture. Segmentations are
    (n, s, s), the part of each pixel.

    Args:
        editor: The editor that is measured.
        attribute: The edited attribute.
        faces: Number of each face in its split.
        image: The input faces.
        own: Labels of the input faces, one column for each attribute of the editor.
        target: Requested labels of the edits.
        edit: The editor's result; `edited_image` is its rounded image, `edited_segmentation` its segmentation.
        true_redraw: The true redraws; None for sources without true redraws.
        sample: All fields of these faces that the source returned.
        redraw_sample: All fields of the true redraws that the source returned.
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
        true_redraw: Float[Tensor, "n 3 s s"] | None,
        sample: Mapping[str, Tensor],
        redraw_sample: Mapping[str, Tensor] | None = None,
        seed: int = 0,
    ) -> None:
        self.editor, self.attribute, self.faces, self.image = editor, attribute, faces, image
        self.own, self.target, self.true_redraw, self.seed = own, target, true_redraw, seed
        self.sample, self.redraw_sample = sample, redraw_sample
        self.edit = edit

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
    def edited_image(self) -> Float[Tensor, "n 3 s s"]:
        """The edited faces.

        Raises:
            ValueError: The edits are segmentations alone, see `Metric.reads`.
        """
        return round_as_saved(self.edit.image)

    @cached_property
    def segmentation(self) -> Int64[Tensor, "n s s"] | None:
        """The parts of the input faces; None for sources without segmentations."""
        return None if "segmentation" not in self.sample else self.sample["segmentation"].to(self.image.device).long()

    @cached_property
    def edited_segmentation(self) -> Int64[Tensor, "n s s"]:
        """The parts of the edited faces.

        Raises:
            ValueError: The edits have no segmentation, see `Metric.reads`.
        """
        if self.edit.segmentation is None:
            raise ValueError("these edits have no segmentation")
        return self.edit.segmentation.long()

    @cached_property
    def true_segmentation(self) -> Int64[Tensor, "n s s"] | None:
        """The parts of the true redraws; None for sources without true redraws or segmentations."""
        redraw = self.redraw_sample
        return (
            None
            if redraw is None or "segmentation" not in redraw
            else (redraw["segmentation"].to(self.image.device).long())
        )

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
        reference = reference if self.editor.takes_reference else None
        return round_as_saved(self.repeat_edit(image, own, target, seed=seed, reference=reference).image)

    def edit_with_reference(self, reference: Float[Tensor, "n c h w"]) -> Edit:
        """Make the same edits in the style of references: faces, or layouts for an editor that makes no images."""
        return self.repeat_edit(self.image, self.own, self.target, reference=reference)

    def repeat_edit(
        self,
        image: Float[Tensor, "n 3 s s"],
        own: Float[Tensor, "n a"],
        target: Float[Tensor, "n a"],
        *,
        seed: int | None = None,
        reference: Float[Tensor, "n c h w"] | None = None,
    ) -> Edit:
        """Run the editor once more on these faces, see `edit_image`."""
        seeds = make_face_seeds(self.seed if seed is None else seed, self.faces)
        masks = self.editor.read_masks(self.sample, image)
        return edit_to_labels(self.editor, image, own, target, seed=seeds, reference=reference, masks=masks)


class Samples:
    """A batch of generated faces in [-1, 1], rounded to the 256 levels of a saved picture.

    Args:
        editor: The editor that is measured.
        faces: Numbers of the samples, from 0; (seed, number) decides the seed of each.
        seed: Seed of the samples.
        truncation: How far from the mean face they may be, 0 to 1.

    Attributes:
        edit: The editor's result, not rounded.
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
    reference: Float[Tensor, "n c h w"] | None = None,
    masks: Targets | None = None,
) -> Edit:
    """Edit each face to its own row of `target`. Faces with equal targets go through `resolve` together.

    Args:
        editor: The editor.
        image: Faces in [-1, 1].
        own: Their labels, one column for each attribute of the editor.
        target: Labels that they should show.
        seed: One seed, or one for each face.
        reference: Faces or layouts whose style to use for what changes; None = styles are drawn.
        masks: Masks from the source, see `Editor.read_masks`.

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
        request = Request(dict(zip(editor.attributes, labels.tolist())), reference=style, restyles=False)
        for name, part in editor.resolve(request, image[rows], own[rows]).items():
            if name not in resolved:
                resolved[name] = part.new_zeros(len(image), *part.shape[1:])
            resolved[name][rows] = part
    masks = {k: mask.to(weight.dtype) if mask.is_floating_point() else mask for k, mask in (masks or {}).items()}
    return editor.apply(image, resolved | masks, seed=seed)


def round_as_saved(image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n c h w"]:
    """Round to the 256 levels of a saved picture, so that real and edited faces are measured alike.

    Raises:
        NotFinite: A pixel is NaN or infinite.
    """
    check_pixels_finite(image)
    levels = image.float().add(1).mul(127.5).round().clamp(0, 255)
    return levels.div(127.5).sub(1)
