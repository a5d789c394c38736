"""Our game's own steps compute the official losses and gradients of SMILE's layout stage, in both training schemes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import layout_cases
import pytest
import torch
from official import Case, accelerator, placed
from test_official_losses import gradients, norm_of, played
from torch import Tensor

from zoogan.composition.build import compose
from zoogan.config import merge, validate
from zoogan.config.registry import Registry
from zoogan.facts import Facts
from zoogan.games.style_pictures import name_noise_target
from zoogan.interfaces import Clock
from zoogan.training.trainer import Trainer

STEPS = {
    "D_latent": "discriminator_latent", "D_reference": "discriminator_reference",
    "G_latent": "generator_latent", "G_reference": "generator_reference",
}  # fmt: skip
TERMS = {"Dsrc": ("real", "fake"), "Dr1": ("penalty",), "Gsrc": ("adversarial",), "Gsd": ("diversity",),
         "Gsty": ("style",), "Grec": ("cycle",)}  # fmt: skip
"""Official term -> our terms, of which it is the weighted sum."""
RTOL = 1e-6
WITHOUT_NOISE = {"smile-sem-losses-full": 6.48499704}
"""Norm of the generator's gradient without the strengths of the noise."""


def layer_of(c: Mapping[str, Any]) -> dict[str, Any]:
    """Our training settings of a case's."""
    assert c["lambda_src"] == 1, "our games have no weight of the generator's adversarial term"
    both, narrow = c["STARGAN_TRAINING"], c["SPLIT_STYLE"]
    return {
        "passes": ["latent", "reference"] if both else ["latent"],
        "second_reference": "permuted",
        "detach_cycle_style": not both,
        "cycle_masks": "source",
        "diversity_outside_masks": c["FAN"],
        "heat_maps": {"use": "files" if c["FAN"] else "none"},
        "penalty": {"use": "r1", "weight": c["r1_weight"], "every": 1},
        "weights": {
            "discriminator": 0.5, "cycle": c["lambda_rec"], "diversity": c["lambda_ds"], "diversity_decay": None,
            "style": c["lambda_sty"] * (c["num_domains"] if narrow else 1),  # narrow styles are repeated
        },
        "training": {"precision": "fp64", "average": None},
    }  # fmt: skip


def trainer_of(says: Mapping[str, Any], registry: Registry) -> Trainer:
    """A trainer of the case's game on its weights and batch."""
    inputs, c = says["inputs"], says["config"]
    assert inputs["guided_x"].startswith("real_x flipped along W")
    layout = layout_cases.layout(inputs["real_x"])
    n, side = len(layout), layout.shape[3]
    source = {"layout": layout, "attributes": layout_cases.labels(inputs["real_c"], n)}
    if c["FAN"]:
        source["heat_maps"] = torch.cat(layout_cases.heat_maps(inputs["fan"], n, side), 1)
    reference = {"layout": layout.flip(3), "attributes": layout_cases.labels(inputs["fake_c"], n)}
    batch = {"source": source, "reference": reference}
    result = layout_cases.imported(says, says["tables"])
    layer = merge(result.config, layer_of(c))
    layer["data"] = {"source": "drawn", "image_size": result.config["data"]["image_size"], "batch": n}
    config = validate(registry.methods["smile-layout"], registry, layer)
    attributes = tuple(result.config["data"]["attributes"])
    facts = Facts(image_size=config.data.image_size, attributes=attributes, **result.facts)
    composition = compose(config, facts, registry)
    for slot, state in result.networks.items():
        composition.networks[slot].load_state_dict(state, strict=True)
    return Trainer(composition, registry, accelerator(), iter(lambda: batch, None), injected={})


def draws_of(says: Mapping[str, Any], name: str, trainer: Trainer) -> dict[str, Tensor]:
    """The latents, second references and noise of a step.

    Every official noise map begins the global generator anew at 0, and the strengths of the noise are 0, so that it
    shows in their gradients alone.
    """
    inputs = says["inputs"]
    assert inputs["reference_permutation"].startswith("reversed batch order")
    latent = layout_cases.tensor(inputs["z_D" if name.startswith("D") else "z_G"])
    draws = {"latent": latent, "latent2": layout_cases.tensor(inputs["z_G_diversity"])}
    draws["second"] = torch.arange(len(latent)).flip(0)
    sizes = trainer.game.noise_sizes  # type: ignore[union-attr]
    for use in [f"{way}{forward}" for way in ("latent", "reference") for forward in ("", "2", " cycle")]:
        for place, size in enumerate(sizes):
            generator = torch.Generator().manual_seed(0)
            drawn = torch.empty(len(latent), 1, *size, dtype=torch.float64).normal_(generator=generator)
            draws[name_noise_target(use, place)] = placed(drawn)
    return draws


@pytest.mark.without_onednn
def test_losses(layout_losses_case: Case, registry: Registry) -> None:
    """Every term of every step, their sum, and the norm of the gradient of every network.

    The norm of the generator's gradient is also that of all its parameters but the strengths of the noise. As these are
    0, the noise itself changes nothing else.
    """
    says = layout_losses_case.says
    assert says["tol"].startswith("rtol 1e-6 in float64")
    trainer = trainer_of(says, registry)
    assert {STEPS[name] for name in says["losses"]} == {step.name for step in trainer.game.steps}
    for name, want in says["losses"].items():
        step = next(step for step in trainer.game.steps if step.name == STEPS[name])
        trainer.injected = draws_of(says, name, trainer)
        trainer.fetch_batch()
        trainer.networks.zero_grad()
        terms = played(trainer, step)
        weights = step.weights(Clock(0, trainer.training.iterations))
        found = {"total": terms["total"]}
        for term, ours in TERMS.items():
            official = f"{term}_{'l' if name.endswith('latent') else 'g'}"
            if ours[0] in terms:
                found[official] = sum(weights[one] * terms[one] for one in ours)
        assert set(found) == set(want) - {"grad_l2"}, name
        for term, number in found.items():
            print(f"{layout_losses_case.name} {name} {term}: {number:.10g}, official {want[term]:.10g}")
            assert number == pytest.approx(want[term], rel=RTOL), f"{name} {term}"
        for letter, norm in want["grad_l2"].items():
            slot = layout_cases.SLOTS[letter]
            ours_norm = norm_of(gradients(trainer, slot))
            print(f"{layout_losses_case.name} {name} gradient of {letter}: {ours_norm:.10g}, official {norm:.10g}")
            if slot in step.trains:
                assert ours_norm == pytest.approx(norm, rel=RTOL), f"{name}: gradient of {slot}"
            else:
                assert ours_norm == norm == 0.0, f"{name} is not to train {slot}"
        if "generator" in step.trains and trainer.game.noise_sizes:  # type: ignore[union-attr]
            check_strengths(layout_losses_case.name, gradients(trainer, "generator"))


def check_strengths(case: str, gradient: Mapping[str, Tensor | None]) -> None:
    """The strengths of the noise have a gradient; the others' norm is what it is without noise."""
    others = {key: value for key, value in gradient.items() if not key.endswith("strength")}
    assert len(others) < len(gradient)
    norm = norm_of(others)
    assert norm < norm_of(gradient) * (1 - RTOL), "the strengths of the noise have a gradient"
    if case in WITHOUT_NOISE:
        assert norm == pytest.approx(WITHOUT_NOISE[case], rel=RTOL)
