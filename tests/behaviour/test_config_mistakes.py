"""Configs that are odd, repeated, huge or without effect: each is one ConfigError, never a traceback or a hang."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from support.config_mutations import BOMB, play
from zoogan.composition.build import expect_facts
from zoogan.composition.rehearsal import rehearse
from zoogan.config import compose_config, parse_sets, read_yaml
from zoogan.errors import ConfigError
from zoogan.plugins.host import get_zoo


def compose(*settings: str, method: str = "sagan", **options: Any) -> Any:
    """Compose a config of a method from `KEY=VALUE` settings."""
    registry = get_zoo().registry
    return compose_config(registry.methods[method], registry, sets=parse_sets(settings), **options)


def test_mutated_configs_are_accepted_or_refused_in_words() -> None:
    played = play(150, seed=20_000, builds=False)
    assert not played.failures
    assert played.taken >= 5 and played.refused > 60
    assert played.slowest[0] < 20


@pytest.mark.parametrize(
    ("sets", "message"),
    [
        (["training.seed=1", "training.seed=2"], "--set training.seed is given twice, as 1 and as 2; keep one"),
        (["training={seed: 1}", "training.seed=2"], "training.seed is given twice"),
        (["data=celeba", "data.source=folder"], "data.source is given twice, as 'celeba' and as 'folder'"),
        (["penalty=r1", "penalty.use=gradient", "penalty.weight=1"], "penalty.use is given twice"),
        (["training.compile=1", "training.compile=true"], "training.compile is given twice"),
        (["training.freeze=[a"], "--set training.freeze=[a: not valid YAML: line 1"),
        (["a.b.c=1", "seed"], "--set seed: expected KEY=VALUE"),
        ([".".join("x" * 60) + "=1"], "nested deeper than 50 levels"),
    ],
)
def test_contradicting_sets_are_refused(sets: list[str], message: str) -> None:
    with pytest.raises(ConfigError) as error:
        parse_sets(sets)
    assert message in str(error.value)


def test_equal_and_nested_sets_are_accepted() -> None:
    assert parse_sets(["a.b=1", "a.b=1", "data=2024-01-01"]) == {"a": {"b": 1}, "data": "2024-01-01"}
    assert parse_sets(["penalty={use: r1}", "penalty.weight=2"]) == {"penalty": {"use": "r1", "weight": 2}}


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("penalty.weight=.inf", "penalty.weight: input should be a finite number"),
        ("optimizers.generator.betas=0.5,.nan", "optimizers.generator.betas.1: input should be a finite number"),
        ("data.probabilities={Eyeglasses: .inf}", "data.probabilities.Eyeglasses: input should be a finite number"),
        ("training.seed=100000000000000000000", "training.seed: expected a whole number of at most 64 bits"),
        ("training.start_from=~nobody-here/x", "training.start_from: there is no home folder of ~nobody-here"),
        (f"training.start_from={'n' * 300}", "training.start_from: a name in it has 300 bytes, more than 255"),
        ("extra_terms.generator.typo=null", "extra_terms.generator.typo: there is no such term to remove; terms: none"),
        ("data.root=faces", "--root faces: source 'drawn' makes its faces and reads no files"),
    ],
)
def test_meaningless_settings_are_refused(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        compose(setting)
    assert message in str(error.value)


def test_null_removes_only_a_term_that_a_lower_layer_has(tmp_path: Path) -> None:
    file = tmp_path / "mine.yaml"
    file.write_text("extra_terms: {generator: {total_variation: {weight: 1.0}}}\n")
    step, term = "generator", next(name for role, name in get_zoo().registry.components if role == "term")
    file.write_text(f"extra_terms: {{{step}: {{{term}: {{}}}}}}\n")
    assert compose(files=[file]).extra_terms[step][term].use == term
    assert compose(f"extra_terms.{step}.{term}=null", files=[file]).extra_terms == {}
    with pytest.raises(ConfigError, match=rf"did you mean '{step}.{term}'"):
        compose(f"extra_terms.{step}.{term}x=null", files=[file])


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"training: {seed: 1}\ntraining: {seed: 2}\n", "line 2: training appears twice; keep one"),
        (b"data:\n  batch: 1\n  batch: 2\n", "line 3: batch appears twice; keep one"),
        (BOMB.encode(), "more than a billion values with its aliases written out; the limit is 100000"),
        (b"a: &a [*a]\n", "line 1: the alias contains itself"),
        (b"[" * 3000, "nested deeper than 50 levels"),
        (b"a: " + b"[" * 60 + b"]" * 60, "nested deeper than 50 levels"),
        (b"a: !!python/object:os.system x\n", "line 1: tags such as !!python/object:os.system are not read"),
        (b"a: !!binary aGk=\n", "line 1: tags such as !!binary are not read"),
        (b"a: !!int x\n", "not valid YAML"),
        (b"a: " + b"9" * 5000, "not valid YAML"),
        (b"on: 1\n", "line 1: the key 'on' is read as bool; put it in quotes"),
        (b"2024-01-01: 1\n", None),
        (b"? [a]\n: 1\n", "line 1: a list cannot be a key"),
        (b"a: [1\n", "not valid YAML: line 2"),
        (b"a: \x00", "not valid YAML"),
        ("ü: 1".encode("latin-1"), "byte 0 is no UTF-8 text; save the file as UTF-8"),
        (b"x" * 300_000, "300 kB is too large for settings; the limit is 256 kB"),
        (b"", "expected a mapping of settings, got nothing"),
        (b"\xef\xbb\xbftraining: {seed: 1}\r\n", None),
        ("training: {seed: 1}".encode("utf-16"), None),
    ],
)  # fmt: skip
def test_odd_yaml_is_one_error_or_read(tmp_path: Path, content: bytes, message: str | None) -> None:
    file = tmp_path / "mine.yaml"
    file.write_bytes(content)
    if message is None:
        assert len(read_yaml(file)) == 1
        return
    with pytest.raises(ConfigError) as error:
        read_yaml(file)
    assert message in str(error.value) and len(str(error.value)) < 1000


def test_odd_paths_are_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    odd = {
        tmp_path / "pipe": "this is a named pipe",
        tmp_path: "this is a folder",
        Path("/dev/zero"): "this is a device",
        Path("n" * 300): "a name in it has 300 bytes",
        Path("/" + "n/" * 3000): "bytes, more than the 4096 of a path",
        Path("~nobody-here/x.yaml"): "there is no home folder of ~nobody-here",
        Path("a\0b"): "it contains a NUL character",
        tmp_path / "missing.yaml": "cannot be read (No such file or directory)",
    }
    for path, message in odd.items():
        with pytest.raises(ConfigError) as error:
            read_yaml(path)
        assert message in str(error.value)


def test_options_and_sets_that_contradict_each_other_are_refused(read_error: Any) -> None:
    options = ["--iterations", 5, "--data", "folder", "--seed", 1]
    sets = ["training.iterations=7", "data=celeba", "training.seed=1", "recipe=drawn-64"]
    error = read_error("train", "--model", "sagan", *options, *(word for one in sets for word in ("--set", one)))
    assert "--iterations 5 and --set training.iterations=7 contradict each other; keep one" in error
    assert "--data folder and --set data.source=celeba" in error and "seed" not in error
    assert "--set recipe: this is no setting; choose it with --recipe" in error


@pytest.mark.parametrize("option", ["--config", "--out", "--root", "--plugin", "--from"])
def test_command_line_refuses_paths_that_no_file_has(read_error: Any, option: str) -> None:
    error = read_error("train", "--model", "sagan", option, "n" * 300)
    assert f"{option} " in error and "a name in it has 300 bytes, more than 255; name another path" in error


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("data.image_size=1000000", "data.image_size: input should be less than or equal to 65536"),
        ("data.batch=1000000000", "data.batch: input should be less than or equal to 1048576"),
        ("data.batch=1000000", "lower data.batch or data.image_size"),
        ("generator.width=100000", "make generator narrower"),
        ("generator.width=1000000000000", "the networks of this config cannot be built"),
        ("generator.blocks=1000000", "generator.blocks: input should be less than or equal to 100"),
        ("data.workers=100000", "data.workers: input should be less than or equal to 256"),
    ],
)
def test_huge_sizes_are_refused_by_arithmetic(setting: str, message: str) -> None:
    with pytest.raises(ConfigError) as error:
        config = compose(setting)
        rehearse(config, expect_facts(config), get_zoo().registry)
    assert message in str(error.value)
