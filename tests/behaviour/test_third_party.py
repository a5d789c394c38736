"""The author of a new method ships it as a package of their own: built, installed, listed, trained."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zoogan

DEMO = Path(__file__).with_name("demo")


class Install:
    """zoogan with the demo distribution installed beside it."""

    def __init__(self, target: Path) -> None:
        self.target = target
        found = [str(Path(zoogan.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        path = os.pathsep.join([str(target), *filter(None, found)])
        self.environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def zoo(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "zoogan", *arguments]
        return subprocess.run(command, env=self.environment, cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def install(tmp_path_factory: pytest.TempPathFactory) -> Install:
    """Build and install the demo as pip does it, in a folder of its own."""
    place = tmp_path_factory.mktemp("third_party")
    source, target = place / "source", place / "target"
    shutil.copytree(DEMO, source, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert done.returncode == 0, done.stderr
    assert (target / "zoo_plugin_demo/recipes/drawn-16.yaml").is_file()
    return Install(target)


def test_it_is_listed_with_its_own_facts(install: Install, tmp_path: Path) -> None:
    done = install.zoo("list", "--json", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    facts = json.loads(done.stdout)
    (row,) = [row for row in facts["installed"] if row["name"] == "demo-gan"]
    assert row["recipes"] == ["drawn-16"]
    assert (row["paper"], row["year"], row["plugin"]) == ("Nobody et al., Workshop on Demos", 2025, "demo")
    assert not facts["failures"]


def test_its_verb_is_a_verb(install: Install, tmp_path: Path) -> None:
    assert "demo-hello" in install.zoo("--help", cwd=tmp_path).stdout
    done = install.zoo("demo-hello", "--name", "nobody", cwd=tmp_path)
    assert (done.returncode, done.stdout) == (3, "hello nobody\n")


def test_it_trains_and_leaves_a_run(install: Install, tmp_path: Path) -> None:
    done = install.zoo(
        "train", "--model", "demo-gan", "--iterations", "2", "--device", "cpu", "--out", "run",
        "--set", "data.faces=16", "--set", "data.held_out=8", cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2]
    assert (tmp_path / "run/model/generator.safetensors").is_file()


def test_its_generator_fills_the_slot_of_another_method(install: Install, tmp_path: Path) -> None:
    done = install.zoo(
        "train", "--model", "stargan", "--iterations", "1", "--device", "cpu", "--out", "run",
        "--set", "data.image_size=64", "--set", "data.batch=2", "--set", "data.workers=0", "--set", "data.faces=16",
        "--set", "data.held_out=8", "--set", "generator.use=demo", "--set", "discriminator.width=4",
        cwd=tmp_path,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
