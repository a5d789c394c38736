"""Our game's own steps compute StarGAN v2's official losses and gradients, and our trainer its iterations."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import fill
import pytest
import style_networks
import torch
from official import Case, accelerator, placed
from test_official_losses import compare, gradients, norm_of, played
from torch import Tensor

from zoogan.composition.build import compose
from zoogan.config import merge, validate
from zoogan.config.registry import Registry
from zoogan.facts import Facts
from zoogan.files import StateDict
from zoogan.interfaces import HeatMaps, Masks
from zoogan.training.trainer import Trainer
from zoogan_stargan_v2.weights import convert_stargan_v2, get_official_name

STEPS = {
    "D_latent": "discriminator_latent", "D_reference": "discriminator_reference",
    "G_latent": "generator_latent", "G_reference": "generator_reference",
}  # fmt: skip
TERMS = {"real": "real", "fake": "fake", "reg": "penalty", "adv": "adversarial", "sty": "style", "ds": "diversity",
         "cyc": "cycle", "total": "total"}  # fmt: skip
RTOL, ROUGH_RTOL = 1e-4, 1e-3  # as the cases say: of terms, of R1 and of gradients' norms


class Given(HeatMaps):
    """Heat maps that are always these."""

    def __init__(self, masks: Masks | None) -> None:
        self.masks = masks

    def __call__(self, image: Tensor) -> Masks | None:
        return self.masks


def layer_of(c: Mapping[str, Any]) -> dict[str, Any]:
    """Our config of a case's. Arguments that it leaves out are the official defaults."""
    adam = {"use": "adam", "lr": c.get("lr", 1e-4), "betas": c.get("betas", [0.0, 0.99]),
            "weight_decay": c.get("weight_decay", 1e-4)}  # fmt: skip
    optimizers = {slot: adam for slot in ("generator", "style_encoder", "discriminator")}
    ours, style = {"use": "stargan-v2"}, {"style_dim": c.get("style_dim", 64)}
    wide = ours | {"max_width": c.get("max_conv_dim", 512)}
    return {
        "data": {"source": "drawn", "image_size": c["img_size"], "batch": 1},
        "generator": wide | style | {"high_pass": c["w_hpf"]},
        "mapping": ours | style | {"latent_dim": c.get("latent_dim", 16)},
        "style_encoder": wide | style,
        "discriminator": wide,
        "penalty": {"use": "r1", "weight": c["lambda_reg"], "every": 1},
        "weights": {
            "style": c["lambda_sty"], "diversity": c["lambda_ds"], "cycle": c["lambda_cyc"],
            "diversity_decay": c.get("ds_iter", 100_000),
        },
        "optimizers": optimizers | {"mapping": adam | {"lr": c.get("f_lr", 1e-6)}},
        "training": {"average": c.get("ema_beta", 0.999), "average_warm_up": False},
    }  # fmt: skip


def weights_of(networks: torch.nn.ModuleDict, c: Mapping[str, Any]) -> dict[str, StateDict]:
    """The cases' weights: official keys filled by name, through the importer."""
    states = {}
    for slot, ours in networks.items():
        empty = {
            get_official_name(slot, key, ours): torch.zeros(*p.shape, 1, 1) if key == "score.weight" else p.clone()
            for key, p in ours.state_dict().items()
        }
        states[slot] = fill.fill_state_dict(empty)
    settings = {"domains": style_networks.names(c["num_domains"]), "w_hpf": c["w_hpf"]}
    return convert_stargan_v2(states, settings).networks


def trainer_of(
    says: Mapping[str, Any], registry: Registry, batches: Iterator[Any], rows: int, precision: str = "fp32"
) -> Trainer:
    """A trainer of the case's game on its weights."""
    c = says["config"]
    layer = merge(layer_of(c), {"data": {"batch": rows}, "training": {"precision": precision}})
    config = validate(registry.methods["stargan-v2"], registry, layer)
    facts = Facts(image_size=c["img_size"], attributes=("A",), domains=tuple(style_networks.names(c["num_domains"])))
    composition = compose(config, facts, registry)
    for slot, state in weights_of(composition.networks, c).items():
        composition.networks[slot].load_state_dict(state, strict=True)
    return Trainer(composition, registry, accelerator(), batches, injected={})


def batch_of(inputs: Mapping[str, Any], own: list[int], target: list[int]) -> dict[str, dict[str, Tensor]]:
    """A batch from official names."""
    return {
        "source": {"image": inputs["x_real"], "domain": placed(torch.tensor(own))},
        "reference": {"image": inputs["x_ref"], "image2": inputs["x_ref2"], "domain": placed(torch.tensor(target))},
    }


def test_losses(style_loss_case: Case, registry: Registry) -> None:
    """Every term of the four passes, and the gradient's norm of every network that the pass trains."""
    says = style_loss_case.says
    style_networks.check_fill(says)
    given = {name: style_networks.given(recipe) for name, recipe in says["inputs"].items()}
    batch = batch_of(given, says["inputs"]["y_org"], says["inputs"]["y_trg"])
    masks: Masks | None = given["masks"]
    for how, wanted in says["losses"].items():
        assert how == "hash/float32"
        trainer = trainer_of(says, registry, iter(lambda: batch, None), len(given["x_real"]))
        trainer.injected = {"latent": given["z_trg"], "latent2": given["z_trg2"]}
        trainer.game.heat_maps = Given(masks)  # type: ignore[assignment]
        trainer.fetch_batch()
        assert set(wanted) == set(STEPS)
        for name, want in wanted.items():
            step = next(step for step in trainer.game.steps if step.name == STEPS[name])
            trainer.networks.zero_grad()
            found = played(trainer, step)
            for term, number in want.items():
                if term != "grad_norm":
                    compare(f"{name} {term}", found[TERMS[term]], number, ROUGH_RTOL if term == "reg" else RTOL)
            for ours, theirs in (("mapping", "mapping_network"), *((n, n) for n in trainer.networks if n != "mapping")):
                norm = norm_of(gradients(trainer, ours))
                if ours in step.trains:
                    assert norm == pytest.approx(want["grad_norm"][theirs], rel=ROUGH_RTOL), f"{name}: {ours}"
                else:
                    assert norm == 0, f"{name} is not to train {ours}"


@pytest.mark.without_onednn
def test_iterations(style_training_case: Case, registry: Registry) -> None:
    """Whole iterations: order of the passes, Adam, averages, the decay of the diversity weight."""
    says = style_training_case.says
    style_networks.check_fill(says)
    assert says["fill"] == "hash"
    c, size, rows = says["config"], says["config"]["img_size"], len(says["inputs"]["y_org"])

    def inputs(k: int) -> dict[str, Tensor]:
        images = {
            name: placed(fill.named_tensor(f"it{k}_{name}", (rows, 3, size, size)))
            for name in ("x_real", "x_ref", "x_ref2")
        }
        latents = {
            name: fill.named_tensor(f"it{k}_{name}", (rows, c.get("latent_dim", 16))) for name in ("z_trg", "z_trg2")
        }
        return images | latents

    def batches() -> Iterator[Any]:
        for k in range(c["iterations"]):
            given = inputs(k)
            trainer.injected = {"latent": given["z_trg"], "latent2": given["z_trg2"]}
            yield batch_of(given, says["inputs"]["y_org"], says["inputs"]["y_trg"])

    # Adam with beta1 = 0 turns a gradient that is only rounding into a full step. In float64 the rounding left is the
    # reference's own.
    trainer = trainer_of(says, registry, batches(), rows, "fp64")
    before = {name: [p.detach().clone() for p in network.parameters()] for name, network in trainer.networks.items()}
    wanted = says["results"]["float32"]
    for k, iteration in enumerate(wanted["iterations"]):
        trainer.iterate()
        rtol = ROUGH_RTOL if k == 0 else 1e-2
        for name, step in STEPS.items():
            log = trainer.terms[step]
            found = {term: float(log.sums[term]) for term in log.names}
            log.reset()
            for term, number in iteration[name].items():
                compare(f"iteration {k}: {name} {term}", found[TERMS[term]], number, rtol)
        left = trainer.game.get_diversity_weight(trainer_clock(trainer))  # type: ignore[operator]
        assert left == pytest.approx(iteration["lambda_ds_after"])
    for name, network in trainer.networks.items():
        theirs = {"mapping": "mapping_network"}.get(name, name)
        assert total(network) == pytest.approx(wanted["params"][theirs]["abs_sum"], rel=1e-4)
        assert moved(network, before[name]) == pytest.approx(wanted["l2_move_from_fill"][theirs], rel=1e-2)
        if name in trainer.averages:
            average = trainer.averages[name].network
            assert total(average) == pytest.approx(wanted["ema"][theirs]["abs_sum"], rel=1e-5)
            # The mapping's average moves by a billionth of its weights, which the reference's float32 cannot hold.
            assert moved(average, before[name]) == pytest.approx(wanted["l2_move_ema"][theirs], rel=2e-2, abs=1e-6)


def trainer_clock(trainer: Trainer) -> Any:
    """Where the training stands."""
    from zoogan.interfaces import Clock

    return Clock(trainer.iteration, trainer.training.iterations)


def total(network: torch.nn.Module) -> float:
    """Sum of the absolute values of all parameters."""
    return float(sum(p.detach().double().abs().sum() for p in network.parameters()))


def moved(network: torch.nn.Module, before: list[Tensor]) -> float:
    """L2 distance of all parameters from where they were."""
    squares = [(p.detach().double() - b.double()).square().sum() for p, b in zip(network.parameters(), before)]
    return float(torch.stack(squares).sum().sqrt())
