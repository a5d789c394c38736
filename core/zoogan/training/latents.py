"""What a person keeps of latents: those of faces, in files of their own, and the run's directions.

Both are safetensors that name the generator for which they are meant by the sha256 of its weights.

A face's latent: tensors `latents` (rows, style_dim), which is w+, and `noise_0`, `noise_1`... (1, i, j), the maps of
noise that the face is shown with; without them, the generator's own. Metadata: format, generator, and what is worth
knowing of where it comes from. A direction, `RUN/directions/<attribute>.safetensors`: tensors `normal` and `path` (s,),
`intercept` () and `sides` (2,), see `zoogan.games.directions.Direction`. Metadata: format, generator, and how it was
fitted (judge, faces, with, kept, accuracy, conditional, date).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.games.directions import Direction
from zoogan.games.synthesis_editor import SynthesisEditor
from zoogan.interfaces import Edit
from zoogan.interfaces.synthesis import named_noise, noise_among
from zoogan.registry import nearest
from zoogan.storage import digest_of, write_tensors

SUFFIX = ".safetensors"
LATENT, DIRECTION = "zoogan latent 1", "zoogan direction 1"


def generator_digest(editor: SynthesisEditor) -> str:
    """The sha256 of the generator's weights: latents and directions mean something to it alone."""
    return digest_of(editor.generator.state_dict())


# ---- latents of faces ----


def write_latents(edit: Edit, paths: Sequence[Path], generator: str, facts: Sequence[Mapping[str, Any]]) -> None:
    """Each face of an edit, with its latent in a file of its own. generator: see `generator_digest`."""
    joint = {"latents": edit.extras["latents"]} | named_noise(noise_among(edit.extras))
    for row, (path, about) in enumerate(zip(paths, facts, strict=True)):
        told = {"format": LATENT, "generator": generator} | {key: str(value) for key, value in about.items()}
        write_whole(path, {name: values[row] for name, values in joint.items()}, told)


def read_latents(paths: Sequence[Path], editor: SynthesisEditor) -> list[Edit]:
    """The faces of latents' files, one each.

    Raises:
        ConfigError: every file that is missing, is none, or is meant for another generator, at once.
    """
    digest, found, problems = generator_digest(editor), [], []
    for path in paths:
        try:
            tensors, facts = read_file(path, LATENT, "file of a latent")
            if facts.get("generator") != digest:
                raise ConfigError(
                    f"{path}: the latent is meant for another generator ({facts.get('generator', '?')[:8]}) than this "
                    f"run's ({digest[:8]}): another run, or it was trained further; `zoo invert` finds one anew"
                )
            batch = {name: value[None].to(editor.mean_latent.device) for name, value in tensors.items()}
            found.append(editor.synthesise(batch["latents"], noise_among(batch)))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return found


# ---- directions ----


def write_direction(folder: Path, name: str, direction: Direction, facts: Mapping[str, Any]) -> Path:
    """Store a direction under its attribute's name. facts: generator and whatever else is worth knowing."""
    tensors = {
        "normal": direction.normal,
        "path": direction.path,
        "intercept": torch.tensor(direction.intercept, dtype=torch.float64),
        "sides": torch.tensor(direction.sides, dtype=torch.float64),
    }
    told = {"format": DIRECTION} | {key: str(value) for key, value in {**direction.facts, **facts}.items()}
    path = folder / f"{name}{SUFFIX}"
    write_whole(path, tensors, told)
    return path


def read_directions(folder: Path, editor: SynthesisEditor) -> tuple[dict[str, Direction], dict[str, str]]:
    """(the directions in a folder, by attribute; those that cannot be used, and why)."""
    files = sorted(folder.glob(f"*{SUFFIX}")) if folder.is_dir() else []
    digest = generator_digest(editor) if files else ""
    directions: dict[str, Direction] = {}
    unusable: dict[str, str] = {}
    for path in files:
        try:
            tensors, facts = read_file(path, DIRECTION, "direction")
            if facts.get("generator") != digest:
                raise ConfigError("its direction was fitted on other weights than these (was the run trained further?)")
            low, high = tensors["sides"].tolist()
            directions[path.stem] = Direction(
                tensors["normal"], float(tensors["intercept"]), tensors["path"], (low, high), facts
            )
        except ConfigError as error:
            unusable[path.stem] = str(error)
    return directions, unusable


# ---- files ----


def write_whole(path: Path, tensors: Mapping[str, Tensor], facts: Mapping[str, str]) -> None:
    """Write a file, and its folder, whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    draft = path.with_name(f".{path.name}.tmp")
    write_tensors(draft, tensors, facts)
    draft.replace(path)


def read_file(path: Path, form: str, what: str) -> tuple[dict[str, Tensor], dict[str, str]]:
    """The tensors and the metadata of a file of ours.

    Raises:
        ConfigError: no such file (with the nearest name beside it), not of this form, damaged.
    """
    if not path.is_file():
        beside = [p.name for p in path.parent.iterdir()] if path.parent.is_dir() else []
        raise ConfigError(f"{path}: no such file{nearest(path.name, beside)}")
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{path}: damaged, or no safetensors file ({error})") from error
    if facts.get("format") != form:
        raise ConfigError(f"{path}: not a {what} (format {facts.get('format')!r}, expected {form!r})")
    return tensors, facts
