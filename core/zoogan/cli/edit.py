"""`zoo edit`: what a person may say. `edit_photos`, `edit_made` (runs that make faces) and `edit_grid` do it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from zoogan.cli.arguments import Checkpoint, Device, PluginFiles, open_with
from zoogan.cli.editing.edit_grid import check_grid, sheet
from zoogan.cli.editing.edit_made import edit_made
from zoogan.cli.editing.edit_photos import NO_PHOTO, check_film_of, edit_photos
from zoogan.cli.photos import check_out
from zoogan.config import ConfigError

NO_WISH = "say what to show: --attribute NAME=VALUE such as Eyeglasses=1, --domain NAME, or --part NAME --from-seed N"
# What an edit is told besides its attributes, by its name in Python: the options that say it on the command line.
OPTIONS = {
    "seed": "--seed SEED", "strength": "--strength NUMBER", "threshold": "--threshold NUMBER",
    "truncation": "--truncation NUMBER", "reference": "--reference PHOTO", "donor": "--from FILE",
}  # fmt: skip
PART_OPTIONS = {"part": "--part NAME", "only": "--only KIND", "from_seed": "--from-seed SEED"}


def edit(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PHOTO...", help="Photos of any size; for runs that make faces also files of latents."),
    ] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="What to show, such as Eyeglasses=1; repeatable.")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="The kind of face to make it, for runs with domains.")] = None,
    reference: Annotated[
        list[Path] | None, typer.Option(metavar="PHOTO", help="A face whose style to take; repeatable.")
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A part to take from another face, for faces made of parts; repeatable."),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Of the parts: their shape, or their texture.")] = None,
    from_seed: Annotated[
        int | None, typer.Option(metavar="SEED", help="Whose parts: a face that the run makes.")
    ] = None,
    from_face: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Whose parts: a file of latents, or a photo.")
    ] = None,
    segmentation: Annotated[
        bool, typer.Option("--segmentation", help="Save the edit's segmentation too, in colours.")
    ] = False,
    strength: Annotated[float, typer.Option(help="0 gives the input back, 1 the edit; more goes further.")] = 1.0,
    threshold: Annotated[float | None, typer.Option(help="Make the mask hard: 1 where it exceeds this.")] = None,
    truncation: Annotated[
        float | None, typer.Option(help="How far from the mean a drawn style or face may be, 0 to 1.")
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Of a drawn style, by default 0, or of a face that the run makes; repeatable."),
    ] = None,
    film: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A GIF or MP4 from each seed's or reference's style to the next."),
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="One sheet of the run's edits: of the photos, or of its held-out faces.")
    ] = False,
    root: Annotated[
        Path | None,
        typer.Option(help="The source's folder, for --grid; by default where training found it."),
    ] = None,
    out: Annotated[Path | None, typer.Option(help="The output folder (default: edits), or the file of --grid.")] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Edit photos: each gets the run's own crop; masks and residuals are saved beside the edit."""
    registry = open_with(plugin).registry
    from zoogan.devices import choose_device
    from zoogan.runs.run import load

    def opened() -> Any:
        return load(run, checkpoint=checkpoint, device=choose_device(device), registry=registry)

    if grid:
        check_grid({
            "--attribute": attribute, "--domain": domain, "--reference": reference, "--part": part,
            "--only": only, "--from-seed": from_seed, "--from": from_face, "--segmentation": segmentation or None,
            "--strength": None if strength == 1 else strength, "--threshold": threshold, "--truncation": truncation,
            "--seed": seed, "--film": film, "--root": root if photos else None,
        })  # fmt: skip
        check_out(out or Path("grid.png"), sheet=True)
        typer.echo(str(sheet(opened(), registry, out or Path("grid.png"), root, photos or [])))
        return
    asked = parse_wishes(attribute or [])
    check_parts(part, only, from_seed, from_face)
    said = {"domain": domain, "part": part or None, "only": only}
    wishes: dict[str, Any] = asked | {name: value for name, value in said.items() if value is not None}
    check_said(photos, wishes, reference, seed, root)
    if film is not None:
        check_film_of(film, reference or seed or [])
    folder = out or Path("edits")
    check_out(folder, sheet=False)
    if not isfinite(strength):
        raise ConfigError(f"--strength {strength}: expected a number; 0 gives the input back, 1 the edit")
    loaded = opened()
    wishes = wishes or {"domain": domain_shown(loaded)}
    if loaded.editor.makes_faces:
        check_names(asked, PART_OPTIONS)
        refused = {"--domain": domain, "--reference": reference, "--threshold": threshold, "--film": film}
        written = edit_made(
            loaded, photos or [], seed or [], wishes, folder,
            [name for name, value in refused.items() if value not in (None, [])],
            strength=strength, truncation=truncation, donor=from_seed if from_face is None else from_face,
            segmentation=segmentation,
        )  # fmt: skip
    elif part or segmentation:
        option = "--part" if part else "--segmentation"
        raise ConfigError(f"{option}: this run edits photos as a whole; parts are for runs that make faces of parts")
    else:
        options = {"strength": strength, "threshold": threshold, "truncation": truncation}
        written = edit_photos(loaded, photos or [], seed or [], reference or [], wishes, folder, film, options)
    for path in written:
        typer.echo(str(path))


def check_said(
    photos: Sequence[Path] | None,
    wishes: Mapping[str, Any],
    references: Sequence[Path] | None,
    seeds: Sequence[int] | None,
    root: Path | None,
) -> None:
    """That there is something to edit and something to show, each said once; before the run is opened.

    Raises:
        ConfigError: the first thing that is missing, or said where it has no meaning.
    """
    if root is not None:
        raise ConfigError(f"--root {root}: only --grid reads the run's source; photos are named one by one")
    if not photos and not seeds:
        raise ConfigError(NO_PHOTO)
    if not wishes and not references:
        raise ConfigError(NO_WISH)
    if references and seeds:
        raise ConfigError("a style comes from --reference or from --seed: leave one of them out")


def domain_shown(run: Any) -> str:
    """The domain that a reference shows, where nobody said it: the only one there is.

    Raises:
        ConfigError: there are several, or this run takes no references.
    """
    domains = run.facts.domains if run.editor.takes_reference else ()
    if not domains:
        raise ConfigError(NO_WISH)
    if len(domains) > 1:
        raise ConfigError(f"which of {', '.join(domains)} does the reference show? --domain NAME")
    return str(domains[0])


def parse_wishes(items: list[str]) -> dict[str, str]:
    """`["Eyeglasses=1"]` as a mapping.

    Raises:
        ConfigError: items without `=`, and those that an option of their own says.
    """
    bad = [item for item in items if "=" not in item]
    if bad:
        raise ConfigError("\n".join(f"--attribute {item}: expected NAME=VALUE, like Eyeglasses=1" for item in bad))
    wishes = dict(item.split("=", 1) for item in items)
    check_names(wishes, OPTIONS)
    return wishes


def check_names(wishes: Mapping[str, str], options: Mapping[str, str]) -> None:
    """That no attribute has the name of something that an option says.

    Raises:
        ConfigError: all that have, each with its option.
    """
    bad = [
        f"--attribute {name}={value}: {name} is no attribute; use {options[name]}"
        for name, value in wishes.items()
        if name in options
    ]
    if bad:
        raise ConfigError("\n".join(bad))


def check_parts(part: list[str] | None, only: str | None, from_seed: int | None, from_face: Path | None) -> None:
    """That parts come with whose they are, and the other way round.

    Raises:
        ConfigError: everything that is missing or said twice, at once.
    """
    problems = []
    if from_seed is not None and from_face is not None:
        problems.append("--from-seed and --from both say whose the parts are: leave one of them out")
    if part and from_seed is None and from_face is None:
        problems.append(f"--part {part[0]}: say whose: --from-seed SEED, or --from FILE")
    given = {"--only": only, "--from-seed": from_seed, "--from": from_face}
    problems += [
        f"{option} {value}: say of which part: --part NAME such as hair"
        for option, value in given.items()
        if value is not None and not part
    ]
    if problems:
        raise ConfigError("\n".join(problems))
