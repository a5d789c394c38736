"""The checks of the conformance suite on editors: ranges, independence of the batch, and conditions that show."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace

import torch
from torch import Tensor

from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.facts import Facts
from zoogan.interfaces import Edit, Editor, Request, Targets
from zoogan.interfaces.synthesis import collect_noise
from zoogan.layers.layout import make_layout
from zoogan.testing.tensors import make_faces, make_labels, make_segmentation

Variant = tuple[str, Request, Request]
"""What differs between two requests, and the requests."""
SLACK = 1e-4  # of sums of shares


def check_edits(editor: Editor, facts: Facts) -> None:
    """Check everything that an editor makes.

    An editor of photos keeps shape and range, treats each image alone, and returns the input at strength 0. An editor
    that generates faces must do so by seed: equal seeds give equal faces in every batch. An editor of layouts makes
    segmentations. Whatever may be requested must change the result.

    Args:
        editor: The editor of tiny networks.
        facts: The facts that they were built for.

    Raises:
        AssertionError: One sentence with the reason.
    """
    if editor.can_sample or editor.also_samples or editor.paints_layouts:
        check_faces(editor, facts)
    if editor.can_sample:
        check_generated_edits(editor)
    elif editor.makes_images:
        check_photos(editor, facts)
    else:
        check_layouts(editor, facts)


def check_ranges(edit: Edit, editor: Editor, what: str) -> None:
    """Check that images are in [-1, 1], masks in [0, 1], and segmentations name parts; all of one size and finite.

    Args:
        edit: The result.
        editor: What made it.
        what: What it is, for the message: `an edit` or `a face`.
    """
    size = None
    if edit.image_or_none is not None:
        image, size = edit.image, edit.image.shape[-2:]
        assert image.isfinite().all(), f"{what} has pixels that are not finite"
        lowest, highest = float(image.min()), float(image.max())
        assert lowest >= -1 and highest <= 1, f"{what} has pixels from {lowest:.3g} to {highest:.3g}, expected [-1, 1]"
    if edit.mask is not None:
        mask = edit.mask
        assert mask.isfinite().all(), f"the mask of {what} is not finite"
        lowest, highest = float(mask.min()), float(mask.max())
        assert lowest >= 0 and highest <= 1, f"the mask of {what} is from {lowest:.3g} to {highest:.3g}, not in [0, 1]"
        assert size is None or mask.shape[-2:] == size, f"the mask of {what} has another size than its image"
    if edit.segmentation is not None:
        parts = edit.segmentation
        assert not parts.is_floating_point(), f"the segmentation of {what} has scores, expected numbers of parts"
        lowest, highest = int(parts.min()), int(parts.max())
        assert lowest >= 0 and highest < len(editor.parts), (
            f"the segmentation of {what} has parts {lowest} to {highest}, but the editor has {len(editor.parts)} parts"
        )
        assert size is None or parts.shape[-2:] == size, f"the segmentation of {what} has another size than its image"


def check_photos(editor: Editor, facts: Facts) -> None:
    """Check an editor of photos."""
    image = make_faces(3, 3, facts.image_size)
    own = make_labels(4, 3, len(facts.attributes))
    request = make_tiny_request(editor, facts)
    segmentation = make_segmentation(3, 3, facts.image_size, max(1, len(facts.parts)))
    masks = editor.read_masks({"segmentation": segmentation}, image) if editor.takes_layout else {}
    targets = editor.resolve(request, image, own) | masks
    edit = editor.apply(image, targets)
    check_declared(editor, image, targets, edit)
    assert edit.image.shape == image.shape, "an edit has the input's shape"
    check_ranges(edit, editor, "an edit")
    rows = {name: mask[1:2] for name, mask in masks.items()}
    alone = editor.apply(image[1:2], editor.resolve(request, image[1:2], own[1:2]) | rows)
    assert torch.allclose(alone.image, edit.image[1:2], atol=1e-5), "an edit depends on the other images of its batch"
    assert torch.equal(editor.apply(image, targets).image, edit.image), "the same edit twice differs"
    assert torch.allclose(editor.apply(image, targets, strength=0.0).image, image), "strength 0 is not the input"
    check_conditions(
        editor, list_variants(editor, facts), lambda one: editor.apply(image, editor.resolve(one, image, own) | masks)
    )
    if editor.is_random and not request.parts:  # parts of a generated face leave nothing to draw
        other = editor.apply(image, targets, seed=1).image
        assert not torch.equal(other, edit.image), "the editor ignores its seed; declare `is_random = False`"


def check_conditions(editor: Editor, variants: Iterator[Variant], edit: Callable[[Request], Edit]) -> None:
    """Check that each thing that a request may say changes the result.

    Args:
        editor: The editor.
        variants: Pairs of requests that differ in one thing.
        edit: Edits the same faces by a request.
    """
    for what, one, other in variants:
        first, second = edit(one), edit(other)
        for result in (first, second):
            check_ranges(result, editor, "an edit")
        is_image = first.image_or_none is not None
        shown = [result.image if is_image else result.segmentation for result in (first, second)]
        assert shown[0] is not None and shown[1] is not None
        assert not torch.equal(shown[0], shown[1]), f"the editor ignores {what}: other values give the same edit"


def list_variants(editor: Editor, facts: Facts) -> Iterator[Variant]:
    """List pairs of requests that differ in one thing, of an editor of photos or layouts."""
    size, count = facts.image_size, len(facts.parts)

    def make_other_face(seed: int) -> Tensor:
        if editor.makes_images:
            return make_faces(seed, 1, size)
        return make_layout(make_segmentation(seed, 1, size, count), count)

    base = Request(domain=0) if editor.domains else Request()
    for name in () if editor.domains else editor.attributes:
        yield f"the attribute {name}", Request({name: 1.0}), Request({name: 0.0})
    if len(editor.domains) > 1:
        yield "the domain", Request(domain=0), Request(domain=1)
    if editor.takes_reference and (editor.domains or editor.takes_whole_reference):
        one, other = (replace(base, reference=make_other_face(seed)) for seed in (8, 9))
        yield "the reference", one, other
    if editor.takes_drive:
        yield "the drive", Request(drive=make_other_face(8)), Request(drive=make_other_face(9))
    if editor.takes_parts and editor.part_kinds:
        one, other = (Request(parts=dict(editor.part_kinds), from_seed=seed) for seed in (7, 8))
        yield "the face that parts are taken from", one, other


def check_generated_edits(editor: Editor) -> None:
    """Check the edits of faces that an editor generates: by attribute, and by part."""
    face = editor.sample([3, 4])
    if "latents" not in face.extras:
        return
    base = Request(latents=face.extras["latents"], noise=collect_noise(face.extras))
    variants: list[Variant] = [
        (f"the attribute {name}", replace(base, attributes={name: 1.0}), replace(base, attributes={name: 0.0}))
        for name in editor.attributes
    ]
    for name, kinds in list(editor.part_kinds.items())[:1]:
        one, other = (replace(base, parts={name: tuple(kinds)}, from_seed=seed) for seed in (7, 8))
        variants.append((f"the face that the part {name} is taken from", one, other))
    check_conditions(editor, iter(variants), lambda one: editor.apply(face.image, editor.resolve(one, face.image)))


def check_declared(editor: Editor, image: Tensor, targets: Targets, edit: Edit) -> None:
    """Check that an editor does what its properties say, which `zoo demo` and `describe_editor` rely on.

    Args:
        editor: An editor of photos.
        image: Images in [-1, 1].
        targets: Targets of an edit of them.
        edit: The edit.
    """

    def is_refused(action: Callable[[], object]) -> bool:
        try:
            action()
        except ValueError:
            return True
        return False

    assert editor.makes_masks == (edit.mask is not None), "`makes_masks` and the edit disagree"
    assert bool(editor.parts) == (edit.segmentation is not None), "`parts` and the edit's segmentation disagree"
    assert editor.reads_labels != is_refused(lambda: editor.predict_labels(image)), "`reads_labels` is wrong"
    truncated = is_refused(lambda: editor.apply(image, targets, truncation=0.5))
    assert editor.takes_truncation != truncated, "`takes_truncation` is wrong"
    between = is_refused(lambda: editor.apply(image, targets, strength=0.5))
    assert editor.takes_strength != between, "`takes_strength` is wrong"


def make_tiny_request(editor: Editor, facts: Facts) -> Request:
    """Make a request that an editor takes: an attribute, another face's expression, or all parts of a generated one."""
    size, parts = facts.image_size, len(facts.parts)
    if facts.attributes:
        return Request({facts.attributes[0]: 1.0})
    if editor.takes_drive:
        layout = make_layout(make_segmentation(8, 1, size, parts), parts)
        return Request(drive=make_faces(8, 1, size) if editor.makes_images else layout)
    return Request(parts=dict(editor.part_kinds), from_seed=7)


def check_faces(editor: Editor, facts: Facts) -> None:
    """Check an editor that generates faces, perhaps from layouts."""
    if editor.paints_layouts:
        parts = len(facts.parts)
        editor.set_layouts(make_layout(make_segmentation(5, 4, facts.image_size, parts), parts))
    edit = editor.sample([3, 4, 5])
    size = facts.image_size
    assert edit.image.shape == (3, facts.channels, size, size), "a face for each seed, of the data's shape"
    check_ranges(edit, editor, "a face")
    alone = editor.sample([4])
    assert torch.allclose(alone.image, edit.image[1:2], atol=1e-5), "a face depends on the other faces of its batch"
    assert torch.equal(editor.sample([3, 4, 5]).image, edit.image), "the same seeds twice give other faces"
    assert not torch.allclose(edit.image[0], edit.image[1]), "seeds make no difference"
    if isinstance(editor, SynthesisEditor):
        check_part_masks(editor, edit)


@torch.no_grad()
def check_part_masks(editor: SynthesisEditor, edit: Edit) -> None:
    """Check that the masks of a generator's parts are shares: in [0, 1], and 1 in sum at each pixel."""
    coarse = editor.generator(edit.extras["latents"], collect_noise(edit.extras)).coarse
    if coarse is None:
        return
    shares = (coarse + 1) / 2
    lowest, highest = float(shares.min()), float(shares.max())
    assert lowest >= -SLACK and highest <= 1 + SLACK, (
        f"masks of parts are from {lowest:.3g} to {highest:.3g}, not 0 to 1"
    )
    error = float((shares.sum(1) - 1).abs().max())
    assert error <= SLACK, f"the masks of all parts sum to 1 at each pixel, but one is {error:.3g} off"


def check_layouts(editor: Editor, facts: Facts) -> None:
    """Check an editor of layouts: its edits are segmentations of the data's parts, and have no image."""
    image = make_faces(3, 3, facts.image_size)
    segmentation = make_segmentation(3, 3, facts.image_size, len(facts.parts))
    masks = editor.read_masks({"segmentation": segmentation}, image)
    request, own = make_tiny_request(editor, facts), make_labels(4, 3, len(facts.attributes))

    def apply(one: Request, rows: slice = slice(None), strength: float = 1.0) -> Edit:
        targets = editor.resolve(one, image[rows], own[rows]) | {name: mask[rows] for name, mask in masks.items()}
        return editor.apply(image[rows], targets, strength=strength)

    def edit(rows: slice, strength: float = 1.0) -> Tensor:
        result = apply(request, rows, strength)
        assert result.image_or_none is None, "an editor of layouts makes no images"
        assert result.segmentation is not None, "an edit of a layout is a segmentation"
        check_ranges(result, editor, "an edit")
        return result.segmentation

    everyone = slice(None)
    edited = edit(everyone)
    assert edited.shape == segmentation.shape, "a part for each pixel of the input"
    assert int(edited.max()) < len(facts.parts), "an edit shows parts that the data lacks"
    assert (edit(slice(1, 2)) == edited[1:2]).float().mean() > 0.999, "an edit depends on the others of its batch"
    assert torch.equal(edit(everyone), edited), "the same edit twice differs"
    assert torch.equal(edit(everyone, strength=0.0), segmentation.long()), "strength 0 is not the input"
    check_conditions(editor, list_variants(editor, facts), apply)
