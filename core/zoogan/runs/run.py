"""The run: the folder that one training leaves behind, and how it is opened."""

from __future__ import annotations

import json
import shutil
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType

import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor, nn

from zoogan.composition.build import Composition, compose
from zoogan.config import ConfigError, GameConfig, read_yaml, validate
from zoogan.config.registry import Registry
from zoogan.editors.synthesis_editor import SynthesisEditor
from zoogan.facts import Facts
from zoogan.files import StateDict, replace_text, write_tensors
from zoogan.interfaces import Networks
from zoogan.names import suggest_name
from zoogan.plugins.host import get_zoo
from zoogan.runs.checkpoints import find, iteration_of, problems
from zoogan.runs.latents import read_directions
from zoogan.runs.loaded import LoadedRun

FORMAT = 1
GAME = "game"  # the file of the game's own state
RAW = ".raw"  # after a network's name: what its training had, where a model holds the average and no checkpoint does


class RunFolder:
    """Paths inside a run folder."""

    def __init__(self, path: Path) -> None:
        self.place(path)

    def place(self, path: Path) -> None:
        """Say which folder it is."""
        self.path = path
        self.config = path / "config.yaml"
        self.facts = path / "facts.json"
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples"
        self.model = path / "model"
        self.checkpoints = path / "checkpoints"
        self.best = path / "best.json"
        self.directions = path / "directions"
        self.inversions = path / "inversions"

    def write(self, config: GameConfig, facts: Facts) -> None:
        """Store the complete config and the facts."""
        self.path.mkdir(parents=True, exist_ok=True)
        content = config.model_dump(mode="json")
        for last in ("extra_terms", "training"):  # after what they refer to
            content[last] = content.pop(last)
        replace_text(self.config, yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120))
        replace_text(self.facts, facts.model_dump_json(indent=1))

    def read(self, registry: Registry) -> tuple[GameConfig, Facts]:
        """The stored config and facts.

        Raises:
            ConfigError: not a run, a method that is not installed, or an edited config that no longer validates.
        """
        if not self.config.exists() or not self.facts.exists():
            raise ConfigError(f"{self.path}: not a run (no config.yaml and facts.json in it)")
        values = read_yaml(self.config)
        method = str(values.get("method"))
        if method not in registry.methods:
            known = ", ".join(registry.methods)
            raise ConfigError(
                f"{self.path}: its method {method!r} is not installed{suggest_name(method, registry.methods)}; installed: "
                f"{known}. If a plugin brings it, name the plugin with --plugin"
            )
        return validate(registry.methods[method], registry, values), Facts.model_validate_json(self.facts.read_text())

    def best_iteration(self) -> int | None:
        """The iteration of the best checkpoint by `training.best`; None if there is none."""
        return int(json.loads(self.best.read_text())["iteration"]) if self.best.exists() else None

    def forget_best(self, beyond: int) -> None:
        """Forget a best checkpoint that came after `beyond`, where the training goes on from."""
        if (self.best_iteration() or 0) > beyond:
            self.best.unlink()

    def write_model(
        self,
        config: GameConfig,
        facts: Facts,
        networks: Networks,
        game: nn.Module,
        untrained: Collection[str] = (),
        length: Length | None = None,
        raw: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({}),
    ) -> None:
        """Store what an editor needs: the networks, averages where there are any, and the game's own state.

        The folder is written beside and renamed into place: networks of two iterations never stand side by side.

        untrained: networks that hold nothing but what they began with. length: how long they were trained; None for
        weights that came from elsewhere. raw: of these, what the training itself had where `networks` are averages; only
        a training that starts from this run asks for it.
        """
        draft, old = self.path / ".model.tmp", self.path / ".model.old"
        for left in (draft, old):  # by a write that was killed
            shutil.rmtree(left, ignore_errors=True)
        draft.mkdir(parents=True)
        parts: dict[str, nn.Module] = dict(networks.items()) | ({GAME: game} if game.state_dict() else {})
        for name, part in parts.items():
            write_tensors(draft / f"{name}.safetensors", part.state_dict())
        for name, state in raw.items():
            write_tensors(draft / f"{name}{RAW}.safetensors", state)
        content = {
            "format": FORMAT,
            "method": config.method,
            "networks": sorted(networks),
            "facts": facts.model_dump(mode="json"),
        } | ({"untrained": sorted(untrained)} if untrained else {})
        content |= {} if length is None else {"iteration": length.iteration, "position": length.position}
        (draft / "config.json").write_text(json.dumps(content, indent=1))
        if self.model.exists():
            self.model.rename(old)
        draft.rename(self.model)
        shutil.rmtree(old, ignore_errors=True)

    def model_length(self) -> Length | None:
        """How long the model was trained; None if it does not say, as older and imported ones."""
        return length_in(self.model / "config.json")


@dataclass(frozen=True)
class Length:
    """How long something was trained. position: items consumed of the data."""

    iteration: int
    position: int


def length_in(file: Path) -> Length | None:
    """What a model's config.json or a checkpoint's state.json says; None if it cannot be read, or says nothing."""
    try:
        content = json.loads(file.read_text())
        return Length(int(content["iteration"]), int(content["position"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


def load(
    run: str | Path,
    *,
    checkpoint: int | str | None = None,
    device: str | torch.device = "cpu",
    registry: Registry | None = None,
) -> LoadedRun:
    """Open a trained run as an editor.

    checkpoint: an iteration, or `best` by `training.best`; by default the model as training left it.

    Raises:
        ConfigError: not a run, no trained model in it yet, or no such checkpoint.
    """
    folder = RunFolder(Path(run))
    registry = registry or get_zoo().registry
    config, facts = folder.read(registry)
    composition = compose(config, facts, registry)
    if checkpoint is None:
        files, length = model_files(folder, composition), folder.model_length()
        older = reversed(find(folder.checkpoints)) if length is None else ()  # such models do not tell it themselves
        length = length or next(filter(None, (length_in(path / "state.json") for path in older)), None)
    else:
        chosen = checkpoint_of(folder, checkpoint)
        files, length = checkpoint_files(chosen), length_in(chosen / "state.json")
    fill(composition, files)
    networks = composition.networks.to(device).eval().requires_grad_(False)
    editor = composition.game.to(device).editor(networks, attributes=facts.attributes)
    if isinstance(editor, SynthesisEditor):
        editor.learn(*read_directions(folder.directions, editor))
    told = (None, None) if length is None else (length.iteration, length.position)
    return LoadedRun(config, facts, editor, *told)


def fill(composition: Composition, files: Mapping[str, Path]) -> None:
    """Give the networks, and the game if it has a state of its own, the weights of these files."""
    for name, network in composition.networks.items():
        network.load_state_dict(load_file(files[name]))
    if GAME in files:
        composition.game.load_state_dict(load_file(files[GAME]))


def renew_model(folder: RunFolder, checkpoint: Path, registry: Registry) -> bool:
    """Write the model anew from the checkpoint that it should be of, where it is missing or of another iteration: a
    write that was killed, or a folder that was lost. Returns whether it was."""
    config, facts = folder.read(registry)
    composition = compose(config, facts, registry)
    names = [*composition.networks, *([GAME] if composition.game.state_dict() else [])]
    whole = all((folder.model / f"{name}.safetensors").exists() for name in names)
    written, length = folder.model_length(), length_in(checkpoint / "state.json")
    if whole and (written is None or written == length):
        return False
    fill(composition, checkpoint_files(checkpoint))
    folder.write_model(config, facts, composition.networks, composition.game, length=length)
    return True


def model_files(folder: RunFolder, composition: Composition) -> dict[str, Path]:
    """The file of each network as training left it, and of the game's own state if it has any.

    Raises:
        ConfigError: one is missing.
    """
    names = [*composition.networks, *([GAME] if composition.game.state_dict() else [])]
    files = {name: folder.model / f"{name}.safetensors" for name in names}
    for name, file in files.items():
        if not file.exists():
            hint = (
                "training saves it at every checkpoint"
                if not find(folder.checkpoints)
                else "its training stopped early"
            )
            raise ConfigError(f"{folder.path}: no model/{name}.safetensors in this run; {hint}")
    return files


def checkpoint_files(path: Path) -> dict[str, Path]:
    """The file of each network in a checkpoint: its average where there is one."""
    files = {file.name.removesuffix(".safetensors"): file for file in path.glob("*.safetensors")}
    return {name: files.get(f"{name}.average", file) for name, file in files.items() if "." not in name}


def checkpoint_of(folder: RunFolder, checkpoint: int | str) -> Path:
    """The checkpoint of an iteration, or the best one.

    Raises:
        ConfigError: no such checkpoint, a damaged one, or `best` of a run that does not look for it.
    """
    there = {iteration_of(path): path for path in find(folder.checkpoints)}
    kept = ", ".join(map(str, there)) or "none"
    wanted = folder.best_iteration() if checkpoint == "best" else None
    if checkpoint == "best" and wanted is None:
        raise ConfigError(f"{folder.path}: no best checkpoint: training.best was not set; checkpoints: {kept}")
    if wanted is None:
        if not str(checkpoint).isdigit():
            raise ConfigError(f"checkpoint {checkpoint!r}: expected an iteration or best; checkpoints: {kept}")
        wanted = int(checkpoint)
    path = there.get(wanted)
    if path is None:
        raise ConfigError(f"{folder.path}: no checkpoint of iteration {wanted}; checkpoints: {kept}")
    trouble = problems(path)
    if trouble:
        raise ConfigError(f"{path}: {trouble}")
    return path


def misfits(slot: str, states: Mapping[str, StateDict], network: nn.Module) -> list[str]:
    """What of a network's state does not fit it, a line each."""
    own, state = network.state_dict(), states[slot]
    lines = []
    for name in [*own, *(name for name in state if name not in own)]:
        there, here = (str(tuple(s[name].shape)) if name in s else "nothing" for s in (state, own))
        if there != here:
            lines.append(f"{slot}.{name}: {there} in the run, {here} here")
    return lines
