"""Parts of networks that stay as they are while the rest is trained."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from accelerate import Accelerator

from support.training_runs import PARTS, REGISTRY, SIZE, below, part_config, same
from zoogan.composition.build import compose
from zoogan.composition.freezing import FrozenParameters
from zoogan.composition.rehearsal import rehearse
from zoogan.config import GameConfig, merge
from zoogan.errors import ConfigError
from zoogan.testing.conformance import collect_state_tensors, make_tiny_config, make_tiny_facts, train_on_random_batches
from zoogan.testing.tensors import make_faces, make_segmentation
from zoogan.training.trainer import Batch, Trainer


def part_trainer(config: GameConfig) -> Trainer:
    """Its trainer, on random faces with random parts."""
    facts = make_tiny_facts(config)
    composition = compose(config, facts, REGISTRY)

    def batches() -> Iterator[Batch]:
        rows, k = config.data.batch * config.training.accumulate, 0
        while True:
            parts = make_segmentation(k, rows, SIZE, len(facts.parts))
            sample = {"image": make_faces(k, rows, SIZE), "segmentation": parts}
            yield {"source": {field: sample[field] for field in composition.game.needs["source"].fields}}
            k += 1

    return Trainer(composition, REGISTRY, Accelerator(cpu=True), batches())


@pytest.mark.parametrize("sets", [{}, {"training": {"accumulate": 2}}, {"judge_segmentation": False}], ids=str)
def test_what_is_frozen_never_moves_and_lets_gradients_through(sets: dict[str, Any]) -> None:
    """Both lazy steps play in iteration 0: the penalty and the path lengths reach what is free through what is not."""
    frozen = {"training": {"freeze": [*PARTS, "discriminator.trunk"], "start_from": "run"}}
    trainer = part_trainer(part_config(**merge(sets, frozen)))
    held = {id(p) for group in ("generator", "discriminator") for g in trainer.optimizers[group].param_groups
            for p in g["params"]}  # fmt: skip
    assert not held & {id(p) for p in trainer.frozen.parameters}
    before, reached = trainer.get_state(), {}
    update = trainer.update

    def looked_at(step: Any, *rest: Any) -> None:
        update(step, *rest)
        parameters = [p for slot in step.trains for p in trainer.frozen.list_trainable(slot)]
        reached[step.name] = any(p.grad is not None and bool(p.grad.any()) for p in parameters)

    trainer.update = looked_at  # type: ignore[method-assign]
    for _ in range(3):
        trainer.iterate()
    assert reached == dict.fromkeys(("discriminator", "penalty", "generator", "path_length"), True)
    assert all(p.grad is None and not p.requires_grad for p in trainer.frozen.parameters)
    after, inside = trainer.get_state(), [path.partition(".")[2] for path in PARTS]
    for group in ("networks", "averages"):
        old, new = getattr(before, group)["generator"], getattr(after, group)["generator"]
        assert same(below(old, *inside), below(new, *inside))
        assert not same(below(old, "renderer"), below(new, "renderer"))
    discriminator = before.networks["discriminator"], after.networks["discriminator"]
    assert same(*(below(state, "trunk") for state in discriminator)) and not same(
        *(below(state, "head") for state in discriminator)
    )
    assert not below(after.optimizers["generator"], *inside) and below(after.optimizers["generator"], "renderer")


def test_statistics_of_batches_stay_too() -> None:
    """A frozen norm computes what it did, whatever the mode that others put the network in."""
    sets: dict[str, Any] = {"generator": {"res_norm": "batch"}, "training": {"average": 0.5}}
    free = make_tiny_config("sagan", REGISTRY, sets)
    names = [
        name
        for name, module in train_on_random_batches(free, REGISTRY, 0).networks.named_modules()
        if hasattr(module, "running_var")
    ]
    assert names
    held = make_tiny_config("sagan", REGISTRY, merge(sets, {"training": {"freeze": names}}))
    for config, moves in ((free, True), (held, False)):
        trainer = train_on_random_batches(config, REGISTRY, 0)
        before = collect_state_tensors(trainer)
        trainer.iterate()
        trainer.networks.train()  # as who has measured it does
        trainer.iterate()
        after = collect_state_tensors(trainer)
        norms = [key for key in before if key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
        norms = [key for key in norms if key.startswith(("network/", "average/"))]
        assert norms and all(torch.equal(before[key], after[key]) != moves for key in norms)
        assert any(not torch.equal(before[key], after[key]) for key in before if key.startswith("average/"))


def test_an_average_may_stay_while_its_network_moves() -> None:
    """The official code's way: the trained copy learns on."""
    trainer = part_trainer(part_config(training={"freeze_average": list(PARTS), "start_from": "run"}))
    before = trainer.get_state()
    for _ in range(2):
        trainer.iterate()
    after, inside = trainer.get_state(), [path.partition(".")[2] for path in PARTS]
    for path in inside:
        assert not same(below(before.networks["generator"], path), below(after.networks["generator"], path))
    assert same(*(below(s.averages["generator"], *inside) for s in (before, after)))
    assert not same(*(below(s.averages["generator"], "renderer") for s in (before, after)))


def test_a_compiled_game_freezes_too(monkeypatch: pytest.MonkeyPatch) -> None:
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
    still = {key for key in before if key.startswith(name) and torch.equal(before[key], after[key])}
    assert still == {name + key for key in trainer.frozen.list_frozen_names("discriminator")} != set()


def test_a_network_may_be_frozen_whole() -> None:
    config = part_config(training={"freeze": ["mapping"]})
    rehearse(config, make_tiny_facts(config), REGISTRY)
    trainer = part_trainer(config)
    before = trainer.get_state()
    trainer.iterate()
    after = trainer.get_state()
    for group in ("networks", "averages"):
        assert same(getattr(before, group)["mapping"], getattr(after, group)["mapping"])
    assert not after.optimizers["mapping"]


def test_names_below_a_path_are_whole_words() -> None:
    networks = torch.nn.ModuleDict({"a": torch.nn.ModuleDict({"one": torch.nn.Linear(1, 1), "oner": torch.nn.Linear(1, 1)}),
                                "ab": torch.nn.Linear(1, 1)})  # fmt: skip
    frozen = FrozenParameters(networks, ["a.one"])
    assert frozen.list_frozen_names("a") == {"one.weight", "one.bias"} and frozen.list_frozen_names("ab") == set()
    assert FrozenParameters(networks, ["a"]).names("a") == {
        f"{name}.{p}" for name in ("one", "oner") for p in ("weight", "bias")
    }
    assert (
        FrozenParameters(networks, ["a"]).names("ab") == set()
        and len(FrozenParameters(networks, ["a"]).free("ab")) == 2
    )


# ---- mistakes ----


def test_paths_that_lead_nowhere_are_told_before_any_data() -> None:
    config = part_config(
        training={"freeze": ["generator.part_generator", "generater.positions", "discriminator.trunk.9"]}
    )
    with pytest.raises(ConfigError) as error:
        rehearse(config, make_tiny_facts(config), REGISTRY)
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert "no module 'part_generator' in generator, did you mean 'generator.part_generators'?" in lines[0]
    assert "no network 'generater', did you mean 'generator'?" in lines[1]
    assert "no module '9' in discriminator.trunk" in lines[2] and "known there: " in lines[2]
    for wrong, said in (
        ({"freeze_average": ["generator.part"]}, "freeze_average: generator.part: no module 'part' in generator"),
        ({"freeze_average": ["discriminator"]}, "averages are kept of generator and mapping"),
        ({"freeze_average": list(PARTS), "average": None}, "no moving average is kept"),
        ({"freeze": ["discriminator"]}, "'discriminator' would train nothing.*\n.*'penalty' would train nothing"),
    ):
        config = part_config(training=wrong)
        with pytest.raises(ConfigError, match=said):
            rehearse(config, make_tiny_facts(config), REGISTRY)
    # Images alone are judged: what looks at segmentations cannot learn.
    wrong = {"freeze": ["discriminator.trunk", "discriminator.head"]}
    config = part_config(training=wrong, judge_segmentation=False, weights={"mask": 0})
    with pytest.raises(ConfigError, match=r"step 'discriminator' reaches nothing but what training\.freeze names"):
        rehearse(config, make_tiny_facts(config), REGISTRY)
