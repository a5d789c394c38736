"""The metric `identity`: what it says of known editors, whatever the network, and what it asks for."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import timm
import torch
from safetensors.torch import save_file

from zoogan.cli import main
from zoogan.data.config import DrawnData
from zoogan.data.drawn.source import DrawnSource
from zoogan.evaluation.metric_runner import run_metrics
from zoogan.evaluation.metrics.identity import Identity, IdentityConfig, NamedNetwork
from zoogan.evaluation.study import iterate_edits, open_study
from zoogan.files import hash_file
from zoogan.interfaces import Study, Unavailable
from zoogan.testing.editors import KnownEditor, TrueRedraw

BACKBONE = "resnet10t"
ATTRIBUTES = ("Eyeglasses",)
NARROW = {"channels": [8, 8, 8, 8], "stem_width": 4}


@pytest.fixture(scope="module")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network of ten classes."""
    torch.manual_seed(0)
    path = tmp_path_factory.mktemp("weights") / f"{BACKBONE}.safetensors"
    save_file(timm.create_model(BACKBONE, num_classes=10, **NARROW).state_dict(), path)
    return path


@pytest.fixture
def study(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Study:
    monkeypatch.setenv("ZOOGAN_CACHE", str(tmp_path))
    return open_study(DrawnSource(DrawnData(image_size=24, attributes=ATTRIBUTES, faces=16, held_out=12)), "drawn")


def config(file: Path, /, **changes: Any) -> IdentityConfig:
    return IdentityConfig(**({"backbone": BACKBONE, "weights": file, "size": 32, "options": NARROW} | changes))


def values(metric: Identity, study: Study, change: Any = None) -> dict[str, float]:
    found = run_metrics(KnownEditor(ATTRIBUTES, change), study, {"identity": metric}, ATTRIBUTES, strict=True)
    return {measure.name: measure.statistic.compute() for _, measure in found.measures}


@pytest.mark.parametrize("head", [False, True])
def test_identity_similarity_of_equal_faces_is_one(study: Study, weights: Path, head: bool) -> None:
    metric = Identity(config(weights, head=head))
    untouched = values(metric, study)
    assert untouched["identity.similarity"] == pytest.approx(1, abs=1e-6)
    redrawn = values(metric, study, TrueRedraw(study.source, "Eyeglasses"))
    assert redrawn["identity.similarity"] == pytest.approx(redrawn["identity.truth"], abs=1e-6)
    assert redrawn["identity.truth"] == pytest.approx(untouched["identity.truth"], abs=1e-6)
    assert redrawn["identity.truth"] < 1 - 1e-5
    assert metric.network.dimensions == (10 if head else 8)


def test_identity_ignores_batching(study: Study, weights: Path) -> None:
    told = []
    for size, backwards in ((5, True), (12, False)):
        metric = Identity(config(weights))
        metric.start(study)
        batches = list(
            iterate_edits(KnownEditor(ATTRIBUTES, lambda image, target: image * 0.5), study, "Eyeglasses", size)
        )
        for edits in reversed(batches) if backwards else batches:
            metric.update(edits)
        told.append({measure.name: measure.statistic for measure in metric.compute()})
    for name, statistic in told[0].items():
        assert torch.equal(statistic.face, told[1][name].face)
        torch.testing.assert_close(statistic.numerator, told[1][name].numerator, atol=1e-6, rtol=0)


def test_identity_key_names_the_network(study: Study, weights: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ZOOGAN_METRIC_WEIGHTS", str(weights.parent))
    metric = Identity(config(weights).model_copy(update={"weights": None}))
    metric.start(study)
    for edits in iterate_edits(KnownEditor(ATTRIBUTES), study, "Eyeglasses"):
        metric.update(edits)
    measure = metric.compute()[0]
    assert measure.weights == hash_file(weights) and measure.backbone == f"timm {BACKBONE} pooled features"


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"backbone": None}, "no network is named: set identity.backbone=NAME"),
        ({"weights": Path("gone.safetensors")}, "gone.safetensors: no such file, the weights of resnet10t"),
        ({"weights": None}, "put resnet10t.safetensors into a folder named by ZOOGAN_METRIC_WEIGHTS"),
        ({"backbone": "resnet10tt"}, "timm knows no 'resnet10tt', did you mean"),
        ({"options": {}}, "does not fit timm's resnet10t"),
        ({"weights": Path(__file__)}, "not a safetensors file"),
    ],
)
def test_identity_reports_missing_settings(
    tmp_path: Path, weights: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], told: str
) -> None:
    monkeypatch.setenv("ZOOGAN_METRIC_WEIGHTS", str(tmp_path))
    with pytest.raises(Unavailable, match=told):
        NamedNetwork(config(weights, **changes), torch.device("cpu"))


@pytest.mark.slow
def test_identity_is_measured_on_request(sagan_copy: Path, weights: Path, capsys: pytest.CaptureFixture[str]) -> None:
    run = str(sagan_copy)
    asked = {
        "backbone": BACKBONE,
        "weights": weights,
        "size": 32,
        "options.channels": "8,8,8,8",
        "options.stem_width": 4,
    }
    sets = [part for name, value in asked.items() for part in ("--set", f"identity.{name}={value}")]
    assert main(["evaluate", run, "--metrics", "identity", "--device", "cpu", *sets]) == 0
    assert "identity.similarity" in capsys.readouterr().out
    assert main(["evaluate", run, "--metrics", "identity", "--device", "cpu"]) == 2
    assert "not measured: identity: no network is named" in capsys.readouterr().err
