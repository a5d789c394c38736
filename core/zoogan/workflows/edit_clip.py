"""Edit a film frame by frame, or let a film drive a photo; an interrupted edit can go on."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, closing, nullcontext
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Any

from zoogan.errors import ConfigError
from zoogan.files import sync_file, write_text_atomically
from zoogan.interfaces import Editor
from zoogan.pictures.box import Box
from zoogan.pictures.clip import FRAME_NAME, Film, join_frames, read_film
from zoogan.pictures.film_files import check_film
from zoogan.pictures.photo import quantize_image, read_photo, read_photo_files, save_image
from zoogan.runs.images import NORMALIZED
from zoogan.runs.loaded import LoadedRun
from zoogan.workflows.edit_in_photo import paste_edits, prepare_squares
from zoogan.workflows.faces import choose_boxes
from zoogan.workflows.interruptions import check_same_request, describe_request
from zoogan.workflows.invert import Progress, StopRequest
from zoogan.workflows.photos import Notify, Picture, describe_drawn_run, ignore_note

BATCH = 8  # frames
COMPRESSION = 1  # of frames, which are PNGs for a short while
REQUEST_FILE = "request.json"
GIF_RATE = 50  # frames a second that programs show in a GIF

OpenProgress = Callable[[int, int], AbstractContextManager[Progress | None]]
"""Opens a progress display: (first frame, frames) -> a context manager."""


def hide_frames(first: int, frames: int) -> AbstractContextManager[None]:
    """Show no progress."""
    return nullcontext()


@dataclass(frozen=True)
class EditedClip:
    """The result of `edit_clip`.

    Attributes:
        path: The film.
        frames: Frames that are finished.
        is_complete: Whether the film is written; False = the edit was stopped and can go on.
    """

    path: Path
    frames: int
    is_complete: bool


def edit_clip(
    run: LoadedRun,
    clip: Path,
    request: Mapping[str, Any],
    out: Path,
    *,
    photo: Path | None = None,
    layout: Path | None = None,
    own: Mapping[str, Any] | None = None,
    seed: int = 0,
    reference: Path | None = None,
    donor: Path | int | None = None,
    boxes: Sequence[Box] = (),
    crop: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    stop: StopRequest | None = None,
    show_progress: OpenProgress = hide_frames,
    notify: Notify = ignore_note,
    **options: Any,
) -> EditedClip:
    """Edit every frame of a film as a photo, with the sound and the rate of the film.

    Frames come back whole and at their own size. Every frame is edited at the same place, that of the first frame.
    Finished batches are kept in the folder `<out>.frames` until the film is written.

    Args:
        run: A run that edits photos.
        clip: A film, see `read_film`.
        request: What to show: attribute names with values, `domain`, or `part` and `only`.
        out: The film to write, .mp4 or .gif.
        photo: A photo that the frames of the film drive, for a run that re-enacts; None = the frames are edited.
        layout: The map of the photo's parts, for a run that takes layouts.
        own: Labels of the faces, 0 or 1 by attribute, for such a run.
        seed: Seed of a drawn style, the same for all frames.
        reference: A face whose style to take.
        donor: A file or a seed: the face whose parts to take.
        boxes: The faces to edit, in pixels of every frame, or of the photo that is driven; none = the largest face of
            the first frame that the extra `zoogan[face]` finds, or else the centre square.
        crop: Whether the film shows the edited squares alone, at the size of the run; there is one box then.
        resume: Go on with an edit that was interrupted.
        overwrite: Replace `out` if it exists.
        stop: Ends the edit after the current batch when a signal was received.
        show_progress: Opens a display.
        notify: Called with one sentence for each likely problem.
        options: `strength`, `threshold`, `truncation` and `keep_background` of `LoadedRun.edit`.

    Returns:
        The film, and whether it is complete.

    Raises:
        ConfigError: A run that edits no photos, unreadable files, a box outside the frames, an option that the run does
            not take, a film that would be replaced, or another request than that of the interrupted edit.
    """
    check_clip_editor(run.editor, is_driven=photo is not None)
    check_film(out, "--out")
    if out.exists() and out.samefile(clip):
        raise ConfigError(f"--out {out}: this is the film that is read; name another file")
    if out.exists() and not (overwrite or resume):
        raise ConfigError(f"--out {out}: exists already; name another file, or replace it with --overwrite")
    if len(boxes) > 1 and (crop or photo is not None):
        reason = "with --crop a film shows one square" if crop else "a film drives one face"
        raise ConfigError(f"--box: {reason}; give --box once")
    folder = Path(f"{out}.frames")
    values = {**request, **options, "own": own, "seed": seed, "crop": crop}
    values |= {"box": [str(box) for box in boxes] or None}
    files = {"clip": clip, "photo": photo, "layout": layout, "reference": reference, "from": donor}
    about = describe_request(run, values, files)
    first = read_finished(folder, about, resume)
    inputs: dict[str, Any] = {"own": own, "seed": seed}
    if layout is not None:
        inputs["layout"] = run.prepare_layouts(layout)
    if reference is not None:
        inputs["reference"] = read_photo_files([reference])[0]
    if donor is not None:
        inputs |= {"from_seed": donor} if isinstance(donor, int) else {"donor": read_photo(donor)}
    film = read_film(clip)
    for note in list_film_notes(film, out):
        notify(note)
    driven = None if photo is None else read_photo(photo)
    if photo is not None and (drawn := describe_drawn_run(run, [photo])):
        notify(drawn)
    with closing_frames(film) as frames, show_progress(first, film.count or 0) as display:
        done, opening = first, next(frames)
        shown = opening if driven is None else driven
        squares, notes = choose_boxes(shown, run.facts, boxes, search=layout is None)
        for note in notes:
            notify(note if photo is None else f"{photo}: {note}")
        edit_frames = make_frame_editor(run, driven, squares, crop, inputs | dict(options) | dict(request))
        for batch in iterate_batches(islice(chain([opening], frames), first, None)):
            done = save_batch(folder, done, edit_frames(batch), about)
            if display is not None:
                display.advance(done)
                display.report(done, {})
            if stop is not None and stop.received is not None:
                return EditedClip(out, done, is_complete=False)
    is_gif = out.suffix.lower() == ".gif"
    sound = clip if film.has_sound and not is_gif else None
    join_frames(folder, done, out, film.rate, durations=film.durations if is_gif else None, sound=sound)
    shutil.rmtree(folder)
    return EditedClip(out, done, is_complete=True)


def make_frame_editor(
    run: LoadedRun, driven: Picture | None, squares: Sequence[Box], crop: bool, options: Mapping[str, Any]
) -> Callable[[Sequence[Picture]], list[Picture]]:
    """Make the function that edits a batch of frames, or drives the photo with them.

    Args:
        run: The run.
        driven: The photo that the frames drive; None = the frames are edited.
        squares: What is edited of every frame, or of the photo.
        crop: Whether to give the edited squares alone.
        options: Of `LoadedRun.edit`.
    """

    def edit_frames(frames: Sequence[Picture]) -> list[Picture]:
        pictures = list(frames) if driven is None else [driven]
        before = prepare_squares(run, pictures, [squares] * len(pictures))
        known: dict[str, Any] = {"value_range": NORMALIZED} | ({} if driven is None else {"drive": list(frames)})
        edit = run.edit(before, **known, **options)
        if crop:
            return list(quantize_image(edit.image))
        if driven is not None:
            pictures, before = [driven] * len(frames), before.expand(len(frames), -1, -1, -1)
        count = len(squares)
        return [paste_edits(picture, squares, before, edit, row * count) for row, picture in enumerate(pictures)]

    return edit_frames


def check_clip_editor(editor: Editor, *, is_driven: bool) -> None:
    """Check that a run can edit the frames of a film, or let them drive a photo.

    Raises:
        ConfigError: It makes faces of its own, edits maps of parts, or does not re-enact.
    """
    if is_driven and not editor.takes_drive:
        raise ConfigError("--drive: this run does not re-enact faces; remove it, or use a run that does")
    if editor.can_sample:
        raise ConfigError("this run makes faces and edits no films; use a run that edits photos")
    if not editor.makes_images or (editor.needs_layout and not is_driven):
        raise ConfigError("this run edits the map of the parts of a face, and a film has none; give photos and maps")


def list_film_notes(film: Film, out: Path) -> list[str]:
    """List what a GIF will lose of a film."""
    if out.suffix.lower() != ".gif":
        return []
    notes = [f"{out}: a GIF has no sound; write an .mp4 to keep that of the clip"] if film.has_sound else []
    if film.rate > GIF_RATE:
        notes.append(f"{out}: {float(film.rate):.4g} frames a second are too many for most programs that show GIFs")
    return notes


def read_finished(folder: Path, about: Mapping[str, str], resume: bool) -> int:
    """Read how many frames of this request are finished.

    Raises:
        ConfigError: There is an interrupted edit and none is to go on, or the reverse, or it is of another request.
    """
    if not folder.exists():
        if resume:
            raise ConfigError(f"--resume: there is no interrupted edit in {folder}; remove --resume")
        return 0
    try:
        content = json.loads((folder / REQUEST_FILE).read_text())
        stored, frames = content["request"], int(content["frames"])
    except (OSError, ValueError, KeyError, TypeError):
        raise ConfigError(
            f"{folder}: not the frames of an interrupted edit; remove it, or choose another --out"
        ) from None
    if not resume:
        raise ConfigError(
            f"{folder}: an edit was interrupted after {frames} frames; add --resume, or remove the folder"
        )
    check_same_request(folder, stored, about, "frames")
    return frames


def save_batch(folder: Path, first: int, images: Sequence[Picture], about: Mapping[str, str]) -> int:
    """Save edited frames, then count them; return the number of finished frames."""
    for number, image in enumerate(images, first):
        file = folder / FRAME_NAME.format(number)
        save_image(image, file, compression=COMPRESSION)
        sync_file(file)
    done = first + len(images)
    write_text_atomically(folder / REQUEST_FILE, json.dumps({"request": dict(about), "frames": done}, indent=1) + "\n")
    return done


def iterate_batches(frames: Iterator[Picture]) -> Iterator[list[Picture]]:
    """Collect frames to batches."""
    while batch := list(islice(frames, BATCH)):
        yield batch


def closing_frames(film: Film) -> AbstractContextManager[Any]:
    """Return a context with the frames of a film, which ends the reading."""
    frames: Any = film.frames
    return closing(frames)
