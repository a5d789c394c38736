"""`zoo evaluate`, `zoo compare`, and trainings that measure themselves."""

from __future__ import annotations

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

import zoogan
from support.runs import make_set_options, tiny_run
from zoogan.cli import main
from zoogan.errors import ConfigError
from zoogan.evaluation.compare import compare
from zoogan.evaluation.evaluate import evaluate
from zoogan.evaluation.metrics.lookup import list_default_metrics
from zoogan.evaluation.reports.report import (
    read_report,
)
from zoogan.plugins.host import get_zoo, open_zoo

pytestmark = [pytest.mark.slow, pytest.mark.usefixtures("fast_bootstrap", "temporary_cache")]


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """SaGAN and StarGAN after two iterations, on different attributes."""
    folder = tmp_path_factory.mktemp("runs")
    for method, attributes in (("sagan", "Eyeglasses"), ("stargan", "Male,Eyeglasses")):
        assert tiny_run(method, folder / method, data={"attributes": attributes}) == 0
    return [folder / "sagan", folder / "stargan"]


def test_zoo_evaluate_writes_a_report(runs: list[Path], capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["evaluate", str(runs[0]), "--faces", "12"]) == 0
    said = capsys.readouterr()
    assert "edit_error" in said.out and "report.html" in said.out
    assert "not measured: success: no judge" in said.err
    assert "not measured: fd_squeezenet" in said.err
    report = json.loads((runs[0] / "report" / "report.json").read_text())
    assert len(report["about"]["data"]) == 64
    assert report["about"]["iteration"] == 2 and report["about"]["images"] == 8
    key = report["values"][0]["key"]
    assert key["n"] <= 12 and len(key["faces"]) == 64 and torch.__version__.startswith(key["versions"]["torch"])
    page = (runs[0] / "report" / "report.html").read_text()
    assert "data:image/png;base64" in page and "edit_error" in page and "<script" not in page


def test_requested_metric_without_number_fails(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ["evaluate", str(runs[0]), "--faces", "4", "--device", "cpu", "--out", str(tmp_path / "report")]
    assert main([*options, "--metrics", "success,preservation"]) == 2
    said = capsys.readouterr()
    assert "not measured: success: no judge" in said.err and "not measured: preservation: no judge" in said.err
    assert "--metrics success,preservation: nothing could be measured" in said.err
    assert not (tmp_path / "report").exists(), "or an earlier report would be lost for nothing"
    assert main([*options, "--metrics", "success,edit_error"]) == 0, "one of the two was measured"


def test_other_evaluation_keeps_existing_report(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    run, options = tmp_path / "sagan", ["--faces", "4", "--device", "cpu", "--metrics", "reconstruction"]
    shutil.copytree(runs[0], run, ignore=shutil.ignore_patterns("report*"))
    for more in ([], ["--seed", "3"], ["--checkpoint", "2"], ["--set", "data.seed=7"]):
        assert main(["evaluate", str(run), *options, *more]) == 0
    assert {path.name for path in run.glob("report*")} == {
        "report", "report-seed-3", "report-checkpoint-2", "report-data-drawn"
    }  # fmt: skip
    assert json.loads((run / "report/report.json").read_text())["values"][0]["key"]["seed"] == 0
    capsys.readouterr()
    assert main(["evaluate", str(run), *options[:-1], "locality"]) == 0
    assert "which had reconstruction too; --out keeps both" in capsys.readouterr().err


def test_zoo_compare_measures_runs_on_the_same_faces(
    runs: list[Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "comparison"
    options = ["--data", "drawn", "--faces", "12", "--metrics", "edit_error,locality", "--set", "data.held_out=16"]
    assert main(["compare", *map(str, runs), "--out", str(out), *options]) == 0
    content = json.loads((out / "compare.json").read_text())
    error = [c for c in content["columns"] if c["name"] == "edit_error"]
    assert len(error) == 1 and set(error[0]["cells"]) == {"sagan", "stargan"}
    assert (out / "grid-Eyeglasses.png").exists() and "sagan" in (out / "compare.html").read_text()
    assert "edit_error Eyeglasses" in (out / "compare.md").read_text()
    assert "edit_error" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--metrics", "edit_eror"], "did you mean 'edit_error'"),
        (["--metrics", "edit_error", "--set", "fid.weights=x"], "not among the metrics asked for"),
        (["--set", "fd_squeezenet.minimum=0"], "fd_squeezenet.minimum: input should be greater than or equal to 2"),
        (["--set", "fd_squeezenet.minimun=60"], "fd_squeezenet.minimun: no such setting, did you mean 'minimum'?"),
        (["--set", "edit_error=3"], "edit_error: input should be a valid dictionary"),
        (["--set", "data.held_aut=3"], "data.held_aut: no such setting, did you mean 'held_out'?"),
        (["--data", "dawn"], "did you mean 'drawn'"),
        (["--set", "data.image_size=32"], "the run has 16, got 32"),
        (["--judge", "nowhere"], "nowhere"),
        (["--checkpoint", "best"], "no best checkpoint"),
        (["--checkpoint", "7"], "no checkpoint of iteration 7"),
        (["--checkpoint", "last"], "expected an iteration or best"),
    ],
)
def test_evaluate_mistakes_are_reported(
    runs: list[Path], options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["evaluate", str(runs[0]), *options]) == 2
    assert told in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ([0], "two runs or more"),
        ([0, 1, "--metrics", "edit_error"], "which needs faces: add --data SOURCE"),
    ],
)
def test_compare_mistakes_are_reported(
    runs: list[Path], options: list[Any], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["compare", *(str(runs[o]) if isinstance(o, int) else o for o in options)]) == 2
    assert told in capsys.readouterr().err


# ---- while training ----


def test_training_keeps_its_best_checkpoint(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = tmp_path / "run"
    training = {
        "evaluate_every": 1, "evaluate": "edit_error,locality", "best": "edit_error", "keep": 1, "checkpoint_every": 1,
    }  # fmt: skip
    assert tiny_run("sagan", out, iterations=4, training=training) == 0
    entries = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    curve = {e["iteration"]: e["evaluation"]["edit_error.Eyeglasses"] for e in entries if "evaluation" in e}
    assert list(curve) == [1, 2, 3, 4]
    best = json.loads((out / "best.json").read_text())
    assert best["value"] == min(curve.values()) == curve[best["iteration"]]
    kept = sorted(int(path.name.split("-")[1]) for path in (out / "checkpoints").iterdir())
    assert kept == sorted({best["iteration"], 4})
    run = zoogan.load(out, checkpoint="best")
    assert run.iteration == best["iteration"]
    assert "the best so far" in capsys.readouterr().out


def test_evaluation_does_not_change_training(tmp_path: Path) -> None:
    plain, watched = tmp_path / "plain", tmp_path / "watched"
    assert tiny_run("stargan", plain, iterations=3) == 0
    assert tiny_run("stargan", watched, iterations=3, training={"evaluate_every": 1}) == 0
    for name in ("generator", "discriminator"):
        one, other = ((run / "model" / f"{name}.safetensors").read_bytes() for run in (plain, watched))
        assert one == other


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["training.evaluate=edit_eror"], "did you mean 'edit_error'"),
        (["training.evaluate=success"], "zoo judge train"),
        (["training.best=edit_eror"], "did you mean 'edit_error"),
    ],
)
def test_impossible_evaluation_is_refused_before_training(
    tmp_path: Path, options: list[str], told: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert tiny_run("sagan", tmp_path / "run", *make_set_options([*options, "training.evaluate_every=1"])) == 2
    assert told in capsys.readouterr().err


PLUGIN = """
from typing import Literal

from zoogan.config import ComponentConfig
from zoogan.evaluation.metrics.face_metric import FaceMetric
from zoogan.interfaces import Headline
from zoogan.plugins.hooks import hookimpl


class Redness(FaceMetric):
    class Config(ComponentConfig):
        use: Literal["redness"] = "redness"
        gain: float = 1.0

    title = "How much redder faces become"
    default_for = {"edits": 5}
    headlines = {"redness": Headline("Redder", "mean change of red", 5)}
    better = {"redness": None}

    def update(self, edits):
        change = (edits.edited_image - edits.image)[:, 0].mean((1, 2))
        self.add_rows("redness", edits, self.config.gain * change)


@hookimpl
def zoo_register(registry):
    registry.metric("redness", f"{__name__}:Redness")
"""


def test_plugin_metric_is_measured(runs: list[Path], tmp_path: Path) -> None:
    plugin = tmp_path / "red.py"
    plugin.write_text(PLUGIN)
    values = []
    for gain in ("1", "2"):
        out = tmp_path / gain
        options = ["--plugin", str(plugin), "--metrics", "redness", "--set", f"redness.gain={gain}", "--faces", "6"]
        assert main(["evaluate", str(runs[0]), "--out", str(out), *options]) == 0
        values.append(read_report(out).find("redness", "Eyeglasses"))
    assert values[0] is not None and values[1] is not None
    assert values[1].value == pytest.approx(2 * values[0].value)
    assert values[1].key.list_differences(values[0].key) == ["options: {'gain': 2.0} / {'gain': 1.0}"]
    assert "mean change of red" in (tmp_path / "1" / "report.html").read_text()
    registry = open_zoo(files=[plugin]).registry
    assert list_default_metrics(registry, "edits")[:2] == ["redness", "edit_error"]


def test_unimportable_metric_leaves_the_others(tmp_path: Path) -> None:
    registry = get_zoo().registry.draft("broken")
    registry.metric("nowhere", "zoogan_absent.metrics:Nowhere")
    with pytest.warns(UserWarning, match="metric 'nowhere' of plugin 'broken' is left out"):
        assert "edit_error" in list_default_metrics(registry, "edits")


# ---- from Python ----


def test_evaluate_takes_an_opened_run_and_returns_its_report(runs: list[Path], tmp_path: Path) -> None:
    run = zoogan.load(runs[0])
    result = evaluate(run, faces=6, metrics=["edit_error"], out=tmp_path / "report")
    assert result.is_measured and result.folder == tmp_path / "report"
    assert read_report(result.folder) == result.report
    assert result.report.about.run == runs[0].name
    with pytest.raises(ConfigError, match="this run is open already"):
        evaluate(run, checkpoint=2)
    nothing = evaluate(run, faces=6, metrics=["success"], out=tmp_path / "nothing")
    assert not nothing.is_measured and "success" in nothing.report.skipped
    assert not nothing.folder.exists()


def test_compare_takes_opened_runs_and_returns_its_columns(runs: list[Path], tmp_path: Path) -> None:
    messages: list[str] = []
    result = compare(
        [zoogan.load(runs[0]), runs[1]],
        data="drawn",
        faces=6,
        metrics=["locality"],
        settings={"data": {"held_out": 16}},
        out=tmp_path,
        show=messages.append,
    )
    assert [entrant.name for entrant in result.entrants] == ["sagan", "stargan"]
    assert messages == [f"measuring {run}" for run in runs]
    assert any(set(column.cells) == {"sagan", "stargan"} for column in result.columns)
    assert "zoogan.compare" in (tmp_path / "compare.md").read_text()
