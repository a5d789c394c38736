"""Edit photos with a run that edits photos: each photo in each style, or all styles in one film."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.evaluation.inputs import describe_missing_fields
from zoogan.interfaces import Edit
from zoogan.pictures.box import Box
from zoogan.pictures.film import make_style_frames, save_film
from zoogan.pictures.palette import colour_segmentation
from zoogan.pictures.photo import normalize_image, read_photo_files, save_image
from zoogan.pictures.whole import WholePhoto, read_whole_photo, save_whole_photo
from zoogan.runs.images import NORMALIZED
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.requests import EditInputs
from zoogan.workflows.edit_in_photo import paste_edits, prepare_squares
from zoogan.workflows.edit_layouts import describe_other_number, describe_other_proportions
from zoogan.workflows.faces import choose_boxes
from zoogan.workflows.interruptions import describe_request
from zoogan.workflows.invert import StopRequest
from zoogan.workflows.photo_outputs import (
    EditedPhotos,
    OpenProgress,
    PhotoJob,
    UnfinishedEdits,
    check_no_replacement,
    check_outputs,
    hide_photos,
    list_places,
    plan_jobs,
)
from zoogan.workflows.photos import (
    Notify,
    describe_drawn_run,
    ignore_note,
    refuse_latent_files,
    refuse_missing_photos,
)

INPUTS = ("own", "donor")  # options of an edit that are no words of its request
NO_PHOTO = "no photo given: zoo edit RUN PHOTO... --attribute NAME=VALUE"
BATCH = 8  # squares that are edited at once
PIXELS = 2**26  # of all photos of a batch, which are in memory together


@dataclass(frozen=True)
class StyleChoice:
    """One of the requested styles.

    Attributes:
        ending: End of the names of its files, such as `-seed-3`.
        options: Options of `LoadedRun.edit` that choose the style.
    """

    ending: str
    options: Mapping[str, Any]


@dataclass(frozen=True)
class OpenPhoto:
    """A photo that was read, with the squares of it that are edited."""

    job: PhotoJob
    whole: WholePhoto
    boxes: Sequence[Box]


def edit_photos(
    run: LoadedRun,
    photos: Sequence[Path],
    request: Mapping[str, Any],
    *,
    layouts: Sequence[Path] = (),
    own: Mapping[str, Any] | None = None,
    seeds: Sequence[int] = (),
    references: Sequence[Path] = (),
    donor: Path | int | None = None,
    boxes: Sequence[Box] = (),
    crop: bool = False,
    out: Path | None = None,
    film: Path | None = None,
    segmentation: bool = False,
    resume: bool = False,
    overwrite: bool = False,
    stop: StopRequest | None = None,
    show_progress: OpenProgress = hide_photos,
    notify: Notify = ignore_note,
    **options: Any,
) -> EditedPhotos:
    """Edit each photo in the style of each reference or seed, and save the edits.

    Photos come back whole and at their own size, under their own name. They are read and edited in batches. A photo
    that cannot be read, or has no such box, does not stop the others.

    Args:
        run: A run that edits photos.
        photos: Image files.
        request: What to show: attribute names with values, `domain`, or `part` and `only`; empty = everything of the
            reference, for a run that takes whole references.
        layouts: For a run that takes layouts, the map of each face, in the order of the photos.
        own: Labels of the faces, 0 or 1 by attribute, for such a run.
        seeds: Seeds of random styles; 0 if empty.
        references: Faces whose styles to take, instead of seeds.
        donor: A file or a seed: the face whose parts to take.
        boxes: The faces to edit in each photo, in pixels of the upright photo; each gets the square around it. Empty =
            the largest face that the extra `zoogan[face]` finds, or else the centre square.
        crop: Save the edited squares at the size of the run instead: `<photo>-edited.png`, and `-mask.png` and
            `-residual.png` if the edit has a mask.
        out: Folder of the edits: `<photo>.png`, or .bmp and .tif for such photos. For one photo in one style also a
            file. None = `edits`, where the edit of a single photo takes a free name.
        film: A GIF or MP4 file; all styles go into one film and no other file is written.
        segmentation: Save `-segmentation.png` of the square too, for a run whose edits have one.
        resume: Go on with edits that were interrupted; photos that are finished are left out.
        overwrite: Replace files that exist, also the film.
        stop: Ends the edits after the current batch when a signal was received.
        show_progress: Opens a display, if there are several batches.
        notify: Called with one sentence for each likely problem.
        options: `strength`, `threshold`, `truncation` and `keep_background` of `LoadedRun.edit`.

    Returns:
        The files written, what could not be edited, and how many photos are left after a signal.

    Raises:
        ConfigError: No photos, none that can be edited, another number of maps than of photos, styles that the run does
            not have, attributes that it was not trained for, files that would be replaced, or another request than that
            of the interrupted edits.
    """
    if not photos:
        raise ConfigError(NO_PHOTO)
    if seeds and film is None and not run.editor.is_random:
        raise ConfigError("--seed has no effect: this run's edits are deterministic. Remove it")
    if layouts and len(photos) != len(layouts):
        raise ConfigError(describe_other_number(photos, layouts))
    if layouts and boxes:
        raise ConfigError("--box: the map of --layout shows the centre square of its photo. Remove one of them")
    if film is not None:
        check_no_replacement([film], overwrite)
    refuse_latent_files([*photos, *([donor] if isinstance(donor, Path) else [])])
    refuse_missing_photos(photos)
    styles = read_photo_files(list(references))
    shared = dict(request) | ({} if own is None else {"own": own}) | read_donor(donor)
    choices = [StyleChoice(f"-like-{path.stem}", {"reference": style}) for path, style in zip(references, styles)]
    choices = choices or [StyleChoice(f"-seed-{k}" if len(seeds) > 1 else "", {"seed": k}) for k in seeds or [0]]
    maps = run.prepare_layouts(list(layouts)) if layouts else None
    fields = ("segmentation",) if run.editor.takes_layout else ()
    remarks = [note for note in (describe_missing_fields(run.editor, fields), describe_drawn_run(run, photos)) if note]
    edits = PhotoEditing(run, shared, options, choices, maps, layouts, boxes, crop, segmentation, remarks, notify)
    if film is not None:
        return EditedPhotos([edits.save_film(plan_jobs(photos, [""], Path(), crop=True), film)])
    kinds = ["mask", "residual"] if crop and run.editor.makes_masks else []
    kinds += ["segmentation"] if segmentation else []
    endings = [choice.ending for choice in choices]
    jobs = plan_jobs(photos, endings, out, crop=crop, kinds=kinds, faces=len(boxes) or 1)
    unfinished = UnfinishedEdits(jobs)
    if resume or unfinished.is_needed:
        values = {**request, **options, "own": own, "seed": list(seeds), "crop": crop, "segmentation": segmentation}
        files = {f"reference {number}": path for number, path in enumerate(references, 1)} | {"from": donor}
        files |= {f"layout {number}": path for number, path in enumerate(layouts, 1)}
        unfinished.open(describe_request(run, values | {"box": [str(box) for box in boxes] or None}, files), resume)
    jobs = [job for job in jobs if not unfinished.is_finished(job)]
    check_outputs(jobs, overwrite or resume)
    return edits.save_all(jobs, unfinished, stop, show_progress)


def read_donor(donor: Path | int | None) -> dict[str, Any]:
    """Read the face whose parts are taken: the options of `LoadedRun.edit` that name it."""
    if donor is None:
        return {}
    return {"from_seed": donor} if isinstance(donor, int) else {"donor": read_photo_files([donor])[0]}


@dataclass(frozen=True)
class PhotoEditing:
    """One request for many photos.

    Attributes:
        run: The run.
        request: Words and faces of the request that are the same for all photos and styles.
        options: Further options of `LoadedRun.edit`.
        choices: The styles.
        layouts: The map of each photo, or None.
        layout_files: The files of these maps.
        boxes: See `edit_photos`.
        crop: See `edit_photos`.
        segmentation: See `edit_photos`.
        remarks: Sentences for the person, which follow the first edit, so that a mistake is told alone.
        notify: See `edit_photos`.
    """

    run: LoadedRun
    request: Mapping[str, Any]
    options: Mapping[str, Any]
    choices: Sequence[StyleChoice]
    layouts: Tensor | None
    layout_files: Sequence[Path]
    boxes: Sequence[Box]
    crop: bool
    segmentation: bool
    remarks: Sequence[str]
    notify: Notify

    def open(self, job: PhotoJob) -> OpenPhoto:
        """Read a photo and choose its squares.

        Raises:
            ConfigError: It cannot be read, a box is not inside, or its map has other proportions.
        """
        whole = read_whole_photo(job.photo)
        for layout in self.layout_files[job.number : job.number + 1]:
            if problem := describe_other_proportions(self.run, job.photo, layout, whole.pixels):
                raise ConfigError(problem)
        try:
            boxes, notes = choose_boxes(whole.pixels, self.run.facts, self.boxes, search=self.layouts is None)
        except ConfigError as error:
            raise ConfigError(f"{job.photo}: {error}") from error
        if whole.is_deep and not self.crop:
            notes.append("it has 16 bits a pixel, of which its edit keeps 8")
        for note in notes:
            self.notify(f"{job.photo}: {note}")
        return OpenPhoto(job, whole, boxes)

    def read_batches(self, jobs: Sequence[PhotoJob], problems: list[str]) -> Iterator[list[OpenPhoto]]:
        """Read photos in batches; what cannot be read is added to the problems."""
        batch: list[OpenPhoto] = []
        for job in jobs:
            try:
                photo = self.open(job)
            except ConfigError as error:
                problems.append(str(error))
                continue
            both = [*batch, photo]
            squares, pixels = sum(len(p.boxes) for p in both), sum(p.whole.pixels[0].numel() for p in both)
            if batch and (squares > BATCH or pixels > PIXELS):
                yield batch
                batch = []
            batch.append(photo)
        if batch:
            yield batch

    def edit(self, batch: Sequence[OpenPhoto], choice: StyleChoice) -> tuple[Tensor, Edit]:
        """Edit the squares of a batch in one style; return the squares and their edits."""
        before = prepare_squares(self.run, [photo.whole.pixels for photo in batch], [photo.boxes for photo in batch])
        rows = [photo.job.number for photo in batch]
        layout = None if self.layouts is None else self.layouts[rows]
        known: dict[str, Any] = {"layout": layout, "value_range": NORMALIZED}
        edit = self.run.edit(before, **known, **self.options, **choice.options, **self.request)
        names = str(batch[0].job.photo) if len(batch) == 1 else f"{batch[0].job.photo} to {batch[-1].job.photo.name}"
        for note in edit.notes:
            self.notify(f"{names}: {note}")
        return before, edit

    def notify_remarks(self) -> None:
        """Tell the person what is true of the whole request."""
        for remark in self.remarks:
            self.notify(remark)

    def save_all(
        self,
        jobs: Sequence[PhotoJob],
        unfinished: UnfinishedEdits,
        stop: StopRequest | None,
        show_progress: OpenProgress,
    ) -> EditedPhotos:
        """Edit and save photos batch by batch; see `edit_photos`."""
        paths: list[Path] = []
        problems: list[str] = []
        total = len(unfinished.jobs)
        first = total - len(jobs)
        opened = (show_progress if len(jobs) > BATCH else hide_photos)(first, total)
        with opened as display:
            for batch in self.read_batches(jobs, problems):
                edits = [self.edit(batch, choice) for choice in self.choices]
                if not paths:
                    self.notify_remarks()
                    unfinished.add([])  # before the first file, so that an interruption can tell its files from others
                for style, (before, edit) in enumerate(edits):
                    paths += self.save_batch(batch, style, before, edit)
                unfinished.add([photo.job for photo in batch])
                left = sum(job.number > batch[-1].job.number for job in jobs)
                if display is not None:
                    display.advance(total - left)
                    display.report(total - left, {})
                if stop is not None and stop.received is not None and left:
                    return EditedPhotos(paths, problems, left)
        unfinished.remove()
        if problems and not paths:
            raise ConfigError("\n".join(problems))
        return EditedPhotos(paths, problems)

    def save_batch(self, batch: Sequence[OpenPhoto], style: int, before: Tensor, edit: Edit) -> list[Path]:
        """Save the edits of a batch in one style; return the files."""
        paths, row = [], 0
        for photo in batch:
            target = photo.job.targets[style]
            if not self.crop:
                edited = paste_edits(photo.whole.pixels, photo.boxes, before, edit, row)
                save_whole_photo(photo.whole, edited, target.whole)
                paths.append(target.whole)
            for face, place in enumerate(list_places(len(photo.boxes))):
                squares = self.collect_squares(edit, row + face)
                for kind in [kind for kind in photo.job.kinds if kind in squares]:  # the names that were checked
                    paths.append(target.name_square(f"{place}-{kind}"))
                    save_image(squares[kind], paths[-1])
            row += len(photo.boxes)
        return paths

    def collect_squares(self, edit: Edit, row: int) -> dict[str, Tensor]:
        """Collect the squares that are saved for one face, by kind."""
        squares = {}
        if self.crop:
            squares["edited"] = edit.image[row]
            if edit.mask is not None:
                squares |= {"mask": 2 * edit.mask[row] - 1, "residual": 2 * edit.extras["residual"][row] - 1}
        if self.segmentation and edit.segmentation is not None:
            coloured = colour_segmentation(edit.segmentation[row : row + 1], len(self.run.editor.parts))
            squares["segmentation"] = normalize_image(coloured)[0]
        return squares

    def save_film(self, jobs: Sequence[PhotoJob], path: Path) -> Path:
        """Save a film of the faces side by side, moving from each style to the next.

        Raises:
            ConfigError: A photo cannot be read, the editor has no styles, or the run was not trained for the request.
        """
        run, problems = self.run, []
        photos = []
        for job in jobs:
            try:
                photos.append(self.open(job))
            except ConfigError as error:
                problems.append(str(error))
        if problems:
            raise ConfigError("\n".join(problems))
        edited = [self.edit(photos, choice) for choice in self.choices]
        self.notify_remarks()
        edits = [edit for _, edit in edited]
        if any("style" not in edit.extras for edit in edits):
            raise ConfigError("--film: this run's editor has no styles to go between")
        words = {name: value for name, value in self.request.items() if name not in INPUTS}
        given = {name: value for name, value in self.request.items() if name in INPUTS}
        first = self.choices[0].options
        given |= {name: value for name, value in first.items() if name == "reference" and not words}
        keep_background = bool(self.options.get("keep_background"))
        inputs = EditInputs(
            edited[0][0], self.layouts, keep_background=keep_background, value_range=NORMALIZED, **given
        )
        image, targets = run.prepare_edit(inputs, words)
        strength = {key: value for key, value in self.options.items() if key == "strength"}

        def show(style: Tensor) -> Tensor:
            return run.editor.apply(image, targets | {"style": style}, **strength).image

        return save_film(make_style_frames(image, [edit.extras["style"] for edit in edits], show), path)
