"""A method of two stages whose official weights are imported, as a single-file plugin; and such weights.

`portrait` is StarGAN's game with the stages `judge`, which is optional, and `sketch`, which is a SaGAN. An official
file holds one network under its name (`sketch.generator`), the image size, and perhaps the names of the attributes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch

from zoogan.config import StagesConfig
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.files import read_weights_file
from zoogan.importing import Imported, make_published_layer
from zoogan.plugins import MethodSpec, OfficialFiles, Registry, Stage, hookimpl
from zoogan.training import JudgeStage, TrainedStage
from zoogan_sagan.config import SaganConfig
from zoogan_stargan.config import StarganConfig

NARROW = {"generator": {"width": 4}, "discriminator": {"width": 4}}


class SketchConfig(SaganConfig):
    """SaGAN under another name."""

    method: Literal["sketch"] = "sketch"  # type: ignore[assignment]


class PortraitStages(StagesConfig):
    """The two stages."""

    judge: JudgeStage | None = JudgeStage()
    sketch: TrainedStage = TrainedStage(method="sketch", set={"data": {"batch": 4}})


class PortraitConfig(StarganConfig):
    """StarGAN after two stages."""

    method: Literal["portrait"] = "portrait"  # type: ignore[assignment]
    stages: PortraitStages = PortraitStages()


CONFIGS = {"sketch": SketchConfig, "portrait": PortraitConfig}


def identify(method: str, content: Mapping[str, Any]) -> str | None:
    """Return which network of a method a file holds."""
    return next((slot for slot in ("generator", "discriminator") if f"{method}.{slot}" in content), None)


def read_files(method: str, files: Sequence[Path], settings: Mapping[str, Any]) -> Imported:
    """Read the official files of a method."""
    contents = {slot: file for file in map(read_weights_file, files) if (slot := identify(method, file))}
    data: dict[str, Any] = {"source": "drawn", "image_size": contents["generator"]["size"]}
    names = contents["generator"].get("attributes") or settings.get("attributes")
    if names is None:
        raise ConfigError(f"the {method} does not name its attributes; add --set data.attributes=A,B,...")
    layer = make_published_layer(CONFIGS[method](), data | {"attributes": list(names)})
    for slot, settings in NARROW.items():
        layer[slot] |= settings
    networks = {slot: content[f"{method}.{slot}"] for slot, content in contents.items()}
    return Imported(layer, networks, untrained=("discriminator",), notes=[f"{method} was read"])


identify_sketch, identify_portrait = partial(identify, "sketch"), partial(identify, "portrait")
import_sketch, import_portrait = partial(read_files, "sketch"), partial(read_files, "portrait")


def write_official_file(
    path: Path,
    registry: Registry,
    network: str,
    *,
    size: int = 16,
    attributes: Sequence[str] = ("Eyeglasses",),
    named: bool = True,
) -> Path:
    """Write an official file of one network of random weights.

    Args:
        path: The file.
        registry: Methods and components.
        network: Its name, such as `sketch.generator`.
        size: The image size.
        attributes: The attributes of the network.
        named: Whether the file names them.
    """
    method, _, slot = network.partition(".")
    config: Any = getattr(CONFIGS[method](), slot).model_copy(update=NARROW[slot])
    role = "image_editor" if slot == "generator" else "attribute_discriminator"
    torch.manual_seed(len(network))
    state = registry.build(role, config, Facts(image_size=size, attributes=tuple(attributes))).state_dict()
    torch.save({network: state, "size": size} | ({"attributes": list(attributes)} if named else {}), path)
    return path


@hookimpl
def zoo_register(registry: Registry) -> None:
    """Register both methods."""
    recipes = Path(__file__).with_name("staged_recipes")
    stages = (
        Stage("judge", run="zoogan.training:run_judge_stage", open="zoogan.training:open_judge_stage", optional=True),
        Stage("sketch", run="zoogan.training:run_trained_stage", open="zoogan.training:open_trained_stage"),
    )
    for method, own in (("sketch", ()), ("portrait", stages)):
        registry.method(
            MethodSpec(
                name=method,
                config=CONFIGS[method],
                game="zoogan.games:AttributeEditing",
                recipes=recipes,
                title=method.title(),
                importer=f"{__name__}:import_{method}",
                official_files=OfficialFiles(f"{__name__}:identify_{method}", needed=("generator",)),
                stages=own,
            )
        )
