"""The faces that a demo starts with: held-out faces of the runs' data, and faces that runs make."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

import torch
from torch import Tensor

from zoogan.config.registry import Registry
from zoogan.demo.faces import Face, resize_for_runs
from zoogan.demo.studio import Studio
from zoogan.editors.sample_grid import read_sample_faces
from zoogan.errors import ConfigError
from zoogan.workflows import set_sample_layouts

SEEDS = 8  # faces that a run makes at the start


def make_start_faces(studios: Sequence[Studio], registry: Registry, notify: Callable[[str], None]) -> list[Face]:
    """Make the faces that a demo starts with.

    Runs that edit latents get faces that they make, other runs held-out faces of the first source that can be read.
    Made faces come first: the latents of others must be searched.

    Args:
        studios: The runs.
        registry: Builds their sources.
        notify: Called with a sentence where the faces of a source cannot be read.
    """
    faces: list[Face] = []
    makers = [studio for studio in studios if studio.description.edits == "latents"]
    if makers:
        facts = [studio.run.facts for studio in studios]
        images = [makers[0].make_face(seed, None) for seed in range(SEEDS)]
        faces += [
            Face(f"seed-{seed}.png", resize_for_runs(image, facts), seed=seed) for seed, image in enumerate(images)
        ]
    if any(studio.description.edits != "latents" for studio in studios):
        faces += read_held_out_faces(studios, registry, notify)
    for studio in studios:
        if studio.run.editor.paints_layouts:
            with suppress(ConfigError):  # it can still edit photos; making a face says what is missing
                set_sample_layouts(studio.run, registry)
    return faces


def read_held_out_faces(studios: Sequence[Studio], registry: Registry, notify: Callable[[str], None]) -> list[Face]:
    """Read held-out faces of the first run's source that can be read, the largest pictures first."""
    facts = [studio.run.facts for studio in studios]
    order = sorted(studios, key=lambda studio: (studio.description.edits == "latents", -studio.run.facts.image_size))
    for studio in order:
        try:
            source = registry.build("source", studio.run.config.data)
            sample = read_sample_faces(source)
        except (ConfigError, OSError) as error:
            notify(f"{studio.name}: its data cannot be read here, so there are no faces to start with ({error})")
            continue
        return [
            Face(
                f"face-{row + 1}.png",
                resize_for_runs(image, facts),
                segmentation=take_segmentation(sample, source.parts, row),
            )
            for row, image in enumerate(interleave(sample["image"]))
        ]
    return []


def take_segmentation(
    sample: dict[str, Tensor], parts: tuple[str, ...], row: int
) -> tuple[tuple[str, ...], Tensor] | None:
    """Take the segmentation of one face of a sample, with the names of its parts."""
    return (parts, interleave(sample["segmentation"])[row]) if "segmentation" in sample else None


def interleave(rows: Tensor) -> Tensor:
    """Mix the halves of a sample, which lack and show an attribute."""
    half = (len(rows) + 1) // 2
    return rows[torch.tensor([k // 2 + (k % 2) * half for k in range(len(rows))])]
