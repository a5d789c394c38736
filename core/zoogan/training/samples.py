"""Sample grids: the same held-out faces at every reading."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor

from zoogan.data.photo import grid, save_image, to_range
from zoogan.interfaces import Editor, Source
from zoogan.interfaces.source import Split

SAMPLE_FACES = 8
LEGIBLE = 128  # smaller pictures are enlarged to about this many pixels


def held_out(source: Source) -> dict[str, Tensor]:
    """Faces that are not trained on, half of them with the first attribute (as far as there are any)."""
    splits: tuple[Split, ...] = ("test", "valid", "train")
    split = next(name for name in splits if source.size(name))
    shows = source.labels(split)[:, 0] > 0
    half = SAMPLE_FACES // 2
    chosen = (~shows).nonzero().flatten().tolist()[:half] + shows.nonzero().flatten().tolist()[:half]
    return source.read(split, chosen)


@torch.no_grad()
def sample_grid(editor: Editor, faces: dict[str, Tensor], path: Path) -> None:
    """Save one row a face: the input and the editor's columns. Networks come back in the mode they were in."""
    modes = {name: network.training for name, network in editor.networks.items()}
    editor.networks.eval()
    weight = next(editor.networks.parameters())
    image = to_range(faces["image"]).to(weight)
    columns = [("input", image), *editor.sheet(image, faces["attributes"].to(weight))]
    for name, network in editor.networks.items():
        network.train(modes[name])
    zoom = max(1, LEGIBLE // image.shape[-1])
    large = [column.float().repeat_interleave(zoom, 2).repeat_interleave(zoom, 3) for _, column in columns]
    save_image(grid(torch.stack(large, 1), [caption for caption, _ in columns]), path)
