"""The run: the folder that one training leaves behind, and the editor inside it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
import yaml
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from zoogan.composition import Composition, compose
from zoogan.config import ConfigError, GameConfig, read_yaml, validate
from zoogan.data.photo import crop_to, read_photo, to_range
from zoogan.facts import Facts
from zoogan.interfaces import Edit, Editor, Networks, Targets
from zoogan.plugins import zoo
from zoogan.registry import Registry, nearest
from zoogan.storage import replace_text, write_tensors
from zoogan.training.checkpoints import find, iteration_of, problems

FORMAT = 1
GAME = "game"  # the file of the game's own state
Photo = str | Path | Image.Image | Tensor


class Run:
    """Paths inside a run folder."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.config = path / "config.yaml"
        self.facts = path / "facts.json"
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples"
        self.model = path / "model"
        self.checkpoints = path / "checkpoints"
        self.best = path / "best.json"

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
                f"{self.path}: its method {method!r} is not installed{nearest(method, registry.methods)}; installed: "
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

    def write_model(self, config: GameConfig, facts: Facts, nets: Networks, game: nn.Module) -> None:
        """Store what an editor needs: the networks, averages where there are any, and the game's own state."""
        self.model.mkdir(parents=True, exist_ok=True)
        parts: dict[str, nn.Module] = dict(nets.items()) | ({GAME: game} if game.state_dict() else {})
        for name, part in parts.items():
            draft = self.model / f".{name}.tmp"
            write_tensors(draft, part.state_dict())
            draft.replace(self.model / f"{name}.safetensors")
        content = {
            "format": FORMAT,
            "method": config.method,
            "networks": sorted(nets),
            "facts": facts.model_dump(mode="json"),
        }
        replace_text(self.model / "config.json", json.dumps(content, indent=1))


def is_photo(tensor: Tensor) -> bool:
    """Whether a tensor is a photo as bytes (3, h, w)."""
    return tensor.dtype == torch.uint8 and tensor.dim() == 3 and len(tensor) == 3


class LoadedRun:
    """A trained run, ready to edit.

    networks: name -> module, in eval mode. facts: what the data said. editor: what every verb sees. iteration, images:
    how long it was trained; None for weights that came from elsewhere.
    """

    def __init__(
        self, config: GameConfig, facts: Facts, editor: Editor, iteration: int | None = None, images: int | None = None
    ) -> None:
        self.config, self.facts, self.editor = config, facts, editor
        self.iteration, self.images = iteration, images

    @property
    def networks(self) -> nn.ModuleDict:
        """The networks by name."""
        return self.editor.networks

    @property
    def device(self) -> torch.device:
        """Where the networks are."""
        return next(self.networks.parameters()).device

    def prepare(self, images: Any) -> Tensor:
        """Anything that shows faces as (n, 3, s, s) in [-1, 1].

        Floats (n, 3, s, s) or (3, s, s) in [-1, 1] are taken as they are; paths, PIL images and photos as bytes
        (3, h, w) get the run's own crop.

        Raises:
            ConfigError: a tensor of another size, or values outside [-1, 1].
        """
        size = self.facts.image_size
        if isinstance(images, Tensor) and images.dtype != torch.uint8:
            tensor = images if images.dim() == 4 else images[None]
            if tensor.shape[1:] != (self.facts.channels, size, size) or not tensor.is_floating_point():
                raise ConfigError(
                    f"images: got {images.dtype} of shape {tuple(images.shape)}, expected floats of shape "
                    f"(n, {self.facts.channels}, {size}, {size}) in [-1, 1]; paths and PIL images are cropped for you"
                )
            if tensor.numel() and (tensor.min() < -1.001 or tensor.max() > 1.001):
                raise ConfigError(f"images: values from {tensor.min():.3g} to {tensor.max():.3g}, expected [-1, 1]")
            return tensor.to(self.device, torch.float32)
        many = list(images) if isinstance(images, list | tuple) else [images]
        if len(many) == 1 and isinstance(many[0], Tensor) and many[0].dim() == 4:
            many = list(many[0])
        wrong = [type(x).__name__ for x in many if not isinstance(x, Tensor | str | Path | Image.Image)]
        wrong += [f"{x.dtype} of shape {tuple(x.shape)}" for x in many if isinstance(x, Tensor) and not is_photo(x)]
        if wrong or not many:
            raise ConfigError(
                f"images: got {wrong[0] if wrong else 'an empty list'}; a list holds paths, PIL images or bytes "
                "(3, h, w), floats in [-1, 1] come as one tensor (n, 3, s, s)"
            )
        photos = [item if isinstance(item, Tensor) else read_photo(item) for item in many]
        crops = [crop_to(photo, self.facts) for photo in photos]
        return to_range(torch.stack(crops)).to(self.device)

    def edit(
        self,
        images: Tensor | Photo | Sequence[Photo],
        *,
        seed: int = 0,
        strength: float = 1.0,
        threshold: float | None = None,
        truncation: float | None = None,
        reference: Tensor | Photo | Sequence[Photo] | None = None,
        **wishes: Any,
    ) -> Edit:
        """Edit faces: `run.edit("me.jpg", Eyeglasses=1)`, `run.edit("me.jpg", domain="male", reference="he.jpg")`.

        Args:
            images: see `prepare`.
            seed: of a drawn style. strength: 0 gives the input back, 1 the edit. threshold: make the mask hard.
            truncation: how far from the mean a drawn style may be, 0 to 1.
            reference: a face whose style to take, or one for each image; see `prepare`.
            wishes: attributes to values in [0, 1], or `domain` to a name; attributes that are not named stay as they
                are.

        Raises:
            ConfigError: a wish that the run was not trained for, a value out of range, images that do not fit.
        """
        image = self.prepare(images)
        targets = self.targets(image, wishes, reference)
        try:
            return self.editor.apply(
                image, targets, seed=seed, strength=float(strength), threshold=threshold, truncation=truncation
            )
        except ValueError as error:
            raise ConfigError(str(error)) from error

    def targets(
        self,
        image: Tensor,
        wishes: Mapping[str, Any],
        reference: Tensor | Photo | Sequence[Photo] | None = None,
    ) -> Targets:
        """A person's wishes as targets for prepared images; see `edit`.

        Raises:
            ConfigError: as `edit`.
        """
        try:
            request = self.editor.condition.parse(wishes)
            if reference is not None:
                request = replace(request, reference=self.prepare(reference))
            return self.editor.resolve(request, image)
        except ValueError as error:
            raise ConfigError(str(error)) from error


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
    folder = Run(Path(run))
    registry = registry or zoo().registry
    config, facts = folder.read(registry)
    composition = compose(config, facts, registry)
    state = find(folder.checkpoints)[-1:] if checkpoint is None else [checkpoint_of(folder, checkpoint)]
    files = model_files(folder, composition) if checkpoint is None else checkpoint_files(state[0])
    for name, network in composition.nets.items():
        network.load_state_dict(load_file(files[name]))
    if GAME in files:
        composition.game.load_state_dict(load_file(files[GAME]))
    nets = composition.nets.to(device).eval().requires_grad_(False)
    editor = composition.game.to(device).editor(nets, attributes=facts.attributes)
    length = json.loads((state[0] / "state.json").read_text()) if state else {}
    return LoadedRun(config, facts, editor, length.get("iteration"), length.get("position"))


def model_files(folder: Run, composition: Composition) -> dict[str, Path]:
    """The file of each network as training left it, and of the game's own state if it has any.

    Raises:
        ConfigError: one is missing.
    """
    names = [*composition.nets, *([GAME] if composition.game.state_dict() else [])]
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


def checkpoint_of(folder: Run, checkpoint: int | str) -> Path:
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
