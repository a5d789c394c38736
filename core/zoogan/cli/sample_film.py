"""Films of `zoo sample`: from face to face, or one part of a face on its way."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoogan.config import ConfigError

if TYPE_CHECKING:
    from torch import Tensor

    from zoogan.runs.loaded import LoadedRun


def walk(
    run: LoadedRun,
    seeds: range,
    path: Path,
    options: dict[str, Any],
    *,
    part: str | None = None,
    only: str | None = None,
    segmentation: bool = False,
) -> Path:
    """Save a film from face to face and back to the first, in w, with the generator's own noise.

    options: truncation, cutoff. part: the face of the first seed stays, and the rows of this part, or those of `only`
    one kind, walk smoothly through those of all seeds and back. segmentation: show it beside the face, in colours.

    Raises:
        ConfigError: a part or a kind that there is not, no segmentation.
    """
    import torch

    from zoogan.conditions.parts import KINDS
    from zoogan.pictures.film import frames_along, frames_round, save_film
    from zoogan.pictures.palette import coloured
    from zoogan.pictures.photo import enlarged, to_range

    maker = run.maker
    if segmentation and not maker.parts:
        raise ConfigError("--segmentation: this run makes faces in one piece, without a segmentation: leave it out")

    def show(latents: Tensor) -> Tensor:
        made = maker.synthesise(latents)
        if not segmentation or made.segmentation is None:
            return enlarged(made.image)
        layout = to_range(coloured(made.segmentation, len(maker.parts))).to(made.image)
        return torch.cat([enlarged(made.image), enlarged(layout)], 3)

    latents = maker.latents(seeds, **options)
    if part is None:
        return save_film(frames_along([*latents.split(1), latents[:1]], show), path)
    try:
        own = latents[:1].expand_as(latents)
        return save_film(frames_round(maker.replaced(own, latents, part, (only,) if only else KINDS), show), path)
    except ValueError as error:
        raise ConfigError(str(error)) from error
