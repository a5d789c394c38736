"""The conformance suite finds editors that break a rule: each toy breaks one, and the toy that breaks none passes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoogan.facts import Facts
from zoogan.interfaces import Edit, Editor, Request
from zoogan.interfaces.synthesis import SynthesisedFace
from zoogan.layers.layout import make_layout
from zoogan.testing import KnownGenerator, make_noise
from zoogan.testing.editor_checks import check_edits, check_part_masks

FACTS = Facts(image_size=16, attributes=("Smiling", "Bald"), parts=("background", "face", "hair"))


def draw_values(seed: int | Sequence[int], n: int) -> Tensor:
    """Draw a value of each image from its seed."""
    seeds = [seed] * n if isinstance(seed, int) else list(seed)
    return torch.stack([make_noise(one, 1, 1, 1) for one in seeds])


class ToyEditor(Editor):
    """Brightens photos by attributes, a reference and a seed.

    Args:
        broken: The rule that it breaks.
    """

    attributes = FACTS.attributes
    takes_reference = takes_whole_reference = makes_masks = True  # type: ignore[assignment]
    parts = FACTS.parts  # type: ignore[assignment]

    def __init__(self, broken: str = "") -> None:
        self.networks, self.broken = nn.ModuleDict({"none": nn.Conv2d(1, 1, 1)}), broken

    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> dict[str, Tensor]:
        """Return the labels, and the brightness of the reference."""
        assert own is not None
        columns = [request.attributes.get(name, column) for name, column in zip(self.attributes, own.T)]
        labels = torch.stack([torch.as_tensor(column).expand(len(image)).float() for column in columns], 1)
        if self.broken == "attribute":
            labels[:, 1] = 0
        style = torch.zeros(1) if request.reference is None or self.broken == "reference" else request.reference.mean()
        return {"labels": labels, "style": style.expand(len(image))}

    def apply(self, image: Tensor, targets: Mapping[str, Tensor], *, seed: Any = 0, strength: float = 1.0,
              threshold: float | None = None, truncation: float | None = None) -> Edit:  # fmt: skip
        """Mix the photo with a grey level that the targets and the seed decide."""
        if truncation is not None:
            raise ValueError("nothing is truncated")
        level = (targets["labels"] @ torch.tensor([0.3, 0.5]) + targets["style"])[:, None, None, None]
        level = level + (0 if self.broken == "seed" else draw_values(seed, len(image)))
        edited = image.lerp(level.tanh().expand_as(image), 0.5 * strength)
        mask = torch.full_like(image[:, :1], 0.5)
        parts = (image.mean(1) > 0).long()
        if self.broken == "range" and strength:
            edited = edited * 3
        if self.broken == "finite" and strength:
            edited = edited / 0
        if self.broken == "mask":
            mask = mask + 1
        if self.broken == "negative mask":
            mask = mask - 1
        if self.broken == "scores":
            return Edit(edited, mask, parts.float())
        return Edit(edited, mask, parts + 2 if self.broken == "parts" else parts)


class ToyLayoutEditor(Editor):
    """Turns the parts of layouts around by attributes.

    Args:
        broken: The rule that it breaks.
    """

    attributes, makes_images, is_random = FACTS.attributes, False, False
    parts = FACTS.parts  # type: ignore[assignment]

    def __init__(self, broken: str = "") -> None:
        self.networks, self.broken = nn.ModuleDict({"none": nn.Conv2d(1, 1, 1)}), broken

    def read_masks(self, sample: Mapping[str, Tensor], image: Tensor) -> dict[str, Tensor]:
        """Return the layout."""
        return {"layout": make_layout(sample["segmentation"], len(self.parts))}

    def resolve(self, request: Request, image: Tensor, own: Tensor | None = None) -> dict[str, Tensor]:
        """Return how far to turn."""
        turn = sum((k + 1) * int(request.attributes.get(name, 0)) for k, name in enumerate(self.attributes))
        return {"turn": torch.full((len(image),), 0 if self.broken == "attribute" else turn)}

    def apply(self, image: Tensor, targets: Mapping[str, Tensor], *, strength: float = 1.0, **options: Any) -> Edit:
        """Turn the parts."""
        parts = targets["layout"].argmax(1)
        turned = (parts + targets["turn"][:, None, None]) % len(self.parts) if strength else parts
        return Edit(None, segmentation=turned + 3 if self.broken == "parts" and strength else turned)


def test_toy_editors_that_break_no_rule_pass() -> None:
    check_edits(ToyEditor(), FACTS)
    check_edits(ToyLayoutEditor(), FACTS)
    check_edits(make_generator(), FACTS)


@pytest.mark.parametrize(
    ("editor", "message"),
    [
        (ToyEditor("range"), r"an edit has pixels from -.* to 2.*, expected \[-1, 1\]"),
        (ToyEditor("finite"), "an edit has pixels that are not finite"),
        (ToyEditor("mask"), r"the mask of an edit is from 1.5 to 1.5, not in \[0, 1\]"),
        (ToyEditor("negative mask"), r"the mask of an edit is from -0.5 to -0.5, not in \[0, 1\]"),
        (ToyEditor("scores"), "the segmentation of an edit has scores, expected numbers of parts"),
        (ToyEditor("parts"), "the segmentation of an edit has parts 2 to 3, but the editor has 3 parts"),
        (ToyEditor("attribute"), "the editor ignores the attribute Bald: other values give the same edit"),
        (ToyEditor("reference"), "the editor ignores the reference: other values give the same edit"),
        (ToyEditor("seed"), "the editor ignores its seed; declare `is_random = False`"),
        (ToyLayoutEditor("attribute"), "the editor ignores the attribute Smiling"),
        (ToyLayoutEditor("parts"), "the segmentation of an edit has parts 3 to 5, but the editor has 3 parts"),
    ],
    ids=lambda value: getattr(value, "broken", ""),
)
def test_editor_that_breaks_a_rule_is_found(editor: Editor, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_edits(editor, FACTS)


def make_generator(scale: float = 1.0, ignores_seed: bool = False) -> KnownGenerator:
    """Make a generator of noise, times a scale."""
    return KnownGenerator(
        lambda seeds: scale * torch.stack([make_noise(0 if ignores_seed else seed, 3, 16, 16).tanh() for seed in seeds])
    )


@pytest.mark.parametrize(
    ("generator", "message"),
    [
        (make_generator(1.5), r"a face has pixels from -1.* to 1.*, expected \[-1, 1\]"),
        (make_generator(float("nan")), "a face has pixels that are not finite"),
        (make_generator(ignores_seed=True), "seeds make no difference"),
    ],
    ids=("range", "finite", "seed"),
)
def test_generator_that_breaks_a_rule_is_found(generator: KnownGenerator, message: str) -> None:
    with pytest.raises(AssertionError, match=message):
        check_edits(generator, FACTS)


def test_part_masks_that_are_no_shares_are_found() -> None:
    shares = make_noise(0, 2, 3, 8, 8).softmax(1)
    edit = Edit(make_noise(0, 2, 3, 16, 16).tanh(), extras={"latents": torch.zeros(2, 1, 4)})
    cases = {
        "the masks of all parts sum to 1 at each pixel, but one is 0.1 off": shares * 0.9,
        "masks of parts are from -": shares - 0.5,
        "": shares,
    }
    for message, masks in cases.items():
        face = SynthesisedFace(edit.image, coarse=2 * masks - 1)
        editor: Any = SimpleNamespace(generator=lambda latents, noise, face=face: face)
        if not message:
            check_part_masks(editor, edit)
            continue
        with pytest.raises(AssertionError, match=message):
            check_part_masks(editor, edit)
