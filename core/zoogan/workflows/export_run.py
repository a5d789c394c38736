"""Copies a run with what editing needs, for other people and machines: no checkpoints, no logs, no paths."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor, nn

from zoogan.composition.build import compose
from zoogan.composition.stages import FOLDER as STAGES
from zoogan.config import GameConfig, validate
from zoogan.config.registry import Registry
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.errors import ConfigError
from zoogan.files import hash_file, list_checksums, replace_folder, write_tensors
from zoogan.judges.judge import FACTS, WEIGHTS, Judge, load_judge, read_judge_facts
from zoogan.paths import expand_path, make_file_name
from zoogan.plugins.gallery import check_outside_gallery, resolve_path
from zoogan.plugins.host import get_zoo
from zoogan.runs.folder import GAME_FILE, RunFolder
from zoogan.runs.latents import hash_generator
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.locations import explain_occupied_folder
from zoogan.runs.opening import load
from zoogan.runs.stage_records import compute_digest, read_records, write_records

COPIED_FILES = ("README.md", "directions")  # of a run, where they exist


def export_run(
    run: str | Path | LoadedRun, out: str | Path, *, half: bool = False, without: Sequence[str] = ()
) -> Path:
    """Copy a run with what editing needs, to share it or to change the copy.

    The copy has the config, the facts, the networks that the editor reads, the directions and the stages. It can be
    opened, edited with and measured, and a training may start from it. It has no checkpoints, logs and latents of
    photos, and its config names no path of this machine.

    Args:
        run: The run, its folder, or `gallery:NAME`.
        out: The folder to write; it must be empty or missing.
        half: Store weights as float16, in half of the bytes. They are computed with in float32 after loading; pictures
            change by less than one grey level on average. Latents of photos found with the original do not fit the
            rounded generator, directions are carried over.
        without: Slots of networks to leave out though the editor uses them: those in `Editor.optional_networks`.
            Without `discriminator`, attributes that an edit does not set are not read off the face any more.

    Returns:
        The folder that was written.

    Raises:
        ConfigError: The run cannot be opened, the folder is in use or belongs to the gallery, or the editor cannot do
            without a network.
    """
    path, folder = run.path if isinstance(run, LoadedRun) else resolve_path(run), expand_path(out)
    if path is None:
        raise ConfigError("run: this run has no folder to copy; pass the path of a run folder")
    check_outside_gallery(folder, f"out: {out}")
    if reason := explain_occupied_folder(folder):
        raise ConfigError(f"out: {out}: {reason}; name an empty or new folder")
    registry = get_zoo().registry
    loaded = load(path, registry=registry)
    check_left_out(loaded, without)
    with replace_folder(folder) as draft:
        renamed: dict[str, str] = {}
        write_export(loaded, draft, registry, half, renamed, without)
        rename_hashes(draft, renamed)
        renew_digests(path, draft)
    return folder


def check_left_out(run: LoadedRun, without: Sequence[str]) -> None:
    """Check that a run can be edited with without these networks.

    Raises:
        ConfigError: It cannot.
    """
    optional = run.editor.optional_networks
    if unknown := [name for name in without if name not in optional]:
        raise ConfigError(
            f"without: {', '.join(unknown)}: {run.config.method} cannot edit without it; what can be left out: "
            f"{', '.join(optional) or 'nothing'}"
        )


def write_export(
    run: LoadedRun, out: Path, registry: Registry, half: bool, renamed: dict[str, str], without: Sequence[str] = ()
) -> None:
    """Write the copy of an opened run, and of its stages, into a folder.

    Args:
        run: The run. With `half` its networks are rounded in place.
        out: The folder.
        registry: Methods and components.
        half: Store weights as float16.
        renamed: Gets the new hash of each generator and judge by its old one.
        without: Networks to leave out, see `export_run`.
    """
    assert run.path is not None
    source, copy = RunFolder(run.path), RunFolder(out)
    copy.path.mkdir(parents=True, exist_ok=True)
    copy.write_config(remove_paths(run.config, registry), run.facts)
    for name in COPIED_FILES:
        if (source.path / name).is_dir():
            shutil.copytree(source.path / name, out / name)
        elif (source.path / name).exists():
            shutil.copy(source.path / name, out / name)
    for name, opened in run.stages.items():
        inner = source.path / STAGES / name
        if isinstance(opened, LoadedRun):
            write_export(opened, out / STAGES / name, registry, half, renamed)
        elif isinstance(opened, Judge):
            copy_judge(inner, out / STAGES / name, half)
            renamed[opened.digest] = load_judge(out / STAGES / name).digest
        else:
            shutil.copytree(inner, out / STAGES / name)
    makes_faces = isinstance(run.editor, SynthesisEditor)
    old = hash_generator(run.synthesis_editor) if makes_faces else ""
    if half:
        round_to_half(run.networks)
    if makes_faces:
        renamed[old] = hash_generator(run.synthesis_editor)
    spare = compose(run.config, run.facts, registry, run.stages).game.training_networks
    write_model_copy(source.model, out / "model", spare, without, half)


def write_model_copy(model: Path, out: Path, spare: Sequence[str], left_out: Sequence[str], half: bool) -> None:
    """Copy the files of a model that editing reads.

    Args:
        model: The folder of the model.
        out: The folder to write.
        spare: Slots of the networks that only training reads.
        left_out: Slots of the networks that editing can do without, and shall.
        half: Store weights as float16. The state of the game keeps its precision.
    """
    out.mkdir()
    content: dict[str, Any] = json.loads((model / "config.json").read_text(encoding="utf-8"))
    content["networks"] = [name for name in content["networks"] if name not in (*spare, *left_out)]
    if left_out:
        content["left_out"] = sorted({*content.get("left_out", ()), *left_out})
    for name in (*content["networks"], GAME_FILE):
        path = model / f"{make_file_name(name)}.safetensors"
        if path.exists():
            tensors = load_file(path)
            write_tensors(out / path.name, halve(tensors) if half and name != GAME_FILE else tensors)
    if half:
        content["stored_as"] = "float16"
    content["files"] = list_checksums(out)
    (out / "config.json").write_text(json.dumps(content, indent=1), encoding="utf-8")


def export_judge(judge: str | Path, out: str | Path, *, half: bool = False) -> Path:
    """Copy a judge, to share it: its weights and facts, without paths of this machine.

    Args:
        judge: Its folder, or `gallery:NAME`.
        out: The folder to write; it must be empty or missing.
        half: Store its weights as float16. Its readings change a little, so that its digest is another one.

    Returns:
        The folder that was written.

    Raises:
        ConfigError: The folder is no judge, or `out` is in use or belongs to the gallery.
    """
    source, folder = resolve_path(judge), expand_path(out)
    check_outside_gallery(folder, f"out: {out}")
    if reason := explain_occupied_folder(folder):
        raise ConfigError(f"out: {out}: {reason}; name an empty or new folder")
    read_judge_facts(source)
    with replace_folder(folder) as draft:
        copy_judge(source, draft, half)
    return folder


def copy_judge(folder: Path, out: Path, half: bool) -> None:
    """Copy the files of a judge into a folder, see `export_judge`."""
    out.mkdir(parents=True, exist_ok=True)
    content = json.loads((folder / FACTS).read_text(encoding="utf-8"))
    tensors = load_file(folder / WEIGHTS)
    write_tensors(out / WEIGHTS, halve(tensors) if half else tensors)
    content["digest"] = hash_file(out / WEIGHTS)
    content["data"] = {key: None if is_path(value) else value for key, value in content["data"].items()}
    (out / FACTS).write_text(json.dumps(content, indent=1), encoding="utf-8")


# ---- precision ----


def halve(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Convert float32 tensors to float16, except those with a value that float16 cannot hold (above 65,504)."""
    halved = {}
    for name, tensor in tensors.items():
        small = tensor.half() if tensor.dtype == torch.float32 else tensor
        halved[name] = small if bool(torch.isfinite(small).all()) else tensor
    return halved


def round_to_half(networks: nn.Module) -> None:
    """Round the weights of networks in place to what `halve` stores."""
    networks.load_state_dict(halve(networks.state_dict()))


# ---- facts that change in the copy ----


def is_path(value: Any) -> bool:
    """Return whether a setting is an absolute path, which means nothing on another machine."""
    return isinstance(value, str) and Path(value).is_absolute()


def remove_paths(config: GameConfig, registry: Registry) -> GameConfig:
    """Return the config without absolute paths: the folder of the source, and where weights and stages came from."""

    def clear(value: Any) -> Any:
        if isinstance(value, Mapping):
            return {key: clear(inner) for key, inner in value.items()}
        return None if is_path(value) else value

    return validate(registry.methods[config.method], registry, clear(config.model_dump(mode="json")))


def rename_hashes(folder: Path, renamed: Mapping[str, str]) -> None:
    """Let files name the networks of the copy, whose rounded weights have other hashes: directions, jobs of stages.

    Args:
        folder: The copy.
        renamed: The new hash of each generator and judge by its old one.
    """

    def rename(text: str) -> str:
        for old, new in renamed.items():
            text = text.replace(old, new)
        return text

    for path in folder.rglob("*.safetensors"):
        with safe_open(path, framework="pt") as file:
            metadata = file.metadata() or {}
        changed = {key: rename(value) for key, value in metadata.items()}
        if changed != metadata:
            write_tensors(path, load_file(path), changed)
    for path in (folder / STAGES).rglob("*.json"):
        path.write_text(rename(path.read_text(encoding="utf-8")), encoding="utf-8")


def renew_digests(run: Path, copy: Path) -> None:
    """Write stages.json of the copy: the digests of its stages, and no paths they were copied from."""
    records = read_records(run)
    if records:
        renewed = {
            name: record.model_copy(update={"digest": compute_digest(copy / STAGES / name), "origin": None})
            for name, record in records.items()
        }
        write_records(copy, renewed)
