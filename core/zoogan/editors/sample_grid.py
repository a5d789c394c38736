"""Sample grids: edits of the same held-out faces at several iterations."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from zoogan.interfaces import Column, Editor, Source
from zoogan.interfaces.source import Split
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.photo import normalize_image, save_image
from zoogan.pictures.sheet import enlarge_pixels, make_grid

SAMPLE_FACES = 8


def read_sample_faces(source: Source) -> dict[str, Tensor]:
    """Read the faces of the sample grids: held-out ones where there are any.

    They are as many of each domain; without domains, half of them show the first attribute, if there is one.
    """
    splits: tuple[Split, ...] = ("test", "valid", "train")
    split = next(name for name in splits if source.count_faces(name))
    first = list(range(min(SAMPLE_FACES, source.count_faces(split))))
    if not source.attributes:
        return source.read(split, first)
    kinds = source.read_domains(split) if source.domains else (source.read_labels(split)[:, 0] > 0).long()
    count = max(2, len(source.domains))
    each = max(1, SAMPLE_FACES // count)
    groups = [(kinds == kind).nonzero().flatten().tolist()[:each] for kind in range(count)]
    faces = [face for group in groups for face in group][: 2 * SAMPLE_FACES]
    return source.read(split, faces or first)  # perhaps no face shows a domain


@torch.no_grad()
def save_sample_grid(editor: Editor, faces: dict[str, Tensor], path: Path) -> None:
    """Save one row for each face: the input and the editor's columns. The train or eval mode of networks is restored.

    Args:
        editor: Any editor.
        faces: A sample as `Source.read` returns it.
        path: The PNG to write.
    """
    modes = {name: network.training for name, network in editor.networks.items()}
    editor.networks.eval()
    weight = next(editor.networks.parameters())
    image = normalize_image(faces["image"]).to(weight)
    columns = editor.make_columns(image, faces["attributes"].to(weight), editor.read_masks(faces, image))
    if not editor.can_sample:
        columns = [Column("input", image), *columns]
    for name, network in editor.networks.items():
        network.train(modes[name])
    rows = torch.stack([render_column(column) for column in columns], 1)
    if any(column.head is not None for column in columns):  # a row with the images that give the columns their style
        blank = torch.ones_like(image[0]).float()
        heads = [blank if column.head is None else column.head.float() for column in columns]
        rows = torch.cat([torch.stack(heads)[None], rows])
    save_image(make_grid(enlarge_pixels(rows), [column.caption for column in columns]), path)


def render_column(column: Column) -> Tensor:
    """Make a column's pictures (n, c, h, w) in [-1, 1]; segmentations are coloured."""
    if column.classes:
        return normalize_image(colour_segmentation(column.images, column.classes)).to(column.images.device)
    return column.images.float()
