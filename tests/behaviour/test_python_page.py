"""docs/python.md: every snippet runs, in order, as a reader would type them."""

from __future__ import annotations

import inspect
import re
import shutil
import warnings
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

import zoogan
from support.pictures import save_picture

PAGE = (Path(__file__).resolve().parents[2] / "docs" / "python.md").read_text()


def test_snippets_of_the_python_page_run(sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(Image.Image, "show", lambda picture: None)
    shutil.copytree(sagan_run, "runs/sagan-drawn-64-001")
    for name in ("me.jpg", "photos/a.jpg", "photos/b.jpg"):
        save_picture(Path(name))
    train, trained = zoogan.train, []

    def only_check_options(*values: Any, **options: Any) -> zoogan.LoadedRun:  # training takes minutes
        trained.append(inspect.signature(train).bind(*values, **options).arguments)
        return zoogan.load(sagan_run)

    monkeypatch.setattr(zoogan, "train", only_check_options)
    snippets = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    names: dict[str, Any] = {}
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        for number, snippet in enumerate(snippets):
            exec(compile(snippet, f"docs/python.md, snippet {number + 1}", "exec"), names)
    assert len(snippets) >= 6 and trained[0]["model"] == "sagan"
    assert sorted(path.name for path in Path("edited").iterdir()) == ["0.png", "1.png"]
    assert Path("glasses.png").exists() and names["same"].iteration == names["summary"].iteration == 1
