"""The run folder: the paths of the files of one training or import."""

from __future__ import annotations

import json
import logging
import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any

import yaml
from torch import Tensor, nn

from zoogan.config import GameConfig, read_yaml, validate
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.facts import Facts, read_facts
from zoogan.files import find_folder, list_checksums, replace_folder, write_tensors, write_text_atomically
from zoogan.interfaces import Networks
from zoogan.names import suggest_name
from zoogan.runs.locations import CONFIG_DRAFTS

log = logging.getLogger("zoogan.runs")

MODEL_FORMAT = 1
GAME_FILE = "game"  # the file of the game's own state
RAW_SUFFIX = ".raw"  # after a network's name: its weights in training, where the model holds the average


@dataclass(frozen=True)
class TrainedLength:
    """How long something was trained.

    Attributes:
        iteration: Completed iterations.
        position: Items of the data that were consumed.
    """

    iteration: int
    position: int


def read_length(file: Path) -> TrainedLength | None:
    """Read how long a model (config.json) or checkpoint (state.json) was trained; None if the file has no length."""
    try:
        content = json.loads(file.read_text())
        return TrainedLength(int(content["iteration"]), int(content["position"]))
    except (OSError, ValueError, KeyError, TypeError):
        return None


class RunFolder:
    """The paths inside a run folder, and methods that read and write them.

    Args:
        path: The folder; it need not exist yet.

    Attributes:
        path: The folder.
        config: The complete config, config.yaml.
        facts: The facts about the data, facts.json.
        metrics: The logged terms and evaluations, metrics.jsonl.
        samples: The folder of sample grids.
        checkpoints: The folder of checkpoints.
        best: The iteration of the best checkpoint, best.json.
        directions: The folder of directions.
        inversions: The folder of latents of photos.
    """

    def __init__(self, path: Path) -> None:
        self.set_path(path)

    def set_path(self, path: Path) -> None:
        """Make all paths those of another folder."""
        self.path = path
        self.config = path / "config.yaml"
        self.facts = path / "facts.json"
        self.metrics = path / "metrics.jsonl"
        self.samples = path / "samples"
        self.checkpoints = path / "checkpoints"
        self.best = path / "best.json"
        self.directions = path / "directions"
        self.inversions = path / "inversions"

    @property
    def model(self) -> Path:
        """The folder of the model; after an interrupted replacement the old folder."""
        return find_folder(self.path / "model")

    def write_config(self, config: GameConfig, facts: Facts) -> None:
        """Store the complete config and the facts."""
        content = config.model_dump(mode="json")
        for last in ("extra_terms", "training"):  # after what they refer to
            content[last] = content.pop(last)
        for stale in self.path.glob(CONFIG_DRAFTS):
            stale.unlink(missing_ok=True)
        text = yaml.safe_dump(content, sort_keys=False, default_flow_style=None, width=120)
        write_text_atomically(self.config, text)
        write_text_atomically(self.facts, facts.model_dump_json(indent=1))

    def read_config(self, registry: Registry) -> tuple[GameConfig, Facts]:
        """Read the stored config and facts.

        Raises:
            ConfigError: Not a run, a method that is not installed, or an edited config that no longer validates.
        """
        if not self.config.exists() or not self.facts.exists():
            raise ConfigError(f"{self.path}: not a run (no config.yaml and facts.json in it)")
        values = read_yaml(self.config)
        method = str(values.get("method"))
        if method not in registry.methods:
            names, needed = ", ".join(registry.methods), self.read_requirements()
            advice = (
                f"pip install {' '.join(needed)}"
                if needed
                else f"pip install zoogan-{method} if its authors published it so, or name its plugin with --plugin"
            )
            raise ConfigError(
                f"{self.path}: its method {method!r} is not installed{suggest_name(method, registry.methods)}; "
                f"installed: {names}. If a plugin brings it: {advice}"
            )
        return validate(registry.methods[method], registry, values), read_facts(self.path)

    def read_best(self) -> dict[str, Any]:
        """Read the best checkpoint by `training.best`: its iteration, measure and value.

        A damaged file is warned about and counts as none, since it only marks a checkpoint.
        """
        try:
            content: dict[str, Any] = json.loads(self.best.read_text())
            return {"iteration": int(content["iteration"]), "measure": content["measure"], "value": content["value"]}
        except FileNotFoundError:
            return {}
        except (OSError, ValueError, KeyError, TypeError) as error:
            log.warning("%s: damaged (%s); the next evaluation that is the best writes it anew", self.best, error)
            return {}

    def read_requirements(self) -> list[str]:
        """Read the names of the packages that a run of the Hub needs, from requirements.txt; empty without one."""
        file = self.path / "requirements.txt"
        lines = file.read_text(encoding="utf-8").splitlines() if file.is_file() else []
        return [name for line in lines if (name := line.strip()) and re.fullmatch(r"[A-Za-z0-9._-]+", name)]

    def read_best_iteration(self) -> int | None:
        """Read the iteration of the best checkpoint by `training.best`; None if there is none."""
        return self.read_best().get("iteration")

    def remove_best_after(self, iteration: int) -> None:
        """Remove the mark of a best checkpoint that came after the iteration from which the training continues."""
        if (self.read_best_iteration() or 0) > iteration:
            self.best.unlink()

    def write_model(
        self,
        config: GameConfig,
        facts: Facts,
        networks: Networks,
        game: nn.Module,
        untrained: Collection[str] = (),
        length: TrainedLength | None = None,
        raw: Mapping[str, Mapping[str, Tensor]] = MappingProxyType({}),
    ) -> None:
        """Store the model for editing: the networks (their averages where there are any) and the game's own state.

        The folder is replaced as a whole, so networks of two iterations never stand side by side.

        Args:
            config: The run's config; its method is stored with the model.
            facts: The facts about the data.
            networks: The networks by slot.
            game: The game; its state is stored if it has any.
            untrained: Slots of networks that hold only their initial weights.
            length: How long the networks were trained; None for weights that came from elsewhere.
            raw: For slots whose `networks` are averages, the weights in training themselves. Only a training that
                starts from this run reads them.
        """
        content = {
            "format": MODEL_FORMAT,
            "method": config.method,
            "networks": sorted(networks),
            "facts": facts.model_dump(mode="json"),
        } | ({"untrained": sorted(untrained)} if untrained else {})
        content |= {} if length is None else {"iteration": length.iteration, "position": length.position}
        modules: dict[str, nn.Module] = dict(networks.items()) | ({GAME_FILE: game} if game.state_dict() else {})
        with replace_folder(self.path / "model") as draft:
            for name, module in modules.items():
                write_tensors(draft / f"{name}.safetensors", module.state_dict())
            for name, state in raw.items():
                write_tensors(draft / f"{name}{RAW_SUFFIX}.safetensors", state)
            content["files"] = list_checksums(draft)
            (draft / "config.json").write_text(json.dumps(content, indent=1))

    def list_untrained(self) -> tuple[str, ...]:
        """List the networks of the model that have only their initial weights."""
        return tuple(self.read_model_config().get("untrained", ()))

    def read_model_config(self) -> dict[str, Any]:
        """Read config.json of the model; empty if there is none.

        Raises:
            ConfigError: It is damaged.
        """
        file = self.model / "config.json"
        try:
            content = json.loads(file.read_text())
            if not isinstance(content, dict):
                raise ValueError(f"expected a mapping, got {type(content).__name__}")
        except FileNotFoundError:
            return {}
        except (OSError, ValueError) as error:
            raise ConfigError(f"{file}: damaged ({error}); copy it again from where the run came from") from error
        return content

    def read_model_length(self) -> TrainedLength | None:
        """Read how long the model was trained; None for imported models."""
        return read_length(self.model / "config.json")
