"""Edit error: edits held against the true redraw, where the source knows the truth (drawn faces)."""

from __future__ import annotations

from dataclasses import dataclass

import torch

from zoogan.data.photo import to_range
from zoogan.interfaces import Editor, Source
from zoogan.interfaces.source import Split


@dataclass(frozen=True)
class EditError:
    """How far one attribute's edits are from the truth, over `faces` faces.

    The region is where input and redraw differ. error: mean L1(edit, redraw) / mean L1(input, redraw) inside it; 0 is
    the truth, 1 no edit at all. on, off: the same for adding and for removing alone (nan without such faces).
    outside: mean L1(edit, input) off the region, on the [-1, 1] scale.
    """

    attribute: str
    faces: int
    error: float
    on: float
    off: float
    outside: float


@torch.no_grad()
def edit_error(
    editor: Editor, source: Source, *, split: Split = "test", faces: int = 500, batch: int = 50
) -> list[EditError]:
    """The edit error of every attribute of `source`, flipped on the first `faces` faces of `split`.

    Faces on which an attribute is hidden (its redraw changes nothing) do not count for it. Empty if the source cannot
    redraw.
    """
    device = next(editor.networks.parameters()).device
    faces = min(faces, source.size(split))
    if not faces:
        return []
    results = []
    for column, attribute in enumerate(source.attributes):
        sums = torch.zeros(2, 4, dtype=torch.float64)  # off / on: edit to redraw, input to redraw, outside, its pixels
        counted = 0
        for first in range(0, faces, batch):
            indices = list(range(first, min(first + batch, faces)))
            sample = source.read(split, indices)
            own = sample["attributes"]
            flipped = 1 - own[:, column]
            redrawn = source.redraw(split, indices, **{attribute: flipped})
            if redrawn is None:
                return []
            truth, image = to_range(redrawn), to_range(sample["image"])
            target = wanted(own, column, flipped, source).to(device)
            edit = editor.apply(image.to(device), {"attributes": target}).image.float().cpu()
            inside = (truth != image).any(1, keepdim=True).double()
            counted += int((inside.flatten(1).sum(1) > 0).sum())
            for kind in (0, 1):
                rows = ((flipped == kind) & (inside.flatten(1).sum(1) > 0)).double()[:, None, None, None]
                sums[kind, 0] += ((edit - truth).abs() * inside * rows).sum()
                sums[kind, 1] += ((image - truth).abs() * inside * rows).sum()
                sums[kind, 2] += ((edit - image).abs() * (1 - inside) * rows).sum()
                sums[kind, 3] += ((1 - inside) * rows).sum() * image.shape[1]
        both = sums.sum(0)
        off, on = (float(s[0] / s[1]) if s[1] else float("nan") for s in sums)
        error = float(both[0] / both[1]) if both[1] else float("nan")
        results.append(EditError(attribute, counted, error, on, off, float(both[2] / both[3].clamp(min=1))))
    return results


def wanted(own: torch.Tensor, column: int, value: torch.Tensor, source: Source) -> torch.Tensor:
    """`own` with one column set, and the members of its exclusive group cleared where it is set to 1."""
    target = own.clone()
    for group in source.exclusive:
        if source.attributes[column] in group:
            for name in group:
                if name in source.attributes:
                    other = source.attributes.index(name)
                    target[:, other] = torch.where(value > 0, torch.zeros_like(value), target[:, other])
    target[:, column] = value
    return target
