"""List everything that is wrong or odd about a data set, before a training."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

import torch

from zoogan.data.scan import PictureFacts, describe_mode, scan_picture
from zoogan.data.sources.image_files import PassedOver, list_images
from zoogan.errors import ConfigError
from zoogan.interfaces.source import Source, Split
from zoogan.pictures.photo import WIDE
from zoogan.plugins.host import get_zoo
from zoogan.workflows.data_config import IMAGES, OpenedSource, open_source, recognise_layout, suggest_command
from zoogan.workflows.parallel import map_in_threads

SPLITS: tuple[Split, ...] = ("train", "valid", "test")
FEW = 1000  # faces below which the advice for small sets is given
SIZES = (32, 64, 128, 256, 512, 1024)  # bounds of the histogram of shorter sides, in pixels
Watch = Callable[[int, int], None]


@dataclass
class DataReport:
    """What `check_data` found.

    Attributes:
        root: The folder.
        source: Name of the source that reads it.
        layout: The layout that was recognised.
        pictures: Number of picture files.
        splits: Number of faces by split.
        sizes: Number of pictures by their shorter side, such as `64 to 127`.
        modes: Number of pictures by Pillow's name of their colours.
        labels: Share of the faces that show an attribute, or are of a domain, by name.
        passed_over: Number of files that are not read, by kind.
        problems: What would stop a training, one sentence each.
        notes: What a training survives, but a person should know.
        duplicates: Groups of pictures with equal pixels.
        command: A command that trains on the folder; None while there are problems, or if no method suits.
    """

    root: str
    source: str
    layout: str
    pictures: int = 0
    splits: dict[str, int] = field(default_factory=dict)
    sizes: dict[str, int] = field(default_factory=dict)
    modes: dict[str, int] = field(default_factory=dict)
    labels: dict[str, float] = field(default_factory=dict)
    passed_over: dict[str, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    duplicates: list[list[str]] = field(default_factory=list)
    command: str | None = None


def check_data(
    root: str | Path,
    data: str | None = None,
    *,
    attributes: str | None = None,
    size: int = 64,
    settings: Mapping[str, Any] | None = None,
    watch: Watch | None = None,
) -> DataReport:
    """Check a data set: decode every picture, open its source, and list every problem at once.

    Args:
        root: The folder.
        data: Name of the source; None = recognise it by the files.
        attributes: Names with commas, `all` or `none`; None = all that have both values.
        size: Side of the faces in pixels; smaller pictures are noted.
        settings: Settings of the source, such as {"data": {"crop": 0.8}}.
        watch: Called with (pictures done, pictures in all).

    Returns:
        The report; a training is possible if it has no problems.

    Raises:
        ConfigError: There is no such folder, source or setting.
    """
    root = Path(root).expanduser()
    if not root.is_dir():
        raise ConfigError(f"{root}: no such folder; name the folder of the data set")
    registry, settings = get_zoo().registry, settings or {}
    known = recognise_layout(root)
    source_name = data or known.source
    report = DataReport(str(root), source_name, known.layout if source_name == known.source else f"read as {data}")
    opened = open_source(registry, source_name, root, attributes, size, settings)
    report.problems += opened.problems
    pictures = _scan_pictures(root, source_name, opened, report, watch)
    report.notes += [note for note in opened.notes if "passed over" not in note]
    _report_pictures(pictures, size, report)
    if opened.constant:
        report.notes.append(
            f"the same value on all training faces, so nothing can be learnt of: {', '.join(opened.constant)}"
        )
    if opened.source is not None:
        _report_source(opened.source, pictures, report)
        if not report.problems and opened.config is not None:
            chosen = settings if attributes is None else _add_attributes(settings, opened.source.attributes)
            report.command = suggest_command(registry, opened.source, opened.config, root, chosen)
    return report


def _add_attributes(settings: Mapping[str, Any], attributes: Sequence[str]) -> dict[str, Any]:
    """Add the attributes that were asked for to the settings."""
    return {**settings, "data": {**settings.get("data", {}), "attributes": tuple(attributes)}}


def _scan_pictures(
    root: Path, source: str, opened: OpenedSource, report: DataReport, watch: Watch | None
) -> dict[str, PictureFacts]:
    """Decode every picture of the data set; return the facts by path relative to the root."""
    place = IMAGES.get(source, "")
    label_maps = getattr(opened.config, "label_maps", None)
    counts = PassedOver()
    without = root / label_maps if label_maps else None
    names = [f"{place}/{name}" if place else name for name in list_images(root / place, without, counts)]
    names = [name for name in names if not name.startswith("heat_maps/")]
    report.pictures, report.passed_over = len(names), dict(counts)
    if not names and not report.problems and source != "shards":
        report.problems.append(f"{root}: no pictures in it")
    scanned: dict[str, PictureFacts] = {}
    for facts in map_in_threads(partial(scan_picture, root), names):
        scanned[facts.name] = facts
        if watch is not None:
            watch(len(scanned), len(names))
    return scanned


def _report_pictures(pictures: Mapping[str, PictureFacts], size: int, report: DataReport) -> None:
    """Report damaged pictures, sizes, colours and pictures with equal pixels."""
    report.problems += [facts.problem for facts in pictures.values() if facts.problem is not None]
    whole = [facts for facts in pictures.values() if facts.problem is None]
    sides = [min(facts.width, facts.height) for facts in whole]
    for side in sorted(sides):
        key = _name_size(side)
        report.sizes[key] = report.sizes.get(key, 0) + 1
    report.modes = dict(Counter(facts.mode for facts in whole).most_common())
    if small := sum(side < size for side in sides):
        report.notes.append(f"{small} of {len(whole)} pictures are smaller than {size} pixels and are enlarged")
    wide = sum(max(facts.width, facts.height) > WIDE * min(facts.width, facts.height) for facts in whole)
    if wide:
        report.notes.append(
            f"{wide} of {len(whole)} pictures are far from square; a training sees the centre. Crop them first: "
            "zoo data crop ROOT --out DIR --face"
        )
    odd = Counter(words for facts in whole if (words := describe_mode(facts.mode)) is not None)
    report.notes += [f"{count} pictures have {words}, and are converted to RGB" for words, count in odd.items()]
    groups: defaultdict[str, list[str]] = defaultdict(list)
    for facts in whole:
        groups[facts.digest].append(facts.name)
    report.duplicates = [names for names in groups.values() if len(names) > 1]
    if report.duplicates:
        copies = sum(len(names) - 1 for names in report.duplicates)
        first = " = ".join(report.duplicates[0])
        report.notes.append(f"{copies} pictures have the pixels of another one, such as {first}")


def _name_size(side: int) -> str:
    """Name the class of a shorter side in the histogram."""
    bounds = [bound for bound in SIZES if bound <= side]
    above = [bound for bound in SIZES if bound > side]
    return (
        f"{bounds[-1]} to {above[0] - 1}" if bounds and above else f"under {SIZES[0]}" if above else f"{SIZES[-1]} up"
    )


def _report_source(source: Source, pictures: Mapping[str, PictureFacts], report: DataReport) -> None:
    """Report splits, labels, segmentations and pictures that are in two splits."""
    report.splits = {split: source.count_faces(split) for split in SPLITS}
    train, held_out = report.splits["train"], report.splits["valid"] + report.splits["test"]
    total = train + held_out
    if not train:
        report.problems.append(f"{report.root}: no faces to train on")
    elif train < FEW:
        report.notes.append(f"{train} training faces are few: see docs/your-data.md for what helps (ADA, --from)")
    if not held_out:
        report.notes.append("no held-out faces: `zoo evaluate` has nothing to measure edits on")
    elif held_out > train:
        report.notes.append(f"more faces are held out ({held_out}) than trained on ({train})")
    names = source.domains if report.source == "folders" else source.attributes
    if total and names:
        shown = torch.cat([source.read_labels(split) for split in SPLITS]).mean(0).tolist()
        report.labels = {name: round(share, 4) for name, share in zip(names, shown)}
    if source.list_files("train") is None:  # packed faces
        report.pictures, report.passed_over = total, {}
    if "segmentation" in source.fields or source.list_files("train") is None:
        damaged = {name for name, facts in pictures.items() if facts.problem is not None}
        jobs = [(split, index) for split in SPLITS for index in range(report.splits[split])]
        for problem in map_in_threads(partial(_read_face, source), jobs):
            if problem is not None and not any(name in problem for name in damaged):
                report.problems.append(problem)
    places = _list_places(source, Path(report.root))
    shared = [names for names in report.duplicates if len({places[name] for name in names if name in places}) > 1]
    if shared:
        first = " = ".join(shared[0])
        report.notes.append(f"{len(shared)} pictures are trained on and held out at once, such as {first}")


def _read_face(source: Source, job: tuple[Split, int]) -> str | None:
    """Read one face; return why it cannot be read."""
    try:
        source.read(job[0], [job[1]])
    except ConfigError as error:
        return str(error)
    return None


def _list_places(source: Source, root: Path) -> dict[str, str]:
    """List the split of each picture, by its path relative to the root."""
    places: dict[str, str] = {}
    for split in SPLITS:
        files = source.list_files(split)
        if files is not None:
            for name in files[1]:
                path = files[0] / name
                places[path.relative_to(root).as_posix() if path.is_relative_to(root) else name] = split
    return places
