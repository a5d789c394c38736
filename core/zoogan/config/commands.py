"""The verbs of the command line: where each is defined, and its line in `zoo --help`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple


class Verb(NamedTuple):
    """A verb of zoo's own.

    Attributes:
        build: Import string of a function for typer, or of a typer app.
        line: Its line in `zoo --help`.
    """

    build: str
    line: str


# The command line imports only the module of the verb that is called, so the lines of the help stand here.
VERBS: dict[str, Verb] = {
    "list": Verb("zoogan.cli.list_:list_", "List the methods, installed or known, and trained runs to use at once."),
    "show": Verb(
        "zoogan.cli.show:show", "Show a method (paper, recipes, commands, settings) or a run (length, figures)."
    ),
    "doctor": Verb("zoogan.cli.doctor:doctor", "Check versions, devices, plugins and the disk."),
    "train": Verb("zoogan.cli.train:train", "Train a method."),
    "edit": Verb("zoogan.cli.edit:edit", "Edit faces in photos and films, which come back whole."),
    "demo": Verb("zoogan.cli.demo:demo", "Edit faces in the browser, with one run or several."),
    "sample": Verb("zoogan.cli.sample:sample", "Make faces from seeds, with a run that makes faces."),
    "parts": Verb("zoogan.cli.parts:parts", "Show a face part by part, for a run that makes faces of parts."),
    "invert": Verb("zoogan.cli.invert:invert", "Find the latents of photos, for a run that makes faces."),
    "direction": Verb("zoogan.cli.direction:direction", "Find an attribute's direction, to edit made faces along."),
    "data": Verb("zoogan.cli.data:app", "Check, show and prepare the pictures of a data set."),
    "import": Verb("zoogan.cli.import_:import_", "Make a run from official weights."),
    "export": Verb("zoogan.cli.export:export", "Export a run to ONNX files, which run without torch."),
    "push": Verb("zoogan.cli.push:push", "Push a run to the Hugging Face Hub, with a card."),
    "judge": Verb("zoogan.cli.judge:app", "Train and show judges, which read attributes off faces."),
    "evaluate": Verb("zoogan.cli.evaluate:evaluate", "Measure a run's edits, or its samples: a report to read."),
    "compare": Verb("zoogan.cli.compare:compare", "Compare runs side by side, on the same faces."),
}


@dataclass(frozen=True)
class Command:
    """A verb that a plugin adds to the command line.

    Attributes:
        name: The verb.
        build: Import string of a function for typer, or of a typer app.
        plugin: The plugin that registered it.
    """

    name: str
    build: str
    plugin: str = ""
