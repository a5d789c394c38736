"""The verb `zoo invert`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoogan.cli.arguments import (
    Checkpoint,
    Device,
    PluginFiles,
    RunFolderArgument,
    open_host,
    print_note,
    resolve_address,
)
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.plugins.gallery import name_gallery_entry

if TYPE_CHECKING:
    from zoogan.editors.inversion import Inversion

CHOICES = {"space": ("w", "w+"), "noise": ("optimised", "fixed"), "likeness": ("auto", "lpips", "l1")}


def invert(
    run: RunFolderArgument,
    photos: Annotated[
        list[Path], typer.Argument(metavar="PHOTO...", callback=resolve_address, help="Photos of any size.")
    ],
    iterations: Annotated[int | None, typer.Option(help="Length of the search (default: as published).")] = None,
    space: Annotated[
        str | None,
        typer.Option(help="w+: one latent for each row, nearer to the photo; w: one latent, easier to edit."),
    ] = None,
    noise: Annotated[str | None, typer.Option(help="optimised: search the noise maps too; fixed: do not.")] = None,
    likeness: Annotated[
        str, typer.Option(help="How a face is compared with the photo: lpips, l1, or auto = lpips if available.")
    ] = "auto",
    tune: Annotated[
        bool, typer.Option("--tune", help="Then tune a copy of the generator to each photo; the run is not changed.")
    ] = False,
    tune_iterations: Annotated[int | None, typer.Option(help="Length of the tuning (default: as published).")] = None,
    seed: Annotated[int, typer.Option(help="Seed of all random numbers.")] = 0,
    out: Annotated[
        Path | None, typer.Option(help="The output folder (default: RUN/inversions, or inversions for gallery:NAME).")
    ] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> int:
    """Find the latents of photos: <photo>-latent.safetensors, for `zoo edit`, and <photo>-inverted.png.

    With --tune also <photo>-generator.safetensors, the generator that later edits of that latent use. The files fit
    only this run.
    """
    registry = open_host(plugin).registry
    numbers = {"iterations": iterations, "space": space, "noise": noise, "tune_iterations": tune_iterations}
    given = {key: value for key, value in numbers.items() if value is not None} | ({"tune": True} if tune else {})
    check_settings(given | {"likeness": likeness})
    from zoogan.devices import choose_device
    from zoogan.runs.latents import hash_generator
    from zoogan.runs.opening import load
    from zoogan.terminal.progress import Display
    from zoogan.terminal.signals import StopSignals
    from zoogan.workflows.invert import check_replaceable, invert_in_batches, make_inversion_files, save_inversion
    from zoogan.workflows.photos import read_run_photos

    loaded = load(run, checkpoint=checkpoint, device=choose_device(device), registry=registry)
    generator_hash = hash_generator(loaded.synthesis_editor)
    files = make_inversion_files(photos, out or choose_inversion_folder(run))
    check_replaceable(files, generator_hash)
    pictures = read_run_photos(loaded, photos, print_note)
    saved = 0
    with StopSignals("iteration") as signals:
        batches = invert_in_batches(
            loaded, photos, pictures, stop=signals, show_progress=Display, notify=print_note,
            likeness=likeness, seed=seed, **given,
        )  # fmt: skip
        for batch, inversion in batches:
            for row, photo in enumerate(batch):
                face = inversion.select(row)
                paths = save_inversion(loaded, face, photo, files[saved], given)
                saved += 1
                typer.echo(f"{photo}: {inversion.likeness} {format_losses(face)}")
                typer.echo("\n".join(f"  {path}" for path in paths))
    if signals.received is None:
        return 0
    left = f"; nothing yet of {', '.join(map(str, photos[saved:]))}" if saved < len(photos) else ""
    typer.echo(f"stopped after {inversion.iterations} iterations; the results so far are saved{left}")
    return 128 + int(signals.received)


def choose_inversion_folder(run: Path) -> Path:
    """Return where latents of a run are written: in its folder, or in `inversions` if it belongs to the gallery.

    A run of the Hub is treated as one of the gallery.
    """
    from zoogan.runs.folder import RunFolder
    from zoogan.runs.hub import name_fetched_run

    is_fixed = (name_gallery_entry(run) or name_fetched_run(run)) is not None
    return Path("inversions") if is_fixed else RunFolder(run).inversions


def check_settings(settings: dict[str, Any]) -> None:
    """Check words and numbers before anything is read.

    Raises:
        ConfigError: Every setting that inversion does not know, at once.
    """
    problems = [
        f"--{name} {settings[name]}: expected {' or '.join(choices)}{suggest_name(settings[name], choices)}"
        for name, choices in CHOICES.items()
        if name in settings and settings[name] not in choices
    ]
    problems += [
        f"--{name.replace('_', '-')} {settings[name]}: expected 1 or more"
        for name in ("iterations", "tune_iterations")
        if settings.get(name, 1) < 1
    ]
    if "tune_iterations" in settings and "tune" not in settings:
        problems.append("--tune-iterations has no effect without --tune: add --tune")
    if problems:
        raise ConfigError("\n".join(problems))


def format_losses(face: Inversion) -> str:
    """Format how far the face is from the photo, for people."""
    before = "" if face.pivot_loss is None else f"{float(face.pivot_loss):.4f}, tuned "
    return f"{before}{float(face.loss):.4f} (the mean face: {float(face.mean_loss):.4f})"
