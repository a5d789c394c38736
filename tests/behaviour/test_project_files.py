"""Files of the project beside the code: workflows, templates, citation, notebook, and what they name."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml

from support.gallery import install_shipped_gallery
from support.plugins import PluginFolder
from support.runs import FEW_FACES
from zoogan.plugins.gallery import open_gallery

ROOT = Path(__file__).resolve().parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOWS = {path.stem: yaml.safe_load(path.read_text()) for path in (ROOT / ".github" / "workflows").glob("*.yml")}
NOTEBOOK = ROOT / "examples" / "zoogan.ipynb"
SUBSTITUTES = {
    "iterations = 50": "iterations = 1",
    'out="runs/glasses"': (
        f"out='runs/glasses', quiet=True, data={FEW_FACES | {'image_size': 16}}, generator={{'width': 4}}, "
        "discriminator={'width': 4}, training={'sample_every': 0}"
    ),
    "faces=20": "faces=4",
}


def read(name: str) -> str:
    return (ROOT / name).read_text(encoding="utf-8")


def list_workflow_commands(workflow: str) -> list[str]:
    return [step["run"] for job in WORKFLOWS[workflow]["jobs"].values() for step in job["steps"] if "run" in step]


def test_workflows_test_what_the_project_promises() -> None:
    matrix: dict[str, Any] = WORKFLOWS["tests"]["jobs"]["test"]["strategy"]["matrix"]
    assert matrix["python"][0] == PROJECT["project"]["requires-python"].removeprefix(">=") == "3.11"
    assert matrix["python"] == ["3.11", "3.12", "3.13"]
    assert {row["os"].split("-")[0] for row in matrix["include"]} == {"ubuntu", "macos", "windows"}
    lowest = dict(line.split(">=") for line in PROJECT["project"]["dependencies"] if line.startswith("torch"))
    (oldest,) = [run for run in list_workflow_commands("tests") if "torch==" in run]
    assert set(re.findall(r'"(torch\w*)==([\d.]+)\.\*"', oldest)) == set(lowest.items())
    lint = [run for run in list_workflow_commands("tests") if not run.startswith(("python -m pip", "zoo "))]
    makefile = read("Makefile")
    assert all(f"\t{run}\n" in makefile for run in lint[:4]), "make lint is what CI lints"
    for name, workflow in WORKFLOWS.items():
        assert workflow["permissions"] == {"contents": "read"}, name
        assert all(job.get("timeout-minutes", 0) <= 60 for job in workflow["jobs"].values()), name
    assert any("docs/build_pages.py" in run for run in list_workflow_commands("docs"))
    built = " ".join(list_workflow_commands("release"))
    assert "build --outdir dist" in built and "gallery" in built and "zoo edit" in built


def test_make_targets_named_in_pages_exist() -> None:
    targets = set(re.findall(r"(?m)^([a-z]+):", read("Makefile")))
    named = set(re.findall(r"`?make ([a-z]+)", read("CONTRIBUTING.md") + read(".github/PULL_REQUEST_TEMPLATE.md")))
    assert {"lint", "quick", "test", "docs"} <= named <= targets


def test_templates_citation_and_changelog_agree() -> None:
    version = PROJECT["project"]["version"]
    citation = yaml.safe_load(read("CITATION.cff"))
    assert citation["version"] == version and citation["license"] == PROJECT["project"]["license"]
    assert f"## {version}" in read("CHANGELOG.md")
    for path in (ROOT / ".github" / "ISSUE_TEMPLATE").glob("*.yml"):
        form = yaml.safe_load(path.read_text())
        assert path.stem == "config" or {"name", "description", "body"} <= form.keys(), path
    bug = yaml.safe_load(read(".github/ISSUE_TEMPLATE/bug.yml"))
    (doctor,) = [field for field in bug["body"] if field["attributes"].get("label") == "zoo doctor"]
    assert doctor["validations"]["required"]
    hooks = yaml.safe_load(read(".pre-commit-config.yaml"))["repos"]
    assert {hook["id"] for repo in hooks for hook in repo["hooks"]} >= {"ruff-check", "ruff-format"}


@pytest.mark.slow
def test_notebook_runs(
    plugin_folder: PluginFolder, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, temporary_cache: None
) -> None:
    document = json.loads(NOTEBOOK.read_text(encoding="utf-8"))
    assert (document["nbformat"], document["nbformat_minor"]) == (4, 5)
    cells = [cell for cell in document["cells"] if cell["cell_type"] == "code"]
    assert all(not cell["outputs"] and cell["execution_count"] is None for cell in cells), "clear the outputs"
    install_shipped_gallery(plugin_folder, monkeypatch)
    monkeypatch.chdir(tmp_path)
    names: dict[str, Any] = {}
    source = "\n".join("".join(cell["source"]) for cell in cells)
    for text in SUBSTITUTES:
        assert text in source, f"the test expects {text!r} in the notebook"
    for number, cell in enumerate(cells):
        code = re.sub(r"(?m)^(\s*)[%!].*$", r"\1pass", "".join(cell["source"]))  # IPython's own lines
        for text, substitute in SUBSTITUTES.items():
            code = code.replace(text, substitute)
        exec(compile(code, f"{NOTEBOOK.name}, cell {number}", "exec"), names)
    assert names["mine"].iteration == 1 and names["run"].config.method == "smile"
    open_gallery.cache_clear()
