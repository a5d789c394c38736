"""`zoo parts`: how a face adds up from its parts, for a run that makes faces of parts."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from zoogan.cli.arguments import Checkpoint, Device, PluginFiles, open_with
from zoogan.config import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from zoogan.editors.parts import Addition
    from zoogan.interfaces import Edit
    from zoogan.runs.loaded import LoadedRun


def parts(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    seed: Annotated[int | None, typer.Option(help="Of the face, by default 0.")] = None,
    truncation: Annotated[
        float | None, typer.Option(help="How far from the mean face, 0 to 1: fewer failures, less variety.")
    ] = None,
    latents: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A file of latents, such as `zoo invert` writes, instead.")
    ] = None,
    out: Annotated[Path, typer.Option(help="The picture.")] = Path("parts.png"),
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Show a face part by part: a column each, with the face so far, its segmentation, the part's mask and depth."""
    registry = open_with(plugin).registry
    check(seed, truncation, latents, out)
    from zoogan.devices import choose_device
    from zoogan.editors.parts import additions
    from zoogan.interfaces.synthesis import noise_among
    from zoogan.pictures.photo import grid, save_image
    from zoogan.runs.run import load

    loaded = load(run, checkpoint=checkpoint, device=choose_device(device), registry=registry)
    face = face_of(loaded, seed or 0, truncation, latents)
    maker = loaded.maker if face.generator is None else loaded.maker.with_generator(face.generator)
    latent, noise = face.extras["latents"], noise_among(face.extras)
    try:
        steps = list(additions(maker.generator, latent, noise))
    except ValueError as error:
        raise ConfigError(str(error)) from error
    rows = pictures(steps)
    save_image(grid(list(rows.values()), [f"+ {step.part}" if k else step.part for k, step in enumerate(steps)]), out)
    typer.echo(f"{out}\nrows: {', '.join(rows)}")


def check(seed: int | None, truncation: float | None, latents: Path | None, out: Path) -> None:
    """That options go together, before the run is opened.

    Raises:
        ConfigError: all that do not, at once.
    """
    from zoogan.cli.sample import is_picture

    problems = []
    if latents is not None and seed is not None:
        problems.append("--seed and --latents both say which face: leave one of them out")
    if latents is not None and truncation is not None:
        problems.append("--truncation is for faces from seeds; this one has its latents")
    if not is_picture(out):
        problems.append(f"--out {out}: expected a picture, such as parts.png")
    if problems:
        raise ConfigError("\n".join(problems))


def face_of(run: LoadedRun, seed: int, truncation: float | None, latents: Path | None) -> Edit:
    """The face to take apart."""
    from zoogan.runs.latents import read_latents

    return run.sample(seed=seed, truncation=truncation) if latents is None else read_latents([latents], run.maker)[0]


def pictures(steps: Sequence[Addition]) -> dict[str, list[Tensor]]:
    """The rows of the sheet: pictures (c, h, w) of one size, for each step.

    Masks are white where the part alone shows. A depth has its own scale: white is the part's nearest place, black its
    farthest; one that is the same everywhere is grey.
    """
    import torch
    from torch.nn import functional as F

    from zoogan.pictures.palette import coloured
    from zoogan.pictures.photo import enlarged, to_range

    size = steps[0].image.shape[-2:]

    def wide(plane: Tensor) -> Tensor:
        return enlarged(F.interpolate(plane[:, None].float(), size, mode="nearest-exact"))[0]

    rows = {"face": [enlarged(step.image)[0] for step in steps]}
    for step in steps:
        if step.segmentation is not None:
            layout = enlarged(to_range(coloured(step.segmentation, len(steps))))[0]
            rows.setdefault("segmentation", []).append(layout)
        if step.mask is not None:
            rows.setdefault("mask of the part", []).append(wide(step.mask))
        if step.depth is not None:
            low, high = step.depth.min(), step.depth.max()
            scaled = torch.where(high > low, 2 * (step.depth - low) / (high - low).clamp(min=1e-12) - 1, 0.0)
            rows.setdefault("depth of the part", []).append(wide(scaled))
    return rows
