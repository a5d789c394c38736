"""Trains a judge and stores it, as `zoo judge train` does. Imports torch only when called."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoogan.config import DataConfig, check_root, merge, validate_model
from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.names import import_object, suggest_name
from zoogan.paths import expand_path
from zoogan.plugins.host import get_zoo

if TYPE_CHECKING:
    import torch

    from zoogan.interfaces import Source
    from zoogan.judges.judge import Judge
    from zoogan.judges.training import JudgeTrainingConfig, Watch

# Shares of attributes among the drawn faces of a judge: rare attributes are frequent enough to be learned, and each is
# equally frequent on men and women, so that attributes do not predict each other.
DRAWN: dict[str, Any] = {
    "faces": 20_000,
    "held_out": 2000,
    "workers": 1,
    "probabilities": {
        "Male": 0.5, "Bald": 0.15, "Bangs": 0.25, "Wearing_Hat": 0.15, "Wearing_Earrings": 0.35, "No_Beard": 0.65,
        "Face_Mask": 0.15, "Smiling": 0.5, "Mouth_Slightly_Open": 0.45, "Eyeglasses": 0.35, "Blond_Hair": 0.2,
        "Black_Hair": 0.22, "Brown_Hair": 0.25,
    },
    "cooccurrence": {
        "Eyeglasses": {"Male": 0.35}, "Bald": {"Male": 0.15}, "Bangs": {"Male": 0.25}, "Wearing_Hat": {"Male": 0.15},
        "Wearing_Earrings": {"Male": 0.35}, "No_Beard": {"Male": 0.65}, "Smiling": {"Male": 0.5},
        "Mouth_Slightly_Open": {"Smiling": 0.45}, "Blond_Hair": {"Male": 0.2}, "Black_Hair": {"Male": 0.22},
    },
}  # fmt: skip


@dataclass(frozen=True)
class JudgePlan:
    """A judge's training that is ready to begin; nothing was written yet.

    Attributes:
        source: The faces.
        data: Config of the source.
        training: How it is trained.
        folder: Folder of the judge.
        force: Whether a judge in the folder is replaced.
        device: Where to train.
    """

    source: Source
    data: DataConfig
    training: JudgeTrainingConfig
    folder: Path
    force: bool
    device: torch.device


def plan_judge(
    data: str = "drawn",
    *,
    root: str | Path | None = None,
    attributes: str = "all",
    size: int = 64,
    backbone: str | None = None,
    pretrained: bool = False,
    width: int | None = None,
    iterations: int | None = None,
    seed: int = 0,
    out: str | Path | None = None,
    force: bool = False,
    settings: Mapping[str, Any] | None = None,
    device: str = "auto",
) -> JudgePlan:
    """Check the options of a judge's training and open its source.

    Args:
        data: Name of the source.
        root: Folder of the source.
        attributes: The attributes to learn, names with commas, `all` of the source, or `none`. If the source has a
            segmentation, the judge also learns to segment; with `none` it learns only that.
        size: Side of the faces in pixels.
        backbone: A network of timm; by default a narrow resnet10t.
        pretrained: Begin with timm's weights, which may need a download.
        width: Channels of the first maps of the default network, a multiple of 8; by default 32. Half the width is a
            quarter of the file.
        iterations: Length of the training; by default 3000.
        seed: Seed of weights, order and augmentation.
        out: The judge's folder; by default in the cache, where evaluations find it.
        force: Replace the judge in the folder.
        settings: Settings of the source, such as {"data": {"faces": 9000}}.
        device: auto, cpu, cuda or mps.

    Raises:
        ConfigError: An option is wrong, or the folder is in use.
    """
    registry = get_zoo().registry
    config = choose_judge_data(registry, data, None if root is None else Path(root), attributes, size, settings or {})
    from zoogan.composition.memory import check_batch_memory
    from zoogan.devices import choose_device
    from zoogan.judges.judge import check_judge_folder, get_judge_folder
    from zoogan.judges.training import JudgeTrainingConfig

    if iterations is not None and iterations < 1:
        raise ConfigError(f"--iterations {iterations}: expected 1 or more")
    if width is not None and (width < 8 or width % 8):
        raise ConfigError(f"--width {width}: expected a multiple of 8")
    if width is not None and (backbone is not None or pretrained):
        raise ConfigError(
            f"--width {width}: only the default network has a width; leave out --backbone and --pretrained"
        )
    options = {"backbone": backbone, "iterations": iterations, "seed": seed, "pretrained": pretrained, "width": width}
    training = JudgeTrainingConfig.model_validate({k: v for k, v in options.items() if v is not None})
    where = choose_device(device)
    check_batch_memory(training.batch, 3, config.image_size, where, "lower --size")
    folder = get_judge_folder(data, config.image_size) if out is None else Path(out)
    check_judge_folder(folder, force)
    source = registry.build("source", config)
    return JudgePlan(source, config, training, folder, force, where)


def train_judge(plan: JudgePlan, watch: Watch | None = None) -> Judge | None:
    """Train a judge, calibrate it on the valid split, score it on the test split, and store it.

    `train_judge(plan_judge("drawn", size=64))` is `zoo judge train --data drawn --size 64`.

    Args:
        plan: What `plan_judge` returned.
        watch: Is called after each iteration with its number and, now and then, the terms of the loss; True stops.

    Returns:
        The stored judge; None if `watch` stopped the training, and then nothing was written.

    Raises:
        ConfigError: The source does not suit, or the folder is in use.
    """
    from zoogan.judges.calibration import fit_judge
    from zoogan.judges.judge import save_judge

    judge = fit_judge(plan.source, plan.data, plan.training, device=plan.device, watch=watch)
    return None if judge is None else save_judge(judge, plan.folder, force=plan.force)


def choose_judge_data(
    registry: Registry, source: str, root: Path | None, attributes: str, size: int, settings: Mapping[str, Any]
) -> DataConfig:
    """Make the config of the source that a judge is trained on, see `plan_judge`.

    Raises:
        ConfigError: The source is unknown, its settings are wrong, or its root is missing.
    """
    sources = registry.list_names("source")
    if source not in sources:
        raise ConfigError(
            f"--data {source}: no source is called that{suggest_name(source, sources)}; known: {', '.join(sources)}"
        )
    own = settings.get("data", {})
    if set(settings) - {"data"} or not isinstance(own, dict):
        raise ConfigError("--set: only settings of the source can be set here, like data.faces=9000")
    other = own.get("source", source)
    if other != source:
        raise ConfigError(
            f"--set data.source={other}: the source is named by --data, which is {source}; --data {other}?"
        )
    component = registry.components["source", source]
    options = {"image_size": size, "root": root and str(expand_path(root).resolve())}
    values = merge(DRAWN if source == "drawn" else {}, {k: v for k, v in options.items() if v is not None})
    values = merge(values, own)
    values["source"] = source
    if attributes != "all":
        names = "" if attributes == "none" else attributes
        values["attributes"] = [name.strip() for name in names.split(",") if name.strip()]
    config = validate_model(component.config, values, registry, "data")
    assert isinstance(config, DataConfig)
    check_root(config, root)
    if attributes == "all" and "attributes" not in own:
        # A plugin's source may be a function, which lists no attributes.
        list_known = getattr(import_object(component.build), "list_attributes", None)
        config = config.model_copy(update={"attributes": list_known(config)} if list_known else {})
    return config
