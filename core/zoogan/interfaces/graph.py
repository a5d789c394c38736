"""Graphs: what an editor computes, as functions of tensors alone, which run without zoogan and without torch."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from jaxtyping import Float
from torch import Tensor

from zoogan.facts import Facts

ROWS = 2
"""Rows of example inputs: an exporter takes a batch of one for a constant."""

# Branches that an exporter cannot follow ask this. Before torch 2.7 only the question about compiling exists.
is_exporting: Callable[[], bool] = getattr(torch.compiler, "is_exporting", torch.compiler.is_compiling)


@dataclass(frozen=True)
class Graph:
    """A function of tensors that can be exported.

    Attributes:
        name: Its name; that of its files.
        function: Takes the inputs in order, and returns one tensor or a tuple. It draws nothing, and no row depends on
            another.
        inputs: Example inputs by name, of two rows each. The names say what they are, see `docs/export.md`.
        outputs: Names of the results.
    """

    name: str
    function: Callable[..., Tensor | tuple[Tensor, ...]]
    inputs: Mapping[str, Tensor]
    outputs: tuple[str, ...]

    def run(self, *inputs: Tensor) -> tuple[Tensor, ...]:
        """Compute the results, always as a tuple."""
        outputs = self.function(*inputs)
        return outputs if isinstance(outputs, tuple) else (outputs,)


@dataclass(frozen=True)
class Call:
    """A graph in a pipeline.

    Attributes:
        graph: Its name.
        inputs: For inputs that take a value of another name: that name.
    """

    graph: str
    inputs: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Pipelines:
    """The graphs of an editor, and in which order each task calls them.

    An input of a call that no earlier call has computed is given by the user, or drawn.

    Attributes:
        graphs: The graphs, each once.
        tasks: The calls of each task: `edit`, `reference` (an edit in the style of another face), `sample`.
        fixed_noise: Whether the graphs hold noise maps of a generator, so that a latent always gives the same face.
        truncation: The value of the input `truncation` where the user gives none, 0 to 1.
    """

    graphs: tuple[Graph, ...]
    tasks: Mapping[str, tuple[Call, ...]]
    fixed_noise: bool = False
    truncation: float = 1.0


def make_calls(*names: str | Call) -> tuple[Call, ...]:
    """Make the calls of a task; a name alone is a call whose inputs have their own names."""
    return tuple(name if isinstance(name, Call) else Call(name) for name in names)


# ---- example inputs ----


def make_example_faces(facts: Facts) -> Float[Tensor, "2 c s s"]:
    """Make faces of noise in [-1, 1] of a run's size."""
    size = facts.image_size
    return _draw(ROWS, facts.channels, size, size).tanh()


def make_example_latents(*sizes: int) -> Float[Tensor, "2 ..."]:
    """Make rows of N(0, 1)."""
    return _draw(ROWS, *sizes)


def make_example_labels(attributes: int) -> Float[Tensor, "2 a"]:
    """Make labels, 0 or 1."""
    return (_draw(ROWS, attributes) > 0).float()


def make_example_request(attributes: int) -> Float[Tensor, "2 a"]:
    """Make requested labels: in the first row all are set to 1, in the second none is requested (NaN)."""
    return torch.stack([torch.ones(attributes), torch.full((attributes,), torch.nan)])


def make_example_layout(facts: Facts) -> Float[Tensor, "2 k s s"]:
    """Make one-hot layouts of noise, of a run's parts and size."""
    size, parts = facts.image_size, len(facts.parts)
    scores = _draw(ROWS, parts, size, size)
    return (scores == scores.amax(1, keepdim=True)).float()


def _draw(*sizes: int) -> Tensor:
    return torch.randn(*sizes, generator=torch.Generator().manual_seed(0))
