"""The verb `zoo sample`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoogan.cli.arguments import (
    Checkpoint,
    Device,
    Json,
    Overwrite,
    PluginFiles,
    RunFolderArgument,
    is_picture,
    open_host,
    print_files,
)
from zoogan.errors import ConfigError

if TYPE_CHECKING:
    from zoogan.config.registry import Registry
    from zoogan.runs.loaded import LoadedRun

FACES = 16  # in a sheet or a folder
FILM_FACES = 4  # in a film or a mixing table
MOST_FACES = 1024  # in a sheet, a film or a table
NO_LAYOUTS = "{}: this run makes faces without maps of parts, or paints none; remove it, or use a run that paints maps"


def sample(
    run: RunFolderArgument,
    faces: Annotated[int | None, typer.Option("-n", help="Number of faces: 16, or 4 with --mix or --film.")] = None,
    seed: Annotated[int, typer.Option(help="Seed of the first face; the next face has the next seed.")] = 0,
    truncation: Annotated[
        float | None, typer.Option(help="Distance to the mean face, 0 to 1: lower = fewer failures, less variety.")
    ] = None,
    cutoff: Annotated[
        int | None, typer.Option(metavar="ROWS", help="Truncate only this many coarse latent rows (default: all).")
    ] = None,
    mix: Annotated[
        list[int] | None,
        typer.Option(metavar="SEED", help="A face whose fine rows the others take, in a table; repeatable."),
    ] = None,
    cut: Annotated[
        int | None, typer.Option(metavar="ROW", help="First latent row that --mix replaces (default: the middle one).")
    ] = None,
    film: Annotated[
        Path | None, typer.Option(metavar="FILE", help="A GIF or MP4 that moves from face to face and back.")
    ] = None,
    part: Annotated[str | None, typer.Option(metavar="NAME", help="In a film: only this part moves.")] = None,
    only: Annotated[str | None, typer.Option(help="In a film: only the part's shape or texture moves.")] = None,
    segmentation: Annotated[
        bool, typer.Option("--segmentation", help="Show segmentations beside a film's faces, in colours.")
    ] = False,
    layout: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="FILE", help="A map of parts to paint (default: those of held-out faces); repeatable, in turn."
        ),
    ] = None,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the source of these faces (default: where training found it).")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="An image of all faces, or a folder for one image and one latent file each.")
    ] = None,
    overwrite: Overwrite = False,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
    as_json: Json = False,
) -> None:
    """Make faces from seeds. A face depends only on its own seed."""
    registry = open_host(plugin).registry
    count = faces if faces is not None else FILM_FACES if mix or film else FACES
    problems = list_layout_problems(run, registry, layout or (), root)
    if layout and 0 < count < len(layout):
        problems.append(f"--layout: {len(layout)} maps for {count} faces; remove some, or add -n {len(layout)}")
    pictures = count * (len(mix) + 1 if mix else 1)
    if pictures > MOST_FACES and (mix or film or out is None or is_picture(out)):
        kind = "a table" if mix else "a film" if film else "a sheet"
        problems.append(f"-n {count}: {kind} holds {MOST_FACES} faces at most; a folder as --out holds any number")
    film_options = {"--part": part, "--only": only, "--segmentation": segmentation or None}
    check_output_options(mix, cut, film, out, film_options, problems)
    from zoogan.devices import choose_device
    from zoogan.runs.opening import load
    from zoogan.workflows import sample as workflow
    from zoogan.workflows.photo_outputs import choose_file

    loaded = load(run, checkpoint=checkpoint, device=choose_device(device), registry=registry)
    options: dict[str, Any] = {"truncation": truncation, "cutoff": cutoff}
    seeds = range(seed, seed + count)
    if loaded.editor.paints_layouts:
        reason = "this run paints maps of parts and has no latents to mix or truncate by row"
        check_samples_of_editor(count, truncation, {"--cutoff": cutoff, "--mix": mix, "--film": film}, reason)
        if layout:
            options["layout"] = loaded.prepare_layouts(list(layout))
        else:
            workflow.set_sample_layouts(loaded, registry, root=root)
    else:
        if layout or root is not None:
            raise ConfigError(NO_LAYOUTS.format("--layout" if layout else "--root"))
        if loaded.editor.also_samples:
            reason = "this run edits photos, and mixes, films and truncates no rows of latents"
            refused = {"--cutoff": cutoff, "--mix": mix, "--film": film}
            check_samples_of_editor(count, truncation, refused, reason)
        else:
            check_sample_numbers(loaded, count, truncation, cutoff, cut, is_film=film is not None)
    legend = ""
    if film is not None:
        path = workflow.save_sample_film(
            loaded, seeds, film, part=part, only=only, segmentation=segmentation, overwrite=overwrite, **options
        )
        files = [path]
    elif mix:
        rows = loaded.synthesis_editor.generator.rows
        cut = rows // 2 if cut is None else cut
        legend = f"rows 0 to {cut - 1} of the faces on the left, {cut} to {rows - 1} of those above"
        path = choose_file(out, "mixing.png", overwrite)
        files = [workflow.save_mixing_table(loaded, seeds, mix, cut, path, overwrite=overwrite, **options)]
    elif out is not None and not is_picture(out):
        files = workflow.save_samples(loaded, seeds, out, overwrite=overwrite, **options)
    else:
        path = choose_file(out, "faces.png", overwrite)
        files = [workflow.save_sample_sheet(loaded, seeds, path, overwrite=overwrite, **options)]
    print_files(files, as_json, run=str(run), seeds=list(seeds))
    if legend and not as_json:
        typer.echo(legend)


def list_layout_problems(run: Path, registry: Registry, layouts: Sequence[Path], root: Path | None) -> list[str]:
    """List problems of --layout and --root that the config of the run tells."""
    from zoogan.runs.vocabulary import read_layout_use

    given = {"--layout": layouts or None, "--root": root}
    problems = []
    if read_layout_use(run, registry) == "none":
        problems = [NO_LAYOUTS.format(option) for option, value in given.items() if value is not None]
    if layouts and root is not None:
        problems.append("--root names a folder to read maps from, and --layout gives them: leave one of them out")
    return problems


def check_samples_of_editor(count: int, truncation: float | None, refused: Mapping[str, Any], reason: str) -> None:
    """Check the options of faces of a run that edits photos, perhaps painted on layouts.

    Args:
        count: The number of faces.
        truncation: How far from the mean they may be.
        refused: Option -> value of the options that such faces do not have; None if it was not given.
        reason: Why they do not have them.

    Raises:
        ConfigError: Every option that has no effect, and every number out of range, at once.
    """
    problems = [f"{option}: {reason}; remove it" for option, value in refused.items() if value is not None]
    if count < 1:
        problems.append(f"-n {count}: expected 1 face or more")
    if truncation is not None and not 0 <= truncation <= 1:
        problems.append(f"--truncation {truncation:g}: expected a share from 0 (the mean) to 1 (as drawn)")
    if problems:
        raise ConfigError("\n".join(problems))


def check_output_options(
    mix: Sequence[int] | None,
    cut: int | None,
    film: Path | None,
    out: Path | None,
    film_options: Mapping[str, Any],
    others: Sequence[str] = (),
) -> None:
    """Check that one kind of output is requested, before the run is opened.

    Args:
        mix: Seeds of --mix.
        cut: Row of --cut.
        film: File of --film.
        out: File or folder of --out.
        film_options: Option -> value of the options that only films have; None if it was not given.
        others: Problems of other options, which are reported too.

    Raises:
        ConfigError: Every contradiction, at once.
    """
    from zoogan.pictures.film_files import check_film

    problems = list(others)
    if film is not None and mix:
        problems.append("--film makes a film and --mix a table: leave one of them out")
    if film is not None and out is not None:
        problems.append("--film names the output file already: leave --out out")
    if cut is not None and not mix:
        problems.append("--cut has no effect without --mix: add --mix SEED")
    if film is None:
        problems += [
            f"{name} has no effect without --film: add --film FILE"
            for name, value in film_options.items()
            if value is not None
        ]
    elif film_options["--only"] is not None and film_options["--part"] is None:
        problems.append("--only has no effect without --part: add --part NAME")
    if mix and out is not None and not is_picture(out):
        problems.append(f"--out {out}: --mix makes one picture, such as mixing.png")
    if out is not None and out.suffix.lower() in (".gif", ".mp4"):
        problems.append(f"--out {out}: films are made by --film")
    if out is not None and out.is_file() and not is_picture(out):
        problems.append(f"--out {out}: a file of that name exists and is no picture")
    if film is not None:
        try:
            check_film(film)
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))


def check_sample_numbers(
    run: LoadedRun, count: int, truncation: float | None, cutoff: int | None, cut: int | None, is_film: bool
) -> None:
    """Check that the run can make the requested faces.

    Raises:
        ConfigError: The run makes no faces, or every number that is out of range, at once.
    """
    rows, problems = run.synthesis_editor.generator.rows, []
    fewest = 2 if is_film else 1
    if count < fewest:
        problems.append(f"-n {count}: expected {fewest} faces or more")
    if truncation is not None and not 0 <= truncation <= 1:
        problems.append(f"--truncation {truncation:g}: expected a share from 0 (the mean face) to 1 (as drawn)")
    if cutoff is not None and not 0 <= cutoff <= rows:
        problems.append(f"--cutoff {cutoff}: expected a number of rows from 0 to {rows}, this run's")
    if cutoff is not None and truncation is None:
        problems.append("--cutoff has no effect without --truncation: add --truncation NUMBER")
    if cut is not None and not 1 <= cut < rows:
        problems.append(f"--cut {cut}: expected a row from 1 to {rows - 1}; this run's latents have {rows}")
    if problems:
        raise ConfigError("\n".join(problems))
