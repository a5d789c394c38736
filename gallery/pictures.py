"""Pictures of the gallery: the sample faces, the sheet of each run, and how much rounded weights change pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor

import zoogan
from zoogan.data import DrawnData
from zoogan.pictures.photo import quantize_image, save_image
from zoogan.pictures.provenance import save_drawn_picture
from zoogan.pictures.sheet import enlarge_pixels, make_grid
from zoogan.plugins.host import get_zoo
from zoogan.workflows import save_edit_grid, save_sample_sheet

FACE_SIZE, FACES = 256, 12
PLAIN = ("Eyeglasses", "Wearing_Hat", "Face_Mask", "Bald")  # sample faces wear none of these, so that all can be added


def save_faces(folder: Path) -> None:
    """Draw the sample faces: held-out faces that wear nothing, so that no run was trained on them."""
    config = DrawnData(image_size=FACE_SIZE, attributes=PLAIN, workers=0, held_out=100, faces=1000)
    source = get_zoo().registry.build("source", config)
    plain = [int(row) for row in (source.read_labels("test").sum(1) == 0).nonzero()[:, 0]][:FACES]
    for number, image in enumerate(source.read("test", plain)["image"], 1):
        save_drawn_picture(image, folder / f"{number:02d}.png")


def make_pictures(run: zoogan.LoadedRun, faces: Tensor | None) -> Tensor:
    """Make pictures that depend on all networks of an editor: edits of faces, of its own where it makes some."""
    if run.editor.can_sample:
        made, own = run.sample(16, seed=0), run.config.data.attributes
        return torch.cat([made.image, *(run.edit(made, **{name: 1}).image for name in own)])
    words = find_words(run)
    assert faces is not None
    edit = run.edit(faces, **words)
    return edit.image


def find_words(run: zoogan.LoadedRun) -> dict[str, Any]:
    """Find an edit that a run can show: its first attribute or domain."""
    if getattr(run.config.condition, "use", "") == "domain":
        return {"domain": run.facts.domains[0]}
    first = "Eyeglasses" if "Eyeglasses" in run.editor.attributes else run.editor.attributes[0]
    return {first: 1}


def read_held_out(run: zoogan.LoadedRun, root: Path | None = None, count: int = 16) -> Tensor:
    """Read held-out faces of a run's source, as the run sees them."""
    moved = {"workers": 0} | ({} if root is None else {"root": root.resolve()})
    source = get_zoo().registry.build("source", run.config.data.model_copy(update=moved))
    images: Tensor = source.read("test", range(min(count, source.count_faces("test"))))["image"]
    return images.float().div(127.5).sub(1)


def measure_rounding(run: Path, copy: Path, root: Path | None = None) -> float:
    """Measure how much float16 weights change pictures: the mean difference in grey levels, of 255."""
    original, rounded = zoogan.load(run), zoogan.load(copy)
    faces = None if original.editor.can_sample else read_held_out(original, root)
    difference = make_pictures(original, faces) - make_pictures(rounded, faces)
    return float(difference.abs().mean()) * 127.5


def save_sheet(run: zoogan.LoadedRun, path: Path, root: Path | None) -> None:
    """Save the sheet of a run: held-out faces with their edits, or generated faces with theirs."""
    editor = run.editor
    if not editor.can_sample:
        save_edit_grid(run, get_zoo().registry, path, root=root)
        return
    names = tuple(dict.fromkeys((*run.config.data.attributes, *editor.attributes)))
    if not names:
        save_sample_sheet(run, range(16), path)
        return
    faces = run.sample(6, seed=0)
    columns = [faces.image] + [run.edit(faces, **{name: 1}).image for name in names]
    rows = torch.stack([enlarge_pixels(column) for column in columns], 1)
    save_image(make_grid(quantize_image(rows), ["face", *names]), path)
