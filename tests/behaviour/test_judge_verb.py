"""`zoo judge`: a judge is trained, kept and shown, and mistakes are told."""

from __future__ import annotations

import json
import os
import signal
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from support.snippets import replace_options
from zoogan.cli import main
from zoogan.data.config import FolderData
from zoogan.data.drawn import CLASSES
from zoogan.data.sources.folder import Folder
from zoogan.evaluation.inputs import describe_judge_mismatch
from zoogan.judges import training as judge_training
from zoogan.judges.judge import load_judge
from zoogan.judges.train import plan_judge, train_judge
from zoogan.plugins.host import get_zoo

pytestmark = pytest.mark.slow

pytest.importorskip("timm")

TINY = [
    "--size", "16", "--iterations", "2", "--device", "cpu", "--set", "data.workers=0",
    "--set", "data.faces=80", "--set", "data.held_out=60",
]  # fmt: skip


def test_train_and_show(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setenv("ZOOGAN_CACHE", str(tmp_path))
    assert main(["judge", "train", *TINY]) == 0
    said = capsys.readouterr().out
    folder = tmp_path / "judges" / "drawn-16"
    assert "mean balanced accuracy" in said and "mean IoU" in said and f"judge: {folder}" in said
    assert main(["judge", "show", str(folder)]) == 0
    shown = capsys.readouterr().out
    assert shown.strip() in said and "Wearing_Earrings" in shown
    assert main(["judge", "show", str(folder), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert len(facts["table"]) == len(facts["attributes"]) == 13 and facts["seed"] == 0
    assert main(["judge", "train", *TINY]) == 2
    assert "--force" in capsys.readouterr().err
    assert main(["judge", "train", *TINY, "--force", "--seed", "1", "--attributes", "Male,Smiling"]) == 0
    assert load_judge(folder).attributes == ("Male", "Smiling")
    capsys.readouterr()
    assert main(["judge", "train", *TINY, "--force", "--attributes", "none"]) == 0
    said = capsys.readouterr().out
    assert "a judge of 19 parts on 80 drawn faces" in said and "balanced accuracy" not in said
    assert "part" in said and "recall" in said and "skin" in said and "mean IoU" in said
    parser = load_judge(folder)
    assert parser.attributes == () and parser.parts == CLASSES and len(parser.part_table) > 5
    (folder / "mine.txt").write_text("precious")
    assert main(["judge", "train", *TINY, "--force"]) == 2
    assert "mine.txt" in capsys.readouterr().err and (folder / "mine.txt").exists()


def test_ctrl_c_writes_no_judge(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    before = signal.getsignal(signal.SIGINT)
    learn = judge_training.compute_losses

    def interrupted(*given: Any) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return learn(*given)

    monkeypatch.setattr(judge_training, "compute_losses", interrupted)
    assert main(["judge", "train", *TINY, "--out", str(tmp_path / "judge")]) == 130
    assert "nothing was saved" in capsys.readouterr().out and not list(tmp_path.iterdir())
    assert signal.getsignal(signal.SIGINT) == before


def test_a_folder_of_photos(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = tmp_path / "photos"
    root.mkdir()
    rows = ["file,Dark"]
    for k in range(60):
        Image.new("RGB", (20, 20), (40, 30, 20) if k % 2 else (220, 200, 190)).save(root / f"{k}.png")
        rows.append(f"{k}.png,{k % 2}")
    (root / "labels.csv").write_text("\n".join(rows))
    options = ["--data", "folder", "--root", str(root), "--out", str(tmp_path / "judge"), *TINY[:6]]
    assert main(["judge", "train", *options]) == 0
    assert "no valid split; the last tenth of train" in capsys.readouterr().out
    judge = load_judge(tmp_path / "judge")
    config = FolderData(root=root, image_size=16, attributes=("Dark",))
    assert describe_judge_mismatch(judge.facts, Folder(config)) is None
    for k in range(60):
        Image.new("RGB", (40, 30), (9, 120, 3 * k)).save(root / f"{k}.png")
    assert "was trained on other pictures than these" in str(describe_judge_mismatch(judge.facts, Folder(config)))
    assert judge.attributes == ("Dark",) and judge.read_poses(torch.zeros(1, 3, 16, 16)) is None
    assert judge.read_parts(torch.zeros(1, 3, 16, 16)) is None


@pytest.mark.parametrize(
    ("options", "expected"),
    [
        (["--data", "drwn"], "did you mean 'drawn'"),
        (["--data", "drawn", "--set", "data.probabilities.Male=3"], "Male"),
        (["--attributes", "Smilling"], "did you mean 'Smiling'"),
        (["--backbone", "resnet10"], "did you mean 'resnet"),
        (["--pretrained"], "--pretrained: the weights of resnet10t cannot be downloaded"),
        (["--set", "data.fases=3"], "did you mean 'faces'"),
        (["--set", "training.seed=3"], "only settings of the source"),
        (["--size", "8"], "image_size"),
        (["--width", "12"], "--width 12: expected a multiple of 8"),
        (["--width", "16", "--backbone", "resnet18"], "only the default network has a width"),
        (["--iterations", "0"], "--iterations 0"),
        (["--device", "tpu"], "expected auto"),
        (["--plugin", "nowhere.py"], "nowhere.py"),
    ],
)
def test_judge_mistakes_exit_2(
    options: list[str], expected: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    failures = get_zoo().failures
    before = len(failures)
    command = replace_options(["judge", "train", *TINY, "--out", str(tmp_path / "judge")], options)
    assert main(command) == 2
    del failures[before:]  # a process tells of a plugin that failed in every later command
    said = capsys.readouterr().err
    assert expected in said and "Traceback" not in said and not list(tmp_path.iterdir())


def test_missing_timm_says_what_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "timm", None)
    assert main(["judge", "train", *TINY, "--out", str(tmp_path / "judge")]) == 2
    assert "pip install timm" in capsys.readouterr().err


def test_small_images_are_enlarged_for_backbone(tmp_path: Path) -> None:
    options = ["--backbone", "mobilenetv3_small_050", "--attributes", "Male", "--out", str(tmp_path / "judge")]
    assert main(["judge", "train", *TINY, *options]) == 0
    judge = load_judge(tmp_path / "judge")
    assert judge.facts.build.zoom == 2 and judge.backbone == "mobilenetv3_small_050"


def test_a_judge_is_planned_and_trained_from_python(tmp_path: Path) -> None:
    settings = {"data": {"workers": 0, "faces": 80, "held_out": 60}}
    plan = plan_judge(
        size=16, iterations=2, device="cpu", attributes="Male,Smiling", settings=settings, out=tmp_path / "judge"
    )
    assert not plan.folder.exists() and plan.data.attributes == ("Male", "Smiling")
    assert train_judge(plan, watch=lambda iteration, terms: True) is None and not plan.folder.exists()
    judge = train_judge(plan)
    assert judge is not None and load_judge(plan.folder).facts == judge.facts
