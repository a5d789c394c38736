"""The conformance suite: the rules that every registered method must follow, also methods of plugins.

from zoogan.testing import check_method

def test_my_method():
    check_method("my-method")
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import torch
from accelerate import Accelerator
from torch import Tensor

from zoogan.composition.build import Composition, compose, expect_facts
from zoogan.composition.rehearsal import rehearse
from zoogan.composition.stages import check_apart, list_modules, open_stages
from zoogan.config import GameConfig, compose_config, merge, validate
from zoogan.config.registry import Registry
from zoogan.config.stages import select_stages
from zoogan.facts import Facts
from zoogan.layers.layout import make_layout
from zoogan.plugins.host import get_zoo
from zoogan.testing.cuda import CUDA, find_obstacle, simulate_cuda
from zoogan.testing.editor_checks import check_edits
from zoogan.testing.tensors import make_faces, make_labels, make_random_tensor, make_segmentation
from zoogan.training.trainer import Batch, Trainer

BATCH = 4
ATTRIBUTES = ("Eyeglasses", "Smiling", "Male", "Bangs", "Bald", "Young", "No_Beard", "Wearing_Hat")


def make_tiny_config(name: str, registry: Registry, sets: Mapping[str, Any] | None = None) -> GameConfig:
    """Make a method's config at its smallest size.

    The batch is 4, the networks are as narrow as they can be, and everything else comes from the recipe.

    Args:
        name: Id of the method.
        registry: Knows the method.
        sets: Settings laid over the tiny ones.
    """
    spec = registry.methods[name]
    config = compose_config(spec, registry)
    small = {
        "data": {"image_size": spec.min_image_size, "batch": BATCH},
        "training": {"iterations": 4, "precision": "fp32", "compile": False},
    }
    values = merge(config.model_dump(mode="json"), small)
    for slot in values.values():
        if isinstance(slot, dict) and "width" in slot:
            slot["width"] = 4
    return validate(spec, registry, merge(values, sets or {}))


def make_tiny_facts(config: GameConfig) -> Facts:
    """Make facts that fit `make_tiny_config`."""
    return expect_facts(config)


def make_random_batches(composition: Composition, start: int = 0) -> Iterator[Batch]:
    """Yield random batches without end, with every field that the game reads. Batch k is a pure function of k."""
    size, attributes, position = composition.facts.image_size, len(composition.facts.attributes), start
    parts = len(composition.facts.parts)
    while True:
        sample = {
            "image": make_faces(position, BATCH, size),
            "image2": make_faces(position + 1, BATCH, size),
            "attributes": make_labels(position, BATCH, attributes),
            "domain": torch.arange(position, position + BATCH) % max(1, len(composition.facts.domains)),
            "segmentation": make_segmentation(position, BATCH, size, max(1, parts)),
            "layout": make_layout(make_segmentation(position, BATCH, size, max(1, parts)), parts),
            "layout2": make_layout(make_segmentation(position + 1, BATCH, size, max(1, parts)), parts),
        }
        for name in {field for need in composition.game.needs.values() for field in need.fields} - sample.keys():
            field = composition.fields[name]
            sample[name] = make_random_tensor(position, field.get_shape(BATCH, composition.get_sizes()), field.dtype)
        yield {draw: {name: sample[name] for name in need.fields} for draw, need in composition.game.needs.items()}
        position += BATCH


def train_on_random_batches(config: GameConfig, registry: Registry, iterations: int, **options: Any) -> Trainer:
    """Make a trainer and run `iterations` iterations on random batches."""
    composition = compose(config, make_tiny_facts(config), registry)
    trainer = Trainer(composition, registry, Accelerator(cpu=True), make_random_batches(composition), **options)
    for _ in range(iterations):
        trainer.iterate()
    return trainer


def collect_state_tensors(trainer: Trainer) -> dict[str, Tensor]:
    """Return every tensor of a trainer's state, by name."""
    state = trainer.get_state()
    groups = {
        "game": {"": state.game},
        "network": state.networks,
        "average": state.averages,
        "optimizer": state.optimizers,
    }
    return {
        f"{g}/{n}/{k}": t for g, group in groups.items() for n, tensors in group.items() for k, t in tensors.items()
    }


def assert_equal_bits(one: Mapping[str, Tensor], other: Mapping[str, Tensor], what: str) -> None:
    """Assert that both have the same names, and the same bits under each."""
    assert set(one) == set(other), f"{what}: {sorted(set(one) ^ set(other))[:5]} exist on one side only"
    unequal = [name for name in one if not torch.equal(one[name], other[name])]
    assert not unequal, f"{what}: {len(unequal)} tensors differ, first {unequal[:3]}"


def check_rehearsal(name: str, registry: Registry) -> None:
    """Check that every recipe's own size and widths pass the rehearsal on meta."""
    spec = registry.methods[name]
    for recipe in spec.list_recipes():
        config = compose_config(spec, registry, recipe=recipe)
        rehearse(config, make_tiny_facts(config), registry)


def check_round_trip(name: str, registry: Registry) -> None:
    """Check that a complete config survives being written and read."""
    config = compose_config(registry.methods[name], registry)
    assert validate(registry.methods[name], registry, config.model_dump(mode="json")) == config


def check_updates(name: str, registry: Registry) -> None:
    """Check that each step changes exactly the networks that it trains, and that all their gradients are finite.

    A lazy regulariser may leave parameters without a gradient, such as the last bias, which vanishes in derivatives.
    """
    config = make_tiny_config(name, registry)
    trainer = train_on_random_batches(config, registry, 0)
    trainer.iteration = max(step.at for step in trainer.game.steps)  # an iteration in which every step runs
    update = trainer.update
    problems: list[str] = []

    def update_and_compare(step: Any, *rest: Any) -> None:
        before = {n: copy.deepcopy(dict(network.named_parameters())) for n, network in trainer.networks.items()}
        update(step, *rest)
        for n, network in trainer.networks.items():
            moved = any(not torch.equal(p, before[n][k]) for k, p in network.named_parameters())
            if moved != (n in step.trains):
                problems.append(f"step {step.name!r} trains {step.trains} but {'moved' if moved else 'left'} {n}")
        for n in step.trains:
            without = [
                k
                for k, p in trainer.networks[n].named_parameters()
                if (p.grad is None and not step.lazy) or (p.grad is not None and not p.grad.isfinite().all())
            ]
            if without:
                problems.append(f"step {step.name!r}: {n} has no finite gradient in {without[:3]}")

    trainer.update = update_and_compare  # type: ignore[assignment, method-assign]
    trainer.iterate()
    assert not problems, "; ".join(problems)


def check_sharing(name: str, registry: Registry) -> None:
    """Check that values shared between steps change nothing: equal bits with sharing on and off."""
    config = make_tiny_config(name, registry)
    on, off = train_on_random_batches(config, registry, 3), train_on_random_batches(config, registry, 3, sharing=False)
    assert_equal_bits(collect_state_tensors(on), collect_state_tensors(off), "sharing on and off")


def check_resume(name: str, registry: Registry) -> None:
    """Check that stopping and resuming gives the same bits as an uninterrupted training."""
    config = make_tiny_config(name, registry, {"training": {"average": 0.9, "average_images": None}})
    whole, half = train_on_random_batches(config, registry, 4), train_on_random_batches(config, registry, 2)
    composition = compose(config, make_tiny_facts(config), registry)
    rest = Trainer(composition, registry, Accelerator(cpu=True), make_random_batches(composition, half.position))
    rest.restore(half.get_state())
    for _ in range(2):
        rest.iterate()
    assert_equal_bits(collect_state_tensors(whole), collect_state_tensors(rest), "resume")


def check_determinism(name: str, registry: Registry) -> None:
    """Check that the same seed gives the same bits, and another seed gives others."""
    config = make_tiny_config(name, registry)
    other = make_tiny_config(name, registry, {"training": {"seed": 1}})
    one = collect_state_tensors(train_on_random_batches(config, registry, 2))
    assert_equal_bits(one, collect_state_tensors(train_on_random_batches(config, registry, 2)), "the same seed")
    different = collect_state_tensors(train_on_random_batches(other, registry, 2))
    assert any(not torch.equal(one[k], different[k]) for k in one if k.startswith("network")), "the seed has no effect"


def check_editor(name: str, registry: Registry) -> None:
    """Check what the editor makes, see `zoogan.testing.editor_checks`. It needs no network that only training reads."""
    config = make_tiny_config(name, registry)
    trainer = train_on_random_batches(config, registry, 1)
    trainer.networks.eval()
    facts = make_tiny_facts(config)
    spare = trainer.game.training_networks
    networks = {slot: network for slot, network in trainer.get_model_networks().items() if slot not in spare}
    check_edits(trainer.game.make_editor(networks, attributes=facts.attributes), facts)


def check_stages(name: str, registry: Registry) -> None:
    """Check that training leaves the stages as they are: frozen, in eval mode, and in no state of the training."""
    config = make_tiny_config(name, registry)
    if not select_stages(registry.methods[name].stages, config):
        return
    composition = compose(config, make_tiny_facts(config), registry)
    trainer = Trainer(composition, registry, Accelerator(cpu=True), make_random_batches(composition))
    modules = {stage: list_modules(opened) for stage, opened in composition.stages.items()}
    before = {stage: [copy.deepcopy(module.state_dict()) for module in found] for stage, found in modules.items()}
    for _ in range(max(step.at for step in trainer.game.steps) + 1):
        trainer.iterate()
    trained = {
        id(p) for optimizer in trainer.optimizers.values() for group in optimizer.param_groups for p in group["params"]
    }
    for stage, found in modules.items():
        for module, state in zip(found, before[stage]):
            assert_equal_bits(state, module.state_dict(), f"stage {stage!r} before and after training")
            assert not any(inner.training for inner in module.modules()), f"stage {stage!r} is not in eval mode"
            for key, p in module.named_parameters():
                assert not p.requires_grad and p.grad is None, f"stage {stage!r}: {key} gets a gradient"
                assert id(p) not in trained, f"stage {stage!r}: an optimizer has {key}"
    check_apart(composition.stages, trainer.game)
    check_apart(composition.stages, trainer.networks)


def check_cuda(name: str, registry: Registry) -> None:
    """Check that no operator mixes CUDA and CPU tensors, and that training steps never make the host wait.

    The first run of the steps may wait, because it may copy tensors that are then cached on the device; the second run
    must not. If this torch cannot simulate CUDA without a GPU, a warning is issued instead.
    """
    if reason := find_obstacle():
        warnings.warn(f"{name} was not checked on CUDA without a GPU: {reason}", stacklevel=2)
        return
    config = make_tiny_config(name, registry, {"training": {"average": 0.9, "average_images": None}})
    with simulate_cuda() as cuda:
        facts = make_tiny_facts(config)
        composition = compose(config, facts, registry, open_stages(config, facts, registry, device=CUDA))
        accelerator: Any = SimpleNamespace(device=CUDA, autocast=nullcontext)

        def move_to_cuda(batch: Batch) -> Batch:
            return {
                draw: {field: x.to(CUDA, non_blocking=True) for field, x in sample.items()}
                for draw, sample in batch.items()
            }

        trainer = Trainer(composition, registry, accelerator, map(move_to_cuda, make_random_batches(composition)))
        cuda.waits.clear()
        for is_second in (False, True):
            cuda.forbids_waits = is_second
            trainer.iteration = max(step.at for step in trainer.game.steps)
            trainer.iterate()
            if not cuda.waits:
                break
        cuda.forbids_waits = False
        trainer.read_terms()
        trainer.restore(trainer.get_state())
        trainer.networks.eval()
        editor = trainer.game.make_editor(trainer.get_model_networks(), attributes=facts.attributes)
        image = make_faces(3, 2, facts.image_size).to(CUDA)
        sample = {"segmentation": make_segmentation(3, 2, facts.image_size, max(1, len(facts.parts)))}
        labels = make_labels(4, 2, len(facts.attributes)).to(CUDA)
        editor.make_columns(image, labels, editor.read_masks(sample, image))


CHECKS: tuple[Callable[[str, Registry], None], ...] = (
    check_rehearsal, check_round_trip, check_updates, check_sharing, check_resume, check_determinism, check_editor,
    check_stages, check_cuda,
)  # fmt: skip
"""The checks of the suite, each called with a method's id and a registry."""


def check_method(name: str, registry: Registry | None = None, *, plugin: Path | None = None) -> None:
    """Run the whole suite on a registered method.

    Args:
        name: Id of the method.
        registry: Knows the method; None = the zoo of this process.
        plugin: A single-file plugin that registers the method, as of `zoo train --plugin`.

    Raises:
        AssertionError: A check failed; the message has its name and the reason.
        ConfigError: There is no such method; the message lists the methods.
    """
    if registry is None:
        opened = get_zoo()
        opened.load_files([plugin] if plugin else [])
        registry = opened.registry
        opened.get_method(name)
    for check in CHECKS:
        try:
            check(name, registry)
        except AssertionError as error:
            raise AssertionError(f"{name}: {check.__name__}: {error}") from error
