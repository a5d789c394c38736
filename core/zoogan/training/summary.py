"""Messages before and after a training: its sizes, the next commands and how good the edits are."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from zoogan import __version__
from zoogan.evaluation.metrics.parts import list_parts
from zoogan.evaluation.study import get_kind
from zoogan.evaluation.truth import measure_truth
from zoogan.interfaces import Editor
from zoogan.plugins.pasting import quote_run, quote_word
from zoogan.runs.opening import load
from zoogan.training.session import Session
from zoogan.training.train import EndedTraining


def describe_start(session: Session) -> str:
    """Describe the training that is about to begin, in three lines."""
    config, trainer = session.config, session.trainer
    count = trainer.world.size
    joint = trainer.rows * count
    sizes = ", ".join(
        f"{name} {sum(p.numel() for p in network.parameters()) / 1e6:.2f} M"
        for name, network in trainer.networks.items()
    )
    verb = f"going on at iteration {trainer.iteration}" if trainer.iteration else "training"
    faces = ", ".join([f"{session.facts.image_size} px", *session.facts.attributes])
    parts = f" ({config.data.batch} x {config.training.accumulate} x {count} processes)"
    return (
        f"zoogan {__version__}: {verb} {config.method} (recipe {config.recipe}), source {config.data.source}, {faces}\n"
        f"{sizes} parameters; {joint} images an update{parts if joint != config.data.batch else ''}; "
        f"{config.training.iterations} iterations on {trainer.device}, {config.training.precision}, "
        f"{count} process{'' if count == 1 else 'es'}\n"
        f"run: {session.folder.path}"
    )


def describe_outcome(ended: EndedTraining) -> str:
    """Describe how a training ended, and suggest commands for its run.

    Where the source can draw the true result of an edit, the edits of held-out faces are measured against it.
    """
    path, session = ended.folder, ended.session
    if ended.outcome.is_stopped or session is None:
        advice = f"go on with\n  zoo train --out {quote_run(path)} --resume"
        if ended.outcome.iteration is None:
            return f"stopped in stage {ended.stage}; {advice}"
        stage = f" of stage {ended.stage}" if ended.stage else ""
        return f"stopped and saved at iteration {ended.outcome.iteration}{stage}; {advice}"
    editor = load(path, device=session.accelerator.device, registry=session.zoo.registry).editor
    lines = ["", f"finished: {path}"]
    if grids := sorted(session.folder.samples.glob("*.png")):
        lines.append(f"  samples      {grids[-1]}")
    lines += suggest_commands(editor, path, session.facts.attributes)
    lines += measure_truth(
        session.source, session.config.data.source, editor, session.facts.attributes, session.accelerator.device
    )
    if editor.attributes or get_kind(editor) == "samples":
        lines.append(f"  measure it   zoo evaluate {quote_run(path)}")
    return "\n".join(lines)


def suggest_commands(editor: Editor, path: Path, attributes: Sequence[str]) -> list[str]:
    """Suggest the commands that make or edit faces with a run, a line each.

    Args:
        editor: of the run.
        path: the run folder.
        attributes: of the run; the first is the example.
    """
    run, name = quote_run(path), quote_word(attributes[0]) if attributes else "NAME"
    if parts := list_parts(editor):
        part = "hair" if "hair" in parts else parts[-1]
        return [
            f"  make faces   zoo sample {run}",
            f"  edit them    zoo edit {run} --seed 0 --part {quote_word(part)} --from-seed 1",
            f"  take apart   zoo parts {run} --seed 0",
        ]
    if editor.can_sample and editor.attributes:
        steps = " --steps" if editor.takes_offset else ""
        return [
            f"  make faces   zoo sample {run}",
            f"  edit them    zoo edit {run} --seed 0 --attribute {quote_word(editor.attributes[0])}=1{steps}",
        ]
    if editor.can_sample:
        return [
            f"  make faces   zoo sample {run}",
            f"  edit them    zoo direction {run} --attribute {name}, once, and then",
            f"               zoo edit {run} --seed 0 --attribute {name}=1",
        ]
    if editor.takes_drive:
        layout = " --layout MAP.png" if editor.needs_layout else ""
        lines = [f"  drive a face zoo edit {run} PHOTO{layout} --drive CLIP.mp4"] if editor.makes_images else []
        return [*lines, f"  see edits    zoo edit {run} --grid --out sheet.png"]
    if editor.paints_layouts and not editor.attributes:
        part = "hair" if "hair" in editor.parts else editor.parts[-1]
        return [
            f"  make faces   zoo sample {run}",
            f"  edit a photo zoo edit {run} PHOTO --layout MAP.png --part {quote_word(part)} --from-seed 1",
        ]
    if editor.needs_layout:
        photo = "PHOTO " if editor.reads_photos else ""
        lines = [f"  edit a map   zoo edit {run} {photo}--layout MAP.png --attribute {name}=1 --seed 0"]
        return [*lines, f"  see them     zoo edit {run} --grid --out sheet.png"]
    lines = [f"  make faces   zoo sample {run}"] if editor.also_samples else []
    return [*lines, f"  edit a photo zoo edit {run} PHOTO --attribute {name}=1"]
