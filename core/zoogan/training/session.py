"""One training from start to end: sources, rehearsal, the loop, checkpoints, samples, the run folder."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

import torch
from accelerate.utils import ProjectConfiguration

from zoogan.composition.build import Composition, compose
from zoogan.composition.rehearsal import rehearse
from zoogan.config import GameConfig
from zoogan.data.loader import loader, on_device
from zoogan.devices import choose_device
from zoogan.facts import Facts
from zoogan.interfaces import Clock, Need, Source, World
from zoogan.plugins.host import PluginHost
from zoogan.runs import checkpoints
from zoogan.runs.folders import claim
from zoogan.runs.run import Length, RunFolder
from zoogan.terminal.progress import Display
from zoogan.terminal.signals import StopSignals
from zoogan.training.accelerator import open_accelerator
from zoogan.training.devices import check_augment, training_on
from zoogan.training.logbook import Logbook
from zoogan.training.resume import state_of
from zoogan.training.samples import held_out, sample_grid
from zoogan.training.start import Start, check_frozen_are_trained, start_of
from zoogan.training.trainer import NotFinite, Trainer
from zoogan.training.watch import Watch

READ_EVERY = 10  # iterations between readings of the flags on devices that should not wait for the host


@dataclass(frozen=True)
class Outcome:
    """How a training ended. reason: finished or stopped; signal: its number if a signal stopped it."""

    reason: str
    iteration: int
    signal: int | None = None


def facts_of(source: Source) -> Facts:
    """What a source says, in the form that networks and runs keep."""
    return Facts(
        image_size=source.image_size,
        attributes=source.attributes,
        exclusive=source.exclusive,
        domains=source.domains,
        parts=source.parts,
        transparent=source.transparent,
        crop=source.crop,
    )


class Session:
    """A training and its run folder.

    Args:
        zoo: plugins and the registry.
        config: complete.
        run: the folder; new, or one to go on in if `resume`.
        numbered: its name is a suggestion of `next_run`; the first free one from there on is taken.
    """

    def __init__(
        self,
        zoo: PluginHost,
        config: GameConfig,
        run: RunFolder,
        *,
        device: str = "auto",
        resume: bool = False,
        quiet: bool = False,
        numbered: bool = False,
    ) -> None:
        self.zoo, self.config, self.run, self.resume, self.numbered = zoo, config, run, resume, numbered
        registry = zoo.registry
        choose_device(device)
        begun = resume and bool(checkpoints.find(run.checkpoints))  # its checkpoints hold all, whatever it started from
        if not begun:
            check_frozen_are_trained(config)
        self.source: Source = registry.build("source", config.data)
        self.facts = facts_of(self.source)
        # A run names its attributes, also where none were asked for: a folder added later is none of its domains.
        named = config.data.model_copy(update={"attributes": self.facts.attributes})
        self.config = config = config.model_copy(update={"data": named})
        starts = config.training.start_from is not None and not begun
        self.accelerator = open_accelerator(config, device, run)
        self.main, self.world = self.accelerator.is_main_process, World()  # now that processes know of each other
        origin = start_of(config, self.facts, registry, self.world) if starts else None
        rehearse(config, self.facts, registry)
        self.quiet = quiet or not self.main
        state = state_of(run, self.main) if resume else None
        self.saved: int | None = None  # the iteration of the last checkpoint that this training wrote
        composition = self.composed(origin)
        self.watch = self.open_watch(composition)
        batches = self.open_batches(composition.game.needs, state.position if state else 0)
        self.trainer = Trainer(composition, registry, self.accelerator, batches)
        if state is not None:
            self.trainer.restore(state)
        if origin is not None:
            origin.lay_into_averages(self.trainer.averages)
            for line in origin.said if self.main else ():
                print(line)
        self.settle()

    def composed(self, origin: Start | None) -> Composition:
        """The game and its networks, which begin with the origin's weights.

        Raises:
            ConfigError: an augmentation that the device may be unable to compute, or weights that do not fit.
        """
        composition = compose(self.config, self.facts, self.zoo.registry)
        check_augment(self.config, composition.game, self.accelerator.device)
        if origin is not None:
            origin.lay_into(composition)
        for note in composition.game.notes() if self.main else ():
            print(f"note: {note}")
        return composition

    def settle(self) -> None:
        """Take the run folder, now that nothing of the config can fail any more. The main process chooses for all."""
        self.world.barrier()  # no process may look at the run folder after another has begun to fill it
        chosen = claim(self.run.path) if self.numbered and self.main else self.run.path
        self.run.place(self.world.everyone(chosen)[0])
        self.accelerator.project_configuration = ProjectConfiguration(str(self.run.path))
        self.logbook = Logbook(self.run.metrics, self.accelerator if self.config.training.trackers else None)

    def open_batches(self, needs: Mapping[str, Need], start: int) -> Iterator[Any]:
        """Batches of this process from the joint position `start`, on the device.

        Raises:
            ConfigError: at once, before anything is written, if the source cannot serve the game's needs.
        """
        device, rows = self.accelerator.device, self.config.data.batch * self.config.training.accumulate
        seed, pin = self.config.training.seed, device.type == "cuda"
        batches = loader(self.source, self.config.data, needs, seed, World(), start, rows, pin=pin)
        return on_device(batches, device)

    def open_watch(self, composition: Composition) -> Watch | None:
        """What `training.evaluate_every` asks for.

        Raises:
            ConfigError: metrics that do not exist, or cannot be computed on these faces.
        """
        if not self.config.training.evaluate_every:
            return None
        editor = composition.game.editor(composition.networks, attributes=self.facts.attributes)
        return Watch(self.zoo.registry, self.config, self.source, self.accelerator.device, self.run, editor)

    # ---- the loop ----

    def train(self) -> Outcome:
        """Train to the end, or until a signal. Leaves a run that can be used or resumed, and closed trackers.

        Raises:
            NotFinite: a term or gradient was not finite; the last checkpoint stands.
        """
        threads = torch.get_num_threads()
        torch.set_num_threads(min(threads, self.config.training.threads or threads))
        try:
            if self.config.training.trackers:
                self.accelerator.init_trackers("zoogan", config={"method": self.config.method})
            return self.run_through()
        finally:  # not by end_training(): it also ends the process group, which can wait forever for a failed process
            for tracker in self.accelerator.trackers:
                tracker.finish()
            torch.set_num_threads(threads)
            if self.numbered and self.main:
                with suppress(OSError):  # anything is in it: a run. Otherwise nobody needs the number
                    self.run.path.rmdir()

    def run_through(self) -> Outcome:
        """What `train` does between opening and closing the trackers."""
        trainer, training = self.trainer, self.config.training
        if self.main:
            self.run.write(self.config, self.facts)
            self.logbook.forget_after(trainer.iteration)
            self.run.forget_best(trainer.iteration)
        self.notify("zoo_train_start")
        self.held_out = held_out(self.source)
        if self.watch is not None and training.best is not None:
            self.watch.chosen(self.measured())  # a name that no metric tells is told now, not hours later
        display = Display(trainer.iteration, training.iterations, trainer.rows * self.world.size, self.quiet)
        with StopSignals() as signals, display:
            try:
                self.loop(signals, display)
            except NotFinite as error:
                self.notify("zoo_train_end", outcome="failed")
                last = checkpoints.find(self.run.checkpoints)
                kept = f"the last checkpoint is {last[-1].name}" if last else "no checkpoint had been written"
                raise NotFinite(f"{error}; {kept}. Try a lower learning rate, or a stronger penalty") from error
            except Exception:
                self.notify("zoo_train_end", outcome="failed")
                raise
            finally:
                self.trainer.batches.close()  # type: ignore[attr-defined]
        if self.saved != trainer.iteration:
            self.save()
        reason = "finished" if trainer.iteration >= training.iterations else "stopped"
        self.notify("zoo_train_end", outcome=reason)
        return Outcome(reason, trainer.iteration, int(signals.received) if signals.received else None)

    def loop(self, signals: StopSignals, display: Display) -> None:
        """Iterate to the end, or until a signal; log, sample, save and measure whenever it is due."""
        trainer, training = self.trainer, self.config.training
        while trainer.iteration < training.iterations:
            with training_on(self.accelerator.device, training.tf32):  # not samples, not measures
                trainer.iterate()
            k = trainer.iteration
            display.advance(k)
            if k % READ_EVERY == 0:
                trainer.check_finite()
            stop, end = self.stop_everywhere(signals, k), k == training.iterations
            if k % training.log_every == 0 or end or stop:
                self.log(display)
            if due(k, training.sample_every) or end:
                self.sample()
            if due(k, training.checkpoint_every) or end or stop:
                self.save()  # first: a measuring takes its time, and may fail
            best = self.evaluate(display) if due(k, training.evaluate_every) else None
            if best:
                if self.saved != k:
                    self.save()
                self.keep_best(best)
            if stop:
                break

    def stop_everywhere(self, signals: StopSignals, iteration: int) -> bool:
        """Whether to stop now: all processes agree, at the same iteration."""
        received = signals.received is not None
        if self.world.size == 1:
            return received
        if self.accelerator.device.type == "cuda" and iteration % READ_EVERY:
            return False
        flag = torch.tensor(float(received), device=self.accelerator.device)
        return bool(self.world.maximum(flag))

    def log(self, display: Display) -> None:
        """Read the terms back and tell everybody: metrics.jsonl, the terminal, trackers, observers."""
        terms = self.trainer.read_terms()
        iteration, images = self.trainer.iteration, self.trainer.position
        if not self.main:
            return
        display.report(iteration, terms)
        seconds, rate = round(self.logbook.seconds + display.seconds(), 3), round(display.rate(), 4)
        self.logbook.write(iteration, {"images": images, "seconds": seconds, "iterations_per_second": rate}, terms)
        advice = self.trainer.game.advise(terms, images, iteration)
        if advice:
            display.say(f"note: {advice}")
        self.notify("zoo_progress", clock=Clock(iteration, self.config.training.iterations), terms=terms)

    def evaluate(self, display: Display) -> dict[str, float] | None:
        """Measure the editor of this moment; its values if it is the best so far."""
        assert self.watch is not None
        values, iteration = self.measured(), self.trainer.iteration
        # The main process decides for all: it alone keeps the file that says what was best.
        best = self.world.everyone(self.watch.better(values) if self.main else None)[0]
        if self.main:
            self.logbook.write(iteration, {"images": self.trainer.position}, values, "evaluation")
            told = "  ".join(f"{name} {value:.4g}" for name, value in values.items()) or "nothing could be measured"
            display.say(f"evaluation at iteration {iteration}: {told}{' (the best so far)' if best else ''}")
        return values if best else None

    def measured(self) -> dict[str, float]:
        """The values of the watched metrics now. Networks come back in the mode they were in."""
        assert self.watch is not None
        self.trainer.check_finite()
        networks = self.trainer.model()
        modes = {name: network.training for name, network in networks.items()}
        values = self.watch.measure(self.trainer.game.editor(networks, attributes=self.facts.attributes))
        for name, network in networks.items():
            network.train(modes[name])
        return values

    def save(self) -> None:
        """A checkpoint, and the model as it stands; nothing that is not finite gets here."""
        self.trainer.check_finite()
        if self.main:
            path = checkpoints.save(self.run.checkpoints, self.trainer.state())
            checkpoints.prune(self.run.checkpoints, path, self.config.training.keep, {self.run.best_iteration()})
            length = Length(self.trainer.iteration, self.trainer.position)
            self.run.write_model(self.config, self.facts, self.trainer.model(), self.trainer.game, length=length)
            self.notify("zoo_checkpoint_saved", path=path)
        self.saved = self.trainer.iteration
        self.world.barrier()

    def keep_best(self, values: dict[str, float]) -> None:
        """Remember the checkpoint of this iteration, which is whole, as the best so far; the one before may go."""
        assert self.watch is not None
        if self.main:
            iteration = self.trainer.iteration
            self.watch.remember(iteration, values)
            newest = self.run.checkpoints / checkpoints.name_of(iteration)
            checkpoints.prune(self.run.checkpoints, newest, self.config.training.keep, {iteration})
        self.world.barrier()

    def sample(self) -> None:
        """Write a grid of the held-out faces as the editor of this moment edits them."""
        self.trainer.check_finite()
        if self.main:
            editor = self.trainer.game.editor(self.trainer.model(), attributes=self.facts.attributes)
            sample_grid(editor, self.held_out, self.run.samples / f"iteration-{self.trainer.iteration:08d}.png")

    def notify(self, hook: str, **values: Any) -> None:
        """Call an observer hook of every plugin, on the main process."""
        if self.main:
            self.zoo.notify(hook, run=self.run.path, **values)


def due(iteration: int, every: int) -> bool:
    """Whether something that happens every so many iterations (0 = never) happens now."""
    return every > 0 and iteration % every == 0
