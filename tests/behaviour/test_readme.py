"""README.md: it is short, and every snippet in it runs, with small faces and few iterations."""

from __future__ import annotations

import re
import shlex
import shutil
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.celeba_files import write_celeba
from support.gallery import install_shipped_gallery
from support.pictures import save_picture
from support.plugins import PluginFolder
from support.runs import FEW_FACES, NARROW, list_settings, make_set_options
from zoogan.cli import main
from zoogan.plugins.gallery import open_gallery

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
README = (ROOT / "README.md").read_text(encoding="utf-8")
FACES_OF_CELEBA = (*range(1, 13), 199_999, 200_000, 200_001, 202_599)
INSTALLS = ("git clone https://github.com/zoogan/zoogan", "pip install", "python3 -m venv")
QUIET = {"log_every": 1, "sample_every": 0}
TINY_TRAINING: dict[str, Any] = {"data": FEW_FACES | {"image_size": 16}, "training": QUIET}
TINY_PHOTOS: dict[str, Any] = {"data": {"image_size": 16, "batch": 4, "workers": 0}, "training": QUIET}
TINY_DATA = TINY_TRAINING["data"] | {"attributes": ["Eyeglasses"]}
PYTHON_SUBSTITUTES = {
    'iterations=1500, out="runs/glasses", data={"attributes": ["Eyeglasses"]}': (
        f"iterations=1, quiet=True, out='runs/glasses', data={TINY_DATA}, "
        "generator={'width': 4}, discriminator={'width': 4}"
    ),
    "faces=100": "faces=4, metrics=['edit_error']",
}


def find_snippets(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.DOTALL | re.MULTILINE)


def list_commands() -> list[str]:
    lines = [line for snippet in find_snippets("bash") for line in snippet.splitlines()]
    return [re.sub(r"\s+#.*", "", line) for line in lines if line.strip()]


def shorten(command: list[str]) -> list[str]:
    """Add options that make a command quick; everything that the README says stays."""
    if command[0] == "train":
        tiny = TINY_PHOTOS if "celeba" in command else TINY_TRAINING
        settings: dict[str, Any] = {**tiny, **{slot: NARROW["sagan"][slot] for slot in ("generator", "discriminator")}}
        return [*command, "--iterations", "1", *make_set_options(list_settings(settings)), "--device", "cpu"]
    if command[0] == "evaluate":
        return [*command, "--faces", "4", "--metrics", "edit_error"]
    return command


@pytest.fixture
def project(
    plugin_folder: PluginFolder, sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary_cache: None
) -> Iterator[Path]:
    """A folder with what the README names: a photo, a trained run and CelebA; and the gallery."""
    install_shipped_gallery(plugin_folder, monkeypatch)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    save_picture(tmp_path / "me.jpg")
    write_celeba(tmp_path / "celeba", FACES_OF_CELEBA)
    yield tmp_path
    open_gallery.cache_clear()


def test_readme_fits_two_screens() -> None:
    assert len(README.splitlines()) <= 100
    for path in re.findall(r"\]\(([^)#:]+?)\)", README):
        assert (ROOT / path).exists(), path
    film = ROOT / "docs" / "pictures" / "edits.gif"
    assert film.stat().st_size < 600_000 and README.index("edits.gif") < README.index("## Install")


def test_readme_commands_run(
    project: Path, sagan_run: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    served: list[list[str]] = []
    monkeypatch.setattr("zoogan.demo.serve.serve_demo", lambda runs, **options: served.append(options["names"]))
    shutil.copytree(sagan_run, project / "runs" / "sagan-drawn-64-001")
    commands = [line for line in list_commands() if line.startswith("zoo ")]
    assert len(commands) >= 8
    for line in commands:
        words = [str(project / word[2:]) if word.startswith("~/") else word for word in shlex.split(line)[1:]]
        assert main(shorten(words)) == 0, f"{line}\n{capsys.readouterr().err}"
        capsys.readouterr()
    assert served == [["gallery:smile"]], "the web editor was opened, and its server is replaced"
    assert (project / "faces.png").exists() and len(list((project / "edits").glob("*.png"))) >= 3


def test_readme_installs_what_exists() -> None:
    lines = [line for line in list_commands() if not line.startswith("zoo ")]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    named = tomllib.loads((ROOT / "gallery" / "pyproject.toml").read_text())["project"]["name"]
    assert named == "zoogan-gallery" and lines and all(line.startswith(INSTALLS) for line in lines), lines
    for extra in re.findall(r"\[([\w,]+)\]", " ".join(lines)):
        assert set(extra.split(",")) <= extras.keys()
    ci = (ROOT / ".ci" / "run").read_text()
    assert 'pip install -q -e ".[dev]" -e gallery' in ci, "CI installs as the README says"


def test_readme_python_runs(project: Path) -> None:
    (snippet,) = find_snippets("python")
    for text, substitute in PYTHON_SUBSTITUTES.items():
        assert text in snippet, f"the test expects {text!r} in the README"
        snippet = snippet.replace(text, substitute)
    names: dict[str, Any] = {}
    exec(compile(snippet, "README.md", "exec"), names)
    assert names["edit"].image.shape == (1, 3, 32, 32) and len(names["faces"].image) == 4
    assert {value.name for value in names["report"].values} >= {"edit_error"}


def test_plugin_page_is_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = (ROOT / "docs" / "plugins.md").read_text(encoding="utf-8")
    first, method, test = re.findall(r"^```python\n(.*?)^```", page, re.DOTALL | re.MULTILINE)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(first)
    (command,) = re.findall(r"^zoo (train .*)$", page, re.MULTILINE)
    assert main(shorten_mine(shlex.split(command))) == 0
    (tmp_path / "mine_gan.py").write_text(method)
    assert main(["list", "--plugin", "mine_gan.py"]) == 0
    names: dict[str, Any] = {}
    exec(compile(test, "plugins.md", "exec"), names)
    assert callable(names["test_mine"])


def shorten_mine(command: list[str]) -> list[str]:
    settings = {**TINY_TRAINING, "discriminator": NARROW["sagan"]["discriminator"]}
    return [*command, "--iterations", "1", *make_set_options(list_settings(settings)), "--device", "cpu"]
