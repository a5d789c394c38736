"""Exported graphs compute what the editor computes, at every batch, and their run.py needs no torch."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor

import zoogan
from support.pictures import save_picture
from support.untrained_runs import build_untrained_run
from zoogan.cli import main
from zoogan.editors import Direction, SynthesisEditor
from zoogan.editors.directions import MoveSolver, solve_move
from zoogan.errors import ConfigError
from zoogan.interfaces import Graph, Pipelines, is_exporting
from zoogan.runs.loaded import LoadedRun
from zoogan.testing.editors import KnownEditor
from zoogan.testing.tensors import make_faces
from zoogan.workflows import export_graphs as exporting
from zoogan.workflows.export_graphs import export_graph, measure_parity, trace_graph

pytest.importorskip("onnxruntime")
STYLE = {"style_dim": 8, "max_width": 8}
SMALL: dict[str, dict[str, Any]] = {
    "sagan": {"generator": {"blocks": 1}},
    "stargan": {"generator": {"blocks": 0}},
    "stylegan2": {"generator": STYLE, "mapping": {"style_dim": 8, "layers": 1}},
    "sd-gan": {  # its judge, which would tell where heads are, is the parser of SMILE
        "data": {"attributes": ["Eyeglasses"]},
        "fusion": {"geometry": False},
        "compositor": {"placement": "fixed"},
        "stages": {"geometry": {"use": "none"}},
    },
}
# Graphs of each method that share no code with those of a method above; SaGAN and StyleGAN2 are exported whole.
TRACED = {
    "stargan": ("generator",),
    "stargan-v2": ("style_encoder", "generator"),
    "semantic-stylegan": ("generator",),
    "smile": ("parser", "style", "layout_generator", "region_encoder", "generator"),
    "sd-gan": ("move",),
    "sd-gan-joint": ("generator",),
}
BLOCKED = """
import runpy, sys
del sys.argv[0]
sys.modules.update(torch=None, zoogan=None)
runpy.run_path(sys.argv[0], run_name="__main__")
"""


@pytest.fixture(scope="module", autouse=True)
def read_operators_once() -> Iterator[None]:
    """Let torch's exporter read its 500 operators once and not for every graph."""
    from torch.onnx._internal.exporter._registration import ONNXRegistry

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(ONNXRegistry, "from_torchlib", staticmethod(cache(ONNXRegistry.from_torchlib)))
        yield


@cache
def make_run(method: str) -> LoadedRun:
    return build_untrained_run(method, None, SMALL.get(method, {}))


@pytest.fixture(scope="module")
def sagan_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoogan.export_graphs(make_run("sagan"), tmp_path_factory.mktemp("sagan") / "export")


@pytest.fixture(scope="module")
def stylegan2_export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return zoogan.export_graphs(make_run("stylegan2"), tmp_path_factory.mktemp("stylegan2") / "export")


def run_script(export: Path, out: Path, *options: str) -> np.ndarray:
    """Run run.py where neither torch nor zoogan can be imported; returns the picture that it writes."""
    command = [sys.executable, "-I", "-c", BLOCKED, str(export / "run.py"), *options, "--out", str(out)]
    subprocess.run(command, check=True, cwd=out.parent, capture_output=True, text=True)
    return np.asarray(Image.open(out).convert("RGB")).astype(int)


def to_pixels(image: Tensor) -> np.ndarray:
    return np.asarray(zoogan.Edit(image).pil()).astype(int)


def run_pipeline(pipelines: Pipelines, task: str, **values: Tensor) -> dict[str, Tensor]:
    """Run a task in torch."""
    graphs = {graph.name: graph for graph in pipelines.graphs}
    for call in pipelines.tasks[task]:
        graph = graphs[call.graph]
        with torch.no_grad():
            results = graph.run(*(values[call.inputs.get(name, name)] for name in graph.inputs))
        values |= dict(zip(graph.outputs, results, strict=True))
    return values


# ---- whole exports ----


def test_exported_script_edits_as_the_run_does(sagan_export: Path, tmp_path: Path) -> None:
    save_picture(tmp_path / "me.png", size=(48, 40))
    edited = run_script(sagan_export, tmp_path / "out.png", str(tmp_path / "me.png"), "--set", "Eyeglasses=1")
    run = make_run("sagan")
    expected = to_pixels(run.edit(tmp_path / "me.png", Eyeglasses=1).image)
    other = to_pixels(run.edit(tmp_path / "me.png", Eyeglasses=0).image)
    assert np.abs(edited - expected).max() <= 1 < np.abs(other - expected).max()


def test_exported_script_makes_a_face(stylegan2_export: Path, tmp_path: Path) -> None:
    face = run_script(stylegan2_export, tmp_path / "out.png", "--seed", "3", "--truncation", "0.5")
    editor = make_run("stylegan2").synthesis_editor
    latent = torch.from_numpy(np.random.default_rng(3).standard_normal((1, editor.mapping.latent_dim), np.float32))
    latents = editor.generator.repeat_latent(editor.mean_latent.lerp(editor.mapping(latent), 0.5))
    assert np.abs(face - to_pixels(editor.synthesise(latents).image)).max() <= 1


def test_export_holds_graphs_and_facts(sagan_export: Path) -> None:
    about = json.loads((sagan_export / "pipeline.json").read_text())
    files = {f"{name}.{suffix}" for name in ("labels", "target", "generator") for suffix in ("onnx", "pt2")}
    assert {path.name for path in sagan_export.iterdir()} == files | {"pipeline.json", "run.py"}
    assert about["attributes"] == ["Eyeglasses"] and about["licence"] == "apache-2.0"
    assert about["image"] == {"size": 16, "channels": 3, "range": [-1, 1], "crop": make_run("sagan").facts.crop}
    assert about["graphs"]["generator"]["inputs"]["image"] == {"shape": ["batch", 3, 16, 16], "dtype": "float32"}
    for graph in about["graphs"].values():
        assert set(graph["parity"]) == {"1", "2", "3"} and max(graph["parity"].values()) <= 1e-4
    program = torch.export.load(sagan_export / "generator.pt2").module()
    face, labels = make_faces(0, 3, 16), torch.ones(3, 1)
    edited = make_run("sagan").editor.apply(face, {"attributes": labels}).image
    assert torch.allclose(program(face, labels)[0], edited, atol=1e-5)


# ---- the graphs of every method ----


@pytest.mark.parametrize("method", TRACED)
def test_graphs_take_a_batch_of_any_size(method: str) -> None:
    run = make_run(method)
    graphs = {graph.name: graph for graph in run.editor.make_graphs(run.facts).graphs}
    for name in TRACED[method]:
        parity = measure_parity(graphs[name], [trace_graph(graphs[name]).module()])
        assert set(parity) == {"1", "2", "3"}


def test_pipeline_of_smile_edits_as_the_editor_does() -> None:
    run, face = make_run("smile"), make_faces(0, 2, 32)
    editor: Any = run.editor
    pipelines = editor.make_graphs(run.facts)
    noise = editor.painter.networks["mapping"].latent_dim
    requested = torch.full((2, len(run.attributes)), torch.nan)
    requested[:, run.attributes.index("Eyeglasses")] = 1
    values = run_pipeline(
        pipelines, "edit", image=face, requested=requested, latent=editor.layouts.draw_latents([0, 0], 2),
        code_latent=torch.randn(2, noise), truncation=torch.ones(2), swapped=torch.zeros(2, len(editor.parts)),
    )  # fmt: skip
    edit = editor.apply(face, editor.resolve(editor.condition.parse({"Eyeglasses": 1}), face), seed=0)
    assert torch.equal(values["edited_layout"].argmax(1), edit.segmentation)
    own = editor.painter.read_codes(face, values["layout"])
    assert torch.allclose(values["own_codes"][own.present], edit.extras["codes"][own.present], atol=1e-5)


def test_move_graph_of_sd_gan_adds_offset_and_step() -> None:
    run = make_run("sd-gan")
    editor: Any = run.editor
    with torch.no_grad():
        editor.fusion.last.weight.normal_(std=0.05, generator=torch.Generator().manual_seed(0))
    face = editor.synthesise(editor.draw_latents([1, 2]))
    latents = face.extras["latents"]
    pipelines = editor.make_graphs(run.facts)
    requested = torch.tensor([[0.5], [0.5]])
    graph = next(graph for graph in pipelines.graphs if graph.name == "move")
    with torch.no_grad():
        moved = graph.run(latents, requested)[0]
    edit = run.edit(face, Eyeglasses=0.5)
    assert torch.allclose(moved, edit.extras["latents"], atol=1e-4)
    assert float((moved - latents).abs().max()) > 0.01


def test_move_solver_agrees_with_single_requests() -> None:
    draw = torch.Generator().manual_seed(0)
    normals = torch.nn.functional.normalize(torch.randn(3, 8, generator=draw, dtype=torch.float64), dim=1)
    directions = [Direction(one, 0.1 * k, one, (-1.0, 1.0 + k)) for k, one in enumerate(normals)]
    latents, solve = torch.randn(4, 2, 8, generator=draw), MoveSolver(directions)
    for chosen in ([0], [2, 1], [0, 1, 2], []):
        requested = torch.full((4, 3), torch.nan)
        requested[:, chosen] = 0.75
        expected = solve_move([directions[k] for k in chosen], [0.75] * len(chosen), latents) if chosen else 0.0
        assert torch.allclose(solve(latents, requested), torch.zeros(4, 8) + expected, atol=1e-5)


# ---- what cannot be exported ----


def test_fixed_batch_and_wrong_results_are_refused(tmp_path: Path) -> None:
    rows = torch.arange(6.0).view(2, 3)
    fixed = Graph("fixed", lambda x: x + torch.zeros(len(x), 3), {"x": rows}, ("y",))
    with pytest.raises(ConfigError, match=r"graph fixed cannot be exported with a batch of any size.*constant"):
        export_graph(fixed, tmp_path)
    wrong = Graph("wrong", lambda x: x + 0.001 if is_exporting() else x, {"x": rows}, ("y",))
    with pytest.raises(ConfigError, match=r"graph wrong: at batch 1 the exported file differs from torch by 1\.0e-03"):
        measure_parity(wrong, [trace_graph(wrong).module()])


def test_failed_export_writes_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(graph: Graph, folder: Path) -> dict[str, Any]:
        (folder / "generator.onnx").touch()
        raise ConfigError("graph generator: differs")

    monkeypatch.setattr(exporting, "export_graph", fail)
    with pytest.raises(ConfigError, match="differs"):
        zoogan.export_graphs(make_run("sagan"), tmp_path / "new" / "export")
    assert not list(tmp_path.iterdir())
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "file").touch()
    with pytest.raises(ConfigError, match="the folder already holds files; name an empty or new folder"):
        zoogan.export_graphs(make_run("sagan"), tmp_path / "used")


def test_what_is_missing_is_said_in_a_sentence(
    sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = make_run("sagan")
    strange = LoadedRun(run.config, run.facts, KnownEditor(["Eyeglasses"]))
    with pytest.raises(ConfigError, match=r"KnownEditor has no graphs.*make_graphs"):
        zoogan.export_graphs(strange, tmp_path / "export")
    monkeypatch.setattr(exporting, "PACKAGES", ("onnx", "no_such_package"))
    assert main(["export", str(sagan_run), "--out", str(tmp_path / "export")]) == 2
    assert "exporting needs no_such_package: pip install 'zoogan[export]'" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_synthesis_without_directions_only_samples() -> None:
    run = make_run("semantic-stylegan")
    assert isinstance(run.editor, SynthesisEditor)
    pipelines = run.editor.make_graphs(run.facts)
    assert set(pipelines.tasks) == {"sample"} and pipelines.graphs[1].outputs == ("face", "segmentation")
