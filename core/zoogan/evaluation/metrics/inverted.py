"""Edit error of inverted held-out faces: what an editor of generated faces does to faces that it did not generate."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from dataclasses import replace
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import Tensor

from zoogan.auxiliary.image_distance import choose_image_distance
from zoogan.config import ComponentConfig
from zoogan.editors.config import InversionConfig
from zoogan.editors.decomposition_editor import DecompositionEditor
from zoogan.editors.inversion import invert_photos
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.evaluation.metrics.redraw_metric import RedrawMetric
from zoogan.interfaces import Edits, Measure, Statistic, Study, Unavailable
from zoogan.interfaces.edits import round_as_saved
from zoogan.interfaces.generated_edits import add_attribute
from zoogan.pictures.photo import normalize_image

BATCH = 8  # faces that are inverted at once


class InvertedConfig(ComponentConfig):
    """Options of `inverted`.

    Attributes:
        faces: Held-out faces of each attribute, at most as many as the study has faces.
        iterations: Iterations of each inversion.
        seed: Seed of the inversions.
        refine: Steps of descent of a further row, `refined`, for runs that compute offsets; 0 = no such row.
    """

    use: Literal["inverted"] = "inverted"
    faces: int = Field(40, ge=1)
    iterations: int = Field(200, ge=1)
    seed: int = 0
    refine: int = Field(0, ge=0)


class InvertedEditError(RedrawMetric):
    """Edit error of held-out drawn faces without the attribute, which are inverted (w+, fixed noise) and then edited.

    As `edit_error`: mean L1(image, redraw) / mean L1(face, redraw) inside the true region, 0 = the true redraw, 1 = no
    edit of the face. `none` is the inverted face, `basis` its edit by the basis alone, `full` its edit, and `composite`
    the inverted face with a template laid on; of the templates of a run the one is taken that is nearest to the
    redraw, as a person would choose it. `refined` is the edit after the steps of descent that `refine` asks for. Slow,
    so that it is measured only when it is named.
    """

    Config = InvertedConfig
    config: InvertedConfig
    title = "Edit error of inverted held-out faces: L1 to the true redraw inside its region; 0 = the truth"
    kinds = ("generated",)
    better: ClassVar = {
        "inverted.edit_error.none": None, "inverted.edit_error.basis": None, "inverted.edit_error.full": "lower",
        "inverted.edit_error.composite": None, "inverted.edit_error.refined": "lower",
    }  # fmt: skip

    def start(self, study: Study) -> None:
        """Check that the source can redraw faces, and clear earlier rows.

        Raises:
            Unavailable: See `RedrawMetric.start`.
        """
        super().start(study)
        self._editor: SynthesisEditor | None = None
        self._attributes: list[str] = []
        self._pixels = ""

    def update(self, edits: Edits) -> None:
        """Remember the editor and the attribute; the faces of the batch play no part."""
        if isinstance(edits.editor, SynthesisEditor) and edits.attribute not in self._attributes:
            self._editor = edits.editor
            self._attributes.append(edits.attribute)

    def compute(self) -> list[Measure]:
        """Invert and edit the faces, shared by the processes, and compute the ratios.

        Raises:
            Unavailable: No edited attribute is known to the source, or every held-out face shows it.
        """
        world, known = self.study.world, self.study.source.attributes
        seen = world.gather_objects(self._attributes)
        sharing = [rank for rank, names in enumerate(seen) if names]  # a process without a batch knows no editor
        chosen = {name: self.choose_faces(name) for names in seen for name in names if name in known}
        if not any(chosen.values()):
            raise Unavailable("the source labels none of the edited attributes, or all of its held-out faces show them")
        self._pixels = self._hash_faces([face for faces in chosen.values() for face in faces])
        if self._editor is not None:
            place, size = sharing.index(world.rank), len(sharing)
            for name, faces in chosen.items():
                mine = list(range(len(faces)))[place::size]
                for first in range(0, len(mine), BATCH):
                    places = mine[first : first + BATCH]
                    self._measure_batch(self._editor, name, places, [faces[k] for k in places])
        return super().compute()

    def choose_faces(self, attribute: str) -> list[int]:
        """Choose the first held-out faces that do not show an attribute and can show it."""
        source, split = self.study.source, self.study.split
        column = source.attributes.index(attribute)
        usable = source.read_labels(split)[:, column] < 0.5
        visible = source.read_visibility(split)
        if visible is not None:
            usable &= visible[:, column] > 0.5
        faces: list[int] = usable.nonzero().flatten()[: min(self.config.faces, self.study.faces)].tolist()
        return faces

    def _hash_faces(self, faces: Sequence[int]) -> str:
        pixels = self.study.source.read(self.study.split, list(faces))["image"]
        return hashlib.sha256(pixels.contiguous().numpy().tobytes()).hexdigest()

    def _measure_batch(self, editor: SynthesisEditor, attribute: str, places: list[int], faces: list[int]) -> None:
        """Invert faces, edit them, and add their rows."""
        source, device = self.study.source, self.study.device
        sample = source.read(self.study.split, faces)
        redrawn = source.redraw(self.study.split, faces, **{attribute: torch.ones(len(faces))})
        assert redrawn is not None
        image, redraw = (normalize_image(part["image"]).to(device) for part in (sample, redrawn))
        config = InversionConfig(iterations=self.config.iterations, space="w+", noise="fixed")
        distance = choose_image_distance("auto", source.image_size, device)
        found = invert_photos(editor, image, distance, config, seed=self.config.seed)
        region = (redraw != image).any(1, keepdim=True)
        template = None
        if isinstance(editor, DecompositionEditor) and editor.condition.templates:
            template = editor.find_nearest_templates(found.image, attribute, redraw, region)
        edit = add_attribute(editor, found, attribute, self.config.seed, template)
        own = torch.zeros(len(faces), len(editor.attributes), device=image.device)
        target = own.clone()
        target[:, editor.attributes.index(attribute)] = 1
        batch = Edits(
            editor, attribute, faces=torch.tensor(places), image=image, own=own, target=target, edit=edit,
            true_redraw=redraw, sample=sample,
        )  # fmt: skip
        shown: dict[str, Tensor | None] = {"none": found.image, "full": edit.image}
        shown |= {name: edit.extras.get(name) for name in ("basis", "composite")}
        if self.config.refine and template is not None:
            shown["refined"] = add_attribute(
                editor, found, attribute, self.config.seed, template, refine=self.config.refine
            ).image
        needed = ((image - redraw).abs() * region).flatten(1).sum(1)
        for name, result in shown.items():
            if result is not None:
                wrong = ((round_as_saved(result) - redraw).abs() * region).flatten(1).sum(1)
                self.add_rows(f"inverted.edit_error.{name}", batch, wrong, needed, where=needed > 0)

    def make_measure(self, name: str, attribute: str | None, statistic: Statistic) -> Measure:
        """Make a measure; its reference is the digest of the inverted faces."""
        measure = FaceMetric.make_measure(self, name, attribute, statistic)
        note = f"{self.config.iterations} iterations of inversion, w+"
        return replace(measure, reference=self._pixels, note=note)
