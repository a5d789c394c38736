"""`zoo invert`: the latents of photos, for a run that makes faces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoogan.cli.arguments import Checkpoint, Device, PluginFiles, open_with
from zoogan.cli.photos import free_name, read_all, tell_crop
from zoogan.config import ConfigError
from zoogan.registry import nearest

if TYPE_CHECKING:
    from zoogan.games.inversion import Inversion
    from zoogan.training.loaded import LoadedRun

AT_ONCE = 8  # photos
CHOICES = {"space": ("w", "w+"), "noise": ("optimised", "fixed"), "likeness": ("auto", "lpips", "l1")}


def invert(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    photos: Annotated[list[Path], typer.Argument(metavar="PHOTO...", help="Photos of any size.")],
    iterations: Annotated[int | None, typer.Option(help="How long to look; by default as published.")] = None,
    space: Annotated[
        str | None, typer.Option(help="w+: a latent for each row, nearer to the photo; w: one, easier to edit.")
    ] = None,
    noise: Annotated[str | None, typer.Option(help="optimised: find maps of noise as well; fixed: do not.")] = None,
    likeness: Annotated[
        str, typer.Option(help="What tells how like a photo a face is: lpips, l1, or auto = lpips if its weights are.")
    ] = "auto",
    tune: Annotated[
        bool, typer.Option("--tune", help="Then tune a copy of the generator to each photo; the run stays as it is.")
    ] = False,
    tune_iterations: Annotated[int | None, typer.Option(help="How long to tune; by default as published.")] = None,
    seed: Annotated[int, typer.Option(help="Of everything that draws.")] = 0,
    out: Annotated[Path, typer.Option(help="The output folder.")] = Path("inversions"),
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> int:
    """Find the latents of photos: <photo>-latent.safetensors, for `zoo edit`, and <photo>-inverted.png. With --tune
    also <photo>-generator.safetensors, by which edits of that latent are then made."""
    registry = open_with(plugin).registry
    settings = {"iterations": iterations, "space": space, "noise": noise, "tune_iterations": tune_iterations}
    given = {key: value for key, value in settings.items() if value is not None} | ({"tune": True} if tune else {})
    check_settings(given | {"likeness": likeness})
    from zoogan.data.photo import save_image
    from zoogan.training.devices import choose
    from zoogan.training.latents import SUFFIX, generator_digest, write_latents, write_tuned
    from zoogan.training.run import load
    from zoogan.training.signals import StopSignals

    loaded = load(run, checkpoint=checkpoint, device=choose(device), registry=registry)
    digest = generator_digest(loaded.maker)
    pictures = read_all(photos)
    for photo, picture in zip(photos, pictures):
        tell_crop(photo, picture, loaded)
    written: list[Path] = []
    with StopSignals() as signals:
        for some, found in inverted(loaded, photos, pictures, signals, likeness=likeness, seed=seed, **given):
            for row, photo in enumerate(some):
                path = free_name(out, photo.stem, "inverted", written)
                save_image(found.image[row], path)
                base = path.name.removesuffix("-inverted.png")
                file, face, facts = path.with_name(f"{base}-latent{SUFFIX}"), found.row(row), {}
                files = [file, path]
                if face.generator is not None:
                    files.append(path.with_name(f"{base}-generator{SUFFIX}"))
                    facts = write_tuned(files[-1], face.generator, loaded.maker, digest)
                write_latents(face, [file], digest, [about(face, photo) | given | facts])
                written.append(path)
                typer.echo(f"{photo}: {found.likeness} {told(face)}")
                typer.echo("\n".join(f"  {one}" for one in files))
    if signals.received is None:
        return 0
    left = f"; nothing yet of {', '.join(map(str, photos[len(written) :]))}" if len(written) < len(photos) else ""
    typer.echo(f"stopped after {found.iterations} iterations; what was found is saved{left}")
    return 128 + int(signals.received)


def check_settings(given: dict[str, Any]) -> None:
    """That words and numbers are some that inversion knows, before anything is read.

    Raises:
        ConfigError: all that are not, at once.
    """
    problems = [
        f"--{name} {given[name]}: expected {' or '.join(known)}{nearest(given[name], known)}"
        for name, known in CHOICES.items()
        if name in given and given[name] not in known
    ]
    problems += [
        f"--{name.replace('_', '-')} {given[name]}: expected 1 or more"
        for name in ("iterations", "tune_iterations")
        if given.get(name, 1) < 1
    ]
    if "tune_iterations" in given and "tune" not in given:
        problems.append("--tune-iterations says how long to tune the generator: give --tune as well")
    if problems:
        raise ConfigError("\n".join(problems))


def inverted(
    run: LoadedRun, photos: list[Path], pictures: list[Any], signals: Any = None, **settings: Any
) -> Iterator[tuple[list[Path], Inversion]]:
    """The photos, a few at once, with what was found for them; progress is shown. Ends after a signal.

    settings: of `run.invert`.
    """
    from zoogan.training.progress import Display

    asked = run.maker.inversion.model_copy(update=settings)
    iterations, at_once = asked.iterations, 1 if asked.tune else AT_ONCE  # a generator is tuned to one photo
    iterations += asked.tune_iterations if asked.tune else 0
    tell_likeness(run, settings.get("likeness", "auto"))
    for first in range(0, len(photos), at_once):
        some = photos[first : first + at_once]
        with Display(0, iterations, len(some)) as display:

            def watch(iteration: int, terms: dict[str, float], display: Display = display) -> bool:
                display.advance(iteration)
                if terms and (iteration % 100 == 0 or iteration == iterations):
                    display.report(iteration, terms)
                return signals is not None and signals.received is not None

            found = run.invert(pictures[first : first + at_once], watch=watch, **settings)
        yield some, found
        if signals is not None and signals.received is not None:
            return


def tell_likeness(run: LoadedRun, choice: Any) -> None:
    """Say by what faces are compared, where it is not what was published, before a long search.

    Raises:
        ConfigError: LPIPS is asked for and cannot be had.
    """
    from zoogan.evaluation.likeness import likeness_of
    from zoogan.interfaces import Unavailable

    try:
        chosen = likeness_of(choice, run.facts.image_size, run.device)
    except Unavailable as reason:
        raise ConfigError(f"--likeness {choice}: {reason}") from reason
    if chosen.note:
        typer.echo(f"note: faces are compared by {chosen.name}: {chosen.note}", err=True)


def told(face: Inversion) -> str:
    """How like the photo a face is, for people."""
    before = "" if face.pivot_loss is None else f"{float(face.pivot_loss):.4f}, tuned "
    return f"{before}{float(face.loss):.4f} (the mean face: {float(face.mean_loss):.4f})"


def about(found: Inversion, photo: Path) -> dict[str, Any]:
    """What a latent file says of where it comes from."""
    return {
        "photo": photo.name,
        "likeness": found.likeness,
        "loss": f"{float(found.loss):.6g}",
        "mean_loss": f"{float(found.mean_loss):.6g}",
        "iterations": found.iterations,
    }
