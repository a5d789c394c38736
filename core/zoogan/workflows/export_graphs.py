"""Exports the editor of a run as ONNX and .pt2 files, which need neither zoogan nor, as ONNX, torch."""

from __future__ import annotations

import importlib.util
import io
import json
import logging
import math
import shutil
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, redirect_stdout
from importlib import resources
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from zoogan.errors import ConfigError
from zoogan.files import replace_folder
from zoogan.interfaces import Graph, Pipelines
from zoogan.plugins.gallery import check_outside_gallery
from zoogan.runs.licence import describe_licence
from zoogan.runs.loaded import LoadedRun
from zoogan.runs.locations import explain_occupied_folder
from zoogan.runs.opening import load

FORMAT = 1
PACKAGES = ("onnx", "onnxscript", "onnxruntime")  # the extra `export`
BATCHES = (1, 2, 3)  # an exporter that fixed the batch says success all the same
MAX_ERROR = 1e-4
QUIETED = ("torch.onnx", "torch.export", "torch.__trace", "onnxscript", "onnx_ir")  # loggers
SCRIPT = "exported_run.py"  # beside this file; copied as run.py


class _Function(nn.Module):
    """A graph as a module, which torch.export wants. The weights that it uses become constants."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph

    def forward(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the results."""
        return self.graph.run(*inputs)


def export_graphs(
    run: str | Path | LoadedRun,
    out: str | Path,
    *,
    checkpoint: int | str | None = None,
    notify: Callable[[str], None] = lambda line: None,
) -> Path:
    """Export the editor of a run: each of its graphs as ONNX and .pt2, `pipeline.json` and a `run.py` without torch.

    Every ONNX file is run at batches of 1, 2 and 3 before the folder is written.

    Args:
        run: The run, or what `zoogan.load` opens.
        out: The folder to write; it must be empty or missing.
        checkpoint: Which checkpoint of a run that is named; None = the final model.
        notify: Gets a line for each graph.

    Returns:
        The folder that was written.

    Raises:
        ConfigError: A package is missing, the run cannot be opened or its editor has no graphs, the folder is in use,
            or a graph computes something else than torch does.
    """
    if missing := [name for name in PACKAGES if importlib.util.find_spec(name) is None]:
        raise ConfigError(f"exporting needs {', '.join(missing)}: pip install 'zoogan[export]'")
    folder = Path(out).expanduser()
    check_outside_gallery(folder, f"out: {out}")
    if reason := explain_occupied_folder(folder):
        raise ConfigError(f"out: {out}: {reason}; name an empty or new folder")
    loaded = run if isinstance(run, LoadedRun) else load(run, checkpoint=checkpoint)
    if loaded.device.type != "cpu":
        raise ConfigError(f"run: it is on {loaded.device}; open it with device='cpu' to export it")
    try:
        pipelines = loaded.editor.make_graphs(loaded.facts)
    except ValueError as error:
        raise ConfigError(str(error)) from error
    with replace_folder(folder) as draft:
        graphs = {}
        for graph in pipelines.graphs:
            graphs[graph.name] = export_graph(graph, draft)
            worst = max(graphs[graph.name]["parity"].values())
            notify(f"{graph.name}: {', '.join(graph.inputs)} -> {', '.join(graph.outputs)} (error {worst:.1e})")
        about = describe_export(loaded, pipelines, graphs)
        (draft / "pipeline.json").write_text(json.dumps(about, indent=1) + "\n", encoding="utf-8")
        with resources.as_file(resources.files(__package__) / SCRIPT) as script:
            shutil.copyfile(script, draft / "run.py")
    return folder


def export_graph(graph: Graph, folder: Path) -> dict[str, Any]:
    """Write a graph as NAME.onnx and NAME.pt2, and check both.

    Args:
        graph: The graph.
        folder: Where the files go.

    Returns:
        Its part of pipeline.json.

    Raises:
        ConfigError: It cannot be exported with a batch of any size, or its results differ from torch's.
    """
    program = trace_graph(graph)
    with quiet_exporter(), refuse_failures(graph):
        onnx = torch.onnx.export(
            program, (), dynamo=True, verbose=False, input_names=[*graph.inputs], output_names=[*graph.outputs]
        )
        assert onnx is not None
        onnx.save(folder / f"{graph.name}.onnx")
        torch.export.save(program, folder / f"{graph.name}.pt2")
    parity = measure_parity(graph, [open_onnx(folder / f"{graph.name}.onnx"), program.module()])
    with torch.no_grad():
        outputs = dict(zip(graph.outputs, graph.run(*graph.inputs.values()), strict=True))
    return {
        "onnx": f"{graph.name}.onnx",
        "pt2": f"{graph.name}.pt2",
        "inputs": describe_tensors(graph.inputs),
        "outputs": describe_tensors(outputs),
        "parity": parity,
    }


def trace_graph(graph: Graph) -> torch.export.ExportedProgram:
    """Make the program of a graph, for a batch of any size.

    Args:
        graph: The graph.

    Raises:
        ConfigError: It fixes the size of the batch, or does what no program can hold.
    """
    inputs, batch = tuple(graph.inputs.values()), torch.export.Dim("batch", min=1)
    with torch.no_grad(), quiet_exporter(), refuse_failures(graph):
        graph.run(*inputs)  # first, since editors compute some constants when they are first needed
        sizes = tuple({0: batch} for _ in inputs)
        return torch.export.export(_Function(graph).eval(), inputs, dynamic_shapes=(sizes,))


@contextmanager
def refuse_failures(graph: Graph) -> Iterator[None]:
    """Turn what the exporters raise, exceptions of many kinds, into one sentence."""
    try:
        yield
    except Exception as error:
        raise ConfigError(
            f"graph {graph.name} cannot be exported with a batch of any size: {find_reason(error)}; nothing was written"
        ) from error


def find_reason(error: Exception) -> str:
    """Find the line of an exporter's long message that says what is wrong."""
    lines = [line.strip(" -") for line in str(error).splitlines() if line.strip()]
    marks = ("No ONNX function", "specialized", "Unsupported", "data-dependent")
    return next((line for mark in marks for line in lines if mark in line), lines[0] if lines else type(error).__name__)


def open_onnx(path: Path) -> Callable[..., Sequence[Tensor]]:
    """Open an ONNX file with onnxruntime, as a function of tensors."""
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.log_severity_level = 3  # errors alone
    session = onnxruntime.InferenceSession(str(path), options, providers=["CPUExecutionProvider"])
    names = [one.name for one in session.get_inputs()]

    def run(*inputs: Tensor) -> Sequence[Tensor]:
        feed = {name: tensor.numpy() for name, tensor in zip(names, inputs, strict=True)}
        return [*map(torch.from_numpy, session.run(None, feed))]

    return run


def measure_parity(graph: Graph, exported: Sequence[Callable[..., Sequence[Tensor]]]) -> dict[str, float]:
    """Measure the largest difference of exported graphs from torch, by batch.

    Args:
        graph: The graph.
        exported: What was exported of it, as functions.

    Raises:
        ConfigError: A difference is above `MAX_ERROR`, or a batch is refused.
    """
    errors = {}
    for batch in BATCHES:
        rows = [torch.cat([tensor.roll(1, 0), tensor])[:batch] for tensor in graph.inputs.values()]
        where, worst = f"graph {graph.name}: at batch {batch} the exported file", 0.0
        with torch.no_grad():
            expected = graph.run(*rows)
            for run in exported:
                try:
                    results = run(*rows)
                except Exception as error:  # of onnxruntime or torch, of many kinds
                    raise ConfigError(f"{where} fails ({error}); nothing was written") from error
                for name, want, got in zip(graph.outputs, expected, results, strict=True):
                    if want.shape != got.shape:
                        sizes = f"{tuple(got.shape)}, expected {tuple(want.shape)}"
                        raise ConfigError(f"{where} gives {name} of shape {sizes}; nothing was written")
                    difference = float((want.double() - got.double()).abs().max())
                    worst = max(worst, math.inf if math.isnan(difference) else difference)
        if worst > MAX_ERROR:
            raise ConfigError(
                f"{where} differs from torch by {worst:.1e}, more than {MAX_ERROR:g}; nothing was written"
            )
        errors[str(batch)] = worst
    return errors


def describe_tensors(tensors: Mapping[str, Tensor]) -> dict[str, dict[str, Any]]:
    """Describe tensors by name; their first size is the batch."""
    return {
        name: {"shape": ["batch", *tensor.shape[1:]], "dtype": str(tensor.dtype).removeprefix("torch.")}
        for name, tensor in tensors.items()
    }


def describe_export(run: LoadedRun, pipelines: Pipelines, graphs: Mapping[str, Any]) -> dict[str, Any]:
    """Make the content of pipeline.json.

    Args:
        run: The run.
        pipelines: Its tasks.
        graphs: What `export_graph` returned, by name.
    """
    facts, editor = run.facts, run.editor
    return {
        "format": FORMAT,
        "method": run.config.method,
        "iteration": run.iteration,
        "image": {
            "size": facts.image_size, "channels": facts.channels, "range": [-1, 1], "crop": facts.crop,
        },
        "attributes": list(editor.attributes),
        "exclusive": [list(group) for group in editor.exclusive],
        "domains": list(editor.domains),
        "parts": list(editor.parts),
        "fixed_noise": pipelines.fixed_noise,
        "truncation": pipelines.truncation,
        "tasks": {
            name: [{"graph": call.graph, "inputs": dict(call.inputs)} for call in calls]
            for name, calls in pipelines.tasks.items()
        },
        "graphs": dict(graphs),
        "max_error": MAX_ERROR,
        "licence": describe_licence(run.config),
        "versions": {name: read_version(name) for name in ("zoogan", "torch", *PACKAGES)},
    }  # fmt: skip


def read_version(package: str) -> str | None:
    """Return the version of an installed package; None for a source tree."""
    try:
        return version(package)
    except PackageNotFoundError:
        return None


@contextmanager
def quiet_exporter() -> Iterator[None]:
    """Keep the exporters from printing progress and warnings about themselves."""
    loggers = [logging.getLogger(name) for name in QUIETED]
    levels = [logger.level for logger in loggers]
    with warnings.catch_warnings(), redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        for logger in loggers:
            logger.setLevel(logging.ERROR)
        try:
            yield
        finally:
            for logger, level in zip(loggers, levels):
                logger.setLevel(level)
