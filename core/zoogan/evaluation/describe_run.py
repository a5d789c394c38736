"""The description of the run in a report, and the name of the report's folder."""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from zoogan.config.registry import Registry
from zoogan.errors import ConfigError
from zoogan.evaluation.reports.report import MeasuredRun
from zoogan.interfaces import Editor, Source
from zoogan.interfaces.source import LOADING_SETTINGS
from zoogan.runs.loaded import LoadedRun

# Settings that change no weight of a run.
IMMATERIAL = {
    "data": ("root", "workers"),
    "training": (
        "log_every", "sample_every", "checkpoint_every", "keep", "threads", "trackers", "evaluate_every", "evaluate",
        "evaluate_faces", "best",
    ),
}  # fmt: skip


def name_other_kind(editor: Editor, kind: str | None) -> str:
    """Return the kind that is measured if it is not the editor's default, else an empty text."""
    from zoogan.evaluation.study import get_kind

    return "" if kind is None or kind == get_kind(editor) else kind


def describe_mode(is_guided: bool, truncation: float | None, kind: str = "") -> str:
    """Describe the options of a run that differ from the defaults: `reference`, `truncation 0.7`, or nothing.

    Args:
        is_guided: Whether styles come from other faces.
        truncation: Truncation of samples.
        kind: See `name_other_kind`.
    """
    cut = "" if truncation in (None, 1) else f"truncation {truncation:g}"
    return "reference" if is_guided else " ".join(word for word in (kind, cut) if word)


def name_report_folder(run: LoadedRun, data: Any, checkpoint: str | None, seed: int, mode: str) -> str:
    """Name the folder of a report, so that reports of different things do not overwrite each other.

    Args:
        run: The run that is measured.
        data: Config of the source.
        checkpoint: The checkpoint that is measured; None = the final model.
        seed: Seed of everything that is drawn.
        mode: See `describe_mode`.

    Returns:
        `report`, followed by what differs from `zoo evaluate RUN`.
    """
    other, own = (config.model_dump(mode="json", exclude=LOADING_SETTINGS) for config in (data, run.config.data))
    if own["root"] is None:  # the config of imported weights names no data folder
        own["root"] = other["root"]
    source = [data.source, data.root.name] if data.root and other["root"] != own["root"] else [data.source]
    words = ["report", *mode.split()]
    words += ["checkpoint", checkpoint] if checkpoint is not None else []
    words += ["data", *source] if other != own else []
    words += ["seed", str(seed)] if seed else []
    return "-".join(words)


def describe_run(run: LoadedRun, run_folder: Path, speed: dict[str, float], device: str, mode: str) -> MeasuredRun:
    """Describe a run for its report.

    Args:
        run: The run that is measured.
        run_folder: Its folder, which gives it its name.
        speed: `edits_per_second` or `samples_per_second`.
        device: Where it was measured.
        mode: See `describe_mode`.
    """
    settings = run.config.model_dump(mode="json")
    seed = settings["training"].pop("seed")
    for group, names in IMMATERIAL.items():
        for name in names:
            settings[group].pop(name, None)
    modes = [mode == "reference", *([mode] if "truncation" in mode else [])]
    return MeasuredRun(
        run=run_folder.resolve().name + (f" ({mode})" if mode else ""), seed=seed,
        method=run.config.method, recipe=run.config.recipe,
        config=hashlib.sha256(json.dumps([settings, *modes], sort_keys=True).encode()).hexdigest(),
        iteration=run.iteration, images=run.images, attributes=run.facts.attributes,
        parameters={name: sum(p.numel() for p in network.parameters()) for name, network in run.networks.items()},
        device=device, **speed,
    )  # fmt: skip


def hash_training_data(registry: Registry, run: LoadedRun, source: Source | None) -> str | None:
    """Hash the faces and labels that a run was trained on; equal for seeds of one training, even on copies of the data.

    Args:
        registry: The registered sources.
        run: The run whose data are hashed.
        source: The run's own, if it is open.

    Returns:
        sha256; None if the faces cannot be read any more or have no stable hash.
    """
    try:
        source = source or registry.build("source", run.config.data)
        assert source is not None
        pictures = source.compute_fingerprint("train", include_origin=False)
    except (ConfigError, OSError):
        return None
    labels = source.read_labels("train").byte().contiguous().numpy().tobytes()
    return None if pictures is None else hashlib.sha256(pictures.encode() + labels).hexdigest()
