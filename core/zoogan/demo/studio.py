"""One run of a demo: what it finds out about faces, and its edits as pictures."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any, cast

from jaxtyping import Float, UInt8
from torch import Tensor

from zoogan.demo.faces import Face
from zoogan.demo.turns import IsSuperseded, SupersededError
from zoogan.demo.uploads import decode_photo
from zoogan.demo.wishes import Wish
from zoogan.errors import ConfigError
from zoogan.interfaces import Edit
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.paste import paste_edit
from zoogan.pictures.photo import normalize_image, quantize_image
from zoogan.runs.description import describe_editor
from zoogan.runs.images import NORMALIZED
from zoogan.runs.loaded import LoadedRun

SEARCH_ITERATIONS = 300  # of the search for a photo's latents, at most; `zoo invert` takes longer and finds better ones
STEPS = ("basis", "composite")  # images in the extras of an edit with an offset
Picture = UInt8[Tensor, "c s s"]


@dataclass
class FaceState:
    """What a run knows of a face.

    Attributes:
        image: The face in [-1, 1]; for a run that edits latents, as it makes the face.
        latents: The face with its latents, for such a run.
        layout: Its layout, one-hot, for runs that take layouts and if it is known.
        own: How far it shows each attribute; without those that the run cannot tell.
    """

    image: Float[Tensor, "1 c s s"]
    latents: Edit | None = None
    layout: Float[Tensor, "1 k s s"] | None = None
    own: dict[str, float] = field(default_factory=dict)


class Studio:
    """A run of a demo.

    Args:
        run: The opened run.
        number: Its number among the runs of the demo.
        name: What names it on the command line.

    Attributes:
        description: What its editor can do.
        search: How far the search for a photo's latents is, 0 to 1; None = there is none.
    """

    def __init__(self, run: LoadedRun, number: int, name: str) -> None:
        self.run, self.number, self.name = run, number, name
        self.description = describe_editor(run)
        self.search: float | None = None

    # ---- faces ----

    def open_face(self, face: Face, is_superseded: IsSuperseded = lambda: False) -> FaceState:
        """Find out what the run needs to know of a face: latents, layout, own attributes. It is kept.

        Raises:
            ConfigError: A map that does not fit.
            SupersededError: A search for latents was stopped.
        """
        if self.number in face.states:
            return cast(FaceState, face.states[self.number])
        state = FaceState(normalize_image(face.crops[self.number])[None].to(self.run.device))
        if self.description.edits == "latents":
            state.latents = self.find_latents(face, state.image, is_superseded)
            state.image = state.latents.image
        state.layout = self.find_layout(face)
        state.own = self.read_own(state)
        face.states[self.number] = state
        return state

    def find_latents(self, face: Face, image: Tensor, is_superseded: IsSuperseded) -> Edit:
        """Return the face with its latents: those of its seed, or those found for its picture."""
        if face.seed is not None:
            return self.run.sample(seed=face.seed, truncation=face.truncation)
        iterations = min(SEARCH_ITERATIONS, self.run.synthesis_editor.inversion.iterations)

        def watch(iteration: int, terms: Mapping[str, float]) -> bool:
            self.search = iteration / iterations
            return is_superseded()

        try:
            self.search = 0.0
            found = self.run.invert(image, value_range=NORMALIZED, watch=watch, iterations=iterations, tune=False)
        finally:
            self.search = None
        if is_superseded():
            raise SupersededError
        return found

    def find_layout(self, face: Face) -> Tensor | None:
        """Return the layout of a face that was given, or that its source knows if the run needs one."""
        if self.description.layout == "none":
            return None
        if self.number in face.layouts:
            return face.layouts[self.number]
        if self.description.layout != "needed" or face.segmentation is None:
            return None
        parts, segmentation = face.segmentation
        return self.run.prepare_layouts(segmentation) if parts == self.run.facts.parts else None

    def read_own(self, state: FaceState) -> dict[str, float]:
        """Read how far a face shows each attribute."""
        editor, source = self.run.editor, self.description.own_labels
        values: Tensor | None = None
        if source == "latents" and state.latents is not None:
            values = editor.measure_attributes(state.latents.extras["latents"])
        elif source == "photo":
            values = editor.predict_labels(state.image)
        elif source == "layout" and state.layout is not None:
            values = editor.predict_labels(state.layout)
        if values is None:
            return {}
        pairs = zip(editor.attributes, values[0].tolist())
        return {name: round(value, 3) for name, value in pairs if value == value}  # NaN = unknown

    def show_face(self, state: FaceState) -> Picture:
        """Make the picture of a face before an edit."""
        if self.description.edits != "layouts" or state.layout is None:
            return quantize_image(state.image[0])
        return self.colour(state.layout.argmax(1))

    def colour(self, segmentation: Tensor) -> Picture:
        """Colour the first of some segmentations."""
        return colour_segmentation(segmentation[:1], len(self.run.editor.parts))[0].cpu()

    # ---- edits ----

    def edit(self, wish: Wish, get_face: Callable[[str], Face], is_superseded: IsSuperseded) -> tuple[FaceState, Edit]:
        """Make an edit.

        Args:
            wish: The edit.
            get_face: Returns a face by its key.
            is_superseded: Tells whether a newer request came.

        Raises:
            ConfigError: The run cannot make the edit.
            SupersededError: A search for latents was stopped.
        """
        state = self.open_face(get_face(wish.face), is_superseded)
        words, faces = wish.make_words(self.description), self.gather_faces(wish, get_face, is_superseded)
        if not words and "reference" in faces and not self.description.takes_whole_reference:
            if len(self.description.domains) != 1:
                raise ConfigError(f"which of {', '.join(self.description.domains)} does the reference show?")
            words["domain"] = self.description.domains[0]
        if state.layout is not None:
            faces["layout"] = state.layout
        options = wish.make_options() | words
        return state, self.run.edit(state.latents or state.image, value_range=NORMALIZED, **faces, **options)

    def gather_faces(self, wish: Wish, get_face: Callable[[str], Face], is_superseded: IsSuperseded) -> dict[str, Any]:
        """Gather the faces besides the edited one: images or layouts, as the run takes them."""
        faces: dict[str, Any] = {}
        for name in ("reference", "drive", "donor"):
            key = getattr(wish, name)
            if key is None:
                continue
            face = get_face(key)
            state = self.open_face(face, is_superseded)
            if name == "donor" and state.latents is not None:
                faces[name] = state.latents
            elif name != "donor" and getattr(self.description, name) == "layout":
                if state.layout is None:
                    raise ConfigError(f"{name}: the map of the parts of {face.name} is unknown; add it to that face")
                faces[name] = state.layout
            else:
                faces[name] = state.image
        return faces

    def edit_whole(
        self, wish: Wish, get_face: Callable[[str], Face], is_superseded: IsSuperseded
    ) -> UInt8[Tensor, "3 h w"]:
        """Make an edit, and lay it over the whole photo at its own size.

        Raises:
            ConfigError: The face is no photo, or the run makes maps of parts; see also `edit`.
        """
        face = get_face(wish.face)
        if face.content is None or not self.run.editor.makes_images:
            raise ConfigError(f"{face.name}: there is no whole photo to lay an edit over; drop or choose a photo")
        state, edit = self.edit(wish, get_face, is_superseded)
        photo = decode_photo(face.content, face.name)
        box = face.boxes[self.number]
        return paste_edit(photo, box, state.image[0], edit.image[0], None if edit.mask is None else edit.mask[0])

    def show_edit(self, edit: Edit) -> dict[str, Picture]:
        """Make the pictures of an edit: `edited`, and as far as there are any `mask`, `parts`, `basis`, `composite`."""
        pictures: dict[str, Picture] = {}
        if edit.image_or_none is None:
            assert edit.segmentation is not None
            return {"edited": self.colour(edit.segmentation)}
        pictures["edited"] = quantize_image(edit.image[0])
        if edit.mask is not None:
            pictures["mask"] = quantize_image(2 * edit.mask[0] - 1)
        if edit.segmentation is not None:
            pictures["parts"] = self.colour(edit.segmentation)
        for name in STEPS:
            if name in edit.extras:
                pictures[name] = quantize_image(edit.extras[name][0])
        return pictures

    def make_face(self, seed: int, truncation: float | None) -> Picture:
        """Make a face from a seed.

        Raises:
            ConfigError: The run makes no faces, or has no maps to paint.
        """
        return quantize_image(self.run.sample(seed=seed, truncation=truncation).image[0])
