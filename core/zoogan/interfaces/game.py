"""A game: which networks play, the steps of one iteration, and the terms that each step minimises."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from zoogan.interfaces.condition import Condition, Targets
from zoogan.interfaces.draws import Draws
from zoogan.interfaces.editor import Editor
from zoogan.interfaces.sharing import Shared
from zoogan.interfaces.world import World

Sample = dict[str, Tensor]
Networks = nn.ModuleDict | Mapping[str, nn.Module]


@dataclass(frozen=True)
class Clock:
    """Where training is: `iteration` counts from 0, `iterations` is the planned length."""

    iteration: int
    iterations: int


@dataclass(frozen=True)
class Need:
    """A draw that a game reads: which fields of a source.

    `domain` is the face's index into the source's domains; `image2` another face of the same domain. sampler: `epochs`
    shows every face once before any comes again; `domains` draws a domain, each as often as the others, then one of its
    faces.
    """

    fields: tuple[str, ...]
    sampler: Literal["epochs", "domains"] = "epochs"


@dataclass(frozen=True)
class Turn:
    """All that a step's terms may see.

    later: steps that will play in this iteration on this same batch, and may reuse what is shared; empty when sharing
    would not pay (accumulation) or is off.
    """

    networks: Networks
    batch: Mapping[str, Sample]
    targets: Targets
    shared: Shared
    clock: Clock
    world: World
    draw: Draws
    later: frozenset[str] = frozenset()

    def eager(self, network: nn.Module) -> Callable[..., Any]:
        """The network as a plain callable: uncompiled and in full precision, for terms that differentiate twice.

        torch.compile either refuses a second derivative or, before torch 2.12, silently drops it.
        """

        def call(*args: Any, **kwargs: Any) -> Any:
            device = next(network.parameters()).device.type
            kind = device if device != "meta" else "cpu"
            with uncompiled(network), torch.autocast(kind, enabled=False):
                return network(*args, **kwargs)

        return call


@contextmanager
def uncompiled(network: nn.Module) -> Iterator[None]:
    """Inside, every part of `network` runs eagerly, even if it was compiled in place."""
    compiled = [(m, m._compiled_call_impl) for m in network.modules() if m._compiled_call_impl is not None]
    for module, _ in compiled:
        module._compiled_call_impl = None
    try:
        yield
    finally:
        for module, call in compiled:
            module._compiled_call_impl = call


@dataclass(frozen=True)
class Step:
    """A kind of optimiser update of one group of networks.

    Args:
        name: unique in the game; the prefix of its terms in metrics.jsonl.
        trains: networks that it updates. The trainer sets requires_grad exactly on these.
        terms: raw, 0-d terms by name.
        weights: the weight of each term, the same keys; a pure function of the clock, so that resume is right.
        every, at: it plays in iterations with iteration % every == at.
        repeat: updates in a row. fresh_batch: each of its updates reads a new batch.
        keeps_graph_of: networks not stepped here whose graph a later step reuses through `turn.shared`.
        lazy: a regulariser that plays between the updates of another step, in full precision. The optimizers of what
            it trains take 1 + 1 / every times as many updates, so the trainer corrects them for it (StyleGAN2,
            appendix B).
    """

    name: str
    trains: tuple[str, ...]
    terms: Callable[[Turn], Mapping[str, Tensor]]
    weights: Callable[[Clock], Mapping[str, float]]
    every: int = 1
    at: int = 0
    repeat: int = 1
    fresh_batch: bool = False
    keeps_graph_of: tuple[str, ...] = ()
    lazy: bool = False

    def plays(self, iteration: int) -> bool:
        """Whether the step plays in this iteration."""
        return iteration % self.every == self.at


class Game(nn.Module, ABC):
    """Owns what is detached, which terms and which weights; the trainer owns all else. Its buffers are its state.

    needs: the draws it reads, by name. averages: networks of which a moving average is kept if the run asks for one.
    afresh: buffers that begin anew in a training that starts from another run, whose others are taken over.
    """

    needs: Mapping[str, Need]
    averages: ClassVar[tuple[str, ...]] = ("generator",)
    afresh: ClassVar[tuple[str, ...]] = ()
    condition: Condition

    @property
    @abstractmethod
    def steps(self) -> tuple[Step, ...]:
        """The steps of one iteration, in order."""

    @abstractmethod
    def targets(self, batch: Mapping[str, Sample], draw: Draws) -> Targets:
        """The targets of a batch; every tensor has one row a sample. Drawn once, when the batch is read."""

    @abstractmethod
    def editor(self, networks: Networks, *, attributes: tuple[str, ...]) -> Editor:
        """The networks as an editor."""

    def observe(self) -> Mapping[str, Tensor]:
        """0-d figures of the last generator step, worth logging beside the terms (mask area, ...)."""
        return {}

    def notes(self) -> Sequence[str]:
        """What a person should know of this composition before it trains: nothing is wrong, but perhaps not meant."""
        return ()

    def advise(self, figures: Mapping[str, float], images: int, iteration: int) -> str | None:
        """A warning for the person who waits, from figures just read after so many training images and iterations, or
        None. It is asked at every reading, in order."""
        return None

    def after(self, clock: Clock) -> None:
        """Update the game's own buffers at the end of an iteration."""
        return None
