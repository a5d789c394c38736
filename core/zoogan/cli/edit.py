"""The verb `zoo edit`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from zoogan.cli.arguments import (
    Checkpoint,
    Device,
    Json,
    PluginFiles,
    RunFolderArgument,
    announce_opening,
    format_command,
    open_host,
    print_files,
    print_note,
    resolve_address,
)
from zoogan.cli.edit_options import (
    NO_REQUEST,
    EditOptions,
    check_grid_options,
    check_options,
    list_refused_options,
)
from zoogan.errors import ConfigError
from zoogan.pictures.photo_paths import find_photos

if TYPE_CHECKING:
    from zoogan.config.registry import Registry
    from zoogan.runs.loaded import LoadedRun


def edit(
    context: typer.Context,
    run: RunFolderArgument,
    photos: Annotated[
        list[Path] | None,
        typer.Argument(
            metavar="PHOTO...",
            callback=resolve_address,
            help="Photos of any size, folders of them, patterns such as 'a*.jpg', or one film; for runs that make "
            "faces also latent files.",
        ),
    ] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="What to show, such as Eyeglasses=1; repeatable.")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="The domain to show, for runs with domains.")] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PHOTO",
            callback=resolve_address,
            help="A face whose style to take, or its map for runs that edit maps; repeatable.",
        ),
    ] = None,
    layout: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="The map of a face's parts, for runs that take maps; one for each photo."),
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=0|1,...", help="Attributes that the faces of --layout show (default: read off the map)."
        ),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A part to take from another face, for runs that know parts; repeatable."),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Take only the shape or only the texture of the parts.")] = None,
    from_seed: Annotated[
        int | None, typer.Option(metavar="SEED", help="Take the parts from the generated face of this seed.")
    ] = None,
    from_face: Annotated[
        Path | None,
        typer.Option(
            "--from", metavar="FILE", callback=resolve_address, help="Take the parts from a latent file or a photo."
        ),
    ] = None,
    segmentation: Annotated[
        bool,
        typer.Option(
            "--segmentation", help="Save the edit's segmentation too, in colours; runs that edit maps always do."
        ),
    ] = False,
    drive: Annotated[
        Path | None,
        typer.Option(metavar="CLIP", help="A film whose frames drive the photo, for runs that re-enact faces."),
    ] = None,
    keep_background: Annotated[
        bool, typer.Option("--keep-background", help="Keep the photo's background, for runs that can tell it.")
    ] = False,
    offset: Annotated[
        float | None,
        typer.Option(
            help="How much of its offset an edit takes (default: 1); 0 moves along the direction alone. For runs that "
            "compute offsets.",
        ),
    ] = None,
    refine: Annotated[
        int | None,
        typer.Option(
            min=0,
            max=10_000,
            help="Steps of gradient descent that bring each edit nearer to its composite (default: 0; 30 take a second "
            "or two for a face of 32 px). For such runs with templates.",
        ),
    ] = None,
    template: Annotated[
        int | None,
        typer.Option(help="Number of the template to show (default: each face has one of its own)."),
    ] = None,
    steps: Annotated[
        bool,
        typer.Option(
            "--steps", help="Save the edit without its offset and the face with the template too, for such runs."
        ),
    ] = False,
    strength: Annotated[float, typer.Option(help="0 returns the input, 1 the edit; above 1 exaggerates it.")] = 1.0,
    threshold: Annotated[
        float | None, typer.Option(min=0, max=1, help="Make the mask hard: 1 where it exceeds this.")
    ] = None,
    truncation: Annotated[
        float | None, typer.Option(help="Distance of a random style or face to the mean, 0 to 1.")
    ] = None,
    seed: Annotated[
        list[int] | None,
        typer.Option(help="Seed of a random style (default: 0) or of a generated face; repeatable."),
    ] = None,
    film: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="A GIF or MP4 from each seed's or reference's style to the next."),
    ] = None,
    grid: Annotated[
        bool, typer.Option("--grid", help="Save one sheet of edits of the photos or of the run's held-out faces.")
    ] = False,
    root: Annotated[
        Path | None, typer.Option(help="Folder of the source, for --grid (default: where training found it).")
    ] = None,
    box: Annotated[
        list[str] | None,
        typer.Option(
            metavar="X,Y,W,H",
            help="A face to edit, in pixels of the upright photo (default: the largest found with zoogan[face], else "
            "the centre square); repeatable for several faces.",
        ),
    ] = None,
    crop: Annotated[
        bool, typer.Option("--crop", help="Save the edited squares at the size of the run instead of whole photos.")
    ] = False,
    resume: Annotated[
        bool, typer.Option("--resume", help="Go on with an interrupted edit of several photos or of a film.")
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace edits, films or the sheet that exist.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(help="The output folder (default: edits), or the file of one photo, of --grid or of a film."),
    ] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
    as_json: Json = False,
) -> int:
    """Edit photos or a film: they come back whole, at their own size and under their own name."""
    registry = open_host(plugin).registry
    files, problems = find_photos(photos or ())
    options = EditOptions(
        photos=files, missing=problems, attribute=attribute or (), domain=domain, reference=reference or (),
        layout=layout or (), own=own or (), part=part or (), only=only, from_seed=from_seed, from_face=from_face,
        segmentation=segmentation, keep_background=keep_background, strength=strength, threshold=threshold,
        truncation=truncation, seed=seed or (), film=film, root=root, drive=drive, resume=resume, out=out,
        offset=offset, refine=refine, template=template, steps=steps, box=box or (), crop=crop, overwrite=overwrite,
    )  # fmt: skip

    def open_run() -> LoadedRun:
        announce_opening(run, is_silent=as_json)
        from zoogan.devices import choose_device
        from zoogan.runs.opening import load

        return load(run, checkpoint=checkpoint, device=choose_device(device), registry=registry)

    if grid:
        check_grid_options(run, options, registry)
        print_files([save_grid(open_run(), options, registry)], as_json, run=str(run))
        return 0
    check_options(run, options, registry)
    loaded = open_run()
    problems = list_refused_options(loaded.editor, options)
    if loaded.editor.can_sample and options.clip is None:
        from zoogan.workflows.edit_generated import list_generated_problems

        problems += list_generated_problems(
            loaded, options.photos, options.seed, options.make_request(), options.truncation, options.segmentation
        )
    if problems:
        raise ConfigError("\n".join(problems))
    command = format_command(context, "--resume")
    save = save_edits if options.clip is None else save_clip
    return save(loaded, options, command, as_json)


def save_grid(run: LoadedRun, options: EditOptions, registry: Registry) -> Path:
    """Save the sheet of `--grid`."""
    from zoogan.workflows.edit_grid import save_edit_grid
    from zoogan.workflows.photo_outputs import choose_file

    return save_edit_grid(
        run, registry, choose_file(options.out, "grid.png", options.overwrite), root=options.root,
        photos=options.photos, layouts=options.layout, own=options.parse_own(), overwrite=options.overwrite,
        notify=print_note,
    )  # fmt: skip


def save_edits(run: LoadedRun, options: EditOptions, command: str, as_json: bool = False) -> int:
    """Save the edits of photos with the workflow of the run's kind; return the exit code.

    Args:
        run: The opened run.
        options: The options.
        command: The command that goes on after an interruption.
        as_json: Whether to print JSON; progress then goes to stderr.
    """
    about: dict[str, Any] = {"as_json": as_json, "run": str(run.path)}
    request, editor = options.make_request(), run.editor
    donor = options.from_seed if options.from_face is None else options.from_face
    shared: dict[str, Any] = {"strength": options.strength, "truncation": options.truncation, "notify": print_note}
    shared |= {"seeds": options.seed}
    placed: dict[str, Any] = {
        "boxes": options.boxes,
        "crop": options.crop,
        "out": options.out,
        "overwrite": options.overwrite,
    }
    if editor.can_sample:
        from zoogan.workflows.edit_generated import edit_generated

        paths = edit_generated(
            run, options.photos, request, donor=donor, segmentation=options.segmentation, steps=options.steps,
            **placed, **shared,
        )  # fmt: skip
        print_files(paths, **about)
        return 0
    shared |= {"threshold": options.threshold, "film": options.film, "references": options.reference}
    shared |= {"own": options.parse_own()}
    if not editor.makes_images:
        from zoogan.workflows.edit_layouts import edit_layouts

        shared |= {"folder": options.out, "overwrite": options.overwrite}
        print_files(edit_layouts(run, options.photos, options.layout, request, **shared), **about)
        return 0
    from functools import partial

    from zoogan.terminal.progress import Display
    from zoogan.terminal.signals import StopSignals
    from zoogan.workflows.edit_photos import edit_photos

    with StopSignals("batch") as signals:
        result = edit_photos(
            run, options.photos, complete_request(run, options), layouts=options.layout, donor=donor,
            segmentation=options.segmentation, keep_background=options.keep_background, resume=options.resume,
            show_progress=partial(Display, images_per_iteration=1, unit="photo", is_stderr=as_json), stop=signals,
            **placed, **shared,
        )  # fmt: skip
    print_files(result.paths, **about)
    if result.problems:
        typer.echo("\n".join([f"zoo edit: {len(result.problems)} not edited:", *result.problems]), err=True)
    if result.left:
        typer.echo(f"stopped with {result.left} photos left; go on with\n  {command}", err=as_json)
        return 128 + int(signals.received or 0)
    return 1 if result.problems else 0


def save_clip(run: LoadedRun, options: EditOptions, command: str, as_json: bool = False) -> int:
    """Edit a film, or let it drive the photo; return the exit code.

    Args:
        run: The opened run.
        options: The options.
        command: The command that goes on after an interruption.
        as_json: Whether to print JSON; progress then goes to stderr.
    """
    from functools import partial

    from zoogan.terminal.progress import Display
    from zoogan.terminal.signals import StopSignals
    from zoogan.workflows.edit_clip import edit_clip

    assert options.clip is not None
    photo = options.photos[0] if options.drive is not None else None
    with StopSignals("batch") as signals:
        result = edit_clip(
            run, options.clip, complete_request(run, options), options.clip_output, photo=photo,
            layout=next(iter(options.layout), None), own=options.parse_own(), seed=next(iter(options.seed), 0),
            reference=next(iter(options.reference), None), strength=options.strength, threshold=options.threshold,
            donor=options.from_seed if options.from_face is None else options.from_face, resume=options.resume,
            truncation=options.truncation, keep_background=options.keep_background, stop=signals,
            boxes=options.boxes, crop=options.crop, overwrite=options.overwrite,
            show_progress=partial(Display, images_per_iteration=1, unit="frame", is_stderr=as_json),
            notify=print_note,
        )  # fmt: skip
    if result.is_complete:
        print_files([result.path], as_json, run=str(run.path), frames=result.frames)
        return 0
    typer.echo(f"stopped after {result.frames} frames, which are kept; go on with\n  {command}", err=as_json)
    return 128 + int(signals.received or 0)


def complete_request(run: LoadedRun, options: EditOptions) -> dict[str, Any]:
    """Return the words of the request; a domain is inferred where a reference alone is no request.

    Raises:
        ConfigError: See `infer_domain`.
    """
    request = options.make_request()
    if request or options.drive is not None or (options.reference and run.editor.takes_whole_reference):
        return request
    return {"domain": infer_domain(run)}


def infer_domain(run: LoadedRun) -> str:
    """Return the domain that a reference shows when no domain was given: the only one that the run has.

    Raises:
        ConfigError: There are several domains, or the run takes no references.
    """
    domains = run.facts.domains if run.editor.takes_reference else ()
    if not domains:
        raise ConfigError(NO_REQUEST)
    if len(domains) > 1:
        raise ConfigError(f"which of {', '.join(domains)} does the reference show? --domain NAME")
    return str(domains[0])
