"""The stage that fits the directions of attributes in the latents of an earlier stage's run."""

from __future__ import annotations

from typing import Any

import torch

from zoogan.composition.stages import StageContext
from zoogan.editors.direction_fits import TooFewFacesError, fit_direction, read_sampled_faces
from zoogan.editors.directions import Direction
from zoogan.errors import ConfigError
from zoogan.interfaces.draws import derive_seed
from zoogan.judges.judge import Judge
from zoogan.runs.latents import hash_generator, read_directions, write_direction
from zoogan.runs.loaded import LoadedRun
from zoogan.training.stages.config import DirectionStage


def get_direction_settings(context: StageContext) -> DirectionStage:
    """Get the settings of a stage that fits directions.

    Raises:
        TypeError: The stage has settings of another kind.
    """
    if not isinstance(context.config, DirectionStage):
        raise TypeError(f"stage {context.name!r}: its settings must be a DirectionStage, got {context.config!r}")
    return context.config


def find_earlier(context: StageContext, kind: type[Any]) -> Any:
    """Find the earlier stage that gives an object of a kind.

    Raises:
        ConfigError: There is none.
    """
    for opened in context.stages.values():
        if isinstance(opened, kind):
            return opened
    raise ConfigError(f"stages.{context.name}: no earlier stage gives a {kind.__name__}, which it needs")


def run_direction_stage(context: StageContext) -> None:
    """Generate faces, read their attributes and fit a direction for each attribute of the run.

    Raises:
        ConfigError: Too few faces show an attribute, or too few do not.
        StageStopped: A signal stopped it; nothing is kept.
    """
    stage, judge = get_direction_settings(context), find_earlier(context, Judge)
    editor = find_earlier(context, LoadedRun).synthesis_editor
    with context.show_progress(stage.faces, unit="face") as display:

        def watch(count: int) -> None:
            display.advance(count)
            context.check_signal()

        latents, probabilities = read_sampled_faces(editor, judge, stage.faces, stage.seed, watch)
    directions: dict[str, Direction] = {}
    problems = []
    for name in context.facts.attributes:
        column = judge.attributes.index(name)
        threshold = float(judge.thresholds[column])
        shown = float((probabilities[:, column] > threshold).double().mean())
        try:
            direction = fit_direction(latents, probabilities[:, column], threshold, stage.share, fit=stage.fit)
        except TooFewFacesError as error:
            problems.append(
                f"stages.{context.name}: {name}: {error}; generate more (stages.{context.name}.faces), or take a "
                "backbone that was trained on faces with more of them"
            )
            continue
        directions[name] = direction
        context.show(
            f"  {name}: the classifier reads it on {shown:.0%} of the generated faces; the plane is right on "
            f"{direction.facts['accuracy']:.0%} of those left out of the fit"
        )
    if problems:
        raise ConfigError("\n".join(problems))
    facts = {"judge": judge.digest, "seed": stage.seed, "share": stage.share, "generator": hash_generator(editor)}
    with context.write_folder() as draft:
        for name, direction in directions.items():
            write_direction(draft, name, direction, facts)


def open_direction_stage(context: StageContext) -> dict[str, Direction]:
    """Open the directions of a stage, by attribute; or make random ones from the settings.

    Raises:
        ConfigError: A direction is missing, damaged, or was fitted on another generator.
    """
    editor = find_earlier(context, LoadedRun).synthesis_editor
    names = context.facts.attributes
    if context.untrained:
        return {name: make_random_direction(name, editor.generator.style_dim) for name in names}
    directions, unusable = read_directions(context.folder, editor)
    problems = [
        f"stages.{context.name}: {name}: {unusable.get(name, f'no {name}.safetensors in {context.folder}')}"
        for name in names
        if name not in directions
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return directions


def make_random_direction(name: str, style_dim: int) -> Direction:
    """Make a direction that was not fitted, for checks of shapes."""
    device = torch.get_default_device()
    generator = None if device.type == "meta" else torch.Generator().manual_seed(derive_seed("direction", name))
    normal = torch.randn(style_dim, generator=generator, dtype=torch.float64)
    normal = normal / normal.norm()
    return Direction(normal, 0.0, normal, (-1.0, 1.0), {"untrained": True})
