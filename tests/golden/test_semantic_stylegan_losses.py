"""The synthesis game's own steps compute SemanticStyleGAN's official losses and gradients."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

import pytest
import torch
from official import Case, accelerator
from parts_cases import beside, faces_of, imported, latent
from test_official_losses import played
from torch import Tensor

import zoogan.games.synthesis
import zoogan.losses.synthesis
from zoogan.composition.build import compose
from zoogan.config import merge, validate
from zoogan.config.registry import Registry
from zoogan.facts import Facts
from zoogan.importing.official import Imported
from zoogan.interfaces import Clock, Step, Turn
from zoogan.training.trainer import Trainer
from zoogan_semantic_stylegan.layout import MAPPING, find_origins
from zoogan_semantic_stylegan.weights import set_penalties

RTOL, RTOL_PATH, RTOL_NORMS, RTOL_FP64 = 1e-4, 5e-3, 1e-2, 1e-6  # of the cases' description, section 10


@pytest.fixture(scope="module")
def weights() -> Iterator[dict[str, Imported]]:
    """The imported weights of a loss case, kept for the tests of this file alone."""
    kept: dict[str, Imported] = {}
    yield kept
    kept.clear()


class Played:
    """A trainer of the case's game on its weights, batch and draws, and what its steps gave.

    pairs: whether the discriminator looks at segmentations.
    """

    def __init__(
        self, case: Case, registry: Registry, weights: dict[str, Imported], precision: str, pairs: bool = True
    ) -> None:
        generator, discriminator, says = beside(case, "generator"), beside(case, "discriminator"), case.says
        if case.name not in weights:
            weights[case.name] = imported(generator, discriminator)
        result, w = weights[case.name], says["weights"]
        self.batch, self.style = discriminator.says["batch"], generator.says["config"]["style_dim"]
        layer = merge(
            result.config,
            {
                "data": {"source": "drawn", "batch": self.batch},
                "mixing": 0.0,
                "judge_segmentation": pairs,
                "penalty": {"use": "r1", "weight": w["r1_img"], "every": w["d_reg_every"]},
                "weights": {
                    "mask": w["lambda_mask"], "path_length": w["path_regularize"], "path_every": w["g_reg_every"],
                    "segmentation_penalty": ratio(w),
                },
                "training": {"precision": precision, "average_images": None},
            },
        )  # fmt: skip
        config = validate(registry.methods["semantic-stylegan"], registry, layer)
        facts = Facts(image_size=config.data.image_size, **result.facts)
        composition = compose(config, facts, registry)
        for slot, state in result.networks.items():
            composition.networks[slot].load_state_dict(state, strict=True)
        self.numbers = {"the parts": len(facts.parts), "the layers of a part": layer["generator"]["part_layers"]}
        self.injected: dict[str, Tensor] = {}
        self.image, self.label = faces_of(discriminator.says["config"], self.batch)
        if precision == "fp64":
            self.image = self.image.double()
        batch = {"source": {"image": self.image, "segmentation": self.label}}
        if not pairs:
            del batch["source"]["segmentation"]
        batches = iter(lambda: batch, None)
        self.trainer = Trainer(composition, registry, accelerator(), batches, injected=self.injected)
        self.trainer.fetch_batch()
        network: Any = self.trainer.networks["generator"]
        self.injected |= {f"noise{k}": noise.clone() for k, noise in enumerate(network.get_fixed_noise())}
        self.game: Any = self.trainer.game

    def turn(self, name: str, noise: str) -> tuple[Step, Turn]:
        """A step and its turn, with the named noise; the gradients of steps before are gone."""
        self.trainer.networks.zero_grad()
        self.injected["latent"] = latent(noise, self.batch, self.style).to(self.image.dtype)
        step = next(step for step in self.game.steps if step.name == name)
        return step, self.trainer.make_turn(step, 0, Clock(0, 1), slice(None), frozenset())

    def step(self, name: str, noise: str = "z") -> dict[str, float]:
        """The terms of a step, and `total`, whose gradients stay in the networks."""
        return played(self.trainer, self.turn(name, noise)[0])

    def terms(self, name: str, noise: str = "z") -> dict[str, float]:
        """The terms of a step alone, at a third of the cost."""
        step, turn = self.turn(name, noise)
        with self.trainer.enable_gradients(step, graph=False):
            return {name: float(term.detach()) for name, term in step.terms(turn).items()}

    def path(self) -> dict[str, float]:
        """The path-length step. The game regularises every second face: twice the batch for as many as the case has."""
        self.injected["path"] = latent("pl_noise", *self.image.shape).to(self.image.dtype)
        batch = self.trainer.batch
        self.trainer.batch = {"source": {"image": self.image.repeat(2, 1, 1, 1)}}
        found = self.step("path_length", "z_path")
        self.trainer.batch = batch
        return found

    def gradient(self, official: str) -> Tensor | None:
        """The gradient of an official parameter, which may be a part of one of ours."""
        for slot, network in self.trainer.networks.items():
            parameters = dict(network.named_parameters())
            for key, origin in find_origins(slot, list(parameters), self.numbers).items():
                if official in origin.names and official.startswith(MAPPING) == (slot == "mapping"):
                    whole = parameters[key].grad
                    if whole is None or not origin.axes:
                        return whole
                    return whole.flatten(0, origin.axes - 1)[list(origin.names).index(official)]
        raise KeyError(official)

    def check_norms(self, wanted: Mapping[str, float | None], rtol: float, factor: float = 1.0) -> None:
        """The norms of gradients; none where the official code has none. factor: of ours."""
        for name, want in wanted.items():
            gradient = self.gradient(name)
            found = 0.0 if gradient is None else float(gradient.norm()) * factor
            assert found == pytest.approx(want or 0.0, rel=rtol), name


def ratio(weights: Mapping[str, float]) -> float:
    """R1's weight of the segmentation beside that of the image, as the importer reads it."""
    told = Imported({}, networks={})
    set_penalties(told, weights)
    return float(told.config["weights"]["segmentation_penalty"])


def definitions(w: Mapping[str, float]) -> dict[str, str]:
    """What the cases call their weighted losses, at these weights."""
    return {
        "r1_weighted_total": f"(r1_img/2*{w['r1_img']} + r1_seg/2*{w['r1_seg']})*{w['d_reg_every']}",
        "g_total": f"g_nonsaturating + {w['lambda_mask']}*mask",
        "path_weighted": f"{w['path_regularize']}*{w['g_reg_every']}*path_penalty",
    }


def r1_of(run: Played, total: dict[str, float]) -> dict[str, float]:
    """Both squared slopes: the game's penalty is half of (image + ratio * segmentation), so two ratios tell them.

    total: of the penalty at the case's ratio.
    """
    config = run.game.config
    far, near = config.weights.segmentation_penalty, 0.01  # apart, so that little cancels
    run.game.config = config.model_copy(
        update={"weights": config.weights.model_copy(update={"segmentation_penalty": near})}
    )
    one = run.terms("penalty")["penalty"]
    run.game.config = config
    segmentation = 2 * (total["penalty"] - one) / (far - near)
    return {"r1_img": 2 * one - near * segmentation, "r1_seg": segmentation, "r1_weighted_total": total["total"]}


def report(case: Case, found: Mapping[str, float], wanted: Mapping[str, float], rtol: Mapping[str, float]) -> None:
    """Every loss beside the official one."""
    for name, value in found.items():
        print(f"{case.name} {name}: {value:.9g}, official {wanted[name]:.9g}, {value / wanted[name] - 1:.1e}")
    for name, value in found.items():
        assert value == pytest.approx(wanted[name], rel=rtol.get(name, RTOL)), name


def watch(monkeypatch: pytest.MonkeyPatch, run: Played) -> dict[str, Tensor]:
    """Scores and path lengths on their way through the game."""
    seen: dict[str, Tensor] = {}
    adversarial, lengths = run.game.adversarial.discriminator_loss, zoogan.losses.synthesis.compute_path_lengths

    def watched(real: Tensor, fake: Tensor) -> Any:
        seen.update(real_score=real.detach(), fake_score=fake.detach())
        return adversarial(real, fake)

    def measured(*arguments: Tensor) -> Tensor:
        found = lengths(*arguments)
        seen["path_lengths"] = found.detach()
        return found

    monkeypatch.setattr(run.game.adversarial, "discriminator_loss", watched)
    monkeypatch.setattr(zoogan.games.synthesis, "compute_path_lengths", measured)
    return seen


def path_losses(
    run: Played, seen: Mapping[str, Tensor], norms: Mapping[str, float | None], rtol: float
) -> dict[str, float]:
    """What the path-length step gives; the norms of its gradients are checked on the way."""
    path = run.path()
    run.check_norms(norms, rtol)
    run.game.end_iteration(Clock(0, 1))
    lengths = {f"path_lengths {k}": length for k, length in enumerate(seen["path_lengths"].tolist())}
    mean = {"path_mean_after": float(run.game.path_mean)}
    return {"path_penalty_mean0": path["path_length"], "path_weighted": path["total"]} | lengths | mean


def flat(losses: Mapping[str, Any]) -> dict[str, float]:
    """Losses with a name for each path length."""
    lengths = {f"path_lengths {k}": length for k, length in enumerate(losses["path_lengths"])}
    return {name: value for name, value in losses.items() if name != "path_lengths"} | lengths


def test_losses(
    parts_losses_case: Case, registry: Registry, weights: dict[str, Imported], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Every loss, plain and weighted, scores, path lengths, the running mean, and gradients' norms of each alone."""
    case, says = parts_losses_case, parts_losses_case.says
    assert says["definitions"] == definitions(says["weights"])
    wanted = flat(says["losses"])
    alone = Played(case, registry, weights, "fp32", pairs=False)
    found = {"r1_image_only_discriminator": 2 * alone.terms("penalty")["penalty"]}
    del alone
    run, norms = Played(case, registry, weights, "fp32"), says["grad_norms"]
    seen = watch(monkeypatch, run)
    d = run.step("discriminator", "z")
    run.check_norms(norms["d_logistic"], RTOL_NORMS)
    found |= {"d_logistic": d["real"] + d["fake"]}
    found |= {name: float(seen[name].mean()) for name in ("real_score", "fake_score")}
    penalty = run.step("penalty")
    run.check_norms(norms["r1_weighted_total"], RTOL_NORMS)
    found |= r1_of(run, penalty)
    g = run.step("generator", "z2")
    run.check_norms(norms["g_total"], RTOL_NORMS)
    found |= {"g_nonsaturating": g["adversarial"], "mask": g["mask"], "g_total": g["total"]}
    found |= path_losses(run, seen, norms["path_weighted"], RTOL_NORMS)
    assert set(found) == set(wanted)
    report(case, found, wanted, {name: RTOL_PATH for name in wanted if name.startswith("path")})


@pytest.mark.without_onednn
def test_losses_in_double_precision(
    parts_losses_case: Case, registry: Registry, weights: dict[str, Imported], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Path lengths are sharp only so: the official code's own differ by a thousandth in single precision. And what the
    generator's step minimises, which meets both networks."""
    case, says = parts_losses_case, parts_losses_case.says
    wanted = flat(says["losses_fp64"])
    run = Played(case, registry, weights, "fp64")
    seen = watch(monkeypatch, run)
    with torch.no_grad():
        g = run.terms("generator", "z2")
    found = {"g_nonsaturating": g["adversarial"], "mask": g["mask"]}
    found |= path_losses(run, seen, says["grad_norms_fp64"]["path_weighted"], RTOL_FP64)
    del found["path_weighted"]  # a multiple, which the case does not repeat
    assert set(wanted) - set(found) == {"d_logistic", "r1_img", "r1_seg"}, "a minute more; they agree without"
    report(case, found, wanted, dict.fromkeys(wanted, RTOL_FP64))
