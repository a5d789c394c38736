"""An editor that adds an attribute to its own faces by a direction and a square, with composites of the square."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from support.toy_faces import SIZE, ToyJudge, make_toy_editor
from zoogan.editors.direction_fits import fit_direction, read_sampled_faces
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.interfaces import Edit, Targets

CORNER, SIDE = 4, 5  # of the square
BRIGHT, PAINTED = 1.0, -1.0  # the square in composites, and in edits
DARKER = 0.6  # edits outside of the square, so that they lose what the basis gained
DIMMED = 0.9  # composites outside of the square, so that they differ from the faces


def paste_square(image: Tensor, value: float) -> Tensor:
    """Return images with a square of one grey."""
    image = image.clone()
    image[:, :, CORNER : CORNER + SIDE, CORNER : CORNER + SIDE] = value
    return image


class PastingEditor(SynthesisEditor):
    """Moves a face along directions and paints a square; the composite has a brighter square and no move."""

    edits_generated = True

    def apply(self, image: Tensor, targets: Targets, **options: Any) -> Edit:  # type: ignore[override]
        edit = super().apply(image, targets, **options)
        face = self.synthesise(targets["latents"]).image
        mask = paste_square(torch.zeros_like(face[:, :1]), 1.0)
        return Edit(
            paste_square((edit.image - DARKER).clamp(-1, 1), PAINTED),
            extras={
                "latents": edit.extras["latents"],
                "basis": edit.image,
                "composite": paste_square(DIMMED * face, BRIGHT),
                "composite_mask": mask,
            },
        )


def make_pasting_editor(axes: Tensor) -> PastingEditor:
    """Make an editor that knows directions of `Red` and `Green`."""
    plain = make_toy_editor(axes)
    editor = PastingEditor(plain.networks, plain.condition, plain.mean_latent)
    latents, probabilities = read_sampled_faces(editor, ToyJudge(), 200)
    editor.set_directions(
        {name: fit_direction(latents, probabilities[:, k]) for k, name in enumerate(("Red", "Green"))}
    )
    assert editor.synthesise(latents[:2, None].expand(-1, 6, -1)).image.shape[-1] == SIZE
    return editor
