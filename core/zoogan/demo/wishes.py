"""What a page asks for: one edit, and the command that would make it."""

from __future__ import annotations

import shlex
from collections.abc import Callable
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from zoogan.demo.faces import Face
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.runs.description import EditorDescription

Seed = Annotated[int, Field(ge=0, lt=2**31)]
Number = Annotated[float, Field(ge=-10, le=10, allow_inf_nan=False)]
Key = Annotated[str, Field(max_length=64)]
Name = Annotated[str, Field(max_length=100)]
MOST_REFINE = 200  # steps, so that no request takes long


class Wish(BaseModel):
    """One edit, as a page asks for it; options have the names and the meaning of `LoadedRun.edit`.

    Attributes:
        run: Number of the run.
        face: Key of the face to edit.
        attributes: Value by attribute, those that were touched.
        parts: Parts to take from the face of `from_seed` or `donor`.
        reference: Key of a face, as `donor` and `drive` are.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    run: int = Field(0, ge=0)
    face: Key
    attributes: dict[Name, Number] = Field(default_factory=dict, max_length=200)
    domain: Name | None = None
    reference: Key | None = None
    drive: Key | None = None
    donor: Key | None = None
    from_seed: Seed | None = None
    parts: tuple[Name, ...] = Field((), max_length=100)
    only: Name | None = None
    own: dict[Name, Number] = Field(default_factory=dict, max_length=200)
    seed: Seed | None = None
    truncation: Number | None = None
    strength: Number = 1.0
    threshold: Number | None = None
    offset: Number | None = None
    refine: int | None = Field(None, ge=0, le=MOST_REFINE)
    template: Seed | None = None
    keep_background: bool = False

    def make_words(self, description: EditorDescription) -> dict[str, Any]:
        """Make the words of the request.

        Raises:
            ConfigError: Attributes that the run does not know.
        """
        known = [one.name for one in description.attributes]
        if unknown := [name for name in self.attributes if name not in known]:
            hint = suggest_name(unknown[0], known)
            raise ConfigError(f"{unknown[0]}: this run does not know that attribute{hint}; known: {', '.join(known)}")
        others: dict[str, Any] = {"domain": self.domain, "offset": self.offset, "refine": self.refine}
        others |= {"template": self.template}
        if self.parts:
            others |= {"part": list(self.parts), "only": self.only, "from_seed": self.from_seed}
        return dict(self.attributes) | {name: value for name, value in others.items() if value is not None}

    def make_options(self) -> dict[str, Any]:
        """Make the options of `LoadedRun.edit` that are neither words nor faces; only those that were given."""
        given: dict[str, Any] = {"seed": self.seed, "truncation": self.truncation, "threshold": self.threshold}
        given |= {"own": self.own or None, "keep_background": self.keep_background or None}
        return {"strength": self.strength} | {name: value for name, value in given.items() if value is not None}


def format_edit_command(
    run: str, description: EditorDescription, wish: Wish, face: Face, get_face: Callable[[str], Face]
) -> str:
    """Format the `zoo edit` that makes the same edit, quoted for a shell.

    Args:
        run: What names the run on the command line.
        description: What the run can do.
        wish: The edit.
        face: The face that is edited.
        get_face: Returns a face by its key.
    """
    words = ["zoo", "edit", run]
    is_made = face.seed is not None and description.edits == "latents"
    if is_made:
        words += ["--seed", str(face.seed)]
        words += [] if face.truncation is None else ["--truncation", f"{face.truncation:g}"]
    elif description.edits != "layouts" or description.reads_photos:
        words.append(guard_dash(face.name))
        words += ["--box", str(face.chosen)] if face.chosen is not None else []
    if description.layout == "needed" or wish.run in face.layouts:
        words += ["--layout", guard_dash(name_layout(face))]
    for name, value in wish.attributes.items():
        words += ["--attribute", f"{name}={value:g}"]
    words += [] if wish.domain is None else ["--domain", wish.domain]
    if wish.reference is not None:
        reference = get_face(wish.reference)
        is_map = description.reference == "layout"
        words += ["--reference", guard_dash(name_layout(reference) if is_map else reference.name)]
    for part in wish.parts:
        words += ["--part", part]
    if wish.parts:
        words += [] if wish.only is None else ["--only", wish.only]
        words += [] if wish.from_seed is None else ["--from-seed", str(wish.from_seed)]
        if wish.donor is not None:
            donor = get_face(wish.donor)
            by_seed = donor.seed is not None and description.edits == "latents"
            words += ["--from-seed", str(donor.seed)] if by_seed else ["--from", guard_dash(donor.name)]
    words += ["--own", ",".join(f"{name}={value:g}" for name, value in wish.own.items())] if wish.own else []
    if not is_made and wish.seed is not None and wish.reference is None:
        words += ["--seed", str(wish.seed)]
    for name in ("truncation", "threshold", "offset", "refine", "template"):
        value = getattr(wish, name)
        words += [] if value is None else [f"--{name}", f"{value:g}"]
    words += [] if wish.strength == 1 else ["--strength", f"{wish.strength:g}"]
    words += ["--keep-background"] if wish.keep_background else []
    return shlex.join(words)


def name_layout(face: Face) -> str:
    """Name the file of a face's map, as the page saves it."""
    return f"{face.name.rpartition('.')[0] or face.name}-layout.png"


def guard_dash(name: str) -> str:
    """Make a file name that is no option."""
    return f"./{name}" if name.startswith("-") else name
