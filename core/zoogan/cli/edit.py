"""`zoo edit`: edit photos with a trained run; for one that makes faces see `edit_made`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from zoogan.cli.arguments import Checkpoint, Device, PluginFiles, open_with
from zoogan.cli.photos import check_out, free_name, read_all, tell_crop, tell_wanted
from zoogan.config import ConfigError
from zoogan.registry import Registry

NO_PHOTO = "no photo given: zoo edit RUN PHOTO... --attribute NAME=VALUE"
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
    from zoogan.training.devices import choose
    from zoogan.training.run import load

    def opened() -> Any:
        return load(run, checkpoint=checkpoint, device=choose(device), registry=registry)

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
    wishes: dict[str, Any] = asked | ({} if domain is None else {"domain": domain})
    check_parts(part, only, from_seed, from_face)
    if part:
        wishes |= {"part": part} | ({} if only is None else {"only": only})
    if root is not None:
        raise ConfigError(f"--root {root}: only --grid reads the run's source; photos are named one by one")
    if not photos and not seed:
        raise ConfigError(NO_PHOTO)
    if not wishes and not reference:
        raise ConfigError(NO_WISH)
    if reference and seed:
        raise ConfigError("a style comes from --reference or from --seed: leave one of them out")
    if film is not None:
        check_film_of(film, reference or seed or [])
    check_out(out or Path("edits"), sheet=False)
    if not isfinite(strength):
        raise ConfigError(f"--strength {strength}: expected a number; 0 gives the input back, 1 the edit")
    loaded = opened()
    if not wishes:
        wishes = {"domain": domain_shown(loaded)}
    if loaded.editor.makes_faces:
        from zoogan.cli.edit_made import edit_made

        check_names(asked, PART_OPTIONS)
        refused = {"--domain": domain, "--reference": reference, "--threshold": threshold, "--film": film}
        given = [name for name, value in refused.items() if value not in (None, [])]
        donor = from_seed if from_face is None else from_face
        for path in edit_made(
            loaded, photos or [], seed or [], wishes, out or Path("edits"), given,
            strength=strength, truncation=truncation, donor=donor, segmentation=segmentation,
        ):  # fmt: skip
            typer.echo(str(path))
        return
    if part or segmentation:
        option = "--part" if part else "--segmentation"
        raise ConfigError(f"{option}: this run edits photos as a whole; parts are for runs that make faces of parts")
    if not photos:
        raise ConfigError(NO_PHOTO)
    if seed and film is None and not loaded.editor.draws:
        raise ConfigError("--seed: this run's edits draw nothing, so that every seed gives the same: leave it out")
    refuse_latents(photos)
    pictures = read_all([*photos, *(reference or [])])
    faces, styles = pictures[: len(photos)], pictures[len(photos) :]
    for photo, picture in zip(photos, faces):
        tell_crop(photo, picture, loaded)
    tell_wanted(loaded)
    options = {"strength": strength, "threshold": threshold, "truncation": truncation}
    ways = [Way(f"-like-{path.stem}", {"reference": style}) for path, style in zip(reference or [], styles)]
    ways = ways or [Way(f"-seed-{k}" if seed and len(seed) > 1 else "", {"seed": k}) for k in seed or [0]]
    if film is not None:
        typer.echo(str(filmed(loaded, faces, wishes, ways, film, options)))
        return
    for path in edit_photos(loaded, photos, faces, wishes, ways, out or Path("edits"), options):
        typer.echo(str(path))


class Way:
    """One of the styles asked for: what the names of its files end in, and the options of `run.edit`."""

    def __init__(self, ending: str, options: dict[str, Any]) -> None:
        self.ending, self.options = ending, options


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


def check_grid(given: Mapping[str, Any]) -> None:
    """That nothing is said of single edits, where a sheet is asked for. given: option -> its value, None or empty
    where it was not said.

    Raises:
        ConfigError: every option that a sheet does not take, by name.
    """
    named = [name for name, value in given.items() if value is not None and value != []]
    if named:
        raise ConfigError(
            f"--grid shows photos, or the run's held-out faces, in edits and styles of its own: leave out "
            f"{', '.join(named)}"
        )


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


def refuse_latents(photos: Sequence[Path]) -> None:
    """That photos are photos, for a run that has no latents.

    Raises:
        ConfigError: files of latents.
    """
    files = [path for path in photos if path.suffix == ".safetensors"]
    if files:
        said = "a latent is for a run that makes faces, and this one edits photos"
        raise ConfigError("\n".join(f"{path}: {said}" for path in files))


def edit_photos(
    run: Any,
    photos: list[Path],
    pictures: list[Any],
    wishes: dict[str, str],
    ways: list[Way],
    out: Path,
    options: dict[str, Any],
) -> list[Path]:
    """Edit each photo in each way and save `<name>-edited.png` (and -mask, -residual where there is a mask).

    Raises:
        ConfigError: a wish that the run was not trained for.
    """
    from zoogan.data.photo import save_image

    written: list[Path] = []
    for photo, picture in zip(photos, pictures):
        for way in ways:
            result = run.edit(picture, **options, **way.options, **wishes)
            images = {"edited": result.image}
            if result.mask is not None:
                images |= {
                    "mask": (2 * result.mask - 1).expand(-1, 3, -1, -1),
                    "residual": 2 * result.extras["residual"] - 1,
                }
            for kind, image in images.items():
                path = free_name(out, photo.stem, f"{kind}{way.ending}", written)
                save_image(image[0], path)
                written.append(path)
    return written


def check_film_of(path: Path, styles: Sequence[Path | int]) -> None:
    """That a film can be made, before the run is opened.

    Raises:
        ConfigError: fewer than two styles, another kind of file, or nothing installed that writes it.
    """
    from zoogan.data.film import check_film

    check_film(path)
    if len(styles) < 2:
        raise ConfigError("--film goes from one style to the next: give --seed or --reference twice or more")


def filmed(
    run: Any, faces: list[Any], wishes: dict[str, str], ways: list[Way], path: Path, options: dict[str, Any]
) -> Path:
    """Save the faces, side by side, on their way from each style to the next.

    Raises:
        ConfigError: an editor without styles, or a wish that the run was not trained for.
    """
    from zoogan.data.film import frames_between, save_film

    edits = [run.edit(faces, **options, **way.options, **wishes) for way in ways]
    if any("style" not in edit.extras for edit in edits):
        raise ConfigError("--film: this run's editor has no styles to go between")
    image = run.prepare(faces)
    targets = run.targets(image, wishes)
    drawn = {key: value for key, value in options.items() if key == "strength"}

    def show(style: Any) -> Any:
        return run.editor.apply(image, targets | {"style": style}, **drawn).image

    return save_film(frames_between(image, [edit.extras["style"] for edit in edits], show), path)


def sheet(run: Any, registry: Registry, path: Path, root: Path | None = None, photos: Sequence[Path] = ()) -> Path:
    """Save the sample grid of photos, or of the run's held-out faces. root: where those are now, if they have moved.

    Raises:
        ConfigError: the source's folder is not there, photos that cannot be read, or of which the run reads no labels.
    """
    from zoogan.training.samples import held_out, sample_grid

    if photos:
        sample_grid(run.editor, labelled(run, photos), path)
        return path
    moved = {} if root is None else {"root": root.expanduser().resolve()}
    source = registry.build("source", run.config.data.model_copy(update=moved))
    sample_grid(run.editor, held_out(source), path)
    return path


def labelled(run: Any, photos: Sequence[Path]) -> dict[str, Any]:
    """Photos in the run's own crop, bytes (n, 3, s, s), with the labels (n, a) that its editor reads off them.

    Raises:
        ConfigError: photos that cannot be read, or an editor that reads no labels.
    """
    import torch

    from zoogan.data.photo import crop_to, to_range

    refuse_latents(photos)
    pictures = read_all(list(photos))
    for photo, picture in zip(photos, pictures):
        tell_crop(photo, picture, run)
    image = torch.stack([crop_to(picture, run.facts) for picture in pictures])
    try:
        return {"image": image, "attributes": run.editor.own(to_range(image).to(run.device))}
    except ValueError as error:
        raise ConfigError(
            f"--grid: {error}, so that it can show its held-out faces only: leave out the photos"
        ) from error
