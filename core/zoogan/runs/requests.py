"""Turns the inputs of an edit of photos or layouts, as a person gives them, into images and targets."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.conditions.attributes import parse_attribute_value
from zoogan.conditions.parts import PART_WORDS, parse_parts
from zoogan.editors.parts import check_donor
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces import Edit, Editor, Request, Targets
from zoogan.names import suggest_name
from zoogan.runs.images import NORMALIZED, Photos, ValueRange, prepare_images
from zoogan.runs.layouts import Layouts, prepare_layouts


@dataclass(frozen=True)
class EditInputs:
    """What an edit shows and takes besides the requested words; see `LoadedRun.edit`."""

    images: Photos | Edit | None = None
    layout: Layouts | None = None
    own: Mapping[str, Any] | None = None
    reference: Photos | Layouts | None = None
    donor: Photos | Edit | None = None
    drive: Photos | Layouts | None = None
    keep_background: bool = False
    value_range: ValueRange | None = None

    def split_layout(self) -> EditInputs:
        """Return inputs that take the layout of an earlier edit, unless a layout is given."""
        edit = self.images
        if not isinstance(edit, Edit):
            return self
        layout = edit.segmentation if self.layout is None else self.layout
        return replace(self, images=None if edit.image_or_none is None else edit, layout=layout)


def list_input_problems(editor: Editor, inputs: EditInputs) -> list[str]:
    """List the inputs that an editor does not take, and those that it lacks."""
    problems = []
    refused = {"layout": inputs.layout is not None, "own": inputs.own is not None}
    if not editor.takes_layout:
        advice = "this run edits no maps of parts; leave it out"
        problems += [f"{option}: {advice}" for option, is_given in refused.items() if is_given]
    if editor.needs_layout and inputs.layout is None:
        problems.append("layout: this run edits the map of the parts of a face: give it too")
    if inputs.images is None and editor.reads_photos and inputs.layout is not None and editor.takes_layout:
        problems.append("images: this run reads the photo of a face beside its map of parts: give it too")
    elif inputs.images is None and (editor.makes_images or not editor.needs_layout):
        problems.append("images: name the faces to edit, such as a photo")
    if inputs.donor is not None and not editor.takes_parts:
        kind = "edits photos" if editor.makes_images else "edits maps of parts"
        problems.append(f"donor: this run {kind} and takes no parts; use `reference`")
    if inputs.reference is not None and not editor.takes_reference:
        problems.append("reference: this run takes no style from a reference; leave it out")
    if inputs.drive is not None and not editor.takes_drive:
        problems.append("drive: this run does not re-enact faces; leave it out")
    if inputs.keep_background and not editor.can_keep_background:
        problems.append("keep_background: this run cannot tell faces from backgrounds; leave it out")
    return problems


def parse_request(editor: Editor, words: Mapping[str, Any], *, is_complete: bool = False) -> Request:
    """Parse a person's words: attributes or a domain, and parts of another face.

    Args:
        editor: The editor.
        words: Options of `LoadedRun.edit`.
        is_complete: Whether other inputs ask for something, so that there may be no words.

    Returns:
        The request.

    Raises:
        ValueError: Every word that the editor does not know, and values out of range, all at once.
    """
    if editor.condition.parses_parts:
        return editor.condition.parse(words)
    part_words = {word: words[word] for word in PART_WORDS if word in words}
    others = {name: value for name, value in words.items() if name not in part_words}
    parts, seed, problems = parse_parts(part_words, editor.part_kinds) if editor.takes_parts else ({}, None, [])
    if not editor.takes_parts:
        problems = [f"{word}: this run takes no parts of other faces; leave it out" for word in part_words]
    request = Request()
    if others or not (part_words or is_complete):
        try:
            request = editor.condition.parse(others)
        except ValueError as error:
            problems.append(str(error))
    if problems:
        raise ValueError("\n".join(problems))
    return replace(request, parts=parts, from_seed=seed)


def parse_own_labels(own: Mapping[str, Any], attributes: tuple[str, ...]) -> dict[str, float]:
    """Parse own labels, which may be in any combination.

    Raises:
        ConfigError: Unknown names (with the nearest known one) and values other than 0 and 1, all at once.
    """
    labels, problems = {}, []
    for name, word in own.items():
        value = parse_attribute_value(word)
        if name not in attributes:
            hint, known = suggest_name(name, attributes), ", ".join(attributes)
            problems.append(f"own: {name}: this model does not know that attribute{hint}; it knows {known}")
        elif value not in (0.0, 1.0):
            problems.append(f"own: {name}: a face shows it or not: expected 0 or 1, got {word!r}")
        else:
            labels[name] = value
    if problems:
        raise ConfigError("\n".join(problems))
    return labels


def prepare_edit(
    editor: Editor, facts: Facts, device: torch.device, inputs: EditInputs, words: Mapping[str, Any]
) -> tuple[Float[Tensor, "n c s s"], Targets]:
    """Convert the inputs of an edit to faces and targets, for an editor of photos or of layouts.

    Args:
        editor: The editor.
        facts: Size, channels, crop and parts of the run's data.
        device: Where the results go.
        inputs: The faces, and what else is given.
        words: Attributes, `domain`, `part`... by name.

    Returns:
        (the faces, blank where no photo is given and none is read; the targets of `Editor.apply`).

    Raises:
        ConfigError: Inputs that the editor does not take or that do not fit, unknown words, values out of range.
    """

    def prepare_faces(name: str, faces: Any) -> Float[Tensor, "n c s s"]:
        return _prepare_faces(name, faces, facts, device, inputs.value_range)

    def prepare_style_faces(name: str, faces: Any) -> Tensor | None:
        """Prepare faces whose style is taken: photos for an editor that makes images, else layouts."""
        if faces is None:
            return None
        return prepare_faces(name, faces) if editor.makes_images else _prepare_style_layouts(name, faces, facts, device)

    inputs = inputs.split_layout() if editor.takes_layout else inputs
    if problems := list_input_problems(editor, inputs):
        raise ConfigError("\n".join(problems))
    layouts = None if inputs.layout is None else prepare_layouts(inputs.layout, facts, device)
    if inputs.images is None:
        assert layouts is not None
        image = layouts.new_zeros(len(layouts), facts.channels, facts.image_size, facts.image_size)
    else:
        image = prepare_faces("images", inputs.images)
    if layouts is not None and len(image) != len(layouts):
        raise ConfigError(f"layout: {len(layouts)} maps for {len(image)} images: give one for each")
    labels = {} if inputs.own is None else parse_own_labels(inputs.own, editor.attributes)
    is_complete = inputs.drive is not None or (inputs.reference is not None and editor.takes_whole_reference)
    try:
        request = parse_request(editor, words, is_complete=is_complete)
        check_donor(request, inputs.donor is not None, editor.part_kinds)
        request = replace(
            request,
            reference=prepare_style_faces("reference", inputs.reference),
            donor=None if inputs.donor is None else prepare_faces("donor", inputs.donor),
            drive=prepare_style_faces("drive", inputs.drive),
        )
        if request.drive is not None and len(image) == 1:
            image = image.expand(len(request.drive), -1, -1, -1)
            layouts = None if layouts is None else layouts.expand(len(image), -1, -1, -1)
        for name, faces in (("donor", request.donor), ("drive", request.drive)):
            if faces is not None and len(faces) not in (1, len(image)):
                raise ConfigError(f"{name}: got {len(faces)} faces, expected 1, or {len(image)}, one for each")
        targets = editor.resolve(request, image, _make_own_rows(editor, labels, image))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    given = {} if layouts is None else {"layout": layouts}
    return image, targets | given | ({"keep_background": image.new_ones(len(image))} if inputs.keep_background else {})


def _make_own_rows(editor: Editor, labels: Mapping[str, float], image: Tensor) -> Float[Tensor, "n a"] | None:
    """Make the own labels of faces, NaN where they are not given; None for an editor that takes none."""
    if not editor.takes_layout:
        return None
    rows = torch.full((len(image), len(editor.attributes)), torch.nan, device=image.device)
    for name, value in labels.items():
        rows[:, editor.attributes.index(name)] = value
    return rows


def _prepare_style_layouts(name: str, layouts: Any, facts: Facts, device: torch.device) -> Float[Tensor, "n k s s"]:
    """Prepare layouts whose style is taken, and name the input where they do not fit."""
    try:
        return prepare_layouts(layouts, facts, device)
    except ConfigError as error:
        raise ConfigError(str(error).replace("layout:", f"{name}:", 1)) from error


def _prepare_faces(
    name: str, faces: Any, facts: Facts, device: torch.device, value_range: ValueRange | None
) -> Float[Tensor, "n c s s"]:
    """Prepare the faces of an input, and name the input where they do not fit. The range of an edit is known."""
    try:
        if isinstance(faces, Edit):
            return prepare_images(faces.image, facts, device, NORMALIZED)
        return prepare_images(faces, facts, device, value_range)
    except ConfigError as error:
        raise ConfigError(str(error).replace("images:", f"{name}:", 1)) from error
