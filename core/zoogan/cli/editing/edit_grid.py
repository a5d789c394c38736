"""`zoo edit --grid`: one sheet of a run's edits, of photos or of its held-out faces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from zoogan.cli.photos import refuse_latents, tell_crop
from zoogan.config import ConfigError
from zoogan.config.registry import Registry
from zoogan.pictures.photo import read_all


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

    from zoogan.pictures.photo import crop_to, to_range

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
