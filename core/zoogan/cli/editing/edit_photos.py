"""`zoo edit` with a run that edits photos: each in each of the styles asked for, or all in one film."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoogan.cli.photos import free_name, refuse_latents, tell_crop, tell_wanted
from zoogan.config import ConfigError
from zoogan.pictures.photo import read_all

if TYPE_CHECKING:
    from zoogan.runs.loaded import LoadedRun

NO_PHOTO = "no photo given: zoo edit RUN PHOTO... --attribute NAME=VALUE"


class Way:
    """One of the styles asked for: what the names of its files end in, and the options of `run.edit`."""

    def __init__(self, ending: str, options: dict[str, Any]) -> None:
        self.ending, self.options = ending, options


def edit_photos(
    run: LoadedRun,
    photos: Sequence[Path],
    seeds: Sequence[int],
    references: Sequence[Path],
    wishes: Mapping[str, Any],
    out: Path,
    film: Path | None,
    options: dict[str, Any],
) -> list[Path]:
    """Edit each photo in the style of each reference or seed, and save the edits in `out`, or all as one film.

    options: strength, threshold and truncation of `run.edit`.

    Raises:
        ConfigError: no photos, or some that cannot be read; styles that the run does not have; a wish that it was not
            trained for.
    """
    if not photos:
        raise ConfigError(NO_PHOTO)
    if seeds and film is None and not run.editor.draws:
        raise ConfigError("--seed: this run's edits draw nothing, so that every seed gives the same: leave it out")
    refuse_latents(photos)
    pictures = read_all([*photos, *references])
    faces, styles = pictures[: len(photos)], pictures[len(photos) :]
    for photo, picture in zip(photos, faces):
        tell_crop(photo, picture, run)
    tell_wanted(run)
    ways = [Way(f"-like-{path.stem}", {"reference": style}) for path, style in zip(references, styles)]
    ways = ways or [Way(f"-seed-{k}" if len(seeds) > 1 else "", {"seed": k}) for k in seeds or [0]]
    if film is not None:
        return [filmed(run, faces, wishes, ways, film, options)]
    return save_edits(run, photos, faces, wishes, ways, out, options)


def save_edits(
    run: LoadedRun,
    photos: Sequence[Path],
    pictures: list[Any],
    wishes: Mapping[str, Any],
    ways: list[Way],
    out: Path,
    options: dict[str, Any],
) -> list[Path]:
    """Edit each photo in each way and save `<name>-edited.png` (and -mask, -residual where there is a mask).

    Raises:
        ConfigError: a wish that the run was not trained for.
    """
    from zoogan.pictures.photo import save_image

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
    from zoogan.pictures.film import check_film

    check_film(path)
    if len(styles) < 2:
        raise ConfigError("--film goes from one style to the next: give --seed or --reference twice or more")


def filmed(
    run: LoadedRun, faces: list[Any], wishes: Mapping[str, Any], ways: list[Way], path: Path, options: dict[str, Any]
) -> Path:
    """Save the faces, side by side, on their way from each style to the next.

    Raises:
        ConfigError: an editor without styles, or a wish that the run was not trained for.
    """
    from zoogan.pictures.film import frames_between, save_film

    edits = [run.edit(faces, **options, **way.options, **wishes) for way in ways]
    if any("style" not in edit.extras for edit in edits):
        raise ConfigError("--film: this run's editor has no styles to go between")
    image = run.prepare(faces)
    targets = run.targets(image, wishes)
    drawn = {key: value for key, value in options.items() if key == "strength"}

    def show(style: Any) -> Any:
        return run.editor.apply(image, targets | {"style": style}, **drawn).image

    return save_film(frames_between(image, [edit.extras["style"] for edit in edits], show), path)
