"""One training from its first iteration to its last: the loop, checkpoints, samples, measuring, the run folder."""

from __future__ import annotations

import logging
from collections.abc import Generator
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from accelerate.utils import ProjectConfiguration

from zoogan.composition.stages import FOLDER as STAGES
from zoogan.config.layers import find_cpu_recipe
from zoogan.data.loader import make_loader, move_batches
from zoogan.data.prepare import AT_ONCE, use_prepared_faces
from zoogan.editors.sample_grid import read_sample_faces, save_sample_grid
from zoogan.errors import NotFinite
from zoogan.interfaces import Clock, World
from zoogan.runs import checkpoints
from zoogan.runs.folder import TrainedLength
from zoogan.runs.locations import create_run_folder
from zoogan.terminal.progress import Display, PatientConsole
from zoogan.terminal.signals import StopSignals
from zoogan.training.advice import advise_lower_rate, describe_not_finite, explain_failure
from zoogan.training.duration import DurationTrial, describe_duration
from zoogan.training.logbook import Logbook
from zoogan.training.machine import keep_freed_memory, limit_threads, use_cuda_flags
from zoogan.training.periodic_evaluation import PeriodicEvaluation
from zoogan.training.prepare import Prepared
from zoogan.training.trainer import Trainer

log = logging.getLogger("zoogan.training")

READ_EVERY = 10  # iterations between checks for finite values on a GPU, since each check waits for the device


@dataclass(frozen=True)
class Outcome:
    """How a training ended.

    Attributes:
        reason: finished or stopped.
        iteration: the last one that was completed and saved; None if a job was stopped, or a stage after its end.
        signal: number of the signal that this process received, if any.
    """

    reason: str
    iteration: int | None
    signal: int | None = None

    @property
    def is_stopped(self) -> bool:
        """Whether a signal stopped the training before its end."""
        return self.reason == "stopped"


class Session:
    """A training that is ready for its first iteration, and its run folder.

    Args:
        prepared: made by `prepare`.
        quiet: whether to show no progress.
        numbered: the folder's name was chosen automatically; if it is taken, the next free number is used.

    Raises:
        ConfigError: The source cannot serve the game's needs, or a metric cannot be computed on these faces.
    """

    def __init__(self, prepared: Prepared, *, quiet: bool = False, numbered: bool = False) -> None:
        self.zoo, self.folder, self.source = prepared.zoo, prepared.folder, prepared.source
        self.config, self.facts = prepared.config, prepared.facts
        self.accelerator, self.world = prepared.accelerator, prepared.world
        self.is_main, self.numbered = prepared.is_main, numbered
        self.quiet = quiet or not self.is_main
        self.saved_iteration: int | None = None  # of the last checkpoint that this training wrote
        self.evaluation = PeriodicEvaluation(prepared) if self.config.training.evaluate_every else None
        batches = self.open_batches(prepared)
        self.trainer = Trainer(prepared.composition, prepared.registry, self.accelerator, batches)
        if prepared.state is not None:
            self.trainer.restore(prepared.state)
        if prepared.start is not None:
            prepared.start.load_averages(self.trainer.averages)
            for message in prepared.start.messages:
                prepared.show(message)
        self.claim_folder()

    def open_batches(self, prepared: Prepared) -> Generator[Any]:
        """Open the batches of this process, on its device, from the position at which the training continues.

        Raises:
            ConfigError: The source cannot serve the game's needs. Raised at once, before anything is written.
        """
        data, training, device = self.config.data, self.config.training, prepared.device
        start, rows = prepared.state.position if prepared.state else 0, data.batch * training.accumulate
        needs, pin = prepared.composition.game.needs, device.type == "cuda"
        reads = training.iterations * rows * self.world.size * len(needs) - start
        faces = use_prepared_faces(self.source, data, reads, watch=self.watch_preparation, show=prepared.show)
        batches = make_loader(faces, data, needs, training.seed, World(), start, rows, pin=pin)
        return move_batches(batches, device)

    def watch_preparation(self, done: int, faces: int) -> bool:
        """Show how many faces are prepared, every tenth of them. Never stops: what is stored stays after any signal."""
        if not self.quiet and done * 10 // faces > max(0, done - AT_ONCE) * 10 // faces:
            PatientConsole(highlight=False, soft_wrap=True).print(f"prepared {done}/{faces} faces", markup=False)
        return False

    def claim_folder(self) -> None:
        """Create the run folder, after all checks of the config. The main process chooses it for all processes."""
        self.world.barrier()  # no process may look at the run folder after another has begun to fill it
        path = create_run_folder(self.folder.path) if self.numbered and self.is_main else self.folder.path
        self.folder.set_path(self.world.gather_objects(path)[0])
        self.accelerator.project_configuration = ProjectConfiguration(str(self.folder.path))
        self.logbook = Logbook(self.folder.metrics, self.accelerator if self.config.training.trackers else None)

    # ---- the loop ----

    def train(self) -> Outcome:
        """Train to the end, or until a signal. Leaves a run that can be used or resumed, and closed trackers.

        Raises:
            NotFinite: A term or a gradient was not finite; the last checkpoint stays.
        """
        keep_freed_memory()
        with limit_threads(self.config.training.threads):
            try:
                self.logbook.open_trackers(self.config.method)
                return self.run_loop()
            finally:
                self.logbook.close_trackers()
                if self.numbered and self.is_main:
                    with suppress(OSError):  # fails if the folder is not empty, that is if it holds a run
                        self.folder.path.rmdir()

    def run_loop(self) -> Outcome:
        """Run the loop of `train`, between opening and closing the trackers."""
        trainer, training = self.trainer, self.config.training
        if self.is_main:
            self.folder.write_config(self.config, self.facts)
            self.logbook.drop_after(trainer.iteration)
            self.folder.remove_best_after(trainer.iteration)
        self.notify("zoo_train_start")
        self.log_event(
            "start: %s (%s) at iteration %d of %d on %s, in %s", self.config.method, self.config.recipe,
            trainer.iteration, training.iterations, trainer.device, self.folder.path,
        )  # fmt: skip
        self.sample_faces = read_sample_faces(self.source)
        if self.evaluation is not None and training.best is not None:
            self.evaluation.get_best_name(self.measure())  # report an unknown measure now, not hours later
        display = Display(trainer.iteration, training.iterations, trainer.rows * self.world.size, self.quiet)
        announce = partial(self.announce_duration, display, trainer.iteration)
        trial = DurationTrial(trainer.iteration, training.iterations, announce)
        with StopSignals(None if self.quiet else "iteration") as signals, display:
            try:
                self.iterate(signals, display, trial)
            except NotFinite as error:
                self.notify("zoo_train_end", outcome="failed")
                self.log_event("end: failed at iteration %d: %s", trainer.iteration, error, level=logging.ERROR)
                raise NotFinite(
                    f"{error}\n{advise_lower_rate(self.config, self.folder.path, self.folder.checkpoints)}"
                ) from error
            except Exception as error:
                self.notify("zoo_train_end", outcome="failed")
                self.log_event("end: failed at iteration %d: %s", trainer.iteration, error, level=logging.ERROR)
                note = self.rescue()
                failure = explain_failure(error, self.config, self.folder.path, trainer.count_state_bytes())
                if note:
                    display.print_line(note)
                    failure.add_note(note)
                if failure is error:
                    raise
                raise failure from error
            finally:
                self.trainer.batches.close()  # type: ignore[attr-defined]
        if self.saved_iteration != trainer.iteration:
            self.save()
        reason = "finished" if trainer.iteration >= training.iterations else "stopped"
        self.notify("zoo_train_end", outcome=reason)
        self.log_event("end: %s at iteration %d, in %s", reason, trainer.iteration, self.folder.path)
        return Outcome(reason, trainer.iteration, int(signals.received) if signals.received else None)

    def rescue(self) -> str | None:
        """Save the last complete update after an error, such as one of a picture, a worker or the memory.

        Inside an iteration the checkpoint says how many updates it has completed, and a resume goes on with the next.
        With several processes, of which the others know nothing of the error, the last checkpoint stays the newest.

        Returns:
            What can be resumed, in one sentence; None before the first iteration.
        """
        iteration = self.trainer.iteration
        if self.world.size == 1 and iteration and self.saved_iteration != iteration:
            with suppress(Exception):  # such as a full disk, which may be the error; the first one is told
                if self.trainer.undo_update():
                    self.save()
        paths = checkpoints.list_checkpoints(self.folder.checkpoints)
        return f"saved in {paths[-1]}; --resume goes on there" if paths else None

    def announce_duration(self, display: Display, first: int, seconds: float) -> None:
        """Show and log how long the training will take, if that is long.

        Args:
            display: shows it.
            first: the iteration at which it began or continued.
            seconds: of an iteration.
        """
        stage = self.folder.path.name if self.folder.path.parent.name == STAGES else None
        spec, is_started = self.zoo.registry.methods[self.config.method], self.config.training.start_from is not None
        recipe = find_cpu_recipe(spec, self.config.data.source, is_started)
        note = describe_duration(self.config, first, seconds, self.trainer.device, stage=stage, recipe=recipe)
        if note and self.is_main:
            display.print_line(note)
            self.log_event("%s", note)

    def iterate(self, signals: StopSignals, display: Display, trial: DurationTrial) -> None:
        """Iterate to the end, or until a signal; log, sample, save and measure whenever it is due."""
        trainer, training = self.trainer, self.config.training
        is_synchronous = self.accelerator.device.type == "cpu"  # others have finished an iteration when it is checked
        while trainer.iteration < training.iterations:
            with use_cuda_flags(self.accelerator.device, training.tf32):  # not for samples and measures
                trainer.iterate()
            k = trainer.iteration
            display.advance(k)
            if k % READ_EVERY == 0:
                trainer.check_finite()
            if is_synchronous or k % READ_EVERY == 0:
                trial.mark(k)
            stop, end = self.agree_to_stop(signals, k), k == training.iterations
            if k % training.log_every == 0 or end or stop:
                self.log(display)
            if is_due(k, training.sample_every) or end:
                self.write_samples()
            if is_due(k, training.checkpoint_every) or end or stop:
                self.save()  # before measuring, which takes its time and may fail
            best = self.evaluate(display) if is_due(k, training.evaluate_every) else None
            if best:
                if self.saved_iteration != k:
                    self.save()
                self.keep_best(best)
            if stop:
                break

    def agree_to_stop(self, signals: StopSignals, iteration: int) -> bool:
        """Return whether to stop now; all processes get the same answer at the same iteration."""
        received = signals.received is not None
        if self.world.size == 1:
            return received
        if self.accelerator.device.type == "cuda" and iteration % READ_EVERY:
            return False
        flag = torch.tensor(float(received), device=self.accelerator.device)
        return bool(self.world.reduce_max(flag))

    def log(self, display: Display) -> None:
        """Read the terms, and give them to metrics.jsonl, the terminal, trackers and observers."""
        terms = self.trainer.read_terms()
        iteration, images = self.trainer.iteration, self.trainer.position
        if not self.is_main:
            return
        display.report(iteration, terms)
        seconds, rate = round(self.logbook.seconds + display.get_seconds(), 3), round(display.get_rate(), 4)
        self.logbook.write(iteration, {"images": images, "seconds": seconds, "iterations_per_second": rate}, terms)
        advice = self.trainer.game.suggest_remedy(terms, images, iteration)
        if advice:
            display.print_line(f"note: {advice}")
        self.notify("zoo_progress", clock=Clock(iteration, self.config.training.iterations), terms=terms)

    def evaluate(self, display: Display) -> dict[str, float] | None:
        """Measure the networks as they are, and log it. Returns the values if they are the best so far."""
        assert self.evaluation is not None
        values, iteration = self.measure(), self.trainer.iteration
        # The main process decides for all, because only it reads the file of the best values.
        best = self.world.gather_objects(self.evaluation.is_best(values) if self.is_main else None)[0]
        if self.is_main:
            self.logbook.write(iteration, {"images": self.trainer.position}, values, "evaluation")
            self.log_event("evaluation at iteration %d: %s", iteration, values)
            text = "  ".join(f"{name} {value:.4g}" for name, value in values.items()) or "nothing could be measured"
            display.print_line(f"evaluation at iteration {iteration}: {text}{' (the best so far)' if best else ''}")
        return values if best else None

    def measure(self) -> dict[str, float]:
        """Measure `training.evaluate` now. The train or eval mode of networks is restored."""
        assert self.evaluation is not None
        self.trainer.check_finite()
        networks = self.trainer.get_model_networks()
        modes = {name: network.training for name, network in networks.items()}
        values = self.evaluation.measure(self.trainer.game.make_editor(networks, attributes=self.facts.attributes))
        for name, network in networks.items():
            network.train(modes[name])
        return values

    def save(self) -> None:
        """Write a checkpoint and the model.

        Raises:
            NotFinite: A term, a gradient or a stored tensor is not finite; nothing was written.
        """
        self.trainer.check_finite()
        state = self.trainer.get_state() if self.is_main else None
        self.check_state_finite(state)
        if state is not None:
            path = checkpoints.save_checkpoint(self.folder.checkpoints, state)
            spare = {self.folder.read_best_iteration()}
            checkpoints.prune_checkpoints(self.folder.checkpoints, path, self.config.training.keep, spare)
            length = TrainedLength(state.iteration, state.position)
            networks = self.trainer.get_model_networks()
            self.folder.write_model(self.config, self.facts, networks, self.trainer.game, length=length)
            self.notify("zoo_checkpoint_saved", path=path)
            self.log_event("checkpoint: %s", path)
        self.saved_iteration = self.trainer.iteration
        self.world.barrier()

    def check_state_finite(self, state: checkpoints.TrainingState | None) -> None:
        """Check that everything that a checkpoint stores is finite: large updates of finite gradients may not be.

        Args:
            state: of the main process; None in the others, which learn the result from it.

        Raises:
            NotFinite: Names the networks and tensors, in all processes.
        """
        problem = self.world.gather_objects(None if state is None else describe_not_finite(state))[0]
        if problem:
            raise NotFinite(f"not finite after iteration {self.trainer.iteration}: {problem}. Nothing of it was saved")

    def keep_best(self, values: dict[str, float]) -> None:
        """Keep the checkpoint of this iteration, which is complete, as the best so far; the former best may go."""
        assert self.evaluation is not None
        if self.is_main:
            iteration = self.trainer.iteration
            self.evaluation.write_best(iteration, values)
            newest = self.folder.checkpoints / checkpoints.make_checkpoint_name(iteration)
            checkpoints.prune_checkpoints(self.folder.checkpoints, newest, self.config.training.keep, {iteration})
        self.world.barrier()

    def write_samples(self) -> None:
        """Write a grid of the sample faces as the networks edit them now."""
        self.trainer.check_finite()
        if self.is_main:
            editor = self.trainer.game.make_editor(self.trainer.get_model_networks(), attributes=self.facts.attributes)
            path = self.folder.samples / f"iteration-{self.trainer.iteration:08d}.png"
            save_sample_grid(editor, self.sample_faces, path)

    def log_event(self, message: str, *values: object, level: int = logging.INFO) -> None:
        """Log an event of the training under `zoogan.training`, on the main process."""
        if self.is_main:
            log.log(level, message, *values)

    def notify(self, hook: str, **values: Any) -> None:
        """Call an observer hook of every plugin, on the main process."""
        if self.is_main:
            self.zoo.notify_observers(hook, run=self.folder.path, **values)


def is_due(iteration: int, every: int) -> bool:
    """Whether something that happens every so many iterations (0 = never) happens now."""
    return every > 0 and iteration % every == 0
