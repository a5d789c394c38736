"""The verb `zoo parts`."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from zoogan.cli.arguments import Checkpoint, Device, Overwrite, PluginFiles, RunFolderArgument, is_picture, open_host
from zoogan.errors import ConfigError

DEFAULT = "parts.png"


def parts(
    run: RunFolderArgument,
    seed: Annotated[int | None, typer.Option(help="Seed of the face (default: 0).")] = None,
    truncation: Annotated[
        float | None, typer.Option(help="Distance to the mean face, 0 to 1: lower = fewer failures, less variety.")
    ] = None,
    latents: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A latent file, such as `zoo invert` writes, instead.")
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The image (default: parts.png).")] = None,
    overwrite: Overwrite = False,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Show a face part by part: a column each, with the face so far, its segmentation, the part's mask and depth."""
    registry = open_host(plugin).registry
    check_options(seed, truncation, latents, out or Path(DEFAULT))
    from zoogan.devices import choose_device
    from zoogan.runs.opening import load
    from zoogan.workflows.parts import save_part_sheet
    from zoogan.workflows.photo_outputs import choose_file

    path = choose_file(out, DEFAULT, overwrite)
    loaded = load(run, checkpoint=checkpoint, device=choose_device(device), registry=registry)
    sheet = save_part_sheet(
        loaded, path, seed=seed or 0, truncation=truncation, latents=latents, overwrite=overwrite
    )  # fmt: skip
    typer.echo(f"{sheet.path}\nrows: {', '.join(sheet.rows)}")


def check_options(seed: int | None, truncation: float | None, latents: Path | None, out: Path) -> None:
    """Check that options go together, before the run is opened.

    Raises:
        ConfigError: Every contradiction, at once.
    """
    problems = []
    if latents is not None and seed is not None:
        problems.append("--seed and --latents both name the face: leave one of them out")
    if latents is not None and truncation is not None:
        problems.append("--truncation has no effect with --latents: leave one of them out")
    if not is_picture(out):
        problems.append(f"--out {out}: expected a picture, such as parts.png")
    if problems:
        raise ConfigError("\n".join(problems))
