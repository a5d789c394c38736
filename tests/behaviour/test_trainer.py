"""The trainer: compositions, rehearsal, accumulation, compilation and finite gradients."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from accelerate import Accelerator

from zoogan.composition import rehearsal
from zoogan.composition.build import compose
from zoogan.composition.rehearsal import compose_on_device, rehearse, run_steps_once
from zoogan.config.registry import Component
from zoogan.errors import ConfigError, NotFinite
from zoogan.names import import_object
from zoogan.plugins.host import get_zoo
from zoogan.testing.conformance import (
    collect_state_tensors,
    make_random_batches,
    make_tiny_config,
    make_tiny_facts,
    train_on_random_batches,
)
from zoogan.training.trainer import Trainer

METHODS = ("sagan", "stargan")
REGISTRY = get_zoo().registry


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("adversarial", ["wgan", "non_saturating", "hinge", "lsgan"])
@pytest.mark.parametrize("penalty", ["gradient", "r1", "none"])
def test_every_loss_and_penalty_trains_with_both_methods(method: str, adversarial: str, penalty: str) -> None:
    config = make_tiny_config(method, REGISTRY, {"adversarial": {"use": adversarial}, "penalty": {"use": penalty}})
    trainer = train_on_random_batches(config, REGISTRY, 2)
    terms = trainer.read_terms()
    assert all(torch.isfinite(torch.tensor(value)) for value in terms.values())
    assert ("discriminator/penalty" in terms) == (penalty != "none")


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize(
    "sets",
    [
        {"discriminator": {"use": "stargan", "width": 4}},
        {"discriminator": {"use": "sagan", "width": 4}},
        {"generator": {"use": "stargan", "width": 4}},
        {"generator": {"use": "sagan", "width": 4}},
        {"classification": {"use": "softmax"}, "data": {"attributes": ["Male", "Smiling"]}},
        {"augment": {"use": "diffaugment"}},
        {"condition": {"draw": "uniform"}},
        {"weights": {"cycle": 0, "identity": 0}},
        {"weights": {"cycle": 1, "identity": 1}, "training": {"average": 0.5}},
    ],
    ids=str,
)
def test_swapped_components_and_settings_train(method: str, sets: dict[str, Any]) -> None:
    train_on_random_batches(make_tiny_config(method, REGISTRY, sets), REGISTRY, 2).check_finite()


@pytest.mark.slow
@pytest.mark.parametrize(("fresh_batch", "batches"), [(False, 1), (True, 3)])
def test_ada_counts_each_image_once(fresh_batch: bool, batches: int) -> None:
    """The count does not depend on the number of discriminator updates that read an image."""
    cadence = {"discriminator_repeat": 3, "fresh_batch": fresh_batch}
    config = make_tiny_config("sagan", REGISTRY, {"augment": {"use": "ada"}, "cadence": cadence})
    state = dict(train_on_random_batches(config, REGISTRY, 1).game.named_buffers())
    assert float(state["trust_images"]) == pytest.approx(batches * config.data.batch)
    assert abs(float(state["trust_sum"])) <= batches * config.data.batch + 1e-3


def test_extra_terms_are_added_to_the_named_step() -> None:
    sets = {"extra_terms": {"generator": {"mask_area": {"weight": 0.5}}}}
    trainer = train_on_random_batches(make_tiny_config("sagan", REGISTRY, sets), REGISTRY, 1)
    terms = trainer.read_terms()
    assert 0 < terms["generator/mask_area"] < 1
    with pytest.raises(ConfigError, match="no step is called generatr"):
        train_on_random_batches(
            make_tiny_config("sagan", REGISTRY, {"extra_terms": {"generatr": {"mask_area": {}}}}), REGISTRY, 0
        )


@pytest.mark.slow
@pytest.mark.parametrize("small", [0.0, rehearsal.SMALL_WORK])  # rehearsed on the meta device, and on the CPU
def test_output_of_wrong_shape_is_reported_before_training(small: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "SMALL_WORK", small)
    config = make_tiny_config("sagan", REGISTRY, {"discriminator": {"score_heads": "joint"}})
    rehearse(config, make_tiny_facts(config), REGISTRY)
    original = REGISTRY.components["attribute_discriminator", "sagan"]
    component = Component(
        "attribute_discriminator", "sagan", original.config, f"{__name__}:make_two_attribute_discriminator"
    )
    monkeypatch.setitem(REGISTRY.components, ("attribute_discriminator", "sagan"), component)
    with pytest.raises(ConfigError, match=r"discriminator 'sagan': attributes has shape \(\d+, 2\).*a=1"):
        rehearse(config, make_tiny_facts(config), REGISTRY)


def make_two_attribute_discriminator(config: Any, facts: Any) -> Any:
    """Make a discriminator of two attributes, whatever the data has."""
    two_attributes = facts.model_copy(update={"attributes": ("Male", "Smiling")})
    return import_object("zoogan_sagan.networks:SaganDiscriminator")(config, two_attributes)


def test_gradients_that_are_not_finite_are_not_applied() -> None:
    config = make_tiny_config("stargan", REGISTRY, {"cadence": {"generator_every": 1}})
    composition = compose(config, make_tiny_facts(config), REGISTRY)
    batches = list(zip(range(6), make_random_batches(composition)))
    for _, batch in batches[3:]:
        batch["source"]["image"][0, 0, 0, 0] = float("nan")
    trainer = Trainer(composition, REGISTRY, Accelerator(cpu=True), (batch for _, batch in batches))
    for _ in range(3):
        trainer.iterate()
    before = collect_state_tensors(trainer)
    with pytest.raises(NotFinite, match=r"iteration 3: discriminator: real, fake, attribute, .*gradient"):
        trainer.iterate()
    after = collect_state_tensors(trainer)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_accumulation_gives_the_result_of_the_joint_batch(method: str) -> None:
    """Without batch statistics, two micro-batches of 2 are one batch of 4."""
    sets: dict[str, Any] = {"generator": {"use": "stargan", "width": 4}, "training": {"precision": "fp64"}}
    whole = collect_state_tensors(train_on_random_batches(make_tiny_config(method, REGISTRY, sets), REGISTRY, 2))
    halves = make_tiny_config(
        method, REGISTRY, {**sets, "data": {"batch": 2}, "training": {"precision": "fp64", "accumulate": 2}}
    )
    parts = collect_state_tensors(train_on_random_batches(halves, REGISTRY, 2))
    for name, tensor in whole.items():
        assert torch.allclose(tensor, parts[name], atol=1e-9), name


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_compiled_game_has_the_gradients_of_the_eager_game(method: str) -> None:
    """Some versions of torch silently drop second derivatives of compiled modules, which the penalty needs."""
    import zoogan.interfaces.game as game

    torch._dynamo.reset()
    config = make_tiny_config(method, REGISTRY, {"generator": {"blocks": 1}, "training": {"precision": "fp64"}})
    eager, compiled = train_on_random_batches(config, REGISTRY, 0), train_on_random_batches(config, REGISTRY, 0)
    # Compiling both bodies of SaGAN takes half a minute; test_sagan.py compiles the layers that StarGAN lacks.
    networks = [compiled.networks["discriminator"]] + ([compiled.networks["generator"]] if method == "stargan" else [])
    parts = [part for network in networks for part in network.list_compiled_modules()]
    for part in parts:
        part.compile(backend="aot_eager")
    for trainer in (eager, compiled):
        trainer.iterate()
    for name, network in eager.networks.items():
        for (key, p), q in zip(network.named_parameters(), compiled.networks[name].parameters()):
            if p.grad is not None:
                assert torch.allclose(p.grad, q.grad, atol=1e-9), (name, key)
    with game.disable_compilation(compiled.networks["discriminator"]):
        assert all(m._compiled_call_impl is None for m in compiled.networks["discriminator"].modules())
    assert any(part._compiled_call_impl is not None for part in parts)


@pytest.mark.slow
@pytest.mark.parametrize(("small", "penalty"), [(0.0, "ReadingPenalty"), (rehearsal.SMALL_WORK, "ElsewherePenalty")])
def test_rehearsal_falls_back_to_the_other_device(small: float, penalty: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rehearsal, "SMALL_WORK", small)
    config = make_tiny_config("sagan", REGISTRY)
    original = REGISTRY.components["discriminator_penalty", "r1"]
    component = Component("discriminator_penalty", "r1", original.config, f"{__name__}:{penalty}")
    monkeypatch.setitem(REGISTRY.components, ("discriminator_penalty", "r1"), component)
    first = torch.device("cpu" if small else "meta")
    with pytest.raises(NotImplementedError):
        run_steps_once(compose_on_device(first, config, make_tiny_facts(config), REGISTRY))
    state = torch.get_rng_state()
    rehearse(config, make_tiny_facts(config), REGISTRY)
    assert torch.equal(state, torch.get_rng_state())


class ElsewherePenalty:
    """A penalty that fails on the CPU."""

    weight, every = 1.0, 1

    def __init__(self, config: Any, facts: Any) -> None: ...

    def __call__(self, scorer: Any, real: Any, fake: Any, draw: Any) -> Any:
        if real.device.type == "cpu":
            torch.rand(())  # as a dropout does
            raise NotImplementedError("no such operator on a CPU")
        return scorer(real).mean()


class ReadingPenalty:
    """A penalty that reads a number, which fails on the meta device."""

    weight, every = 1.0, 1

    def __init__(self, config: Any, facts: Any) -> None: ...

    def __call__(self, scorer: Any, real: Any, fake: Any, draw: Any) -> Any:
        return scorer(real).mean() * (1.0 if float(real.mean()) > 2 else 0.5)
