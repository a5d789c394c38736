"""The trainer: the training loop of every game.

Only the trainer decides device, precision, backward, gradient reduction, optimizers, moving averages and their order.

Networks are never wrapped in DistributedDataParallel: it fails on steps that compute only a penalty or leave shortcuts
unused, and does not reduce the gradients of second derivatives. Instead each update averages its gradients over
processes once.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor, nn

from zoogan.composition.build import Composition
from zoogan.composition.freezing import find_frozen
from zoogan.composition.rehearsal import check_terms
from zoogan.config.changes import TrainingSetup
from zoogan.config.registry import Registry
from zoogan.errors import NotFinite
from zoogan.files import copy_to_cpu
from zoogan.interfaces import Clock, Draws, Shared, Step, SynchronisedLayer, Turn, World
from zoogan.interfaces.draws import derive_seed
from zoogan.layers.norm import convert_batch_norms
from zoogan.runs.checkpoints import TrainingState, read_optimizer_state, restore_optimizer_state
from zoogan.training.averages import Average, make_decay
from zoogan.training.optimizers import correct_for_lazy_steps, supports_found_inf

Batch = Mapping[str, dict[str, Tensor]]


class Trainer:
    """Trains the networks of a composition: runs the steps of its game on batches.

    Args:
        composition: its networks are moved to the accelerator's device.
        registry: builds optimizers and schedules.
        accelerator: device and precision.
        batches: batches of this process's rows (batch * accumulate of them), images in [-1, 1], on the device.
        sharing: False recomputes the tensors that steps could share; the result is the same, which conformance checks.
        injected: random draws by name, for golden cases.
    """

    def __init__(
        self,
        composition: Composition,
        registry: Registry,
        accelerator: Accelerator,
        batches: Iterator[Batch],
        *,
        sharing: bool = True,
        injected: Mapping[str, Tensor] | None = None,
    ) -> None:
        self.config, self.accelerator, self.batches = composition.config, accelerator, batches
        self.training = self.config.training
        self.world, self.device = World(), accelerator.device
        self.layout = torch.channels_last if self.training.channels_last else torch.contiguous_format
        self.dtype = torch.float64 if self.training.precision == "fp64" else torch.float32
        self.networks = composition.networks.to(self.device, self.dtype).to(memory_format=self.layout).train()
        self.game = composition.game.to(self.device)
        if self.world.size > 1:
            for network in self.networks.values():
                for layer in convert_batch_norms(network).modules():
                    if isinstance(layer, SynchronisedLayer):
                        layer.world = self.world
        self.frozen, still = find_frozen(self.training, self.game, self.networks)
        optimizers: Any = dict(self.config)["optimizers"]  # one field a network, declared by the game's config
        self.optimizers: dict[str, Any] = {
            name: correct_for_lazy_steps(
                registry.build("optimizer", getattr(optimizers, name))(
                    self.frozen.list_trainable(name) or network.parameters()
                ),
                name,
                self.game.steps,
            )
            for name, network in self.networks.items()
        }
        self.schedules = {
            name: registry.build("schedule", getattr(optimizers, name).schedule) for name in self.networks
        }
        self.averages: dict[str, Average] = {}
        self.rows = self.config.data.batch * self.training.accumulate
        decay = make_decay(self.training, self.rows * self.world.size)
        if decay is not None:
            self.averages = {
                name: Average(
                    self.networks[name], decay, self.frozen.list_frozen_names(name) | still.list_frozen_names(name)
                )
                for name in self.game.averages
            }
        if self.training.compile:
            self.compile_networks()
        self.shared = Shared(enabled=sharing)
        self.injected = injected
        self.iteration = self.position = 0
        self.updates = 0  # that this iteration has completed
        self.uses_batch = False  # whether an update of this iteration has begun on the current batch
        self.is_whole = True  # the state is that between two updates, so that a resume can go on from it
        self.earlier_records: dict[str, int] = {}
        self.buffers = self.list_buffers() if self.world.size == 1 else []
        self.earlier_buffers = [buffer.clone() for buffer in self.buffers]  # as they were before the current update
        self.batch: Batch | None = None
        self.terms: dict[str, TermLog] = {step.name: TermLog() for step in self.game.steps}

    def compile_networks(self) -> None:
        """Compile the networks in place; penalties avoid the compiled code through `turn.make_eager`."""
        networks: list[Any] = list(self.networks.values())
        for network in networks:
            for module in network.list_compiled_modules():
                module.compile()

    # ---- one iteration ----

    def iterate(self) -> None:
        """Run every step of the game that is due, then update the averages and the game's own state."""
        self.batch = None
        clock = Clock(self.iteration, self.training.iterations)
        due = [step for step in self.game.steps if step.is_due(self.iteration)]
        resumed, place_of_update = self.updates, 0
        for place, step in enumerate(due):
            for repeat in range(step.repeat):
                place_of_update += 1
                if place_of_update <= resumed:
                    continue
                if self.batch is None or step.fresh_batch:
                    self.fetch_batch()
                last = repeat == step.repeat - 1
                later = frozenset(after.name for after in due[place + 1 :] if last and not after.fresh_batch)
                self.update(step, repeat, clock, later)
                self.updates += 1
                self.is_whole = True
        self.is_whole = False
        applied = self.get_applied_flag()
        for name, average in self.averages.items():
            average.update(self.networks[name], self.iteration, applied)
        self.game.end_iteration(clock)
        self.iteration += 1
        self.updates, self.uses_batch = 0, False
        self.is_whole = True

    def fetch_batch(self) -> None:
        """Read the next batch and draw its targets."""
        self.uses_batch = False
        self.batch = {draw: self.convert_sample(sample) for draw, sample in next(self.batches).items()}
        draw = Draws(
            derive_seed(self.training.seed, "targets", self.position), self.world, self.rows, slice(None), self.injected
        )
        self.targets = self.game.draw_targets(self.batch, draw)
        self.position += self.rows * self.world.size
        self.shared.clear()

    def convert_sample(self, sample: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Convert a sample to the networks' precision and memory layout."""
        rows = {field: x.to(self.dtype) if x.is_floating_point() else x for field, x in sample.items()}
        return {field: x.contiguous(memory_format=self.layout) if x.dim() == 4 else x for field, x in rows.items()}

    def update(self, step: Step, repeat: int, clock: Clock, later: frozenset[str]) -> None:
        """Update the networks of a step once: forward and backward of each micro-batch, reduction, guard, optimizers.

        Args:
            step: of the game.
            repeat: number of earlier updates of this step in this iteration.
            clock: of this iteration.
            later: the steps of this iteration that still follow on the same batch.
        """
        self.uses_batch = True
        if self.buffers:
            torch._foreach_copy_(self.earlier_buffers, self.buffers)
        self.earlier_records = {name: len(values) for name, values in self.game.get_records().items()}
        parameters = [p for name in step.trains for p in self.frozen.list_trainable(name)]
        for p in parameters:
            p.grad = None
        count = self.training.accumulate
        reuse = later if count == 1 and self.shared.enabled else frozenset()
        log = self.terms[step.name]
        with self.enable_gradients(step, graph=bool(reuse)):
            for k in range(count):
                micro_batch = slice(k * self.rows // count, (k + 1) * self.rows // count)
                turn = self.make_turn(step, repeat, clock, micro_batch, reuse)
                with nullcontext() if step.lazy else self.accelerator.autocast():
                    terms = step.terms(turn)
                weights = step.weights(clock)
                check_terms(step, terms, weights)
                total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
                (total / count).backward()
                log.add(terms, total)
                if count > 1:
                    self.shared.clear()
        self.world.average_gradients(parameters)
        log.guard(parameters, self.world)
        # On CUDA the host need not wait if every optimizer skips its update where the flag is set.
        flagged = self.device.type == "cuda" and all(supports_found_inf(self.optimizers[name]) for name in step.trains)
        if not flagged and log.failed is not None and bool(log.failed):
            raise NotFinite(self.describe_failure())
        self.is_whole = False
        for name in step.trains:
            optimizer = self.optimizers[name]
            for group in optimizer.param_groups:
                group["lr"] = optimizer.defaults["lr"] * self.schedules[name](clock)
            if flagged:
                optimizer.grad_scale, optimizer.found_inf = None, log.failed
            optimizer.step()
        self.shared.drop_values_of(step.trains)

    def make_turn(self, step: Step, repeat: int, clock: Clock, micro_batch: slice, later: frozenset[str]) -> Turn:
        """Make the turn of one micro-batch, which the step's terms read."""
        assert self.batch is not None
        seed = derive_seed(self.training.seed, self.iteration, step.name, repeat)
        batch = {
            draw: {field: rows[micro_batch] for field, rows in sample.items()} for draw, sample in self.batch.items()
        }
        targets = {name: rows[micro_batch] for name, rows in self.targets.items()}
        draw = Draws(seed, self.world, self.rows, micro_batch, self.injected)
        return Turn(self.networks, batch, targets, self.shared, clock, self.world, draw, later)

    def enable_gradients(self, step: Step, graph: bool) -> AbstractContextManager[None]:
        """Make a context in which only the networks that the step trains require gradients, without their frozen parts.

        Args:
            step: of the game.
            graph: whether also the networks whose graph a later step reuses require gradients.
        """
        return self.frozen.enable_gradients({*step.trains, *(step.keeps_graph_of if graph else ())})

    # ---- the guard ----

    def get_applied_flag(self) -> Tensor | None:
        """Get 0-d 1.0 while everything was finite, else 0.0; None where the host has checked it already."""
        if self.device.type != "cuda":
            return None
        failed = [log.failed for log in self.terms.values() if log.failed is not None]
        return 1 - torch.stack(failed).max() if failed else None

    def describe_failure(self) -> str:
        """Name the steps and terms that were not finite."""
        failed = [f"{step}: {', '.join(log.list_failed())}" for step, log in self.terms.items() if log.list_failed()]
        return f"not finite by iteration {self.iteration}: {'; '.join(failed)}. This update was not applied"

    def check_finite(self) -> None:
        """Wait for the device and check that everything was finite.

        Raises:
            NotFinite: A term or a gradient was not.
        """
        if any(log.list_failed() for log in self.terms.values()):
            raise NotFinite(self.describe_failure())

    def read_terms(self) -> dict[str, float]:
        """Read the mean of every term since the last reading, over all processes, and the game's figures.

        Returns:
            Values named `step/term`, or as the game names its figures.

        Raises:
            NotFinite: A term or a gradient was not finite since the last reading.
        """
        self.check_finite()
        figures = self.game.collect_figures()
        names = [f"{step}/{name}" for step, log in self.terms.items() for name in log.names]
        values = [log.sums[name] / log.counts[name] for log in self.terms.values() for name in log.names]
        values += [value.float() for value in figures.values()]
        for log in self.terms.values():
            log.reset()
        if not values:
            return {}
        joint = self.world.reduce_mean(torch.stack([value.detach() for value in values])).tolist()
        return dict(zip([*names, *figures], joint))

    # ---- state ----

    def list_buffers(self) -> list[Tensor]:
        """List the buffers of the networks and the game, which a forward pass may change."""
        return [buffer for module in (*self.networks.values(), self.game) for buffer in module.buffers()]

    @torch.no_grad()
    def undo_update(self) -> bool:
        """Undo what an update that raised an error has changed.

        Until its optimizers begin, an update changes only buffers, such as the statistics of BatchNorm, and what the
        game records for the end of the iteration.

        Returns:
            Whether the state is now that after the last complete update. It is not if the optimizers had begun, if a
            buffer was replaced by another tensor, or with several processes.
        """
        buffers = self.list_buffers()
        if not self.is_whole or [*map(id, buffers)] != [*map(id, self.buffers)]:
            return False
        if self.uses_batch and buffers:
            torch._foreach_copy_(buffers, self.earlier_buffers)
        for name, values in self.game.get_records().items() if self.uses_batch else ():
            del values[self.earlier_records.get(name, 0) :]
        return True

    def get_state(self) -> TrainingState:
        """Get everything that a resume needs, copied to the CPU.

        Inside an iteration, see `undo_update`, that is the state after its last complete update; the resume reads the
        current batch again.
        """
        return TrainingState(
            iteration=self.iteration,
            position=self.position - (self.rows * self.world.size if self.uses_batch else 0),
            updates=self.updates,
            game=copy_to_cpu(self.game.state_dict()),
            networks={name: copy_to_cpu(network.state_dict()) for name, network in self.networks.items()},
            averages={name: copy_to_cpu(average.network.state_dict()) for name, average in self.averages.items()},
            optimizers={name: read_optimizer_state(self.networks[name], o) for name, o in self.optimizers.items()},
            records={
                f"{name}/{place}": value.detach().cpu()
                for name, values in self.game.get_records().items()
                for place, value in enumerate(values)
            },
            setup=TrainingSetup(self.config.model_dump(mode="json"), self.world.size),
        )

    def count_state_bytes(self) -> int:
        """Count the bytes of a state: of the networks, their averages and the optimizers."""
        modules = [*self.networks.values(), *(average.network for average in self.averages.values()), self.game]
        tensors = [tensor for module in modules for tensor in module.state_dict().values()]
        tensors += [x for o in self.optimizers.values() for s in o.state.values() for x in s.values()]
        return sum(x.numel() * x.element_size() for x in tensors if isinstance(x, Tensor))

    def restore(self, state: TrainingState) -> None:
        """Restore a state. The caller starts the batches at `state.position`."""
        self.iteration, self.position, self.updates = state.iteration, state.position, state.updates
        self.game.load_state_dict(state.game)
        for key in sorted(state.records, key=lambda key: int(key.rpartition("/")[2])):
            self.game.get_records().setdefault(key.rpartition("/")[0], []).append(state.records[key].to(self.device))
        for name, network in self.networks.items():
            network.load_state_dict(state.networks[name])
            restore_optimizer_state(network, self.optimizers[name], state.optimizers[name])
        for name, average in self.averages.items():
            average.network.load_state_dict(state.averages.get(name, state.networks[name]))

    def get_model_networks(self) -> dict[str, nn.Module]:
        """Get the networks to use after training: moving averages where there are any."""
        return {
            name: self.averages[name].network if name in self.averages else network
            for name, network in self.networks.items()
        }


class TermLog:
    """Running sums of one step's terms, and latched flags of terms that were not finite, all on the device.

    Attributes:
        sums: of every term since the last reset.
        counts: micro-batches in each sum.
        failed: 0-d, 1.0 if anything was not finite on any process; None before the first update.
    """

    def __init__(self) -> None:
        self.reset()
        self.failed: Tensor | None = None
        self._bad: dict[str, Tensor] = {}

    def reset(self) -> None:
        """Reset the sums; flags stay set."""
        self.sums: dict[str, Tensor] = {}
        self.counts: dict[str, int] = {}

    @property
    def names(self) -> list[str]:
        """The terms that were computed since the last reset."""
        return list(self.sums)

    @torch.no_grad()
    def add(self, terms: Mapping[str, Tensor], total: Tensor) -> None:
        """Add the terms of one micro-batch."""
        for name, term in [*terms.items(), ("total", total)]:
            value = term.detach().float()
            self.sums[name] = self.sums[name] + value if name in self.sums else value
            self.counts[name] = self.counts.get(name, 0) + 1
            self._latch(name, ~torch.isfinite(value))

    @torch.no_grad()
    def guard(self, parameters: Iterable[nn.Parameter], world: World) -> None:
        """Latch `failed` (0-d, 0.0 or 1.0) on a term or a reduced gradient that is not finite, on any process."""
        gradients = [p.grad for p in parameters if p.grad is not None]
        if gradients:
            norms = torch.stack(torch._foreach_norm(gradients))
            self._latch("gradient", ~torch.isfinite(norms).all())
        self.failed = world.reduce_max(torch.stack(list(self._bad.values())).max().float())

    def _latch(self, name: str, bad: Tensor) -> None:
        self._bad[name] = self._bad[name] | bad if name in self._bad else bad

    def list_failed(self) -> list[str]:
        """List the terms (or `gradient`) that were not finite. Waits for the device."""
        if self.failed is None or not bool(self.failed):
            return []
        names = [name for name, bad in self._bad.items() if bool(bad)]
        return names or ["another process"]
