"""The stage `geometry` of SD-GAN: where heads are, and the shape of faces."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from jaxtyping import Float
from safetensors.torch import save_file
from torch import Tensor

from zoogan import ConfigError
from zoogan.composition import StageContext
from zoogan.interfaces import FaceGeometry, GeometryReading
from zoogan_sd_gan.config import GeometryStage
from zoogan_sd_gan.geometry import HeadGeometry
from zoogan_sd_gan.reader import PlacementReader, fit_placement, make_untrained_reader
from zoogan_sd_gan.unsup3d import Unsup3dGeometry, Unsup3dNetworks
from zoogan_sd_gan.unsup3d_training import train_unsup3d
from zoogan_sd_gan.weights import read_unsup3d

FACTS, PLACEMENT, UNSUP3D = "geometry.json", "placement.safetensors", "unsup3d.safetensors"


class SdGanGeometry(FaceGeometry):
    """Where heads are, read off the classifier's parts, and the shape of faces, from a head or from unsup3d.

    Args:
        head: Tells where heads are; None = nothing does.
        shape: Reads the shape; None = nothing does.
    """

    def __init__(self, head: HeadGeometry | None, shape: FaceGeometry | None) -> None:
        self.head, self.shape = head, shape
        self.reads_placement = head is not None
        self.channels = 0 if shape is None else shape.channels
        self.networks = getattr(shape, "networks", None)  # where those who freeze and cast stages find them

    def read_placement(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n p"]:
        """Read where the heads are, see `HeadGeometry`."""
        return super().read_placement(image) if self.head is None else self.head.read_placement(image)

    def encode(self, image: Float[Tensor, "n c h w"]) -> Float[Tensor, "n g s s"]:
        """Read the shape of faces."""
        return super().encode(image) if self.shape is None else self.shape.encode(image)

    def read(self, image: Float[Tensor, "n c h w"], *, placement: bool, shape: bool) -> GeometryReading:
        """Read placement and shape; a head that gives both reads the placement once."""
        if self.head is not None and self.shape is self.head:
            return self.head.read(image, placement=placement, shape=shape)
        return super().read(image, placement=placement, shape=shape)


def get_geometry_settings(context: StageContext) -> GeometryStage:
    """Get the settings of the stage.

    Raises:
        TypeError: The stage has settings of another kind.
    """
    if not isinstance(context.config, GeometryStage):
        raise TypeError(f"stage {context.name!r}: its settings must be a GeometryStage, got {context.config!r}")
    return context.config


def needs_placement(context: StageContext) -> bool:
    """Tell whether the stage must learn where heads are: as its settings say, else as the templates are placed."""
    stage = get_geometry_settings(context)
    if stage.placement is not None:
        return stage.placement
    compositor: Any = getattr(context.parent, "compositor", None)
    return stage.use == "head" or getattr(compositor, "placement", None) == "read"


def check_settings(context: StageContext) -> None:
    """Check settings that need each other.

    Raises:
        ConfigError: Names every problem.
    """
    stage, where = get_geometry_settings(context), f"stages.{context.name}"
    problems = []
    if stage.use == "unsup3d" and stage.weights is None and stage.path is None and context.untrained:
        problems.append(f"{where}.use=unsup3d needs its weights: set {where}.weights=FILE, or use unsup3d-train")
    if stage.weights is not None and stage.use != "unsup3d":
        problems.append(f"{where}.weights is read by {where}.use=unsup3d only; set that, or remove it")
    if stage.use == "head" and stage.placement is False:
        problems.append(f"{where}.use=head needs {where}.placement; remove placement=false")
    if problems:
        raise ConfigError("\n".join(problems))


def run_geometry_stage(context: StageContext) -> None:
    """Learn where heads are, and read or train the networks of unsup3d.

    Raises:
        ConfigError: The classifier reads no parts, or the official weights cannot be read.
        StageStopped: A signal stopped it; nothing is kept.
    """
    stage = get_geometry_settings(context)
    judge = context.stages.get("classifier")
    reader, networks = None, None
    if needs_placement(context):
        if judge is None or not judge.parts:
            raise ConfigError(
                f"stages.{context.name}: the classifier reads no parts of faces, so that no template can be placed "
                "where the head is; train it on faces with a segmentation, or set compositor.placement=fixed"
            )
        probabilities = getattr(context.parent.data, "probabilities", None)
        reader = fit_placement(judge, faces=stage.faces, seed=stage.seed, probabilities=probabilities)
        context.check_signal()
    if stage.use == "unsup3d" and stage.weights is not None:
        networks = read_unsup3d(stage.weights)
    elif stage.use == "unsup3d-train":
        networks = train_on_generated_faces(context, stage)
    with context.write_folder() as draft:
        (draft / FACTS).write_text(json.dumps({"use": stage.use, "seed": stage.seed}) + "\n")
        if reader is not None:
            reader.save(draft / PLACEMENT)
        if networks is not None:
            save_file(networks.state_dict(), draft / UNSUP3D)


def train_on_generated_faces(context: StageContext, stage: GeometryStage) -> Unsup3dNetworks:
    """Train the networks of unsup3d on faces of the backbone.

    Raises:
        StageStopped: A signal stopped it.
    """
    editor = context.stages["backbone"].synthesis_editor

    def generate() -> Iterator[Tensor]:
        first = stage.seed
        while True:
            yield editor.sample(range(first, first + stage.batch)).image
            first += stage.batch

    with context.show_progress(stage.iterations, images=stage.batch) as display:

        def watch(iteration: int, loss: Tensor) -> bool:
            display.advance(iteration)
            context.check_signal()
            return False

        networks = train_unsup3d(
            generate(), stage.iterations, stage.batch, stage.seed, context.device, watch,
            width=stage.width, code=4 * stage.width,
        )  # fmt: skip
    assert networks is not None
    return networks


def open_geometry_stage(context: StageContext) -> SdGanGeometry:
    """Open what the stage learnt, or build an untrained equivalent from the settings.

    Raises:
        ConfigError: Settings contradict each other, or a file is missing or damaged.
    """
    check_settings(context)
    stage, judge = get_geometry_settings(context), context.stages.get("classifier")
    if not context.untrained:
        check_facts(context, stage)
    head = None
    if needs_placement(context):
        if judge is None:
            raise ConfigError(
                f"stages.{context.name} learns where heads are from the classifier, and stages.classifier is left out; "
                "set compositor.placement=fixed"
            )
        reader = make_untrained_reader(judge) if context.untrained else PlacementReader.load(context.folder / PLACEMENT)
        head = HeadGeometry(judge, reader)
    if stage.use == "none":
        return SdGanGeometry(head, None)
    if stage.use == "head":
        return SdGanGeometry(head, head)
    if context.untrained:
        networks = Unsup3dNetworks(stage.width, 4 * stage.width)
    else:
        networks = read_unsup3d(context.folder / UNSUP3D)
    return SdGanGeometry(head, Unsup3dGeometry(networks.to(context.device)))


def check_facts(context: StageContext, stage: GeometryStage) -> None:
    """Check that a stored stage is of the kind that the settings name.

    Raises:
        ConfigError: It is not, or its facts are missing or damaged.
    """
    path = context.folder / FACTS
    try:
        use = json.loads(path.read_text())["use"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigError(f"{path}: missing or damaged; make stage {context.name} again") from error
    if use != stage.use:
        raise ConfigError(
            f"stages.{context.name}: {context.folder} was made with use={use}; set stages.{context.name}.use={use}"
        )


def import_geometry(context: StageContext, files: Mapping[str, Path]) -> dict[str, Any]:
    """Import the official networks of unsup3d.

    Returns:
        The settings of the stage that they decide.

    Raises:
        ConfigError: The file cannot be read.
    """
    networks = read_unsup3d(files["unsup3d"])
    with context.write_folder() as draft:
        (draft / FACTS).write_text(json.dumps({"use": "unsup3d", "file": files["unsup3d"].name}) + "\n")
        save_file(networks.state_dict(), draft / UNSUP3D)
    return {"use": "unsup3d", "placement": False}
