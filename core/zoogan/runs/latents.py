"""Files of latents, tuned generators and directions.

All are safetensors. Their metadata names the format and the sha256 of the generator that they belong to.

Latent of one face, by default in `RUN/inversions`:

- `latents`: (rows, style_dim), the face in w+.
- `noise_0`, `noise_1`, ...: (1, i, j), its noise maps; without them, the generator's own are used.
- Metadata: facts about its origin; for a tuned generator also `tuned`, the name of its file in the same folder, and
  `tuned_digest`, the sha256 of all of its weights.

Tuned generator:

- The weights that differ from those of the run, by name.

Direction, in `RUN/directions/<attribute>.safetensors` (see `zoogan.editors.directions.Direction`):

- `normal` and `path`: (s,); `intercept`: (); `sides`: (2,).
- Metadata: how it was fitted (fit, judge, faces, with, kept, accuracy, conditional, date); of a direction from
  elsewhere also `file`, `displacements` and `sides_from`.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from zoogan.editors.directions import Direction
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.errors import ConfigError
from zoogan.files import hash_tensors, list_not_finite, write_tensors_atomically
from zoogan.interfaces import Edit
from zoogan.interfaces.synthesis import collect_noise, name_noise
from zoogan.names import join_names, suggest_name
from zoogan.paths import make_file_name

LATENT_SUFFIX = ".safetensors"
LATENT_FORMAT, DIRECTION_FORMAT, TUNED_FORMAT = "zoogan latent 1", "zoogan direction 1", "zoogan tuned generator 1"


def hash_generator(editor: SynthesisEditor) -> str:
    """Return the sha256 of the generator's weights: latents and directions are valid for it alone."""
    return hash_tensors(editor.generator.state_dict())


def join_edits(edits: Sequence[Edit]) -> Edit:
    """Join edits of several batches into one; one generator must have made them all."""
    segmentations = [edit.segmentation for edit in edits if edit.segmentation is not None]
    return Edit(
        torch.cat([edit.image for edit in edits]),
        segmentation=torch.cat(segmentations) if segmentations else None,
        extras={name: torch.cat([edit.extras[name] for edit in edits]) for name in edits[0].extras},
        generator=edits[0].generator,
    )


# ---- latents of faces ----


def write_latents(edit: Edit, paths: Sequence[Path], generator: str, facts: Sequence[Mapping[str, Any]]) -> None:
    """Write the latent of each face of an edit to a file of its own.

    Args:
        edit: The faces, with latents in `extras`.
        paths: A file for each face.
        generator: The hash of the run's generator, see `hash_generator`.
        facts: For each face, metadata for people.
    """
    joint = {"latents": edit.extras["latents"]} | name_noise(collect_noise(edit.extras))
    for row, (path, about) in enumerate(zip(paths, facts, strict=True)):
        metadata = {"format": LATENT_FORMAT, "generator": generator} | {key: str(value) for key, value in about.items()}
        write_tensors_atomically(path, {name: values[row] for name, values in joint.items()}, metadata)


def read_latents(paths: Sequence[Path], editor: SynthesisEditor) -> list[Edit]:
    """Read files of latents and synthesise their faces, one edit for each file.

    Raises:
        ConfigError: Names at once every file that is missing, is no file of a latent, or is meant for another
            generator.
    """
    digest, edits, problems = hash_generator(editor), [], []
    for path in paths:
        try:
            tensors, metadata = read_tagged_tensors(path, LATENT_FORMAT, "file of a latent")
            if metadata.get("generator") != digest:
                raise ConfigError(
                    f"{path}: the latent is meant for another generator ({metadata.get('generator', '?')[:8]}) than "
                    f"this run's ({digest[:8]}): another run, or it was trained further; `zoo invert` finds one anew"
                )
            batch = {name: value[None].to(editor.mean_latent.device) for name, value in tensors.items()}
            own_editor = editor
            if "tuned" in metadata:
                file = path.with_name(Path(metadata["tuned"]).name)
                generator = read_tuned(file, editor, digest, metadata.get("tuned_digest", "?"))
                own_editor = editor.with_generator(generator)
            edits.append(own_editor.synthesise(batch["latents"], collect_noise(batch)))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return edits


# ---- tuned generators ----


def write_tuned(path: Path, tuned: nn.Module, editor: SynthesisEditor, generator: str) -> dict[str, str]:
    """Write the weights of the editor's generator that tuning changed.

    Args:
        path: The file.
        tuned: The tuned generator.
        editor: The editor with the run's own generator.
        generator: The hash of the run's generator, see `hash_generator`.

    Returns:
        Metadata that the files of its faces' latents must carry.
    """
    original, state = editor.generator.state_dict(), tuned.state_dict()
    changed = {name: value for name, value in state.items() if not torch.equal(value, original[name])}
    write_tensors_atomically(path, changed, {"format": TUNED_FORMAT, "generator": generator})
    return {"tuned": path.name, "tuned_digest": hash_tensors(state)}


def read_tuned(path: Path, editor: SynthesisEditor, digest: str, expected: str) -> nn.Module:
    """Read a tuned copy of the editor's generator.

    Args:
        path: The file.
        editor: The editor with the run's own generator.
        digest: The hash of the run's generator.
        expected: The hash of the tuned generator.

    Raises:
        ConfigError: Missing or damaged, tuned from the generator of another run, or not the one that was meant.
    """
    tensors, metadata = read_tagged_tensors(path, TUNED_FORMAT, "tuned generator")
    hint = "`zoo invert --tune` makes it anew"
    if metadata.get("generator") != digest:
        raise ConfigError(
            f"{path}: tuned from another generator ({metadata.get('generator', '?')[:8]}) than this run's "
            f"({digest[:8]}): another run, or it was trained further; {hint}"
        )
    network = copy.deepcopy(editor.generator)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    wrong = [name for name, value in tensors.items() if name not in state or state[name].shape != value.shape]
    if not wrong:
        network.load_state_dict(state | tensors)
    if wrong or hash_tensors(network.state_dict()) != expected:
        raise ConfigError(f"{path}: not the generator that was tuned for this latent; {hint}")
    return network


# ---- directions ----


def write_direction(folder: Path, name: str, direction: Direction, facts: Mapping[str, Any]) -> Path:
    """Write a direction under its attribute's name.

    Args:
        folder: The run's folder of directions.
        name: The attribute.
        direction: The direction; its own facts are stored too.
        facts: Further metadata: the generator's hash, and facts for people.
    """
    tensors = {
        "normal": direction.normal,
        "path": direction.path,
        "intercept": torch.tensor(direction.intercept, dtype=torch.float64),
        "sides": torch.tensor(direction.sides, dtype=torch.float64),
    }
    about = {**direction.facts, **facts, "attribute": name}
    metadata = {"format": DIRECTION_FORMAT} | {key: str(value) for key, value in about.items()}
    path = folder / f"{make_file_name(name)}{LATENT_SUFFIX}"
    write_tensors_atomically(path, tensors, metadata)
    return path


def read_directions(folder: Path, editor: SynthesisEditor) -> tuple[dict[str, Direction], dict[str, str]]:
    """Read all directions of a folder.

    Returns:
        The directions by attribute; and for attributes whose direction cannot be used, the reason.
    """
    files = sorted(folder.glob(f"*{LATENT_SUFFIX}")) if folder.is_dir() else []
    digest = hash_generator(editor) if files else ""
    directions: dict[str, Direction] = {}
    unusable: dict[str, str] = {}
    for path in files:
        name = path.stem
        try:
            tensors, metadata = read_tagged_tensors(path, DIRECTION_FORMAT, "direction")
            name = metadata.get("attribute", name)
            if metadata.get("generator") != digest:
                raise ConfigError("its direction was fitted on other weights than these (was the run trained further?)")
            low, high = tensors["sides"].tolist()
            directions[name] = Direction(
                tensors["normal"], float(tensors["intercept"]), tensors["path"], (low, high), metadata
            )
        except ConfigError as error:
            unusable[name] = str(error)
    return directions, unusable


# ---- files ----


def read_tagged_tensors(path: Path, form: str, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """Read the tensors and the metadata of a file that zoogan wrote.

    Args:
        path: The file.
        form: The value of `format` that its metadata must have.
        what: The kind of file, for messages.

    Raises:
        ConfigError: No such file (with the nearest name beside it), another format, or damaged.
    """
    if not path.is_file():
        neighbours = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such file{suggest_name(path.name, neighbours)}")
    try:
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{path}: damaged, or no safetensors file ({error})") from error
    if names := list_not_finite(tensors):
        raise ConfigError(f"{path}: damaged: {join_names(names)}: NaN or infinity; make the file anew")
    if metadata.get("format") != form:
        raise ConfigError(f"{path}: not a {what} (format {metadata.get('format')!r}, expected {form!r})")
    return tensors, metadata
