"""Our game's own steps compute the official losses and gradients, and our trainer the official updates."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import official
import pytest
import torch
from official import Case
from torch import Tensor

from zoogan.composition.build import compose
from zoogan.config import merge, validate
from zoogan.config.registry import Registry
from zoogan.facts import Facts
from zoogan.interfaces import Clock, Step
from zoogan.training.trainer import Trainer

# The generators of the cases are ill-conditioned: the reference's own gradients differ from float64 by 2e-5
# of their norm and single entries by 0.5 % of the largest, and so do ours. A wrong detach or a lost term is
# far outside of both.
GRADIENT_NORM_RTOL, GRADIENT_ENTRY_RTOL = 3e-4, 2e-2
FIRST = {
    "stargan": {"D": "main.0.weight", "G": "main.0.weight"},
    "sagan": {"D": "conv.0.weight", "AMN": "AMN.conv.0.weight"},
}
BODIES = {"AMN": "modification.", "SAN": "attention."}


def configs(says: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """The network cases' configs that a loss case's config implies."""
    c = says["config"]
    return {
        part: {
            "c_dim": c["c_dim"],
            "image_size": c["image_size"],
            "conv_dim": c.get(f"{part[0]}_conv_dim"),
            "repeat_num": c.get(f"{part[0]}_repeat_num"),
        }
        for part in official.NETWORKS
    }


def trainer_of(case: Case, registry: Registry) -> tuple[Trainer, dict[str, str]]:
    """A trainer of the case's game on its weights, batch and draws; official key -> ours, by network."""
    says, method, config = case.says, case.says["method"], case.says["config"]
    states = {part: official.filled(method, part, c) for part, c in configs(says).items()}
    result = official.imported(method, states, config)
    image = official.given(case, "x")
    own = official.given(case, "label_org" if method == "stargan" else "labels").float()
    layer = merge(result.config, {"data": {"batch": len(image)}, "training": {"precision": "fp32", "average": None}})
    whole = validate(registry.methods[method], registry, layer)
    facts = Facts(image_size=config["image_size"], attributes=official.names(config["c_dim"]))
    composition = compose(whole, facts, registry)
    for part in official.NETWORKS:
        composition.networks[part].load_state_dict(result.networks[part], strict=True)
    alpha = official.given(case, "alpha")
    injected = {"alpha": alpha if method == "stargan" else 1 - alpha}  # SaGAN's code mixes the other way round
    if method == "stargan":
        injected["targets"] = official.given(case, "permutation")
    batch = {"source": {"image": image, "attributes": own}}
    trainer = Trainer(composition, registry, official.accelerator(), iter(lambda: batch, None), injected=injected)
    trainer.fetch_batch()
    wanted = official.given(case, "label_trg") if method == "stargan" else 1 - own
    assert torch.equal(trainer.targets["attributes"], wanted)
    names = {
        f"{part}/{key}": ours
        for part in official.NETWORKS
        for key, ours in official.official_names(states[part], result.networks[part]).items()
    }
    return trainer, names


def official_losses(
    says: Mapping[str, Any], d: Mapping[str, float], g: Mapping[str, float], kind: str
) -> dict[str, float]:
    """Our terms and totals under the official names. g: empty if only the discriminator was updated."""
    if says["method"] == "stargan":
        of_discriminator = {
            "D/loss_real": d["real"], "D/loss_fake": d["fake"], "D/loss_cls": d["attribute"],
            "D/loss_gp": d["penalty"], "D/total": d["total"],
        }  # fmt: skip
        return of_discriminator if not g else of_discriminator | {
            "G/loss_fake": g["adversarial"], "G/loss_cls": g["attribute"],
            "G/loss_rec": g["cycle"], "G/total": g["total"],
        }  # fmt: skip
    difference = d["real"] + d["fake"]
    restored = says["config"]["l1"] * g["cycle"] + says["config"]["l2"] * g["identity"]
    if kind == "static":
        return {
            "df": difference, "dc": d["attribute"], "gp": d["penalty"], "d_loss": d["total"],
            "gf": g["adversarial"], "gc": g["attribute"], "rec_cycle_unweighted": g["cycle"],
            "rec_self_unweighted": g["identity"], "gr": restored, "g_loss": g["total"],
        }  # fmt: skip
    return {
        "D/d_loss": d["total"], "D/df_loss": difference, "D/dc_loss": d["attribute"], "D/df_gp": d["penalty"],
        "G/g_loss": g["total"], "G/gf_loss": g["adversarial"], "G/gc_loss": g["attribute"],
        "G/gr_loss": restored,
    }  # fmt: skip


def compare(what: str, got: float, want: float, rtol: float) -> None:
    assert abs(got - want) <= rtol * max(1.0, abs(want)), f"{what}: {got}, official {want}, rtol {rtol}"


def norm_of(parameters: Mapping[str, Tensor | None], prefix: str = "") -> float:
    squares = [
        p.detach().cpu().double().square().sum()
        for k, p in parameters.items()
        if p is not None and k.startswith(prefix)
    ]
    return float(torch.stack(squares).sum().sqrt()) if squares else 0.0


def played(trainer: Trainer, step: Step) -> dict[str, float]:
    """A step's terms, with their gradients left in the networks and no update made."""
    clock = Clock(0, trainer.training.iterations)
    with trainer.enable_gradients(step, graph=False):
        terms = step.terms(trainer.make_turn(step, 0, clock, slice(None), frozenset()))
        weights = step.weights(clock)
        assert set(terms) == set(weights)
        total = torch.stack([weights[name] * term for name, term in terms.items()]).sum()
        total.backward()
    return {name: float(term.detach()) for name, term in terms.items()} | {"total": float(total.detach())}


def gradients(trainer: Trainer, network: str) -> dict[str, Tensor | None]:
    return {key: p.grad for key, p in trainer.networks[network].named_parameters()}


def test_static(loss_case: Case, registry: Registry) -> None:
    says, static = loss_case.says, loss_case.says["static"]
    trainer, names = trainer_of(loss_case, registry)
    discriminator, generator = trainer.game.steps
    rtol, norms, samples = says["rtol_static"], static["grad_l2_norms"], static["grad_samples"]
    norm_rtol = max(rtol, GRADIENT_NORM_RTOL)

    d = played(trainer, discriminator)
    compare("gradient of D", norm_of(gradients(trainer, "discriminator")), norms["D_after_D_backward"], norm_rtol)
    assert norm_of(gradients(trainer, "generator")) == norms.get("G_after_D_backward", 0.0) == 0.0
    on_critic = gradients(trainer, "discriminator")
    g = played(trainer, generator)
    on_generator = gradients(trainer, "generator")
    compare("gradient of G", norm_of(on_generator), norms["G_after_G_backward"], norm_rtol)
    for body, prefix in BODIES.items():
        if body in norms:
            compare(f"gradient of {body}", norm_of(on_generator, prefix), norms[body], norm_rtol)
    for side, key in FIRST[says["method"]].items():
        network, found = ("discriminator", on_critic) if side == "D" else ("generator", on_generator)
        gradient = found[names[f"{network}/{key}"]]
        assert gradient is not None
        wanted = torch.tensor(samples[f"{side}_first8"])
        worst = float((gradient.cpu().flatten()[: len(wanted)] - wanted).abs().max() / wanted.abs().max())
        assert worst <= GRADIENT_ENTRY_RTOL, f"gradient of {key}: entries differ by {worst} of the largest"

    losses = official_losses(says, d, g, "static")
    assert set(losses) == set(static["losses"])
    for name, want in static["losses"].items():
        compare(name, losses[name], want, rtol)

    buffers = dict(trainer.networks["generator"].named_buffers())
    for key, want in static.get("buffers_after", {}).items():
        if key == "num_batches_tracked":
            assert {int(b) for k, b in buffers.items() if k.endswith(key)} == {want}
        else:
            official.check_summary(key, buffers[names[f"generator/{key}"]], want, rtol)


def test_trace(loss_case: Case, registry: Registry) -> None:
    says, trace = loss_case.says, loss_case.says["trace"]
    trainer, _ = trainer_of(loss_case, registry)
    update = trainer.update

    def remembering_the_last(step: Step, *rest: Any) -> None:
        trainer.terms[step.name].reset()  # the official log has the last update's terms, not their means
        update(step, *rest)

    trainer.update = remembering_the_last  # type: ignore[method-assign]
    rtols = says["rtol_trace"]
    for line, (moment, wanted) in enumerate(trace["losses"].items(), 1):
        last = int(moment) if says["method"] == "stargan" else line  # SaGAN's moments count images, a line a round
        while trainer.iteration < last:
            trainer.terms["generator"].reset()  # with n_critic above 1 it may not play
            trainer.iterate()
        d, g = ({k: float(v) for k, v in trainer.terms[side].sums.items()} for side in ("discriminator", "generator"))
        losses = official_losses(says, d, g, "trace")
        rtol = rtols[moment] if isinstance(rtols, dict) else rtols
        compared = [name for name in wanted if not name.startswith("Progress")]
        assert set(compared) == set(losses)
        for name in compared:
            compare(f"{name} at {moment}", losses[name], wanted[name], rtol)
    for side, network in (("G", "generator"), ("D", "discriminator")):
        norm = norm_of(dict(trainer.networks[network].named_parameters()))
        assert norm == pytest.approx(trace["param_l2_norm_after"][side], rel=rtol)
