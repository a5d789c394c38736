"""A method in a package of its own: built, installed, listed and trained."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import zoogan

pytestmark = pytest.mark.slow

DEMO = Path(__file__).with_name("demo")


class Installation:
    """zoogan with the demo distribution installed beside it."""

    def __init__(self, target: Path) -> None:
        self.target = target
        paths = [str(Path(zoogan.__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
        path = os.pathsep.join([str(target), *filter(None, paths)])
        self.environment = {**os.environ, "PYTHONPATH": path, "OMP_NUM_THREADS": "1"}

    def run_zoo(self, *arguments: str, cwd: Path) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "zoogan", *arguments]
        return subprocess.run(command, env=self.environment, cwd=cwd, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def installation(tmp_path_factory: pytest.TempPathFactory) -> Installation:
    """Build the demo with pip and install it into a folder of its own."""
    folder = tmp_path_factory.mktemp("third_party")
    source, target = folder / "source", folder / "target"
    shutil.copytree(DEMO, source, ignore=shutil.ignore_patterns("__pycache__"))
    options = ["--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check", "--no-index"]
    command = [sys.executable, "-m", "pip", "install", *options, "--target", str(target), str(source)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert (target / "zoo_plugin_demo/recipes/drawn-16.yaml").is_file()
    return Installation(target)


def test_installed_method_is_listed_with_its_catalogue(installation: Installation, tmp_path: Path) -> None:
    result = installation.run_zoo("list", "--json", cwd=tmp_path)
    assert result.returncode == 0, result.stderr
    facts = json.loads(result.stdout)
    (row,) = [row for row in facts["installed"] if row["name"] == "demo-gan"]
    assert row["recipes"] == ["drawn-16"]
    assert (row["paper"], row["year"], row["plugin"]) == ("Nobody et al., Workshop on Demos", 2025, "demo")
    assert not facts["failures"]


def test_installed_verb_runs_and_returns_its_exit_code(installation: Installation, tmp_path: Path) -> None:
    assert "demo-hello" in installation.run_zoo("--help", cwd=tmp_path).stdout
    result = installation.run_zoo("demo-hello", "--name", "nobody", cwd=tmp_path)
    assert (result.returncode, result.stdout) == (3, "hello nobody\n")


def test_installed_method_trains_a_run(installation: Installation, tmp_path: Path) -> None:
    result = installation.run_zoo(
        "train", "--model", "demo-gan", "--iterations", "2", "--device", "cpu", "--out", "run",
        "--set", "data.faces=16", "--set", "data.held_out=8", cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
    lines = [json.loads(line) for line in (tmp_path / "run/metrics.jsonl").read_text().splitlines()]
    assert [line["iteration"] for line in lines] == [1, 2]
    assert (tmp_path / "run/model/generator.safetensors").is_file()


def test_installed_generator_fills_a_slot_of_another_method(installation: Installation, tmp_path: Path) -> None:
    result = installation.run_zoo(
        "train", "--model", "stargan", "--iterations", "1", "--device", "cpu", "--out", "run",
        "--set", "data.image_size=64", "--set", "data.batch=2", "--set", "data.workers=0", "--set", "data.faces=16",
        "--set", "data.held_out=8", "--set", "generator.use=demo", "--set", "discriminator.width=4",
        cwd=tmp_path,
    )  # fmt: skip
    assert result.returncode == 0, result.stderr
