"""What a person keeps of latents: those of faces, in files of their own (those of photos by default in
`RUN/inversions`), and the run's directions.

All are safetensors that name the generator for which they are meant by the sha256 of its weights.

A face's latent: tensors `latents` (rows, style_dim), which is w+, and `noise_0`, `noise_1`... (1, i, j), the maps of
noise that the face is shown with; without them, the generator's own. Metadata: format, generator, and what is worth
knowing of where it comes from; where a generator was tuned to the photo, `tuned`, the name of its file beside this one,
and `tuned_digest`, the sha256 of all of its weights. A tuned generator: those of its weights that are not the run's, by
their names there. Metadata: format, and the run's generator.

A direction, `RUN/directions/<attribute>.safetensors`: tensors `normal` and `path` (s,), `intercept` () and `sides`
(2,), see `zoogan.editors.directions.Direction`. Metadata: format, generator, and how it was fitted (judge, faces, with,
kept, accuracy, conditional, date).
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError, safe_open
from torch import Tensor, nn

from zoogan.config import ConfigError
from zoogan.editors.directions import Direction
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.files import hash_tensors, write_tensors
from zoogan.interfaces import Edit
from zoogan.interfaces.synthesis import named_noise, noise_among
from zoogan.names import suggest_name

SUFFIX = ".safetensors"
LATENT, DIRECTION, TUNED = "zoogan latent 1", "zoogan direction 1", "zoogan tuned generator 1"


def generator_digest(editor: SynthesisEditor) -> str:
    """The sha256 of the generator's weights: latents and directions mean something to it alone."""
    return hash_tensors(editor.generator.state_dict())


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
            maker = editor
            if "tuned" in facts:
                file = path.with_name(Path(facts["tuned"]).name)
                maker = editor.with_generator(read_tuned(file, editor, digest, facts.get("tuned_digest", "?")))
            found.append(maker.synthesise(batch["latents"], noise_among(batch)))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    return found


# ---- tuned generators ----


def write_tuned(path: Path, tuned: nn.Module, editor: SynthesisEditor, generator: str) -> dict[str, str]:
    """Store what tuning changed of the editor's generator. generator: see `generator_digest`. Returns what the files of
    its faces' latents must say."""
    own, state = editor.generator.state_dict(), tuned.state_dict()
    changed = {name: value for name, value in state.items() if not torch.equal(value, own[name])}
    write_whole(path, changed, {"format": TUNED, "generator": generator})
    return {"tuned": path.name, "tuned_digest": hash_tensors(state)}


def read_tuned(path: Path, editor: SynthesisEditor, digest: str, expected: str) -> nn.Module:
    """A tuned copy of the editor's generator. digest: of the editor's; expected: of the tuned one.

    Raises:
        ConfigError: missing or damaged, tuned from the generator of another run, or not the one that was meant.
    """
    tensors, facts = read_file(path, TUNED, "tuned generator")
    again = "`zoo invert --tune` makes it anew"
    if facts.get("generator") != digest:
        raise ConfigError(
            f"{path}: tuned from another generator ({facts.get('generator', '?')[:8]}) than this run's ({digest[:8]}): "
            f"another run, or it was trained further; {again}"
        )
    network = copy.deepcopy(editor.generator)
    state = {name: value.clone() for name, value in network.state_dict().items()}
    wrong = [name for name, value in tensors.items() if name not in state or state[name].shape != value.shape]
    if not wrong:
        network.load_state_dict(state | tensors)
    if wrong or hash_tensors(network.state_dict()) != expected:
        raise ConfigError(
            f"{path}: not the generator that was tuned for this latent, but another of that name; {again}"
        )
    return network


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
        raise ConfigError(f"{path}: no such file{suggest_name(path.name, beside)}")
    try:
        with safe_open(path, framework="pt") as file:
            facts = file.metadata() or {}
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (it is no mapping)
    except (SafetensorError, OSError) as error:
        raise ConfigError(f"{path}: damaged, or no safetensors file ({error})") from error
    if facts.get("format") != form:
        raise ConfigError(f"{path}: not a {what} (format {facts.get('format')!r}, expected {form!r})")
    return tensors, facts
