"""`zoo sample`: faces from seeds, with a run that makes faces."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoogan.cli.arguments import Checkpoint, Device, PluginFiles, open_with
from zoogan.config import ConfigError

if TYPE_CHECKING:
    from zoogan.runs.loaded import LoadedRun

FACES, SOURCES = 16, 4  # by default: of a grid or a folder; of a film, or the rows of a mixing figure


def sample(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    faces: Annotated[int | None, typer.Option("-n", help="How many faces: 16, or 4 with --mix or --film.")] = None,
    seed: Annotated[int, typer.Option(help="Of the first face; the next has the next seed.")] = 0,
    truncation: Annotated[
        float | None, typer.Option(help="How far from the mean face, 0 to 1: fewer failures, less variety.")
    ] = None,
    cutoff: Annotated[
        int | None, typer.Option(metavar="ROWS", help="Truncate so many rows of a latent only, the coarse ones.")
    ] = None,
    mix: Annotated[
        list[int] | None,
        typer.Option(metavar="SEED", help="A face whose fine rows the others take, in a table; repeatable."),
    ] = None,
    cut: Annotated[
        int | None, typer.Option(metavar="ROW", help="The row where --mix takes over; by default the middle one.")
    ] = None,
    film: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A GIF or MP4 that walks from face to face and back.")
    ] = None,
    part: Annotated[
        str | None, typer.Option(metavar="NAME", help="Of a film: let this part alone walk, and the rest stay.")
    ] = None,
    only: Annotated[str | None, typer.Option(help="Of the part: its shape, or its texture.")] = None,
    segmentation: Annotated[
        bool, typer.Option("--segmentation", help="Show segmentations beside a film's faces, in colours.")
    ] = False,
    out: Annotated[
        Path | None, typer.Option(help="A picture of all faces, or a folder for one file each and their latents.")
    ] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Make faces from seeds. Each is a pure function of its own seed, whatever is made beside it."""
    registry = open_with(plugin).registry
    check_ways(mix, cut, film, out, {"--part": part, "--only": only, "--segmentation": segmentation or None})
    from zoogan.devices import choose_device
    from zoogan.runs.run import load

    loaded = load(run, checkpoint=checkpoint, device=choose_device(device), registry=registry)
    n = faces if faces is not None else SOURCES if mix or film else FACES
    check_numbers(loaded, n, truncation, cutoff, cut, walks=film is not None)
    options = {"truncation": truncation, "cutoff": cutoff}
    seeds = range(seed, seed + n)
    if film is not None:
        from zoogan.cli.sample_film import walk

        typer.echo(str(walk(loaded, seeds, film, options, part=part, only=only, segmentation=segmentation)))
    elif mix:
        rows = loaded.maker.generator.rows
        cut = rows // 2 if cut is None else cut
        typer.echo(str(mixing(loaded, seeds, mix, cut, out or Path("mixing.png"), options)))
        typer.echo(f"rows 0 to {cut - 1} of the faces on the left, {cut} to {rows - 1} of those above")
    elif out is not None and not is_picture(out):
        for path in separate(loaded, seeds, out, options):
            typer.echo(str(path))
    else:
        typer.echo(str(together(loaded, seeds, out or Path("faces.png"), options)))


def is_picture(path: Path) -> bool:
    """Whether a path names a picture rather than a folder."""
    from zoogan.pictures.photo import SUFFIXES

    return path.suffix.lower() in SUFFIXES and not path.is_dir()


def check_ways(
    mix: Sequence[int] | None, cut: int | None, film: Path | None, out: Path | None, of_films: Mapping[str, Any]
) -> None:
    """That one thing is asked for, before the run is opened. of_films: options that only films have.

    Raises:
        ConfigError: everything that does not go together, at once.
    """
    from zoogan.pictures.film import check_film

    problems = []
    if film is not None and mix:
        problems.append("--film walks from face to face and --mix makes a table: leave one of them out")
    if film is not None and out is not None:
        problems.append("--film says where the film goes: leave --out out")
    if cut is not None and not mix:
        problems.append("--cut says where --mix takes over: give --mix SEED as well")
    if film is None:
        problems += [
            f"{name} is about films: give --film FILE" for name, value in of_films.items() if value is not None
        ]
    elif of_films["--only"] is not None and of_films["--part"] is None:
        problems.append("--only says what of a part walks: give --part NAME as well")
    if mix and out is not None and not is_picture(out):
        problems.append(f"--out {out}: --mix makes one picture, such as mixing.png")
    if out is not None and out.suffix.lower() in (".gif", ".mp4"):
        problems.append(f"--out {out}: films are made by --film")
    if out is not None and out.is_file() and not is_picture(out):
        problems.append(f"--out {out}: a file of that name is there, and is no picture")
    if film is not None:
        try:
            check_film(film)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))


def check_numbers(
    run: LoadedRun, n: int, truncation: float | None, cutoff: int | None, cut: int | None, walks: bool
) -> None:
    """That the run can make what is asked for.

    Raises:
        ConfigError: it makes no faces; every number that is out of range, at once.
    """
    rows, problems = run.maker.generator.rows, []
    fewest = 2 if walks else 1
    if n < fewest:
        problems.append(f"-n {n}: expected {fewest} faces or more")
    if truncation is not None and not 0 <= truncation <= 1:
        problems.append(f"--truncation {truncation:g}: expected a share from 0 (the mean face) to 1 (as drawn)")
    if cutoff is not None and not 0 <= cutoff <= rows:
        problems.append(f"--cutoff {cutoff}: expected a number of rows from 0 to {rows}, this run's")
    if cutoff is not None and truncation is None:
        problems.append("--cutoff says how many rows --truncation acts on: give --truncation as well")
    if cut is not None and not 1 <= cut < rows:
        problems.append(f"--cut {cut}: expected a row from 1 to {rows - 1}; this run's latents have {rows}")
    if problems:
        raise ConfigError("\n".join(problems))


def together(run: LoadedRun, seeds: range, path: Path, options: dict[str, Any]) -> Path:
    """Save one picture of all faces, each below its seed."""
    import torch

    from zoogan.pictures.photo import enlarged, grid, save_image

    image = enlarged(run.sample(len(seeds), seed=seeds[0], **options).image)
    wide = min(len(seeds), math.ceil(math.sqrt(len(seeds))))
    strips = []
    for first in range(0, len(seeds), wide):
        row, captions = list(image[first : first + wide]), [f"seed {k}" for k in seeds[first : first + wide]]
        spare = wide - len(row)
        strips.append(grid([row + [torch.ones_like(image[0])] * spare], captions + [""] * spare))
    save_image(torch.cat(strips, 1), path)
    return path


def separate(run: LoadedRun, seeds: range, folder: Path, options: dict[str, Any]) -> list[Path]:
    """Save each face as `seed-7.png`, and its latent, to edit it later, as `seed-7-latent.safetensors`."""
    from zoogan.pictures.photo import save_image
    from zoogan.runs.latents import SUFFIX, generator_digest, write_latents
    from zoogan.runs.loaded import MADE_AT_ONCE

    digest, written = generator_digest(run.maker), []
    for first in range(0, len(seeds), MADE_AT_ONCE):
        some = seeds[first : first + MADE_AT_ONCE]
        made = run.sample(len(some), seed=some[0], **options)
        files = [folder / f"seed-{k}-latent{SUFFIX}" for k in some]
        about = [{"seed": k} | {key: value for key, value in options.items() if value is not None} for k in some]
        write_latents(made, files, digest, about)
        for k, image, file in zip(some, made.image, files):
            path = folder / f"seed-{k}.png"
            save_image(image, path)
            written += [path, file]
    return written


def mixing(run: LoadedRun, seeds: range, fine: Sequence[int], cut: int, path: Path, options: dict[str, Any]) -> Path:
    """Save a table of faces with the coarse rows of the left column's and the fine rows of the top row's (StyleGAN,
    figure 3). All are shown with the generator's own noise."""
    import torch

    from zoogan.pictures.photo import enlarged, grid, save_image

    maker = run.maker
    left, top = maker.latents(seeds, **options), maker.latents(list(fine), **options)
    heads = enlarged(maker.synthesise(top).image)
    rows = [[torch.ones_like(heads[0]), *heads]]
    for latents in left.split(1):
        mixed = maker.mixed(latents.expand(len(top), -1, -1), top, cut)
        rows.append(list(enlarged(torch.cat([maker.synthesise(part).image for part in (latents, mixed)]))))
    captions = [f"coarse: {seeds[0]}{f' to {seeds[-1]}' if len(seeds) > 1 else ''}", *(f"fine: {k}" for k in fine)]
    save_image(grid(rows, captions), path)
    return path
