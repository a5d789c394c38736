"""Joins the graphs of a parser, an editor of layouts and a painter to pipelines from photo to photo."""

from __future__ import annotations

from dataclasses import replace

import torch
from torch import Tensor
from torch.nn import functional as F

from zoogan.facts import Facts
from zoogan.interfaces import (
    Call,
    Graph,
    PartJudge,
    Pipelines,
    TrainingJudge,
    make_calls,
    make_example_faces,
    make_example_latents,
)
from zoogan.layers.layout import make_layout

RENAMED = {"generator": "layout_generator"}  # the painter has a generator too


def make_parser_graphs(parser: PartJudge, facts: Facts) -> tuple[Graph, ...]:
    """Make the graphs `parser`, from photos to probabilities of parts, and `layout`, to one-hot layouts.

    Args:
        parser: Reads parts.
        facts: Size and parts of the run's faces.

    Raises:
        ValueError: It gives no probabilities.
    """
    if not isinstance(parser, TrainingJudge):
        raise ValueError(f"{type(parser).__name__} gives no probabilities of parts, so this run cannot be exported")
    image, judge, size = make_example_faces(facts), parser, (facts.image_size, facts.image_size)

    def read_parts(image: Tensor) -> Tensor:
        probability = judge.read_part_probabilities(image)
        assert probability is not None  # the editor checks that it has parts
        return probability

    def make(probability: Tensor) -> Tensor:
        layout = make_layout(probability.argmax(1), len(facts.parts))
        return layout if layout.shape[2:] == size else F.interpolate(layout, size)

    with torch.no_grad():
        probability = make_example_latents(*read_parts(image).shape[1:])
    return (
        Graph("parser", read_parts, {"image": image}, ("probability",)),
        Graph("layout", make, {"probability": probability}, ("layout",)),
    )


def join_photo_layout_graphs(
    painter: Pipelines, layouts: Pipelines, parser: tuple[Graph, ...] | None, truncation: float
) -> Pipelines:
    """Join graphs to pipelines that parse a photo, edit its layout and paint it.

    Args:
        painter: Graphs of a `RegionEditor`.
        layouts: Graphs of a `LayoutEditor`.
        parser: Graphs that read photos, which replace those of the same name; None = layouts are given.
        truncation: How far drawn codes are from their mean, 0 to 1.
    """
    edited = tuple(replace(graph, name=RENAMED.get(graph.name, graph.name)) for graph in layouts.graphs)
    graphs = {graph.name: graph for graph in (*edited, *painter.graphs, *(parser or ()))}
    reads_codes = "region_encoder" in graphs
    paint = make_calls("mapping", *(["region_encoder"] if reads_codes else []))
    codes = {"codes": "own_codes"} if reads_codes else {}
    paint = (*paint, Call("generator", {"layout": "edited_layout"} | codes))
    read = () if parser is None else make_calls("parser", "layout")
    tasks = {}
    for name, calls in layouts.tasks.items():
        calls = tuple(replace(call, graph=RENAMED.get(call.graph, call.graph)) for call in calls)
        if parser is not None and calls[0].graph == "drive":  # parses the other photo first, then the one to edit
            graphs["drive"] = read_drive(graphs["drive"], graphs["layout"])
            other = (Call("parser", {"image": "drive"}), Call("drive", {"drive": "probability"}))
            tasks[name] = (*other, *read, *calls[1:], *paint)
        else:
            tasks[name] = (*read, *calls, *paint)
    return Pipelines(
        tuple(graphs.values()), tasks | {"sample": painter.tasks["sample"]}, painter.fixed_noise, truncation
    )


def read_drive(drive: Graph, layout: Graph) -> Graph:
    """Return the graph `drive` for the probabilities of parts, instead of a layout."""

    def encode(probability: Tensor) -> tuple[Tensor, ...]:
        return drive.run(*layout.run(probability))

    return replace(drive, function=encode, inputs={"drive": layout.inputs["probability"]})
