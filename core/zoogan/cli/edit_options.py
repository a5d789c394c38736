"""The options of `zoo edit` and their checks. Imports no torch: mistakes are found before a run is opened."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoogan.cli.arguments import check_picture_output, is_picture
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.paths import cut_text
from zoogan.pictures.box import Box, parse_box
from zoogan.pictures.film_files import FILM_SUFFIXES, check_film, check_readable_film, is_film

if TYPE_CHECKING:
    from zoogan.config import LayoutUse
    from zoogan.config.registry import Registry
    from zoogan.interfaces import Editor

NO_REQUEST = (
    "say what to show: --attribute NAME=VALUE such as Eyeglasses=1, --domain NAME, --reference FILE, or "
    "--part NAME --from-seed N"
)
NO_PHOTO = "no photo given: zoo edit RUN PHOTO... --attribute NAME=VALUE"
# Options with their own flag, by their name in Python; these names cannot be attributes.
OPTIONS = {
    "seed": "--seed SEED", "strength": "--strength NUMBER", "threshold": "--threshold NUMBER",
    "truncation": "--truncation NUMBER", "reference": "--reference PHOTO", "donor": "--from FILE",
    "layout": "--layout FILE", "own": "--own NAME=VALUE", "keep_background": "--keep-background",
    "offset": "--offset NUMBER", "refine": "--refine STEPS", "template": "--template NUMBER",
}  # fmt: skip
PART_OPTIONS = {"part": "--part NAME", "only": "--only KIND", "from_seed": "--from-seed SEED"}
MAX_STRENGTH = 100  # beyond it every face is noise
MAX_STEM = 200  # bytes of a photo's name in that of its film
LATENT_SUFFIX = ".safetensors"  # as in zoogan.runs.latents, which imports torch
FLAGS = {"photos": "PHOTO", "missing": "PHOTO", "from_face": "--from"}  # of fields whose flag is not their name


@dataclass(frozen=True)
class EditOptions:
    """What was given to `zoo edit`; None, False or nothing for what was not.

    `missing` says which folders and patterns have no photo, see `find_photos`.
    """

    photos: Sequence[Path] = ()
    missing: Sequence[str] = ()
    attribute: Sequence[str] = ()
    domain: str | None = None
    reference: Sequence[Path] = ()
    layout: Sequence[Path] = ()
    own: Sequence[str] = ()
    part: Sequence[str] = ()
    only: str | None = None
    from_seed: int | None = None
    from_face: Path | None = None
    segmentation: bool = False
    keep_background: bool = False
    strength: float = 1.0
    threshold: float | None = None
    truncation: float | None = None
    seed: Sequence[int] = ()
    film: Path | None = None
    root: Path | None = None
    drive: Path | None = None
    resume: bool = False
    out: Path | None = None
    offset: float | None = None
    refine: int | None = None
    template: int | None = None
    steps: bool = False
    box: Sequence[str] = ()
    crop: bool = False
    overwrite: bool = False

    @property
    def boxes(self) -> list[Box]:
        """The boxes.

        Raises:
            ConfigError: See `parse_box`.
        """
        return [parse_box(text) for text in self.box]

    @property
    def clip(self) -> Path | None:
        """The film that is edited, or that drives the photo; None = only photos were given."""
        return self.drive or next((path for path in self.photos if is_film(path)), None)

    @property
    def clip_output(self) -> Path:
        """The film that is written where a film is edited or drives the photo."""
        assert self.clip is not None
        suffix = ".gif" if self.clip.suffix.lower() == ".gif" else ".mp4"
        stem = cut_text(next((path.stem for path in self.photos), self.clip.stem), MAX_STEM)
        return self.out or Path("edits") / f"{stem}-{'driven' if self.drive else 'edited'}{suffix}"

    def list_given(self) -> dict[str, Any]:
        """List the options that were given, by their flag."""
        values = {field.name: (getattr(self, field.name), field.default) for field in fields(self)}
        given = {name: value for name, (value, default) in values.items() if value != default}
        return {FLAGS.get(name, f"--{name.replace('_', '-')}"): value for name, value in given.items()}

    def parse_attributes(self) -> dict[str, str]:
        """Parse `["Eyeglasses=1"]` into a mapping; items without `=` are left out."""
        return dict(item.split("=", 1) for item in self.attribute if "=" in item)

    def parse_own(self) -> dict[str, str] | None:
        """Parse own labels by attribute, as typed; None = none were given."""
        return dict(item.split("=", 1) for text in self.own for item in text.split(",") if "=" in item) or None

    def make_request(self) -> dict[str, Any]:
        """Make the words of the request: attributes, `domain`, `part` and `only`, `offset`, `refine`, `template`."""
        others: dict[str, Any] = {"domain": self.domain, "part": list(self.part) or None, "only": self.only}
        others |= {"offset": self.offset, "refine": self.refine, "template": self.template}
        return self.parse_attributes() | {name: value for name, value in others.items() if value is not None}


def check_options(run: Path, options: EditOptions, registry: Registry) -> None:
    """Check everything that can be checked without opening the run.

    Raises:
        ConfigError: Every problem, at once.
    """
    from zoogan.runs.vocabulary import check_run_files, read_attribute_names, read_layout_use

    check_run_files(run, registry)
    layout_use, names = read_layout_use(run, registry), read_attribute_names(run)
    problems = [*options.missing, *list_attribute_problems(options, names)]
    problems += list_part_problems(options) + list_box_problems(options)
    if options.clip is None or options.drive is not None:
        problems += list_layout_problems(run, options, layout_use, names)
    problems += list_request_problems(options, layout_use)
    problems += list_output_problems(options) if options.clip is None else list_clip_problems(options, layout_use)
    if problems:
        raise ConfigError("\n".join(problems))


def check_grid_options(run: Path, options: EditOptions, registry: Registry) -> None:
    """Refuse options of single edits where a sheet is requested, and check the others.

    Raises:
        ConfigError: Every option that a sheet does not take, and every other problem, at once.
    """
    from zoogan.runs.vocabulary import check_run_files, read_attribute_names, read_layout_use

    check_run_files(run, registry)
    problems = list(options.missing)
    taken = {"PHOTO", "--layout", "--own", "--out", "--overwrite"}
    taken |= set() if options.photos or options.layout else {"--root"}
    refused = [flag for flag in options.list_given() if flag not in taken]
    problems += [f"--grid chooses its own edits and styles; leave out {', '.join(refused)}"] if refused else []
    problems += [
        f"{path}: --grid shows photos, and this is a film; leave it out" for path in options.photos if is_film(path)
    ]
    layout_use, names = read_layout_use(run, registry), read_attribute_names(run)
    problems += list_layout_problems(run, options, layout_use, names, is_grid=True)
    try:
        check_picture_output(options.out or Path("grid.png"), sheet=True)
    except ConfigError as error:
        problems.append(str(error))
    if problems:
        raise ConfigError("\n".join(problems))


def list_request_problems(options: EditOptions, layout_use: LayoutUse | None) -> list[str]:
    """List what is missing of an input and an edit, and options that have no effect together with others."""
    problems = []
    if options.root is not None:
        problems.append(f"--root {options.root}: only --grid reads the run's source. Remove it, or add --grid")
    inputs = (options.photos, options.seed, () if layout_use == "optional" else options.layout)
    if not any(inputs) and not options.missing:
        problems.append(NO_PHOTO)
    wishes = (options.attribute, options.domain, options.reference, options.drive, *list_part_options(options).values())
    if not any(wish is not None and wish != () for wish in wishes):
        problems.append(NO_REQUEST)
    if options.reference and options.seed:
        problems.append("a style comes from --reference or from --seed: leave one of them out")
    of_offset = (options.offset, options.refine, options.template, options.steps or None)
    if any(value is not None for value in of_offset) and not options.attribute:
        problems.append("--offset, --refine, --template and --steps are about an attribute: add --attribute NAME=VALUE")
    for name, number in (("--strength", options.strength), ("--offset", options.offset or 0.0)):
        if not abs(number) <= MAX_STRENGTH:
            problems.append(f"{name} {number:g}: expected a number up to {MAX_STRENGTH}; 0 is without it, 1 the edit")
    return problems


def list_output_problems(options: EditOptions) -> list[str]:
    """List what keeps the edits from being written."""
    problems = []
    if options.out is None or not is_picture(options.out):
        try:
            check_picture_output(options.out or Path("edits"), sheet=False)
        except ConfigError as error:
            problems.append(str(error))
    if options.resume and (len(options.photos) < 2 or options.film is not None):
        problems.append("--resume has no effect without several photos or a film to edit: remove it")
    styles = len(options.reference or options.seed)
    if options.out is not None and is_picture(options.out) and (len(options.photos) != 1 or styles > 1 or options.crop):
        problems.append(f"--out {options.out}: a file holds one photo in one style; name a folder")
    if options.out is not None and is_film(options.out) and not problems:
        problems.append(f"--out {options.out}: photos are saved in a folder; name one, or make a film with --film")
    if options.film is not None:
        try:
            check_film(options.film)
        except ConfigError as error:
            problems.append(str(error))
        if len(options.reference or options.seed) < 2:
            problems.append("--film goes from one style to the next: give --seed or --reference twice or more")
    return problems


def list_box_problems(options: EditOptions) -> list[str]:
    """List problems of --box and of options that only photos and films have."""
    problems = []
    for text in options.box:
        try:
            parse_box(text)
        except ConfigError as error:
            problems.append(str(error))
    has_photos = any(path.suffix != LATENT_SUFFIX for path in options.photos) or options.clip is not None
    given = {"--box": bool(options.box), "--crop": options.crop, "--out": options.out is not None}
    if not has_photos:
        photos_only = ("--box", "--crop")
        problems += [f"{name} has no effect without a photo: remove it" for name in photos_only if given[name]]
    if options.box and options.layout:
        problems.append("--box: the map of --layout shows the centre square of its photo. Remove one of them")
    if options.film is not None and options.clip is None:
        reasons = {"--crop": "shows the squares at the size of the run", "--out": "names its file"}
        problems += [f"{name} has no effect: --film {why}. Remove it" for name, why in reasons.items() if given[name]]
    return problems


def list_clip_problems(options: EditOptions, layout_use: LayoutUse | None) -> list[str]:
    """List problems of an edit of a film, or of a photo that a film drives."""
    clip, photos, problems = options.clip, options.photos, []
    assert clip is not None
    films = [path for path in photos if is_film(path)]
    if options.drive is None and len(films) > 1:
        problems.append(f"{', '.join(map(str, films))}: one film at a time is edited; give one")
    elif options.drive is None and len(photos) > 1:
        problems.append(f"{clip}: a film is edited alone; edit it and the photos in separate commands")
    if options.drive is not None and not is_film(options.drive):
        problems.append(f"--drive {options.drive}: expected a film: {', '.join(FILM_SUFFIXES)}")
    if options.drive is not None and (len(photos) != 1 or films):
        problems.append("--drive: a film drives one photo; give one photo, and no film besides")
    if layout_use == "needed" and options.drive is None:
        problems.append("this run edits the map of the parts of a face, and a film has none; give photos and maps")
    elif options.layout and options.drive is None:
        problems.append("--layout: a film has a face in every frame, and one map fits one of them; remove it")
    for option, is_given in (("--film", options.film is not None), ("--segmentation", options.segmentation)):
        if is_given:
            problems.append(f"{option}: the result is a film already, of images alone; remove it")
    for option, values in (("--seed", options.seed), ("--reference", options.reference)):
        if len(values) > 1:
            problems.append(f"{option}: a film is edited in one style; give {option} once")
    for check in (lambda: check_readable_film(clip), lambda: check_film(options.clip_output, "--out")):
        try:
            check()
        except ConfigError as error:
            problems.append(str(error))
    if options.clip_output.is_dir():
        problems.append(f"--out {options.clip_output}: this is a folder; name a file such as edited.mp4")
    return problems


def list_layout_problems(
    run: Path,
    options: EditOptions,
    layout_use: LayoutUse | None,
    names: Sequence[str] | None,
    *,
    is_grid: bool = False,
) -> list[str]:
    """List problems of --layout and --own, which depend on what the run takes.

    Args:
        run: The run folder.
        options: The options.
        layout_use: See `GameConfig.layout_use`; None = unknown.
        names: The attributes of the run; None = unknown.
        is_grid: Whether a sheet is requested, which may show held-out faces.
    """
    photos, layouts, own, problems = options.photos, options.layout, options.own, []
    if layout_use == "none":
        problems += [
            f"{option}: this run edits no maps of parts: remove it"
            for option, value in (("--layout", layouts), ("--own", own))
            if value
        ]
    if layout_use == "needed" and not layouts and not is_grid:
        problems.append(
            f"{run} edits the map of the parts of a face: give it with --layout MAP.png, once for each photo"
        )
    if layout_use == "needed" and is_grid and not layouts and (photos or own):
        problems.append("--grid shows held-out faces, or your own with --layout MAP.png, once for each photo")
    if layout_use == "optional" and is_grid and not layouts and own:
        problems.append("--own: --grid reads the labels of held-out faces and photos; remove it, or give --layout")
    if layout_use in ("optional", "needed") and layouts and photos and len(photos) != len(layouts):
        problems.append(
            f"{len(photos)} photos and {len(layouts)} maps: give --layout once for each photo, in the same order"
        )
    items = [item for text in own for item in text.split(",") if item]
    problems += [f"--own {item}: expected NAME=0 or NAME=1, like Male=1" for item in items if "=" not in item]
    labels = options.parse_own() or {}
    if names is not None and layout_use in ("optional", "needed"):
        problems += [
            f"--own {name}={value}: this run does not know {name}{suggest_name(name, names)}; it knows "
            f"{', '.join(names)}"
            for name, value in labels.items()
            if name not in names
        ]
    return problems + [
        f"--own {name}={value}: expected 0 or 1" for name, value in labels.items() if value not in ("0", "1")
    ]


def list_attribute_problems(options: EditOptions, names: Sequence[str] | None) -> list[str]:
    """List items of --attribute without `=`, names that have an option of their own, and unknown names.

    Args:
        options: The options.
        names: The attributes that edits of the run can show; None = unknown, or other words are known too.
    """
    problems = [
        f"--attribute {item}: expected NAME=VALUE, like Eyeglasses=1" for item in options.attribute if "=" not in item
    ]
    attributes = options.parse_attributes()
    problems += list_misplaced_options(attributes, OPTIONS)
    if names is None:
        return problems
    return problems + [
        f"--attribute {name}={value}: this run does not know {name}{suggest_name(name, names)}; it knows "
        f"{', '.join(names) or 'no attributes'}"
        for name, value in attributes.items()
        if name not in names and name not in OPTIONS and name not in PART_OPTIONS
    ]


def list_misplaced_options(attributes: Mapping[str, str], options: Mapping[str, str]) -> list[str]:
    """List attributes that have the name of an option."""
    return [
        f"--attribute {name}={value}: {name} is no attribute; use {options[name]}"
        for name, value in attributes.items()
        if name in options
    ]


def list_part_options(options: EditOptions) -> dict[str, Any]:
    """List the options that choose a part, by flag; None or nothing for those that were not given."""
    return {
        "--part": options.part, "--only": options.only, "--from-seed": options.from_seed, "--from": options.from_face,
    }  # fmt: skip


def list_part_problems(options: EditOptions) -> list[str]:
    """List what is missing of --part and the face to take the part from (--from-seed, --from), or contradicts."""
    problems = []
    part, from_seed, from_face = options.part, options.from_seed, options.from_face
    if from_seed is not None and from_face is not None:
        problems.append("--from-seed and --from both name the face to take parts from: leave one of them out")
    if part and from_seed is None and from_face is None:
        problems.append(f"--part {part[0]}: name the face to take it from, with --from-seed SEED or --from FILE")
    return problems + [
        f"{option} {value}: name the part to take, with --part NAME such as hair"
        for option, value in list_part_options(options).items()
        if option != "--part" and value is not None and not part
    ]


def list_refused_options(editor: Editor, options: EditOptions) -> list[str]:
    """List the options that an opened run does not take."""
    attributes, given = options.parse_attributes(), options.list_given()
    if editor.can_sample:
        reason = "this run makes faces; it edits them along directions and by parts only"
        refused = ("--domain", "--reference", "--threshold", "--film", "--keep-background", "--drive")
        problems = [f"{name}: {reason}" for name in refused if name in given]
        if options.clip is None and options.resume:
            problems.append("--resume: this run makes faces, and edits of these cannot go on; remove it")
        if len(options.box) > 1:
            problems.append("--box: this run finds the latent of one face in a photo; give --box once")
        problems += list_refused_offset_options(editor, given)
        return list_misplaced_options(attributes, PART_OPTIONS) + problems
    kind = "edits whole photos" if editor.makes_images else "edits maps of parts by attribute"
    advice = f"this run {kind}; remove it, or use a run that makes faces of parts"
    problems = [f"--part: {advice}"] if options.part and not editor.takes_parts else []
    if not editor.makes_images:
        maps = ("--box", "--crop", "--resume")
        problems += [f"{name}: this run {kind}, not photos; remove it" for name in maps if name in given]
    if options.segmentation and not editor.parts:
        problems.append(f"--segmentation: {advice}")
    if options.domain is not None and not editor.makes_images:
        problems.append(f"--domain: this run {kind}: remove it")
    if options.reference and not editor.takes_reference:
        problems.append("--reference: this run takes no style from a reference; remove it")
        problems += [] if options.make_request() else [NO_REQUEST]
    if options.drive is not None and not editor.takes_drive:
        problems.append("--drive: this run does not re-enact faces; remove it")
    if options.keep_background and not editor.can_keep_background:
        problems.append("--keep-background: this run cannot tell faces from backgrounds; remove it")
    return problems + list_refused_offset_options(editor, given)


def list_refused_offset_options(editor: Editor, given: Mapping[str, Any]) -> list[str]:
    """List the options of offsets and templates that were given to a run without offsets.

    Args:
        editor: The editor of the run.
        given: The options that were given, by flag.
    """
    if editor.takes_offset:
        return []
    reason = "this run computes no offset of a direction; remove it"
    return [f"{name}: {reason}" for name in ("--offset", "--refine", "--template", "--steps") if name in given]
