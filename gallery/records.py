"""What is known of how a run was made: its command, its seed, how long it took; and the table of entry points."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from zoogan.config import GameConfig, compose_config, read_yaml, validate
from zoogan.plugins.host import get_zoo

OPTIONS = {"training.seed": "--seed", "training.iterations": "--iterations"}
IGNORED = ("training.threads", "data.workers", "data.root")  # decide how fast the machine is used, not what is learnt


def list_commands(run: Path) -> list[str]:
    """List the commands that make a run: of each stage that was copied from another run, then of the run itself."""
    given = {name: stage for name, stage in read_yaml(run / "config.yaml").get("stages", {}).items() if stage}
    copied = [name for name, stage in given.items() if stage.get("path") and (run / "stages" / name).is_dir()]
    commands = [
        f"{find_command(run / 'stages' / name)} --out {name}-run"
        for name in copied
        if (run / "stages" / name / "config.yaml").exists()
    ]
    return [*commands, find_command(run)]


def find_command(run: Path) -> str:
    """Return the command that trains a run with these settings: those that differ from the method's default."""
    registry = get_zoo().registry
    values = read_yaml(run / "config.yaml")
    spec = registry.methods[values["method"]]
    config = validate(spec, registry, values)
    given = {name: stage for name, stage in values.get("stages", {}).items() if stage and stage.get("path")}
    source = str(config.data.source)
    default = compose_config(spec, registry, recipe=config.recipe, source=source)
    words = ["zoo train", f"--model {spec.name}"]
    if source != "drawn":
        words.append(f"--data {source} --root DIR")
    if config.recipe != compose_config(spec, registry, source=source).recipe:
        words.append(f"--recipe {config.recipe}")
    for name in given:
        words.append(f"--stage {name}={name}-run")
    for key, value in list_differences(dump(default), dump(config)):
        if key in IGNORED or any(key.startswith(f"stages.{name}.") for name in given):
            continue
        text = value if isinstance(value, str) else json.dumps(value)
        words.append(f"{OPTIONS[key]} {text}" if key in OPTIONS else f"--set {key}={text}")
    return " ".join(words)


def dump(config: GameConfig) -> dict[str, Any]:
    """Return all settings as plain values."""
    return config.model_dump(mode="json")


def list_differences(
    default: Mapping[str, Any], actual: Mapping[str, Any], prefix: str = ""
) -> Iterator[tuple[str, Any]]:
    """Yield (key, value) of the settings that differ from the default."""
    for key, value in actual.items():
        other = default.get(key)
        if isinstance(value, Mapping) and isinstance(other, Mapping) and (other or not value):
            yield from list_differences(other, value, f"{prefix}{key}.")
        elif isinstance(value, Mapping) and not other:
            yield from ((f"{prefix}{key}.{name}", inner) for name, inner in value.items())
        elif value != other:
            yield f"{prefix}{key}", value


def measure_seconds(run: Path) -> dict[str, float]:
    """Return how long the training and each stage took, by name; a stage that was copied took as long as its run."""
    seconds = {}
    records = run / "stages.json"
    for record in json.loads(records.read_text())["stages"] if records.exists() else []:
        copied = record["state"] == "given"
        took = read_seconds(Path(record["origin"])) if copied else record["seconds"]
        if took:
            seconds[record["name"]] = took
    if own := read_seconds(run):
        seconds["training"] = own
    return seconds


def read_seconds(run: Path) -> float | None:
    """Read how long a training took from its log, over all attempts; None if there is no log."""
    log = run / "metrics.jsonl"
    if not log.is_file():
        return None
    rows = [json.loads(line) for line in log.read_text().splitlines() if '"seconds"' in line]
    return max((float(row["seconds"]) for row in rows), default=None)


def rewrite_entries(project: Path, package: Path) -> None:
    """Write the table of entry points of pyproject.toml: one for each run, the judge and the faces that are there."""
    names = sorted(path.parent.name for path in (package / "runs").glob("*/config.yaml"))
    names += [name for name in ("judge", "faces") if (package / name).is_dir()]
    lines = [f'{name} = "{package.name}:{name.replace("-", "_")}"\n' for name in names]
    head = '[project.entry-points."zoogan.gallery"]\n'
    text = project.read_text()
    pattern = re.escape(head) + r"(?:[^\[\n][^\n]*\n)*"
    project.write_text(re.sub(pattern, lambda match: head + "".join(lines), text))
