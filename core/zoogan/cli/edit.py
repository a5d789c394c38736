"""The verb `zoo edit`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import isfinite
from pathlib import Path
from typing import Annotated, Any

import typer

from zoogan.cli.arguments import Checkpoint, Device, PluginFiles, check_picture_output, open_host, print_note
from zoogan.errors import ConfigError

NO_REQUEST = (
    "say what to show: --attribute NAME=VALUE such as Eyeglasses=1, --domain NAME, --reference FILE, or "
    "--part NAME --from-seed N"
)
# Options with their own flag, by their name in Python; these names cannot be attributes.
OPTIONS = {
    "seed": "--seed SEED", "strength": "--strength NUMBER", "threshold": "--threshold NUMBER",
    "truncation": "--truncation NUMBER", "reference": "--reference PHOTO", "donor": "--from FILE",
    "layout": "--layout FILE", "own": "--own NAME=VALUE",
}  # fmt: skip
PART_OPTIONS = {"part": "--part NAME", "only": "--only KIND", "from_seed": "--from-seed SEED"}


def edit(
    run: Annotated[Path, typer.Argument(help="The run folder.")],
    photos: Annotated[
        list[Path] | None,
        typer.Argument(metavar="PHOTO...", help="Photos of any size; for runs that make faces also latent files."),
    ] = None,
    attribute: Annotated[
        list[str] | None, typer.Option(metavar="NAME=VALUE", help="What to show, such as Eyeglasses=1; repeatable.")
    ] = None,
    domain: Annotated[str | None, typer.Option(help="The domain to show, for runs with domains.")] = None,
    reference: Annotated[
        list[Path] | None,
        typer.Option(
            metavar="PHOTO", help="A face whose style to take, or its map for runs that edit maps; repeatable."
        ),
    ] = None,
    layout: Annotated[
        list[Path] | None,
        typer.Option(metavar="FILE", help="The map of a face's parts, for runs that edit maps; one for each photo."),
    ] = None,
    own: Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=0|1,...", help="Attributes that the faces of --layout show (default: read off the map)."
        ),
    ] = None,
    part: Annotated[
        list[str] | None,
        typer.Option(metavar="NAME", help="A part to take from another face, for faces made of parts; repeatable."),
    ] = None,
    only: Annotated[str | None, typer.Option(help="Take only the shape or only the texture of the parts.")] = None,
    from_seed: Annotated[
        int | None, typer.Option(metavar="SEED", help="Take the parts from the generated face of this seed.")
    ] = None,
    from_face: Annotated[
        Path | None, typer.Option("--from", metavar="FILE", help="Take the parts from a latent file or a photo.")
    ] = None,
    segmentation: Annotated[
        bool,
        typer.Option(
            "--segmentation", help="Save the edit's segmentation too, in colours; runs that edit maps always do."
        ),
    ] = False,
    strength: Annotated[float, typer.Option(help="0 returns the input, 1 the edit; above 1 exaggerates it.")] = 1.0,
    threshold: Annotated[float | None, typer.Option(help="Make the mask hard: 1 where it exceeds this.")] = None,
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
    out: Annotated[Path | None, typer.Option(help="The output folder (default: edits), or the file of --grid.")] = None,
    checkpoint: Checkpoint = None,
    device: Device = "auto",
    plugin: PluginFiles = None,
) -> None:
    """Edit photos: each gets the run's own crop; masks and residuals are saved beside the edit."""
    registry = open_host(plugin).registry

    def open_run() -> Any:
        from zoogan.devices import choose_device
        from zoogan.runs.opening import load

        return load(run, checkpoint=checkpoint, device=choose_device(device), registry=registry)

    if grid:
        check_grid_options({
            "--attribute": attribute, "--domain": domain, "--reference": reference, "--part": part,
            "--only": only, "--from-seed": from_seed, "--from": from_face, "--segmentation": segmentation or None,
            "--strength": None if strength == 1 else strength, "--threshold": threshold, "--truncation": truncation,
            "--seed": seed, "--film": film, "--root": root if photos or layout else None,
        })  # fmt: skip
        own_labels = check_layout_options(run, photos, layout, own, is_grid=True)
        path = out or Path("grid.png")
        check_picture_output(path, sheet=True)
        from zoogan.workflows.edit_grid import save_edit_grid

        typer.echo(
            str(
                save_edit_grid(
                    open_run(),
                    registry,
                    path,
                    root=root,
                    photos=photos or (),
                    layouts=layout or (),
                    own=own_labels,
                    notify=print_note,
                )
            )
        )
        return
    attributes = parse_attributes(attribute or [])
    check_part_options(part, only, from_seed, from_face)
    others = {"domain": domain, "part": part or None, "only": only}
    request: dict[str, Any] = attributes | {name: value for name, value in others.items() if value is not None}
    own_labels = check_layout_options(run, photos, layout, own)
    check_request(photos or layout, request, reference, seed, root)
    check_known_attributes(run, attributes)
    folder = out or Path("edits")
    check_picture_output(folder, sheet=False)
    if not isfinite(strength):
        raise ConfigError(f"--strength {strength}: expected a number; 0 returns the input, 1 the edit")
    if film is not None:
        from zoogan.workflows.edit_photos import check_edit_film

        check_edit_film(film, reference or seed or [])
    loaded = open_run()
    if loaded.editor.takes_layout:
        from zoogan.workflows.edit_layouts import edit_layouts

        refused_options = {"--domain": domain, "--part": part}
        check_refused_options(refused_options, "this run edits maps of parts by attribute")
        paths = edit_layouts(
            loaded, photos or [], layout or [], request, own=own_labels, seeds=seed or [], references=reference or [],
            folder=folder, film=film, notify=print_note, strength=strength, threshold=threshold, truncation=truncation,
        )  # fmt: skip
        for path in paths:
            typer.echo(str(path))
        return
    request = request or {"domain": infer_domain(loaded)}
    if loaded.editor.can_sample:
        from zoogan.workflows.edit_generated import edit_generated

        check_attribute_names(attributes, PART_OPTIONS)
        refused = {"--domain": domain, "--reference": reference, "--threshold": threshold, "--film": film}
        paths = edit_generated(
            loaded, photos or [], request, seeds=seed or [], folder=folder,
            refused=[name for name, value in refused.items() if value not in (None, [])],
            strength=strength, truncation=truncation, donor=from_seed if from_face is None else from_face,
            segmentation=segmentation, notify=print_note,
        )  # fmt: skip
    elif part or (segmentation and not loaded.editor.parts):
        option = "--part" if part else "--segmentation"
        raise ConfigError(f"{option}: this run edits whole photos; remove it, or use a run that makes faces of parts")
    else:
        from zoogan.workflows.edit_photos import edit_photos

        paths = edit_photos(
            loaded, photos or [], request, seeds=seed or [], references=reference or [], folder=folder, film=film,
            segmentation=segmentation, notify=print_note, strength=strength, threshold=threshold,
            truncation=truncation,
        )  # fmt: skip
    for path in paths:
        typer.echo(str(path))


def check_grid_options(options: Mapping[str, Any]) -> None:
    """Refuse options of single edits where a sheet is requested.

    Args:
        options: Option -> value; None or an empty list if it was not given.

    Raises:
        ConfigError: Names every option that a sheet does not take.
    """
    given = [name for name, value in options.items() if value is not None and value != []]
    if given:
        raise ConfigError(f"--grid chooses its own edits and styles; leave out {', '.join(given)}")


def check_request(
    photos: Sequence[Path] | None,
    request: Mapping[str, Any],
    references: Sequence[Path] | None,
    seeds: Sequence[int] | None,
    root: Path | None,
) -> None:
    """Check that an input and an edit are given, each once, before the run is opened.

    Raises:
        ConfigError: An option is missing, or has no effect together with the others.
    """
    if root is not None:
        raise ConfigError(f"--root {root}: only --grid reads the run's source. Remove it, or add --grid")
    if not photos and not seeds:
        from zoogan.workflows.edit_photos import NO_PHOTO

        raise ConfigError(NO_PHOTO)
    if not request and not references:
        raise ConfigError(NO_REQUEST)
    if references and seeds:
        raise ConfigError("a style comes from --reference or from --seed: leave one of them out")


def check_layout_options(
    run: Path,
    photos: Sequence[Path] | None,
    layouts: Sequence[Path] | None,
    own: Sequence[str] | None,
    *,
    is_grid: bool = False,
) -> dict[str, str] | None:
    """Check --layout and --own against the run's config, before torch is imported.

    Returns:
        The own labels by attribute, as typed; None = none were given.

    Raises:
        ConfigError: Every problem, at once: a run that edits maps got none or another number of them, another run got
            some, or own labels are unknown or not 0 or 1.
    """
    from zoogan.runs.vocabulary import read_attribute_names, takes_layouts

    is_taken, problems = takes_layouts(run), []
    if is_taken is False:
        problems += [
            f"{option}: this run edits no maps of parts: remove it"
            for option, value in (("--layout", layouts), ("--own", own))
            if value
        ]
    if is_taken and not layouts and not is_grid:
        problems.append(
            f"{run} edits the map of the parts of a face: give it with --layout MAP.png, once for each photo"
        )
    if is_taken and is_grid and not layouts and (photos or own):
        problems.append("--grid shows held-out faces, or your own with --layout MAP.png, once for each photo")
    if is_taken and layouts and photos and len(photos) != len(layouts):
        problems.append(
            f"{len(photos)} photos and {len(layouts)} maps: give --layout once for each photo, in the same order"
        )
    items = [item for text in own or () for item in text.split(",") if item]
    problems += [f"--own {item}: expected NAME=0 or NAME=1, like Male=1" for item in items if "=" not in item]
    labels = dict(item.split("=", 1) for item in items if "=" in item)
    names = read_attribute_names(run) if is_taken else None
    if names is not None:
        from zoogan.names import suggest_name

        problems += [
            f"--own {name}={value}: this run does not know {name}{suggest_name(name, names)}; it knows "
            f"{', '.join(names)}"
            for name, value in labels.items()
            if name not in names
        ]
    problems += [f"--own {name}={value}: expected 0 or 1" for name, value in labels.items() if value not in ("0", "1")]
    if problems:
        raise ConfigError("\n".join(problems))
    return labels or None


def check_refused_options(options: Mapping[str, Any], reason: str) -> None:
    """Refuse options that a run does not take.

    Raises:
        ConfigError: Names each of them that was given.
    """
    given = [name for name, value in options.items() if value not in (None, [])]
    if given:
        raise ConfigError("\n".join(f"{name}: {reason}: remove it" for name in given))


def check_known_attributes(run: Path, attributes: Mapping[str, str]) -> None:
    """Refuse attributes that no edit of the run can show, before torch is imported.

    Reads only the run's facts: a run that makes faces also edits along its stored directions.

    Raises:
        ConfigError: Names every unknown attribute and the nearest known one.
    """
    from zoogan.runs.vocabulary import read_attribute_names

    known = read_attribute_names(run)
    if known is None:  # a folder that cannot be read is reported when the run is opened
        return
    from zoogan.names import suggest_name

    problems = [
        f"--attribute {name}={value}: this run does not know {name}{suggest_name(name, known)}; it knows "
        f"{', '.join(known) or 'no attributes'}"
        for name, value in attributes.items()
        if name not in known and name not in PART_OPTIONS
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def infer_domain(run: Any) -> str:
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


def parse_attributes(items: Sequence[str]) -> dict[str, str]:
    """Parse `["Eyeglasses=1"]` into a mapping.

    Raises:
        ConfigError: Items without `=`, and names that have an option of their own.
    """
    wrong = [item for item in items if "=" not in item]
    if wrong:
        raise ConfigError("\n".join(f"--attribute {item}: expected NAME=VALUE, like Eyeglasses=1" for item in wrong))
    attributes = dict(item.split("=", 1) for item in items)
    check_attribute_names(attributes, OPTIONS)
    return attributes


def check_attribute_names(attributes: Mapping[str, str], options: Mapping[str, str]) -> None:
    """Refuse attributes with the name of an option.

    Raises:
        ConfigError: Names each of them with its option.
    """
    problems = [
        f"--attribute {name}={value}: {name} is no attribute; use {options[name]}"
        for name, value in attributes.items()
        if name in options
    ]
    if problems:
        raise ConfigError("\n".join(problems))


def check_part_options(
    part: Sequence[str] | None, only: str | None, from_seed: int | None, from_face: Path | None
) -> None:
    """Check that --part and the face to take the part from (--from-seed, --from) are given together.

    Raises:
        ConfigError: Every missing or contradicting option, at once.
    """
    problems = []
    if from_seed is not None and from_face is not None:
        problems.append("--from-seed and --from both name the face to take parts from: leave one of them out")
    if part and from_seed is None and from_face is None:
        problems.append(f"--part {part[0]}: name the face to take it from, with --from-seed SEED or --from FILE")
    given = {"--only": only, "--from-seed": from_seed, "--from": from_face}
    problems += [
        f"{option} {value}: name the part to take, with --part NAME such as hair"
        for option, value in given.items()
        if value is not None and not part
    ]
    if problems:
        raise ConfigError("\n".join(problems))
