"""The synthesis game's own steps compute StyleGAN2's official losses and gradients."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest
import torch
from official import Case, accelerator
from synthesis_cases import check_output, check_parameters, given, imported, tolerances
from test_official_losses import played
from torch import Tensor

import zoogan.games.synthesis
import zoogan.losses.synthesis
from zoogan.composition.build import compose
from zoogan.config import merge, validate
from zoogan.config.registry import Registry
from zoogan.facts import Facts
from zoogan.interfaces import Clock
from zoogan.training.trainer import Trainer
from zoogan_stylegan2.layouts import RosinalityLayout

WEIGHTED = {"r1": r"r1_weighted\(([\d.]+)/2\*(\d+)\)", "path": r"path_weighted\(([\d.]+)\*(\d+)\)"}
"""The name of a weighted loss tells its weight and interval."""
SAYS = {
    "d": "mean softplus(-D(real)) + mean softplus(D(fake))",
    "g": "mean softplus(-D(fake))",
    "r1": "mean over batch of sum grad^2 (no gamma/2)",
    "path": "mean (len - (m + 0.01*(mean len - m)))^2 with m=0; len = sqrt(mean over n_latent of sum_512 grad^2)",
}


def weighted(says: Mapping[str, Any], term: str) -> tuple[str, float, int]:
    """The name of a weighted loss, its weight and its interval."""
    name = next(name for name in says["losses"] if name.startswith(f"{term}_weighted"))
    found = re.fullmatch(WEIGHTED[term], name)
    assert found is not None, name
    return name, float(found[1]), int(found[2])


def trainer_of(says: Mapping[str, Any], registry: Registry, real: Tensor, z: Tensor, direction: Tensor) -> Trainer:
    """A trainer of the case's game on its weights, batch and draws."""
    result = imported(says, torch.zeros(z.shape[1]))
    (_, r1, r1_every), (_, path, path_every) = weighted(says, "r1"), weighted(says, "path")
    layer = merge(
        result.config,
        {
            "data": {"source": "drawn", "image_size": real.shape[-1], "batch": len(real)},
            "mixing": 0.0,
            "penalty": {"use": "r1", "weight": r1, "every": r1_every},
            "weights": {"path_length": path, "path_every": path_every, "path_decay": 0.01},
            "training": {"precision": "fp32", "average_images": None},
        },
    )
    config = validate(registry.methods["stylegan2"], registry, layer)
    composition = compose(config, Facts(image_size=config.data.image_size, **result.facts), registry)
    for slot, state in result.networks.items():
        composition.networks[slot].load_state_dict(state, strict=True)
    injected = {"latent": z, "path": direction}
    fixed = composition.networks["generator"].get_fixed_noise()  # type: ignore[operator]
    injected |= {f"noise{k}": noise.clone() for k, noise in enumerate(fixed)}
    batch = {"source": {"image": real}}
    trainer = Trainer(composition, registry, accelerator(), iter(lambda: batch, None), injected=injected)
    trainer.fetch_batch()
    return trainer


def test_losses(synthesis_losses_case: Case, registry: Registry, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every loss, plain and weighted, scores, path lengths, the running mean, and gradients' norms of each alone."""
    case, says = synthesis_losses_case, synthesis_losses_case.says
    assert says["formulas"] == SAYS
    inputs = says["inputs"]
    real, z = given(inputs["real"]), given(inputs["z"])
    direction = given(inputs["pl_noise"], tuple(real.shape))  # the game divides it by sqrt(h w)
    trainer = trainer_of(says, registry, real, z, direction)
    check_parameters(says, trainer.networks)
    game, steps = trainer.game, {step.name: step for step in trainer.game.steps}
    seen: dict[str, Tensor] = {}
    adversarial, lengths = game.adversarial.discriminator_loss, zoogan.losses.synthesis.compute_path_lengths  # type: ignore[union-attr]

    def watched(real_score: Tensor, fake_score: Tensor) -> Any:
        seen.update(real_logits=real_score.detach(), fake_logits=fake_score.detach())
        return adversarial(real_score, fake_score)

    def measured(*arguments: Tensor) -> Tensor:
        seen["path_lengths"] = lengths(*arguments)
        return seen["path_lengths"]

    monkeypatch.setattr(game.adversarial, "discriminator_loss", watched)
    monkeypatch.setattr(zoogan.games.synthesis, "compute_path_lengths", measured)
    found: dict[str, float] = {}

    def norms(term: str, weight: float) -> None:
        """Of the gradients of one unweighted term."""
        for name in says["losses"]:
            if name.startswith(f"gradnorm_{term}/"):
                network, key = ours_of(name.partition("/")[2], trainer)
                gradient = dict(trainer.networks[network].named_parameters())[key].grad
                assert gradient is not None, name
                found[name] = float(gradient.norm()) / weight
        trainer.networks.zero_grad()

    d = played(trainer, steps["discriminator"])
    found["d"] = d["real"] + d["fake"]
    norms("d", 1)
    g = played(trainer, steps["generator"])
    found["g"] = g["adversarial"]
    norms("g", 1)
    penalty = played(trainer, steps["penalty"])
    found["r1"], found[weighted(says, "r1")[0]] = 2 * penalty["penalty"], penalty["total"]
    norms("r1", penalty["total"] / found["r1"])
    # The game regularises every second face of a batch: twice the batch for as many as the case has.
    assert trainer.batch is not None
    trainer.batch = {"source": {"image": real.repeat(2, 1, 1, 1)}}
    path = played(trainer, steps["path_length"])
    found["path_penalty"], found[weighted(says, "path")[0]] = path["path_length"], path["total"]
    norms("path", path["total"] / path["path_length"])
    game.end_iteration(Clock(0, 1))
    found["path_mean"] = float(game.path_mean)  # type: ignore[arg-type]

    assert set(found) == set(says["losses"]) and set(seen) == set(says["outputs"])
    rtol, _ = tolerances(says)
    for name, want in says["losses"].items():
        print(f"{case.name} {name}: {found[name]:.8g}, official {want:.8g}, differs by {found[name] / want - 1:.1e}")
    for name, value in seen.items():
        check_output(name, value.detach(), case)
    for name, want in says["losses"].items():
        assert found[name] == pytest.approx(want, rel=rtol), name


def ours_of(official: str, trainer: Trainer) -> tuple[str, str]:
    """Our network and key of an official parameter."""
    for slot, network in trainer.networks.items():
        for key, _ in network.named_parameters():
            if RosinalityLayout().get_official_name(slot, key, 0) == official:
                return slot, key
    raise KeyError(official)
