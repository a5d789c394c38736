"""A game: which networks train together, the steps of one iteration and the terms of each step."""

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
"""Fields of a batch by name."""
Sampler = Literal["epochs", "domains", "pairs"]
"""How the faces of a stream are drawn."""
Networks = nn.ModuleDict | Mapping[str, nn.Module]
"""Networks by slot."""


@dataclass(frozen=True)
class Clock:
    """The current iteration, counted from 0, and the planned number of iterations."""

    iteration: int
    iterations: int


@dataclass(frozen=True)
class Need:
    """A stream of samples that a game reads.

    Attributes:
        fields: Fields of the source that each sample has. `domain` is the face's index into the source's domains;
            `image2` another face of the same domain. `layout` is the one-hot of the face's segmentation, `layout2` that
            of another face of the same domain.
        sampler: `epochs` reads every face once before any comes again; `domains` draws a domain, each as often as the
            others, then one of its faces; `pairs` takes the values of all attributes in turn, without and with each,
            and draws one of the faces that have it.
    """

    fields: tuple[str, ...]
    sampler: Sampler = "epochs"


@dataclass(frozen=True)
class Turn:
    """Everything that the terms of one update may read.

    Attributes:
        networks: The networks by slot.
        batch: Sample by name of the draw.
        targets: The targets of the batch.
        shared: Values that steps of this iteration reuse.
        clock: The current iteration.
        world: The processes that train together.
        draw: Random numbers of this update.
        later_steps: Steps that follow in this iteration on the same batch and may reuse shared values. Empty with
            gradient accumulation, or when sharing is off.
    """

    networks: Networks
    batch: Mapping[str, Sample]
    targets: Targets
    shared: Shared
    clock: Clock
    world: World
    draw: Draws
    later_steps: frozenset[str] = frozenset()

    def make_eager(self, network: nn.Module) -> Callable[..., Any]:
        """Return the network as a plain callable, uncompiled and in full precision, for terms that differentiate twice.

        torch.compile either refuses a second derivative or, before torch 2.12, silently drops it.
        """

        def call(*args: Any, **kwargs: Any) -> Any:
            device = next(network.parameters()).device.type
            kind = device if device != "meta" else "cpu"
            with disable_compilation(network), torch.autocast(kind, enabled=False):
                return network(*args, **kwargs)

        return call


@contextmanager
def disable_compilation(network: nn.Module) -> Iterator[None]:
    """Run every module of `network` eagerly inside this context, even if it was compiled in place."""
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
    """One kind of optimizer update of one group of networks.

    Attributes:
        name: Unique in the game; the prefix of its terms in metrics.jsonl.
        trains: Networks that it updates. The trainer sets requires_grad on exactly these.
        terms: Computes the raw 0-d terms by name.
        weights: Computes the weight of each term, with the same keys. A pure function of the clock, so that a resumed
            training has the right weights.
        every: It runs in iterations where iteration % every == at.
        at: See `every`.
        repeat: Updates in a row.
        fresh_batch: Each of its updates reads a new batch.
        keeps_graph_of: Networks not updated here whose graph a later step reuses through `turn.shared`.
        lazy: A regulariser that runs in some iterations only, in full precision. It adds 1 / every updates an iteration
            to those of the networks it trains, so the trainer corrects their optimizers (StyleGAN2, appendix B).
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

    def is_due(self, iteration: int) -> bool:
        """Return whether the step runs in this iteration."""
        return iteration % self.every == self.at


class Game(nn.Module, ABC):
    """Defines the steps of an iteration, their terms and weights, and where gradients stop; the trainer does the rest.

    Its buffers are its state.

    Attributes:
        needs: The streams that it reads, by name.
        averages: Networks of which a moving average is kept if the config sets one.
        reset_buffers: Buffers that keep their initial values when a training starts from another run; all others are
            taken over.
        condition: Draws targets and parses requests.
    """

    needs: Mapping[str, Need]
    averages: ClassVar[tuple[str, ...]] = ("generator",)
    reset_buffers: ClassVar[tuple[str, ...]] = ()
    condition: Condition

    @property
    @abstractmethod
    def steps(self) -> tuple[Step, ...]:
        """The steps of one iteration, in order."""

    @abstractmethod
    def draw_targets(self, batch: Mapping[str, Sample], draw: Draws) -> Targets:
        """Draw the targets of a batch, once, when the batch is read. Every tensor has one row a sample."""

    @abstractmethod
    def make_editor(self, networks: Networks, *, attributes: tuple[str, ...]) -> Editor:
        """Make the editor of these networks.

        Args:
            networks: The networks by slot.
            attributes: Names that requests may use, in the order of the label columns.
        """

    @property
    def training_networks(self) -> tuple[str, ...]:
        """Slots of the networks that only training reads; a run may be stored and opened without them."""
        return ()

    def collect_figures(self) -> Mapping[str, Tensor]:
        """Return 0-d figures of the last generator step that are logged beside the terms, such as the mask area."""
        return {}

    def list_warnings(self) -> Sequence[str]:
        """Return warnings that are printed before training: settings that are valid but probably unintended."""
        return ()

    def check_training(self) -> None:
        """Check that everything is there that only training reads, as stages may be stored without it.

        Raises:
            ConfigError: Something is missing. Editing works without it.
        """
        return None

    def suggest_remedy(self, figures: Mapping[str, float], images: int, iteration: int) -> str | None:
        """Return advice for the user if the training seems to go wrong, else None. Called whenever terms are logged.

        Args:
            figures: Figures that were just read, by name.
            images: Training images so far.
            iteration: Iterations so far.
        """
        return None

    def get_records(self) -> dict[str, list[Tensor]]:
        """Return what updates have recorded for `end_iteration`, by name: the lists themselves.

        Where an error ends a training inside an iteration, the trainer saves them, and fills them when it goes on.
        """
        return {}

    def end_iteration(self, clock: Clock) -> None:
        """Update the game's own buffers at the end of an iteration."""
        return None
