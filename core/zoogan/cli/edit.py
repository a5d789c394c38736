"""`zoo edit`: edit photos with a trained run."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any

import typer

from zoogan.cli.arguments import Checkpoint, Device, PluginFiles, open_with
from zoogan.config import ConfigError
from zoogan.registry import Registry


def edit(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    photos: Annotated[list[Path] | None, typer.Argument(metavar="PHOTO...", help="Photos of any size.")] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="What to show, such as Eyeglasses=1; repeatable.")
    ] = None,
    strength: Annotated[float, typer.Option(help="0 gives the input back, 1 the edit.")] = 1.0,
    threshold: Annotated[float | None, typer.Option(help="Make the mask hard: 1 where it exceeds this.")] = None,
    seed: Annotated[int, typer.Option(help="For editors that draw.")] = 0,
    grid: Annotated[
        bool, typer.Option("--grid", help="A sheet of the run's held-out faces instead of photos.")
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
    from zoogan.training.devices import choose
    from zoogan.training.run import load

    if grid:
        if photos or attribute:
            raise ConfigError("--grid shows the run's held-out faces: leave out photos and attributes")
        loaded = load(run, checkpoint=checkpoint, device=choose(device), registry=registry)
        typer.echo(str(sheet(loaded, registry, out or Path("grid.png"), root)))
        return
    if root is not None:
        raise ConfigError(f"--root {root}: only --grid reads the run's source; photos are named one by one")
    wishes = parse_wishes(attribute or [])
    if not photos:
        raise ConfigError("no photo given: zoo edit RUN PHOTO... --attribute NAME=VALUE")
    if not wishes:
        raise ConfigError("no --attribute given: say what to show, such as --attribute Eyeglasses=1")
    loaded = load(run, checkpoint=checkpoint, device=choose(device), registry=registry)
    for path in edit_photos(
        loaded, photos, wishes, out or Path("edits"), strength=strength, threshold=threshold, seed=seed
    ):
        typer.echo(str(path))


def parse_wishes(items: list[str]) -> dict[str, str]:
    """`["Eyeglasses=1"]` as a mapping.

    Raises:
        ConfigError: items without `=`.
    """
    bad = [item for item in items if "=" not in item]
    if bad:
        raise ConfigError("\n".join(f"--attribute {item}: expected NAME=VALUE, like Eyeglasses=1" for item in bad))
    return dict(item.split("=", 1) for item in items)


def edit_photos(run: Any, photos: list[Path], wishes: dict[str, str], out: Path, **options: Any) -> list[Path]:
    """Edit each photo and save `<name>-edited.png` (and -mask, -residual where there is a mask).

    Raises:
        ConfigError: all photos that cannot be read, at once, before anything is edited.
    """
    from zoogan.data.photo import crop_warnings, read_photo, save_image

    pictures, problems = [], []
    for photo in photos:
        try:
            pictures.append(read_photo(photo))
        except ConfigError as error:
            problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))
    try:
        run.editor.condition.parse(wishes)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    written: list[Path] = []
    out.mkdir(parents=True, exist_ok=True)
    for photo, picture in zip(photos, pictures):
        for warning in crop_warnings(picture, run.facts):
            typer.echo(f"note: {photo}: {warning}", err=True)
        result = run.edit(picture, **options, **wishes)
        images = {"edited": result.image}
        if result.mask is not None:
            images |= {
                "mask": (2 * result.mask - 1).expand(-1, 3, -1, -1),
                "residual": 2 * result.extras["residual"] - 1,
            }
        for kind, image in images.items():
            path = free_name(out, photo.stem, kind, written)
            save_image(image[0], path)
            written.append(path)
    return written


def free_name(out: Path, stem: str, kind: str, written: list[Path]) -> Path:
    """`out/stem-kind.png`, numbered when two photos of one call share a stem."""
    path, number = out / f"{stem}-{kind}.png", 2
    while path in written:
        path, number = out / f"{stem}-{number}-{kind}.png", number + 1
    return path


def sheet(run: Any, registry: Registry, path: Path, root: Path | None = None) -> Path:
    """Save the sample grid of the run's held-out faces. root: where they are now, if they have moved.

    Raises:
        ConfigError: the source's folder is not there.
    """
    from zoogan.training.samples import held_out, sample_grid

    moved = {} if root is None else {"root": root.expanduser().resolve()}
    source = registry.build("source", run.config.data.model_copy(update=moved))
    sample_grid(run.editor, held_out(source), path)
    return path
