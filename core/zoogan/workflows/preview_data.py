"""A sheet of the pictures that the networks of a method will see."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from zoogan.composition.rehearsal import compose_on_device
from zoogan.data.loader import make_loader, move_batch
from zoogan.interfaces.game import Sample
from zoogan.interfaces.source import Source
from zoogan.interfaces.world import World
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.photo import save_image
from zoogan.pictures.sheet import enlarge_pixels, make_grid
from zoogan.plugins.host import get_zoo
from zoogan.training.configure import configure_new_run, merge_options
from zoogan.training.prepare import describe_source
from zoogan.workflows.data_config import recognise_layout
from zoogan.workflows.photo_outputs import check_no_replacement

FACES = 8


@dataclass(frozen=True)
class DataPreview:
    """A saved sheet.

    Attributes:
        path: The picture.
        rows: Names of its rows, from the top: the need of the game and the field.
        captions: What the labels of each need say, a column each.
    """

    path: Path
    rows: tuple[str, ...]
    captions: tuple[str, ...]


def preview_data(
    root: str | Path | None,
    out: str | Path,
    model: str | None = None,
    *,
    data: str | None = None,
    recipe: str | None = None,
    settings: Mapping[str, Any] | None = None,
    faces: int = FACES,
    overwrite: bool = False,
    device: str = "auto",
) -> DataPreview:
    """Save a sheet of the first faces that a training would read, after cropping, resizing and augmentation.

    Args:
        root: The folder of the data set; None = drawn faces.
        out: The picture.
        model: The method; None = the one that a training would take.
        data: Name of the source; None = recognise it by the files.
        recipe: A recipe of the method; None = that of a training.
        settings: Settings laid over the recipe.
        faces: Number of columns.
        overwrite: Replace the picture if it exists.
        device: Device of the training: auto, cpu, cuda or mps. It may decide the recipe.

    Returns:
        The sheet.

    Raises:
        ConfigError: The picture exists, the data do not suit the method, or a setting is wrong.
    """
    check_no_replacement([Path(out)], overwrite)
    zoo = get_zoo()
    place = None if root is None else Path(root).expanduser()
    if place is not None and data is None and place.is_dir():
        data = recognise_layout(place).source
    config, _ = configure_new_run(
        zoo, model, recipe=recipe, source=data, settings=merge_options(settings or {}, root=place), device=device
    )
    source: Source = zoo.registry.build("source", config.data)
    needs = compose_on_device(torch.device("meta"), config, describe_source(source), zoo.registry).game.needs
    loading = config.data.model_copy(update={"workers": 0})
    batches = make_loader(source, loading, needs, config.training.seed, World.make_single(), 0, faces)
    try:
        batch = move_batch(next(batches), "cpu", len(source.parts))
    finally:
        batches.close()
    rows = {
        f"{need}: {field}": pictures
        for need, sample in batch.items()
        for field, pictures in _render_fields(sample, source).items()
    }
    texts = {need: _describe_labels(sample, source) for need, sample in batch.items()}
    columns = [
        [f"{need}: {words[k]}" if len(texts) > 1 else words[k] for need, words in texts.items() if words]
        for k in range(faces)
    ]
    captions = [", ".join(words) for words in columns]
    save_image(make_grid(list(rows.values()), captions if any(captions) else None), Path(out))
    return DataPreview(Path(out), tuple(rows), tuple(captions))


def _render_fields(sample: Sample, source: Source) -> dict[str, list[Tensor]]:
    """Render the pictures of a sample by field: images, and parts in colours."""
    rows = {}
    for name, values in sample.items():
        if name in ("image", "image2"):
            pictures = ((values.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        elif name in ("segmentation", "layout", "layout2"):
            numbers = values if name == "segmentation" else values.argmax(1)
            pictures = colour_segmentation(numbers, len(source.parts))
        else:
            continue
        rows[name] = list(enlarge_pixels(pictures.expand(-1, 3, -1, -1)))
    return rows


def _describe_labels(sample: Sample, source: Source) -> list[str]:
    """Describe the labels of each face of a sample; empty if it has none."""
    if "domain" in sample:
        return [source.domains[int(k)] for k in sample["domain"]]
    if "attributes" in sample and source.attributes:
        return [
            " ".join(name for name, value in zip(source.attributes, row) if value > 0.5) or "none"
            for row in sample["attributes"]
        ]
    return []
