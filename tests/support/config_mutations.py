"""Mutates valid configs at random and plays them: each is accepted, or refused with a ConfigError.

`PYTHONPATH=tests python -m support.config_mutations --count 10000 --seed 1` prints figures; with `--no-builds` no
networks are built, which takes a third of the time.
"""

from __future__ import annotations

import random
import signal
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
import yaml

from support.mutations import Played, run_script
from zoogan.composition.build import expect_facts
from zoogan.composition.memory import check_memory
from zoogan.composition.rehearsal import compose_on_device
from zoogan.config import GameConfig, compose_config, parse_sets, validate
from zoogan.errors import ConfigError
from zoogan.plugins.host import get_zoo
from zoogan.training.configure import configure_new_run

HANG = 20  # seconds of CPU
VALUES: tuple[Any, ...] = (
    None, True, False, 0, 1, -1, 2, 7, 10**9, 10**19, 10**400, -(10**19), 0.5, 1e-300, 1e308, float("inf"),
    float("-inf"), float("nan"), "", " ", "x", "none", "adam", "hinge", "drawn", "folder", "é\u202e", "~nobody-here/x",
    "a\0b", "n" * 300, "/" + "n/" * 3000, "/dev/zero", "[", "*a", "2024-01-01", [], {}, [[]], [1, 2, 3], {"use": "x"},
    {"use": None}, {"source": "drawn"}, {1: 2}, {"": ""}, [None] * 500,
)  # fmt: skip
BOMB = "\n".join(["a0: &a0 [x]", *(f"a{n}: &a{n} [{', '.join([f'*a{n - 1}'] * 10)}]" for n in range(1, 12))])
TEXTS = (
    b"\xff\xfe\x00", b"\xef\xbb\xbf", b"\t", b"\x00", b"\r\n", b"*a", b"&a [*a]", b"!!python/object:os.system x",
    b"? [a]\n: b\n", BOMB.encode(), b"2024-01-01: 1\n", b"on: 1\n", b"~: 1\n", b"<<: {a: 1}\n", b"[" * 3000,
    b"{a: " * 3000, b"!!binary aGk=", b"!!int x", b"9" * 5000, b"---\n", b"...\n", b"%YAML 9.9\n", b"training: 5\n",
    b"data:\n", b"x: |\n", b"'", b'"', b"# ", "ü: é\n".encode("latin-1"),
)  # fmt: skip
NAMES = ("use", "source", "extends", "method", "recipe", "x")


def mutate(rng: random.Random, values: Any, depth: int = 0) -> Any:
    """Mutate one value somewhere in a config: replace, remove, rename, add, move or wrap it."""
    keys = list(values) if isinstance(values, dict) else list(range(len(values))) if isinstance(values, list) else []
    if not keys or (depth and rng.random() < 0.25):
        if isinstance(values, int | float) and abs(values) < 2**64 and rng.random() < 0.6:
            return rng.choice((-values, values * 10, values * 10**6, values * 1e9, values + 0.5, str(values), [values]))
        return rng.choice(VALUES)
    key = rng.choice(keys)
    if isinstance(values, dict) and rng.random() < 0.3:
        other = {**values}
        change = rng.randrange(4)
        if change == 0:
            del other[key]
        elif change == 1:
            other[str(key)[::-1]] = other.pop(key)
        elif change == 2:
            other[rng.choice((*NAMES, f"{key}s"))] = rng.choice(VALUES)
        else:
            other[key] = values[rng.choice(keys)]
        return other
    changed = mutate(rng, values[key], depth + 1)
    return {**values, key: changed} if isinstance(values, dict) else [*values[:key], changed, *values[key + 1 :]]


def mutate_text(rng: random.Random, data: bytes) -> bytes:
    """Mutate the bytes of a file: insert, cut, repeat or change some."""
    for _ in range(rng.randint(1, 3)):
        place, change = rng.randint(0, len(data)), rng.randrange(4)
        if change == 0:
            data = data[:place] + rng.choice(TEXTS) + data[place:]
        elif change == 1:
            data = data[:place]
        elif change == 2:
            start = data.rfind(b"\n", 0, place) + 1
            data = data[:place] + data[start:place] + data[place:]
        else:
            data = data[:place] + bytes([rng.randrange(256)]) + data[place + 1 :]
    return data


def play_one(seed: int, folder: Path, valid: list[tuple[str, dict[str, Any]]], *, builds: bool) -> None:
    """Play one mutated config as `zoo train --config FILE --set KEY=VALUE` does, up to the check of memory.

    Raises:
        ConfigError: It was refused, as it should be.
        Exception: Anything else is a fault.
    """
    rng = random.Random(seed)
    method, values = rng.choice(valid)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        values = mutate(rng, values)
    file, zoo = folder / "mutated.yaml", get_zoo()
    data = yaml.safe_dump(values, allow_unicode=True).encode() if rng.random() < 0.9 else repr(values).encode()
    file.write_bytes(mutate_text(rng, data) if rng.random() < 0.3 else data)
    sets = []
    while rng.random() < 0.2:
        group = rng.choice(list(values)) if isinstance(values, dict) and values else "training"
        inner = values.get(group) if isinstance(values, dict) else None
        name = rng.choice(list(inner)) if isinstance(inner, dict) and inner else "x"
        sets.append(f"{group}.{name}={rng.choice(VALUES)}"[:5000])
    config, _ = configure_new_run(
        zoo, method, out=folder / "run", config=file, settings=parse_sets(sets), recipe=values.get("recipe")
        if isinstance(values, dict) and isinstance(values.get("recipe"), str) else None,
    )  # fmt: skip
    if builds:
        build(config)


def build(config: GameConfig) -> None:
    """Build the networks of a config without memory, and check what they would need."""
    meta = compose_on_device(torch.device("meta"), config, expect_facts(config), get_zoo().registry)
    check_memory(meta, torch.device("cpu"))


def list_valid() -> list[tuple[str, dict[str, Any]]]:
    """List the complete config of every recipe, with its method."""
    registry = get_zoo().registry
    return [
        (name, compose_config(spec, registry, recipe=recipe).model_dump(mode="json"))
        for name, spec in sorted(registry.methods.items())
        for recipe in spec.list_recipes()
    ]


def play(count: int, seed: int, builds: bool = True) -> Played:
    """Play mutated configs.

    Args:
        count: How many.
        seed: Of the first; the others follow.
        builds: Whether every third valid one builds its networks (without memory).
    """
    played, valid = Played(), list_valid()

    def stop(*_: Any) -> None:
        raise TimeoutError(f"no end after {HANG} s of CPU")

    if builds:  # imports what building needs, which takes seconds
        method, values = valid[0]
        build(validate(get_zoo().registry.methods[method], get_zoo().registry, values))
    before = signal.signal(signal.SIGPROF, stop)
    try:
        with tempfile.TemporaryDirectory(prefix="zoogan-mutations-") as folder:
            for number in range(count):
                start = time.process_time()
                signal.setitimer(signal.ITIMER_PROF, HANG)
                try:
                    play_one(seed + number, Path(folder), valid, builds=builds and number % 3 == 0)
                    played.taken += 1
                except ConfigError as error:
                    played.refuse(str(error))
                except Exception as error:  # what the test is about
                    played.failures.append(f"seed {seed + number}: {type(error).__name__}: {str(error)[:300]}")
                finally:
                    signal.setitimer(signal.ITIMER_PROF, 0)
                played.slowest = max(played.slowest, (time.process_time() - start, number))
    finally:
        signal.signal(signal.SIGPROF, before)
    return played


if __name__ == "__main__":
    run_script(play, "configs", has_builds=True)
