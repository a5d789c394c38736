"""Sample grids: the same held-out faces at every reading."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from zoogan.interfaces import Column, Editor, Source
from zoogan.interfaces.source import Split
from zoogan.pictures.palette import coloured
from zoogan.pictures.photo import enlarged, grid, save_image, to_range

SAMPLE_FACES = 8


def held_out(source: Source) -> dict[str, Tensor]:
    """Faces that are not trained on, as many of each domain; without domains, half with the first attribute, if any."""
    splits: tuple[Split, ...] = ("test", "valid", "train")
    split = next(name for name in splits if source.size(name))
    if not source.attributes:
        return source.read(split, list(range(min(SAMPLE_FACES, source.size(split)))))
    kinds = source.domain(split) if source.domains else (source.labels(split)[:, 0] > 0).long()
    each = max(1, SAMPLE_FACES // max(2, len(source.domains)))
    chosen = [(kinds == k).nonzero().flatten().tolist()[:each] for k in range(max(2, len(source.domains)))]
    shown = [face for faces in chosen for face in faces][: 2 * SAMPLE_FACES]
    return source.read(split, shown or list(range(min(SAMPLE_FACES, source.size(split)))))  # maybe none shows a domain


@torch.no_grad()
def sample_grid(editor: Editor, faces: dict[str, Tensor], path: Path) -> None:
    """Save one row a face: the input and the editor's columns. Networks come back in the mode they were in."""
    modes = {name: network.training for name, network in editor.networks.items()}
    editor.networks.eval()
    weight = next(editor.networks.parameters())
    image = to_range(faces["image"]).to(weight)
    columns = editor.sheet(image, faces["attributes"].to(weight), editor.known(faces, image))
    if not editor.makes_faces:
        columns = [Column("input", image), *columns]
    for name, network in editor.networks.items():
        network.train(modes[name])
    rows = torch.stack([shown(column) for column in columns], 1)
    if any(column.head is not None for column in columns):  # a row of what the columns take their style from
        blank = torch.ones_like(image[0]).float()
        heads = [blank if column.head is None else column.head.float() for column in columns]
        rows = torch.cat([torch.stack(heads)[None], rows])
    save_image(grid(enlarged(rows), [column.caption for column in columns]), path)


def shown(column: Column) -> Tensor:
    """A column's pictures, (n, c, h, w) in [-1, 1]."""
    if column.classes:
        return to_range(coloured(column.images, column.classes)).to(column.images.device)
    return column.images.float()
