"""`zoo invert`: the latents of photos, for a run that makes faces."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple

import typer

from zoogan.cli.arguments import Checkpoint, Device, PluginFiles, open_with
from zoogan.cli.photos import free_name, tell_crop
from zoogan.config import ConfigError
from zoogan.names import suggest_name
from zoogan.pictures.photo import read_all

if TYPE_CHECKING:
    from zoogan.editors.inversion import Inversion
    from zoogan.runs.loaded import LoadedRun

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
    out: Annotated[Path | None, typer.Option(help="The output folder; by default RUN/inversions.")] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> int:
    """Find the latents of photos: <photo>-latent.safetensors, for `zoo edit`, and <photo>-inverted.png. With --tune
    also <photo>-generator.safetensors, by which edits of that latent are then made. They are kept with the run, for
    they mean something to it alone."""
    registry = open_with(plugin).registry
    settings = {"iterations": iterations, "space": space, "noise": noise, "tune_iterations": tune_iterations}
    given = {key: value for key, value in settings.items() if value is not None} | ({"tune": True} if tune else {})
    check_settings(given | {"likeness": likeness})
    from zoogan.devices import choose_device
    from zoogan.pictures.photo import save_image
    from zoogan.runs.latents import generator_digest, write_latents, write_tuned
    from zoogan.runs.run import RunFolder, load
    from zoogan.terminal.signals import StopSignals

    loaded = load(run, checkpoint=checkpoint, device=choose_device(device), registry=registry)
    digest = generator_digest(loaded.maker)
    pictures = read_all(photos)
    places = places_for(photos, out or RunFolder(run).inversions)
    check_free(places, digest)
    for photo, picture in zip(photos, pictures):
        tell_crop(photo, picture, loaded)
    written = 0
    with StopSignals() as signals:
        for some, found in inverted(loaded, photos, pictures, signals, likeness=likeness, seed=seed, **given):
            for row, photo in enumerate(some):
                place, face, facts = places[written], found.row(row), {}
                save_image(face.image[0], place.picture)
                if face.generator is not None:
                    facts = write_tuned(place.generator, face.generator, loaded.maker, digest)
                write_latents(face, [place.latent], digest, [about(face, photo) | given | facts])
                written += 1
                typer.echo(f"{photo}: {found.likeness} {told(face)}")
                typer.echo("\n".join(f"  {file}" for file in place[: 3 if facts else 2]))
    if signals.received is None:
        return 0
    left = f"; nothing yet of {', '.join(map(str, photos[written:]))}" if written < len(photos) else ""
    typer.echo(f"stopped after {found.iterations} iterations; what was found is saved{left}")
    return 128 + int(signals.received)


class Place(NamedTuple):
    """The files of one photo."""

    latent: Path
    picture: Path
    generator: Path


def places_for(photos: Sequence[Path], out: Path) -> list[Place]:
    """Where what is found for each photo goes."""
    from zoogan.runs.latents import SUFFIX

    pictures: list[Path] = []
    for photo in photos:
        pictures.append(free_name(out, photo.stem, "inverted", pictures))
    bases = [path.name.removesuffix("-inverted.png") for path in pictures]
    named = ((out / f"{base}-{kind}{SUFFIX}" for kind in ("latent", "generator")) for base in bases)
    return [Place(latent, picture, generator) for picture, (latent, generator) in zip(pictures, named)]


def check_free(places: Sequence[Place], generator: str) -> None:
    """That nothing is replaced but earlier latents for the same generator, before a long search. generator: see
    `generator_digest`.

    Raises:
        ConfigError: every file that is no latent, or is one for another generator, at once.
    """
    from zoogan.runs.latents import LATENT, read_file

    problems = []
    for latent in (place.latent for place in places if place.latent.exists()):
        try:
            theirs = read_file(latent, LATENT, "file of a latent")[1].get("generator", "?")
        except ConfigError as error:
            problems.append(f"{error}, and would be replaced: choose another --out, or remove it")
            continue
        if theirs != generator:
            problems.append(
                f"{latent}: holds a latent for another generator ({theirs[:8]}) than this run's ({generator[:8]}): "
                "another run's, or this one's before it was trained further; choose another --out, or remove it"
            )
    if problems:
        raise ConfigError("\n".join(problems))


def check_settings(given: dict[str, Any]) -> None:
    """That words and numbers are some that inversion knows, before anything is read.

    Raises:
        ConfigError: all that are not, at once.
    """
    problems = [
        f"--{name} {given[name]}: expected {' or '.join(known)}{suggest_name(given[name], known)}"
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
    from zoogan.terminal.progress import Display

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
    from zoogan.auxiliary.likeness import likeness_of
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
