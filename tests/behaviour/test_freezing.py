"""Freezing: parts of networks that do not change while the rest is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from support.runs import PART_MODULES, REGISTRY, SIZE, are_same_tensors, make_semantic_config, select_below
from zoogan.composition.build import compose
from zoogan.composition.freezing import FrozenParameters
from zoogan.composition.rehearsal import rehearse
from zoogan.config import GameConfig, merge
from zoogan.errors import ConfigError
from zoogan.testing.conformance import collect_state_tensors, make_tiny_config, make_tiny_facts, train_on_random_batches
from zoogan.testing.tensors import make_faces, make_segmentation
from zoogan.training.trainer import Batch, Trainer


def make_part_trainer(config: GameConfig) -> Trainer:
    """Make a trainer on random faces with random segmentations."""
    facts = make_tiny_facts(config)
    composition = compose(config, facts, REGISTRY)

    def iterate_batches() -> Iterator[Batch]:
        rows, k = config.data.batch * config.training.accumulate, 0
        while True:
            segmentation = make_segmentation(k, rows, SIZE, len(facts.parts))
            sample = {"image": make_faces(k, rows, SIZE), "segmentation": segmentation}
            yield {"source": {field: sample[field] for field in composition.game.needs["source"].fields}}
            k += 1

    return Trainer(composition, REGISTRY, Accelerator(cpu=True), iterate_batches())


@pytest.mark.slow
@pytest.mark.parametrize("sets", [{}, {"training": {"accumulate": 2}}, {"judge_segmentation": False}], ids=str)
def test_frozen_parts_stay_and_pass_gradients_on(sets: dict[str, Any]) -> None:
    """In iteration 0 the lazy steps run too; penalty and path lengths reach trainable parts through frozen ones."""
    frozen = {"training": {"freeze": [*PART_MODULES, "discriminator.trunk"], "start_from": "run"}}
    trainer = make_part_trainer(make_semantic_config(**merge(sets, frozen)))
    optimized = {id(p) for group in ("generator", "discriminator") for g in trainer.optimizers[group].param_groups
            for p in g["params"]}  # fmt: skip
    assert not optimized & {id(p) for p in trainer.frozen.parameters}
    before, reached = trainer.get_state(), {}
    update = trainer.update

    def record(step: Any, *rest: Any) -> None:
        update(step, *rest)
        parameters = [p for slot in step.trains for p in trainer.frozen.list_trainable(slot)]
        reached[step.name] = any(p.grad is not None and bool(p.grad.any()) for p in parameters)

    trainer.update = record  # type: ignore[method-assign]
    for _ in range(3):
        trainer.iterate()
    assert reached == dict.fromkeys(("discriminator", "penalty", "generator", "path_length"), True)
    assert all(p.grad is None and not p.requires_grad for p in trainer.frozen.parameters)
    after, inside = trainer.get_state(), [path.partition(".")[2] for path in PART_MODULES]
    for group in ("networks", "averages"):
        old, new = getattr(before, group)["generator"], getattr(after, group)["generator"]
        assert are_same_tensors(select_below(old, *inside), select_below(new, *inside))
        assert not are_same_tensors(select_below(old, "renderer"), select_below(new, "renderer"))
    old, new = before.networks["discriminator"], after.networks["discriminator"]
    assert are_same_tensors(select_below(old, "trunk"), select_below(new, "trunk"))
    assert not are_same_tensors(select_below(old, "head"), select_below(new, "head"))
    assert not select_below(after.optimizers["generator"], *inside)
    assert select_below(after.optimizers["generator"], "renderer")


def test_frozen_batch_norm_keeps_its_statistics() -> None:
    """A frozen norm stays in eval mode, though `train()` is called on its network."""
    sets: dict[str, Any] = {"generator": {"res_norm": "batch"}, "training": {"average": 0.5}}
    free = make_tiny_config("sagan", REGISTRY, sets)
    names = [
        name
        for name, module in train_on_random_batches(free, REGISTRY, 0).networks.named_modules()
        if hasattr(module, "running_var")
    ]
    assert names
    frozen = make_tiny_config("sagan", REGISTRY, merge(sets, {"training": {"freeze": names}}))
    for config, moves in ((free, True), (frozen, False)):
        trainer = train_on_random_batches(config, REGISTRY, 0)
        before = collect_state_tensors(trainer)
        trainer.iterate()
        trainer.networks.train()  # as an evaluation does at its end
        trainer.iterate()
        after = collect_state_tensors(trainer)
        norms = [key for key in before if key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
        norms = [key for key in norms if key.startswith(("network/", "average/"))]
        assert norms and all(torch.equal(before[key], after[key]) != moves for key in norms)
        assert any(not torch.equal(before[key], after[key]) for key in before if key.startswith("average/"))


def test_frozen_average_stays_while_its_network_trains() -> None:
    """The official code does this: the trained copy goes on learning."""
    trainer = make_part_trainer(
        make_semantic_config(training={"freeze_average": list(PART_MODULES), "start_from": "run"})
    )
    before = trainer.get_state()
    for _ in range(2):
        trainer.iterate()
    after, inside = trainer.get_state(), [path.partition(".")[2] for path in PART_MODULES]
    for path in inside:
        assert not are_same_tensors(
            select_below(before.networks["generator"], path), select_below(after.networks["generator"], path)
        )
    assert are_same_tensors(*(select_below(s.averages["generator"], *inside) for s in (before, after)))
    assert not are_same_tensors(*(select_below(s.averages["generator"], "renderer") for s in (before, after)))


@pytest.mark.slow
def test_compiled_game_freezes_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    import jaxtyping

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # checks of shapes are slow to compile
    torch._dynamo.reset()
    sets = {"generator": {"use": "stargan", "width": 4, "blocks": 1}, "cadence": {"generator_every": 1},
            "training": {"freeze": "discriminator.trunk.0"}}  # fmt: skip
    trainer = train_on_random_batches(make_tiny_config("stargan", REGISTRY, sets), REGISTRY, 0)
    discriminator: Any = trainer.networks["discriminator"]
    for part in discriminator.list_compiled_modules():
        part.compile(backend="aot_eager")
    before = collect_state_tensors(trainer)
    for _ in range(2):
        trainer.iterate()
    after = collect_state_tensors(trainer)
    name = "network/discriminator/"
    unchanged = {key for key in before if key.startswith(name) and torch.equal(before[key], after[key])}
    assert unchanged == {name + key for key in trainer.frozen.list_frozen_names("discriminator")} != set()


@pytest.mark.slow
def test_whole_network_can_be_frozen() -> None:
    config = make_semantic_config(training={"freeze": ["mapping"]})
    rehearse(config, make_tiny_facts(config), REGISTRY)
    trainer = make_part_trainer(config)
    before = trainer.get_state()
    trainer.iterate()
    after = trainer.get_state()
    for group in ("networks", "averages"):
        assert are_same_tensors(getattr(before, group)["mapping"], getattr(after, group)["mapping"])
    assert not after.optimizers["mapping"]


def test_frozen_paths_match_whole_names() -> None:
    inner = torch.nn.ModuleDict({"one": torch.nn.Linear(1, 1), "oner": torch.nn.Linear(1, 1)})
    networks = torch.nn.ModuleDict({"a": inner, "ab": torch.nn.Linear(1, 1)})
    frozen = FrozenParameters(networks, ["a.one"])
    assert frozen.list_frozen_names("a") == {"one.weight", "one.bias"}
    assert frozen.list_frozen_names("ab") == set()
    frozen = FrozenParameters(networks, ["a"])
    assert frozen.list_frozen_names("a") == {f"{name}.{p}" for name in ("one", "oner") for p in ("weight", "bias")}
    assert frozen.list_frozen_names("ab") == set() and len(frozen.list_trainable("ab")) == 2


# ---- mistakes ----


def test_invalid_paths_are_reported_before_data_is_read() -> None:
    config = make_semantic_config(
        training={"freeze": ["generator.part_generator", "generater.positions", "discriminator.trunk.9"]}
    )
    with pytest.raises(ConfigError) as error:
        rehearse(config, make_tiny_facts(config), REGISTRY)
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert "no module 'part_generator' in generator, did you mean 'generator.part_generators'?" in lines[0]
    assert "no network 'generater', did you mean 'generator'?" in lines[1]
    assert "no module '9' in discriminator.trunk" in lines[2] and "known there: " in lines[2]
    for training, message in (
        ({"freeze_average": ["generator.part"]}, "freeze_average: generator.part: no module 'part' in generator"),
        ({"freeze_average": ["discriminator"]}, "averages are kept of generator and mapping"),
        ({"freeze_average": list(PART_MODULES), "average": None}, "no moving average is kept"),
        ({"freeze": ["discriminator"]}, "'discriminator' would train nothing.*\n.*'penalty' would train nothing"),
    ):
        config = make_semantic_config(training=training)
        with pytest.raises(ConfigError, match=message):
            rehearse(config, make_tiny_facts(config), REGISTRY)
    # No term reaches the segmentation branch, which alone is not frozen.
    training = {"freeze": ["discriminator.trunk", "discriminator.head"]}
    config = make_semantic_config(training=training, judge_segmentation=False, weights={"mask": 0})
    with pytest.raises(
        ConfigError, match=r"step 'discriminator' has terms of frozen parameters only, see training\.freeze"
    ):
        rehearse(config, make_tiny_facts(config), REGISTRY)
