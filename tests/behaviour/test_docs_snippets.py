"""Every command and every line of Python of the pages: all are checked, and those of docs/ are run.

README.md is run by test_readme.py, docs/python.md by test_python_page.py, docs/plugins.md by test_readme.py.
"""

from __future__ import annotations

import logging
import re
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import numpy as np
import pytest
from PIL import Image

import zoogan
from support.celeba_files import write_celeba, write_celebamask_hq
from support.gallery import install_shipped_gallery
from support.pictures import save_picture
from support.plugins import PluginFolder
from support.snippets import Snippet, find_snippets, list_commands, list_zoo_commands, shorten_command
from zoogan.cli import main
from zoogan.cli.app import build_app
from zoogan.config import compose_config, parse_sets
from zoogan.plugins.gallery import open_gallery
from zoogan.plugins.host import get_zoo

ROOT = Path(__file__).resolve().parents[2]
DOCS = ROOT / "docs"
GENERATED = {"cli.md", "contributing.md", "gallery.md", "changelog.md"}  # copies of what is checked where it stands
WRITTEN = sorted(path for path in DOCS.glob("*.md") if path.name not in GENERATED)
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", ROOT / "gallery" / "README.md", *WRITTEN]
CARDS = sorted((ROOT / "plugins").glob("*/*.md"))
ELSEWHERE = {"plugins.md", "python.md"}
OTHERS = (
    "hf auth login",
    "git clone",
    "cd ",
    "pip install",
    "python3 -m venv",
    ". .venv",
    "pre-commit install",
    "OMP_NUM_THREADS=1 pytest",
)
NOT_RUN = 8  # blocks that say why they are not run; raise it only for what no test can run


def find_all(pages: list[Path]) -> list[Snippet]:
    return [snippet for page in pages for snippet in find_snippets(page)]


@pytest.fixture
def shipped_gallery(plugin_folder: PluginFolder, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    install_shipped_gallery(plugin_folder, monkeypatch)
    yield
    open_gallery.cache_clear()


def check_command(words: list[str], installed: list[str]) -> None:
    """Parse a command as the command line does, and compose the config of a training."""
    app, verb = build_app(), words[0]
    if verb.startswith("-"):
        return
    command: Any = app.get_command(None, verb)
    assert command is not None, f"no verb {verb}"
    arguments = words[1:]
    if getattr(command, "commands", None):
        command, arguments = command.commands[words[1]], words[2:]
    shipped = [word for word in arguments if not word.startswith("gallery:") or word.partition(":")[2] in installed]
    if len(shipped) < len(arguments):  # a run that only a built gallery has
        arguments = [word if word in shipped else "runs/other" for word in arguments]
    parsed = command.make_context(verb, list(arguments)).params
    zoo = get_zoo()
    if verb in ("train", "import"):
        method = parsed.get("model") or parsed.get("method")
        if method is not None and "--plugin" not in arguments:
            spec = zoo.get_method(method)
            sets = parse_sets(parsed["set_"] or [])
            compose_config(spec, zoo.registry, recipe=parsed.get("recipe"), source=parsed.get("data"), sets=sets)


def test_every_command_of_the_pages_parses(shipped_gallery: None, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoogan.runs.locations.fetch_run", lambda address: Path(str(address)))  # pages name no run here
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    makefile = (ROOT / "Makefile").read_text()
    installed = ["sagan", "smile", "sd-gan", "stylegan2", "faces", "faces/01.png", "faces/02.png"]
    problems, commands = [], 0
    for snippet in find_all([*PAGES, *CARDS]):
        where = snippet.page.relative_to(ROOT)
        if snippet.language == "bash" and snippet.text.startswith("#!"):
            checked = subprocess.run(["bash", "-n"], input=snippet.text, text=True, capture_output=True, check=False)
            assert (checked.returncode, checked.stderr) == (0, ""), where
        for words in list_commands(snippet):
            line = " ".join(words)
            if words[0] == "zoo" and len(words) > 1:
                commands += 1
                try:
                    check_command(words[1:], installed)
                except Exception as error:
                    problems.append(f"{where}: {line}: {getattr(error, 'message', None) or error}")
            elif snippet.language == "bash":
                assert set(",".join(re.findall(r"\[([\w,]+)\]", line)).split(",")) <= {"", *extras}, f"{where}: {line}"
                made = f"--out {Path(words[1]).parts[0]} " in snippet.page.read_text()  # by another command of the page
                is_file = words[0] == "python" and (made or (ROOT / words[1]).is_file())
                is_target = words[0] == "make" and re.search(rf"(?m)^{words[1]}:", makefile)
                assert is_file or is_target or line.startswith(OTHERS), f"{where}: {line}"
    assert not problems, "\n".join(problems)
    assert commands > 120


def test_few_snippets_are_not_run() -> None:
    snippets = find_all(PAGES)
    left_out = [snippet for snippet in snippets if snippet.reason is not None]
    assert all(snippet.reason for snippet in left_out) and len(left_out) == NOT_RUN, [s.text for s in left_out]
    assert not [
        snippet.page for snippet in snippets if not snippet.language and snippet.page.name not in ("training.md",)
    ]


@pytest.fixture(scope="module")
def home(
    tmp_path_factory: pytest.TempPathFactory, sagan_run: Path, stylegan2_run: Path, untrained_part_run: Path,
    smile_layout_run: Path, stargan_v2_run: Path,
) -> Path:  # fmt: skip
    """What the pages name: photos, a film, data sets, and runs as `zoo train` leaves them."""
    home = tmp_path_factory.mktemp("home")
    for name in ("me.jpg", "her.jpg", "other.jpg", "holiday/a1.jpg", "photos/a.png", "photos/b.png"):
        save_picture(home / name)
    save_picture(home / "us.jpg", size=(760, 500))
    shutil.copy(ROOT / "gallery" / "zoogan_gallery" / "faces" / "01.png", home / "face.png")
    Image.fromarray(np.random.default_rng(0).integers(0, 19, (32, 32), dtype=np.uint8)).save(home / "me.png")
    imageio.imwrite(home / "talk.mp4", np.zeros((2, 64, 64, 3), np.uint8), fps=5)
    for number in range(12):
        for folder in ("cartoons", "photos", "kinds/cats", "kinds/dogs"):
            save_picture(home / folder / f"{number}.png")
    lines = [f"{number}.png,{number % 2}" for number in range(12)]
    (home / "photos" / "labels.csv").write_text("\n".join(["file,Eyeglasses", *lines, "a.png,0", "b.png,1"]))
    write_celeba(home / "celeba", (*range(1, 13), 199_999, 200_000, 200_001, 202_599))
    write_celebamask_hq(home / "CelebAMask-HQ")
    np.save(home / "masks.npy", np.ones((3, zoogan.load(stylegan2_run).synthesis_editor.generator.style_dim)))
    runs = {
        "sagan-drawn-64-001": sagan_run, "a": sagan_run, "b": sagan_run,
        "stylegan2-drawn-32-001": stylegan2_run, "semantic-stylegan-drawn-32-001": untrained_part_run,
        "smile-layout-drawn-32-001": smile_layout_run, "stargan-v2-drawn-32-001": stargan_v2_run,
    }  # fmt: skip
    for name, run in runs.items():
        shutil.copytree(run, home / "runs" / name)
    return home


@pytest.fixture
def in_home(home: Path, shipped_gallery: None, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(home)
    monkeypatch.setenv("HOME", str(home))
    monkeypatch.setenv("ZOOGAN_CACHE", str(home / "cache"))
    monkeypatch.delenv("ZOOGAN_METRIC_WEIGHTS", raising=False)
    monkeypatch.setattr("zoogan.demo.serve.serve_demo", lambda runs, **options: None)
    return home


def list_new_commands() -> dict[str, list[list[str]]]:
    """List the commands of each page that neither README.md, which is run elsewhere, nor an earlier page has."""
    seen = {" ".join(words) for snippet in find_snippets(ROOT / "README.md") for words in list_zoo_commands(snippet)}
    commands: dict[str, list[list[str]]] = {}
    for snippet in find_all([page for page in WRITTEN if page.name not in ELSEWHERE]):
        if snippet.reason is None and snippet.language == "bash":
            new = [words for words in list_zoo_commands(snippet) if " ".join(words) not in seen]
            seen |= {" ".join(words) for words in new}
            commands.setdefault(snippet.page.name, []).extend(new)
    return {page: lines for page, lines in commands.items() if lines}


NEW_COMMANDS = list_new_commands()


@pytest.mark.slow
@pytest.mark.parametrize("page", NEW_COMMANDS)
@pytest.mark.usefixtures("fast_bootstrap")
def test_commands_of_a_page_run(page: str, in_home: Path, capsys: pytest.CaptureFixture[str]) -> None:
    problems = []
    for words in NEW_COMMANDS[page]:
        words = [str(in_home / word[2:]) if word.startswith("~/") else word for word in words]
        if main(shorten_command(words)) != 0:
            problems.append(f"zoo {' '.join(words)}\n{capsys.readouterr().err}")
        capsys.readouterr()
    assert not problems, "\n".join(problems)


@pytest.mark.slow
@pytest.mark.parametrize("page", ["demo.md", "environment.md", "hooks.md", "your-photos.md"])
def test_python_of_a_page_runs(page: str, in_home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoogan.demo.serve_demo", lambda run, **options: None, raising=False)
    monkeypatch.setattr(logging, "basicConfig", lambda **options: None)
    names: dict[str, Any] = {}
    snippets = [snippet for snippet in find_snippets(DOCS / page) if snippet.language == "python"]
    assert snippets
    for snippet in snippets:
        exec(compile(snippet.text, f"docs/{page}", "exec"), names)


def test_every_page_with_python_is_run_by_a_test() -> None:
    pages = {snippet.page.name for snippet in find_all(PAGES) if snippet.language == "python"}
    assert pages == {"README.md", "plugins.md", "python.md", "demo.md", "environment.md", "hooks.md", "your-photos.md"}
