"""The card of a run: README.md in its folder, which says what it is, how it was made and how good it is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from pictures import find_words

import zoogan
from zoogan.plugins.host import get_zoo
from zoogan.workflows.run_card import describe_report, format_front_matter, make_front_matter, read_report


def write_card(
    path: Path,
    *,
    name: str,
    run: zoogan.LoadedRun,
    rounding: float,
    commands: Sequence[str],
    seconds: Mapping[str, float],
    is_shipped: bool,
    left_out: Sequence[str] = (),
    measured: str = "",
) -> None:
    """Write the card of a run.

    Args:
        path: The file.
        name: Name of the run.
        run: The stored run.
        rounding: See `pictures.measure_rounding`.
        commands: The commands that make it.
        seconds: How long training and stages took, by name.
        is_shipped: Whether it was trained on drawn faces and may be passed on.
        left_out: Networks that edits do not need and that are not stored.
        measured: With which weights its report was made.
    """
    entry = get_zoo().catalogue[run.config.method]
    data, facts = run.config.data, run.facts
    labels = ", ".join(facts.attributes) or "none"
    report = read_report(path.parent)
    table = describe_report(report, measured)
    needless = f", as is `{'`, `'.join(left_out)}`, which no edit needs" if left_out else ""
    parts = f" Parts: {len(facts.parts)}." if run.editor.parts else ""
    lines = [
        f"---\n{format_front_matter(make_front_matter(run, name, report))}---",
        f"# {entry.title} on {data.source} faces",
        f"{entry.summary}. {entry.paper.format_short()} {entry.year}: {entry.paper.title}.",
        "![Faces and edits](sheet.png)",
        "## Use it",
        "```bash\n" + "\n".join(list_commands(name, run, is_shipped)) + "\n```",
        describe_limits(run, is_shipped),
        "## How it was made",
        "```bash\n" + "\n".join(commands) + "\n```",
        f"Seed {run.config.training.seed}, {run.iteration:,} iterations, {run.images:,} faces of {facts.image_size} px."
        f" {format_hours(seconds)} zoogan {zoogan.__version__.split('+')[0]}. Attributes: {labels}.{parts}",
        "Weights are stored as float16 and computed with in float32; networks that only training reads are left out"
        f"{needless}. Rounding changes a picture by {rounding:.2g} of 255 grey levels on average.",
        *(["## How good it is", *table] if table else []),
    ]
    path.write_text("\n\n".join(lines) + "\n", encoding="utf-8")


def list_commands(name: str, run: zoogan.LoadedRun, is_shipped: bool) -> list[str]:
    """List commands that use the run."""
    address, face = (f"gallery:{name}", "gallery:faces/01.png") if is_shipped else (name, "me.jpg")
    editor = run.editor
    if editor.can_sample:
        made = [f"zoo sample {address}"]
        if editor.attributes:
            made.append(f"zoo edit {address} --seed 0 --attribute {editor.attributes[0]}=1")
        if editor.parts:
            made.append(f"zoo edit {address} --seed 0 --part hair --from-seed 7")
        return made
    word, value = next(iter(find_words(run).items()))
    option = f"--domain {value} --seed 1" if word == "domain" else f"--attribute {word}=1"
    return [f"zoo edit {address} {face} {option}"]


def describe_limits(run: zoogan.LoadedRun, is_shipped: bool) -> str:
    """Say what the run is for."""
    if not is_shipped:
        return (
            f"Trained on faces of {run.config.data.source}, whose licence decides what may be done with these weights. "
            "Keep them to yourself unless it allows more. Do not edit pictures of people without their consent."
        )
    return (
        "Made on drawn faces, for drawn faces (`gallery:faces` has a dozen): no photo of a person was used, and photos "
        f"come out badly. For photos, import official weights (`zoo show {run.config.method}` names the files and "
        "their licence) or train on faces that you may use. Licence: Apache-2.0."
    )


def format_hours(seconds: Mapping[str, float]) -> str:
    """Write how long training and stages took."""
    if not seconds:
        return "The time was not recorded."
    parts = ", ".join(f"{name} {value / 60:.0f} min" for name, value in seconds.items())
    total = f"; {sum(seconds.values()) / 3600:.1f} hours together" if len(seconds) > 1 else ""
    return f"Wall time, beside other programs: {parts}{total}."
