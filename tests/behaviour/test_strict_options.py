"""Options of every verb that mean nothing: repeated, absurd, without effect, or replacing files without being told."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from pydantic import ValidationError

from support.part_runs import ErrorReader
from zoogan.cli import main
from zoogan.cli.app import import_command
from zoogan.composition.memory import check_batch_memory
from zoogan.config.commands import VERBS
from zoogan.errors import ConfigError
from zoogan.judges.training import JudgeTrainingConfig
from zoogan.plugins.pasting import format_judge_command
from zoogan.training.stages.config import DirectionStage, JudgeStage
from zoogan.workflows.push_run import create_repository

Capture = pytest.CaptureFixture[str]


def list_verbs() -> Iterator[tuple[str, Any]]:
    """List every verb with its command, such as `data check`."""

    def walk(name: str, command: Any) -> Iterator[tuple[str, Any]]:
        below = getattr(command, "commands", {})
        for word, inner in below.items():
            yield from walk(f"{name} {word}", inner)
        if not below:
            yield name, command

    for name, verb in VERBS.items():
        yield from walk(name, import_command(name, verb.build))


def test_every_option_given_twice_is_refused() -> None:
    checked = 0
    for verb, command in list_verbs():
        needed = [parameter for parameter in command.params if parameter.required]
        words = [w for p in needed for w in ([p.opts[0], "x"] if p.param_type_name == "option" else ["x"])]
        for option in command.params:
            if option.param_type_name != "option" or option.is_flag or option.multiple:
                continue
            with pytest.raises(ConfigError) as error:
                command.main([*words, option.opts[0], "1", option.opts[0], "2"], standalone_mode=False)
            times = "3 times, as x and as" if option.required else "twice, as"
            assert f"{option.opts[0]} is given {times} 1 and as 2; keep one" in str(error.value), verb
            checked += 1
    assert checked > 80


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("demo x --open --no-open", "--open is given twice, as True and as False; keep one"),
        ("edit x --attribute Bald=1 --attribute Bald=0", "--attribute Bald is given twice, as 1 and as 0; keep one"),
        ("train --stage a=x --stage a=y --stage b=x", "--stage a is given twice, as x and as y; keep one"),
        ("train --seed 1 --seed 2 --out x --out y", "--out is given twice, as x and as y; keep one"),
        ("edit x --truncation nan", "--truncation nan: expected a finite number"),
        ("direction x --share inf -n 99999", "--share inf: expected a finite number"),
        (f"sample x --seed {10**30}", "--seed 1000000000000000000000000000000: expected a whole number of at most 64"),
        (f"sample x --mix {10**30}", "--mix 1000000000000000000000000000000: expected a whole number of at most 64"),
        ("demo x --port 99999", "--port"),
        ("edit x --strength 1000000 --attribute A=1", "--strength 1e+06: expected a number up to 100"),
        ("edit x --threshold 2", "--threshold"),
        ("edit x --refine -1", "--refine"),
        ("edit x --offset -1000 --attribute A=1", "--offset -1000: expected a number up to 100"),
        ("sample x -n 1000000", "-n 1000000: a sheet holds 1024 faces at most; a folder as --out holds any number"),
        ("sample x -n 400 --mix 1 --mix 2", "-n 400: a table holds 1024 faces at most"),
        ("sample x -n 2 --layout a.png --layout a.png --layout b.png", "--layout: 3 maps for 2 faces; remove some"),
        ("direction x --attribute A -n 10000000", "-n"),
        ("evaluate x --faces 10000000", "--faces"),
        ("compare x y --faces 0", "--faces"),
        ("data check x --size -1", "--size"),
        ("data check x --size 1000000", "--size"),
        ("data crop x --out y --size 1000000000000", "--size"),
        ("data crop x --out y --faceless skip", "--faceless has no effect without --face"),
        ("data pack x --out y --shard-mb 0", "--shard-mb"),
        ("data pack x --index --size 32 --seed 1", "--size, --seed: no effect with --index"),
        ("judge train --size 0", "data.image_size"),
        ("judge train --size 65536", "a batch of 64 images of 65,536 px needs at least 3,299 GB of memory"),
        ("edit x a.png --attribute A=1 --seed 1 --seed 2 --film f.gif --out y", "--out has no effect: --film names"),
    ],
)  # fmt: skip
def test_absurd_options_exit_2(
    words: str, message: str, capsys: Capture, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x").mkdir()
    assert main(words.split()) == 2
    output = capsys.readouterr()
    assert message in output.err and "Traceback" not in output.err and not output.out
    assert [path.name for path in tmp_path.iterdir()] == ["x"]


def test_repeated_options_that_agree_are_accepted(read_error: ErrorReader) -> None:
    options = ("--seed", 1, "--seed", 2, "--part", "hair", "--strength", 2, "--strength", 2, "--crop", "--crop")
    assert "is given" not in read_error("edit", "x", "a.png", *options, "--device", "cpu")


def test_sheets_tables_and_films_are_not_replaced(
    untrained_part_run: Path, tmp_path: Path, capsys: Capture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    run = str(untrained_part_run)
    verbs = {
        "sheet.png": ["sample", run, "-n", "1", "--out", "sheet.png"],
        "mix.png": ["sample", run, "-n", "1", "--mix", "1", "--out", "mix.png"],
        "film.gif": ["sample", run, "-n", "2", "--film", "film.gif"],
        "parts.png": ["parts", run, "--out", "parts.png"],
    }
    for name, words in verbs.items():
        (tmp_path / name).write_bytes(b"mine")
        assert main(words) == 2
        error = capsys.readouterr().err
        assert f"{name}: exists already" in error and "or replace what is there with --overwrite" in error
        assert (tmp_path / name).read_bytes() == b"mine"
        assert main([*words, "--overwrite"]) == 0
        assert (tmp_path / name).read_bytes() != b"mine"
    (tmp_path / "faces.png").write_bytes(b"mine")
    assert main(["sample", run, "-n", "1"]) == 0, "by default a free name is taken, as `zoo edit` takes one"
    assert (tmp_path / "faces.png").read_bytes() == b"mine" and (tmp_path / "faces-2.png").is_file()


def test_stages_and_judges_have_limits() -> None:
    for config, key, value in (
        (JudgeStage, "batch", 2**21), (JudgeTrainingConfig, "batch", 2**21), (DirectionStage, "faces", 10**9)
    ):  # fmt: skip
        with pytest.raises(ValidationError, match="less than or equal to"):
            config.model_validate({key: value})
    with pytest.raises(ConfigError, match=r"GB of memory, and cpu has .* GB: lower x"):
        check_batch_memory(10**6, 3, 4096, torch.device("cpu"), "lower x")
    check_batch_memory(4, 3, 64, torch.device("cpu"), "lower x")


def test_command_of_a_judge_survives_pasting(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    file = tmp_path / "my source.py"
    command = format_judge_command("celeba", 64, "--set", "data.crop=0.5", root="/my photos/$x")
    words = ["--data", "celeba", "--set", "data.crop=0.5", "--root", "/my photos/$x", "--size", "64"]
    assert shlex.split(command) == ["zoo", "judge", "train", *words]
    plugin = SimpleNamespace(where=str(file), methods=(), components=(("source", "my faces"),))
    zoo = SimpleNamespace(files=[file], plugins=[plugin])
    monkeypatch.setattr("zoogan.plugins.pasting.get_zoo", lambda: zoo)
    words = ["--data", "my faces", "--size", "64", "--plugin", str(file)]
    assert shlex.split(format_judge_command("my faces", 64)) == ["zoo", "judge", "train", *words]


def test_public_repository_is_not_taken_for_a_private_one() -> None:
    client = SimpleNamespace(
        create_repo=lambda *_, **__: None, repo_info=lambda name, repo_type: SimpleNamespace(private=name == "me/mine")
    )
    create_repository(client, "me/mine", True)
    create_repository(client, "me/shown", False)
    with pytest.raises(ConfigError, match="--private: me/shown exists and is public; make it private on its page"):
        create_repository(client, "me/shown", True)
