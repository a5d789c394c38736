"""Batches of edits of faces that the run generated itself, the input of metrics of kind `generated`."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from functools import cached_property

import torch
from jaxtyping import Bool, Float, Int64
from torch import Tensor
from torch.nn import functional as F

from zoogan.interfaces.edit_result import Edit
from zoogan.interfaces.editor import Editor, Seed
from zoogan.interfaces.edits import Edits, make_face_seeds, round_as_saved
from zoogan.interfaces.synthesis import collect_noise

COVERED = 0.5 / 255  # of a mask: less changes no level of a saved picture


class GeneratedEdits(Edits):
    """A batch of generated faces, to each of which one attribute is added that a judge does not read on it.

    There is no true redraw of a generated face. Where the editor gives a composite, it has the face with a template of
    the attribute laid on: what the edit should look like where the template is.

    Args:
        editor: The editor that is measured.
        attribute: The added attribute.
        faces: Number of each sample.
        sample: The faces as the editor generated them.
        own: What a judge reads on them, one column for each attribute of the editor.
        edit: The editor's result.
        seed: Seed of the samples.
    """

    def __init__(
        self,
        editor: Editor,
        attribute: str,
        *,
        faces: Int64[Tensor, " n"],
        sample: Edit,
        own: Float[Tensor, "n a"],
        edit: Edit,
        seed: int = 0,
    ) -> None:
        target = own.clone()
        target[:, editor.attributes.index(attribute)] = 1
        super().__init__(
            editor, attribute, faces=faces, image=round_as_saved(sample.image), own=own, target=target, edit=edit,
            true_redraw=None, sample={}, seed=seed,
        )  # fmt: skip
        self.generated = sample

    @cached_property
    def basis_image(self) -> Float[Tensor, "n 3 s s"] | None:
        """The faces edited by the move alone that is the same for all faces; None where the editor does not tell."""
        return self._round_extra("basis")

    @cached_property
    def composite(self) -> Float[Tensor, "n 3 s s"] | None:
        """The faces with a template of the attribute laid on; None where the editor has none."""
        return self._round_extra("composite")

    @cached_property
    def composite_region(self) -> Bool[Tensor, "n 1 s s"] | None:
        """Where the template is, one pixel wider, since soft edges are no damage; None without a composite."""
        mask = self.edit.extras.get("composite_mask")
        return None if mask is None else F.max_pool2d(mask.float(), 3, 1, 1) > COVERED

    def _round_extra(self, name: str) -> Float[Tensor, "n 3 s s"] | None:
        image = self.edit.extras.get(name)
        return None if image is None else round_as_saved(image)

    def repeat_edit(
        self,
        image: Float[Tensor, "n 3 s s"],
        own: Float[Tensor, "n a"],
        target: Float[Tensor, "n a"],
        *,
        seed: int | None = None,
        reference: Float[Tensor, "n c h w"] | None = None,
    ) -> Edit:
        """Refuse: a generated face is edited by its latents, which other images do not have.

        Raises:
            ValueError: Always.
        """
        raise ValueError("generated faces are edited by their latents; other images of them have none")


@torch.no_grad()
def add_attribute(
    editor: Editor, sample: Edit, attribute: str, seed: Seed = 0, template: Tensor | None = None, refine: int = 0
) -> Edit:
    """Add an attribute to faces that have latents.

    Args:
        editor: The editor.
        sample: The faces; `extras` has their latents, and their noise maps where these are not the generator's own.
        attribute: One of the editor's attributes.
        seed: Seed of what the edit draws, one for all or one for each face.
        template: Number of the template of each face; None = those that the editor chooses.
        refine: Steps of descent towards the composite, for editors that compute offsets.
    """
    request = editor.condition.parse({attribute: 1})
    latents, noise = sample.extras["latents"], collect_noise(sample.extras)
    request = replace(request, latents=latents, noise=noise, template=template, refine=refine)
    return editor.apply(sample.image, editor.resolve(request, sample.image), seed=seed)


def select_faces(edit: Edit, rows: Bool[Tensor, " n"]) -> Edit:
    """Return some faces of an edit."""
    return replace(
        edit,
        image_or_none=edit.image[rows],
        mask=None if edit.mask is None else edit.mask[rows],
        segmentation=None if edit.segmentation is None else edit.segmentation[rows],
        extras={name: value[rows] for name, value in edit.extras.items()},
    )


def sample_faces(editor: Editor, seed: int, faces: Int64[Tensor, " n"], truncation: float = 1.0) -> Edit:
    """Let an editor generate a face for each number, the same as `Samples` of that seed."""
    seeds: Sequence[int] = make_face_seeds(seed, faces)
    return editor.sample(seeds, truncation=None if truncation == 1 else truncation)
