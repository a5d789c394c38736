"""What is known about the stages of a run: stages.json."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import ValidationError

from zoogan.composition.stages import FOLDER
from zoogan.config import ConfigModel
from zoogan.errors import ConfigError
from zoogan.files import find_folder, hash_file, write_text_atomically

FILE = "stages.json"
FORMAT = 1


class StageRecord(ConfigModel):
    """The state of one stage.

    Attributes:
        name: Name of the stage.
        state: waiting, running (begun, perhaps stopped), done, or given (copied from elsewhere).
        origin: Where a given stage came from; None for stages that were made here.
        digest: sha256 of its result; None before it is done.
        seconds: How long it ran, over all attempts.
    """

    name: str
    state: Literal["waiting", "running", "done", "given"] = "waiting"
    origin: str | None = None
    digest: str | None = None
    seconds: float = 0.0

    @property
    def is_complete(self) -> bool:
        """Whether its result is there."""
        return self.state in ("done", "given")


def read_records(folder: Path) -> dict[str, StageRecord]:
    """Read the records of a run's stages by name; empty if there are none.

    Raises:
        ConfigError: stages.json is damaged or of another format.
    """
    path = folder / FILE
    if not path.exists():
        return {}
    try:
        content = json.loads(path.read_text())
        if content["format"] != FORMAT:
            raise ConfigError(f"{path}: format {content['format']!r}, this zoogan reads format {FORMAT}; train anew")
        records = [StageRecord.model_validate(values) for values in content["stages"]]
    except (OSError, ValueError, KeyError, TypeError, ValidationError) as error:
        raise ConfigError(f"{path}: damaged or unreadable ({error}); train anew with another --out") from error
    return {record.name: record for record in records}


def write_records(folder: Path, records: Mapping[str, StageRecord]) -> None:
    """Write the records of a run's stages."""
    content = {"format": FORMAT, "stages": [record.model_dump(mode="json") for record in records.values()]}
    write_text_atomically(folder / FILE, json.dumps(content, indent=1))


def compute_digest(folder: Path) -> str | None:
    """Compute the sha256 of a stage's result: the model of a run, or all files of another folder.

    Checkpoints, samples and the log of a run do not count, so that they may be deleted.

    Returns:
        The digest; None if there is nothing.
    """
    folder = find_folder(folder)
    model = find_folder(folder / "model")
    root = model if model.is_dir() else folder
    files = sorted(path for path in root.rglob("*") if path.is_file() and not path.name.startswith("."))
    if not files:
        return None
    lines = [f"{path.relative_to(root).as_posix()} {hash_file(path)}" for path in files]
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def check_digest(folder: Path, record: StageRecord) -> None:
    """Check that the result of a complete stage is what it was.

    Args:
        folder: The run folder.
        record: Record of the stage.

    Raises:
        ConfigError: It is missing or was changed; says what to do.
    """
    path = folder / FOLDER / record.name
    digest = compute_digest(path)
    if digest == record.digest:
        return
    found = "is missing" if digest is None else f"was changed after it was {record.state}"
    raise ConfigError(
        f"{path}: the result of stage {record.name} {found}: its digest is not that in {folder / FILE}. Put back "
        f"what it was, or train a new run, with --stage {record.name}=FOLDER if the change is meant"
    )
