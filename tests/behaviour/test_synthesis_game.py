"""The synthesis game with narrow StyleGAN2 networks: lazy steps, running means, mixing, discriminator inputs."""

from __future__ import annotations

from typing import Any

import jaxtyping
import pytest
import torch
from torch import Tensor

import zoogan.games.synthesis as game_module
import zoogan.layers.residual_discriminator as discriminator_module
from support.synthesis_games import BATCH, STYLE, compute_step, make_trainer, make_turn
from zoogan.config import merge
from zoogan.errors import ConfigError
from zoogan.games.synthesis import Synthesis
from zoogan.interfaces import Clock, Draws, Step, Turn
from zoogan.layers.fir import upsample2d
from zoogan.layers.modulated_conv import ToRGB
from zoogan.losses.synthesis import compute_path_lengths
from zoogan.testing.conformance import collect_state_tensors
from zoogan.testing.tensors import make_noise
from zoogan.training.optimizers import correct_for_lazy_steps

# ---- lazy steps ----


def test_lazy_steps_run_at_their_interval() -> None:
    trainer, seen = make_trainer(), []
    trainer.update = lambda step, *rest: seen.append((trainer.iteration, step.name))  # type: ignore[method-assign]
    for _ in range(18):
        trainer.iterate()
    for k in range(18):
        lazy = (["penalty"] if k % 16 == 0 else []), (["path_length"] if k % 4 == 0 else [])
        assert [name for at, name in seen if at == k] == ["discriminator", *lazy[0], "generator", *lazy[1]]


def test_lazy_step_weight_equals_its_interval() -> None:
    sets = {"penalty": {"use": "r1", "weight": 0.5, "every": 8}, "weights": {"path_length": 3, "path_every": 5}}
    steps = {step.name: step for step in make_trainer(**sets).game.steps}
    assert steps["penalty"].weights(Clock(8, 9)) == {"penalty": 4.0}
    assert steps["path_length"].weights(Clock(5, 9)) == {"path_length": 15.0}
    assert steps["discriminator"].weights(Clock(0, 9)) == {"real": 1.0, "fake": 1.0}
    assert steps["generator"].weights(Clock(0, 9)) == {"adversarial": 1.0}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("sets", "shares"),
    [
        ({}, {"generator": 4 / 5, "mapping": 4 / 5, "discriminator": 16 / 17}),
        ({"penalty": {"use": "none"}}, {"generator": 4 / 5, "mapping": 4 / 5, "discriminator": 1}),
        ({"penalty": {"use": "r1", "every": 8}}, {"generator": 4 / 5, "mapping": 4 / 5, "discriminator": 8 / 9}),
        ({"weights": {"path_length": 0}}, {"generator": 1, "mapping": 1, "discriminator": 16 / 17}),
        ({"weights": {"path_every": 2}}, {"generator": 2 / 3, "mapping": 2 / 3, "discriminator": 16 / 17}),
        ({"path_trains_mapping": False}, {"generator": 4 / 5, "mapping": 1, "discriminator": 16 / 17}),
    ],
    ids=str,
)
def test_lazy_optimizer_correction_is_exact(sets: dict[str, Any], shares: dict[str, float]) -> None:
    trainer = make_trainer(**sets)
    trainer.iterate()  # the schedule sets the rate anew
    for name, share in shares.items():
        for group in trainer.optimizers[name].param_groups:
            assert group["lr"] == 0.002 * share and group["betas"] == (0.0, 0.99**share)


@pytest.mark.parametrize(
    ("main", "share"),
    [({}, 8 / 9), ({"every": 2}, 4 / 5), ({"repeat": 5}, 40 / 41), ({"lazy": True}, 1)],
    ids=["each iteration", "every second", "five in a row", "only lazy steps"],
)
def test_lazy_correction_counts_the_other_updates(main: dict[str, Any], share: float) -> None:
    def make_step(name: str, trains: str, **options: Any) -> Step:
        return Step(name, (trains,), lambda turn: {}, lambda clock: {}, **options)

    optimizer = torch.optim.Adam([torch.nn.Parameter(torch.zeros(1))], lr=1.0, betas=(0.5, 0.9))
    steps = [
        make_step("main", "mapping", **main), make_step("path", "mapping", every=8, lazy=True),
        make_step("other", "generator", repeat=3), make_step("penalty", "generator", every=2, lazy=True),
    ]  # fmt: skip
    correct_for_lazy_steps(optimizer, "mapping", steps)
    (group,) = optimizer.param_groups
    assert group["lr"] == pytest.approx(share, rel=1e-12)
    assert group["betas"] == pytest.approx((0.5**share, 0.9**share), rel=1e-12)


def test_lazy_step_keeps_unreached_parameters() -> None:
    """The score's own bias: no gradient of a gradient depends on it."""
    trainer = make_trainer()
    _, gradients = compute_step(trainer, "penalty")
    missed = [name for name, gradient in gradients.items() if gradient is None]
    assert "discriminator/head.score.bias" in missed and not any(name.endswith("weight") for name in missed)
    before = {name: p.clone() for name, p in trainer.networks["discriminator"].named_parameters()}
    trainer.update(next(s for s in trainer.game.steps if s.name == "penalty"), 0, Clock(0, 1), frozenset())
    for name, p in trainer.networks["discriminator"].named_parameters():
        gradient = gradients[f"discriminator/{name}"]
        assert torch.equal(p, before[name]) is (gradient is None or not gradient.any()), name


# ---- running means ----


def test_running_means_equal_reference_loop(monkeypatch: pytest.MonkeyPatch) -> None:
    """The mean path length moves with its step; the mean latent in every iteration, with the discriminator's faces."""
    trainer, lengths, drawn = make_trainer(weights={"path_every": 2}), [], []
    game: Any = trainer.game
    latents = game.sample_latents

    def measured(*arguments: Tensor) -> Tensor:
        lengths.append(compute_path_lengths(*arguments))
        return lengths[-1]

    def watched(turn: Turn, mapping: Any, rows: slice = slice(None)) -> Any:
        found = latents(turn, mapping, rows)
        drawn.append(found[0].detach())
        return found

    monkeypatch.setattr(game_module, "compute_path_lengths", measured)
    monkeypatch.setattr(game, "sample_latents", watched)
    assert game.path_mean == 0
    path, mean = torch.zeros(()), torch.zeros(STYLE)
    for k in range(5):
        lengths.clear()
        drawn.clear()
        trainer.iterate()
        mean = drawn[0].mean(0) if k == 0 else 0.998 * mean + 0.002 * drawn[0].mean(0)
        assert len(lengths) == (k % 2 == 0)
        for found in lengths:
            assert len(found) == BATCH // 2
            path = path + 0.01 * (found.detach().mean() - path)
        torch.testing.assert_close(game.path_mean, path)
        torch.testing.assert_close(game.mean_latent, mean)
        torch.testing.assert_close(game.make_editor(trainer.networks, attributes=()).mean_latent, mean)
    assert trainer.read_terms()["path_mean"] == pytest.approx(float(path))


def test_path_length_penalty_equals_hand_computation(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its gradient goes through the running mean, as in the official code."""
    trainer, seen = make_trainer(weights={"path_decay": 0.5}), []

    def measured(*arguments: Tensor) -> Tensor:
        seen.append(compute_path_lengths(*arguments))
        return seen[-1]

    monkeypatch.setattr(game_module, "compute_path_lengths", measured)
    trainer.game.path_mean.fill_(0.7)  # type: ignore[operator, union-attr]
    step, turn = make_turn(trainer, "path_length")
    term = step.terms(turn)["path_length"]
    mean = 0.7 + 0.5 * (seen[0].mean() - 0.7)
    torch.testing.assert_close(term, (seen[0] - mean).square().mean())
    (gradient,) = torch.autograd.grad(term, seen[0], retain_graph=True)
    (wanted,) = torch.autograd.grad((seen[0] - mean).square().mean(), seen[0])
    torch.testing.assert_close(gradient, wanted)


def test_path_length_equals_jacobian_norm() -> None:
    mix = make_noise(0, 3 * 4 * 5, 2 * 6).double()

    def image(latents: Tensor) -> Tensor:
        return (mix @ latents.sin().flatten()).view(1, 3, 4, 5)

    latents, direction = make_noise(1, 1, 2, 6).double().requires_grad_(), make_noise(2, 1, 3, 4, 5).double()
    jacobian = torch.autograd.functional.jacobian(lambda x: image(x).flatten(), latents)[:, 0]
    moved = torch.einsum("p,prs->rs", direction.flatten() / 20**0.5, jacobian)
    torch.testing.assert_close(
        compute_path_lengths(image(latents), latents, direction), moved.square().sum(1).mean().sqrt()[None]
    )


# ---- mixing ----


@pytest.mark.parametrize("share", [0.0, 0.9, 1.0])
def test_mixing_share_and_cut_follow_config(share: float) -> None:
    """StyleGAN, section 3.1: coarse rows of one latent, fine ones of another."""
    trainer, n = make_trainer(mixing=share), 2000
    _, turn = make_turn(trainer, "generator")
    many = Turn(
        turn.networks, {"source": {"image": torch.zeros(n, 1, 1, 1)}}, turn.targets, turn.shared, turn.clock,
        turn.world, Draws(3, turn.world, n, slice(None)), turn.later_steps,
    )  # fmt: skip
    mapping, generator = trainer.networks["mapping"], trainer.networks["generator"]
    w, wplus = trainer.game.sample_latents(many, mapping)  # type: ignore[operator]
    other = mapping(many.draw.normal("latent2", STYLE, like=torch.zeros(n, 1)))
    own = (wplus == w[:, None]).all(2)
    assert torch.equal(own | (wplus == other[:, None]).all(2), torch.ones_like(own))
    assert own[:, 0].all() and (own.int().diff(dim=1) <= 0).all(), "once the second takes over it stays"
    mixed = ~own.all(1)
    assert float(mixed.float().mean()) == pytest.approx(share, abs=0.03)
    if share:
        cuts = own[mixed].sum(1).bincount(minlength=int(generator.rows))  # type: ignore[arg-type]
        assert cuts[0] == 0 and (cuts[1:] > 0).all()


def test_update_draws_do_not_depend_on_micro_batches() -> None:
    """The path step's faces are those that the whole batch would have had."""
    trainer = make_trainer(batch=6)
    _, turn = make_turn(trainer, "path_length")
    game: Any = trainer.game
    whole, some = (
        game.sample_latents(turn, trainer.networks["mapping"], rows) for rows in (slice(None), slice(0, 6, 2))
    )
    torch.testing.assert_close(some[1], whole[1][::2])
    maps = [game.sample_noise(turn, rows) for rows in (slice(None), slice(0, 6, 2))]
    assert all(torch.equal(few, all_[::2]) for all_, few in zip(*maps))


@pytest.mark.parametrize(("batch", "rows"), [(1, [0]), (2, [0]), (3, [0]), (4, [0, 2]), (5, [0, 2]), (6, [0, 2, 4])])
def test_path_length_uses_half_of_the_batch(batch: int, rows: list[int], monkeypatch: pytest.MonkeyPatch) -> None:
    trainer, seen = make_trainer(batch), []
    game: Any = trainer.game
    latents = game.sample_latents

    def watched(turn: Turn, mapping: Any, rows: slice = slice(None)) -> Any:
        seen.append(torch.arange(batch)[rows].tolist())
        return latents(turn, mapping, rows)

    monkeypatch.setattr(game, "sample_latents", watched)
    compute_step(trainer, "path_length")
    assert seen == [rows]


# ---- what the discriminator sees ----


def test_discriminator_scores_real_and_fake_separately() -> None:
    """How much a batch varies must not be seen across them."""
    trainer, seen = make_trainer(), []
    discriminator = trainer.networks["discriminator"]
    hook = discriminator.register_forward_hook(
        lambda module, args, score: seen.append((args[0].detach(), score.detach()))
    )
    step, turn = make_turn(trainer, "discriminator")
    step.terms(turn)
    hook.remove()
    (real, on_real), (made, on_made) = seen
    assert torch.equal(real, turn.batch["source"]["image"]) and len(made) == BATCH
    assert torch.equal(discriminator(real), on_real)
    assert not torch.allclose(discriminator(torch.cat([real, made]))[:BATCH], on_real, atol=1e-6)
    assert not on_made.requires_grad


def test_penalty_gradient_passes_augmentation() -> None:
    trainer = make_trainer(augment={"use": "diffaugment"})
    step, turn = make_turn(trainer, "penalty")
    image, discriminator = turn.batch["source"]["image"].clone().requires_grad_(), trainer.networks["discriminator"]
    game: Any = trainer.game

    def r1(seen: Tensor) -> Tensor:
        (slope,) = torch.autograd.grad(discriminator(seen).sum(), image, create_graph=True)
        return slope.square().flatten(1).sum(1).mean() / 2

    found = step.terms(turn)["penalty"]
    torch.testing.assert_close(found, r1(game.augment(image, turn.draw, "penalty", None)))
    assert not torch.isclose(found, r1(image))
    game.augment = lambda image, draw, name, p=None: 3 * image
    game.augment.every = 0
    torch.testing.assert_close(step.terms(turn)["penalty"], r1(3 * image))


# ---- precision and compilation ----


@pytest.mark.slow
@pytest.mark.parametrize("method", ["stylegan2", "semantic-stylegan"])
@pytest.mark.parametrize("step", ["penalty", "path_length"])
def test_lazy_steps_equal_in_bf16_and_compiled(step: str, method: str) -> None:
    """They differentiate twice: so they run eagerly and in full precision whatever the rest does."""
    torch._dynamo.reset()
    terms, gradients = compute_step(make_trainer(method=method), step)
    half, compiled = make_trainer(method=method), make_trainer(method=method)
    networks: list[Any] = list(compiled.networks.values())
    parts = [part for network in networks for part in network.list_compiled_modules()]
    for part in parts:
        part.compile(backend="aot_eager")
    one = compute_step(half, step, mixed=True)
    rough, exact = (compute_step(half, "generator", mixed=mixed)[0] for mixed in (True, False))
    assert rough["adversarial"] != exact["adversarial"], "autocast does something"
    for found, found_gradients in (one, compute_step(compiled, step)):
        assert all(value.dtype == torch.float32 for value in found.values())
        torch.testing.assert_close(found, terms, rtol=1e-5, atol=0)
        assert set(found_gradients) == set(gradients)
        for name, wanted in gradients.items():
            got = found_gradients[name]
            assert (got is None) == (wanted is None), name
            if wanted is not None and got is not None:
                torch.testing.assert_close(got, wanted, rtol=1e-5, atol=1e-5 * float(wanted.abs().max()), msg=name)
    assert all(part._compiled_call_impl is not None for part in parts)


@pytest.mark.slow
def test_compiled_iteration_equals_eager_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """All four steps, in float64."""
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # checks of shapes are slow to compile
    torch._dynamo.reset()
    eager, compiled = (make_trainer(training={"precision": "fp64"}) for _ in range(2))
    networks: list[Any] = list(compiled.networks.values())
    for network in networks:
        for part in network.list_compiled_modules():
            part.compile(backend="aot_eager")
    for trainer in (eager, compiled):
        trainer.iterate()
    for name, network in eager.networks.items():
        for (key, p), q in zip(network.named_parameters(), compiled.networks[name].parameters()):
            assert (p.grad is None) == (q.grad is None), (name, key)
            if p.grad is not None:
                assert torch.allclose(p.grad, q.grad, atol=1e-9), (name, key)  # type: ignore[arg-type]


def test_lazy_steps_run_in_full_precision(monkeypatch: pytest.MonkeyPatch) -> None:
    """What they augment too."""
    trainer, seen = make_trainer(), []
    monkeypatch.setattr(trainer.accelerator, "autocast", lambda: torch.autocast("cpu", dtype=torch.bfloat16))
    trainer.game.augment = lambda image, draw, name, p=None: (  # type: ignore[union-attr, assignment]
        seen.append((name, torch.is_autocast_enabled("cpu"))) or image
    )
    trainer.game.augment.every = 0  # type: ignore[union-attr]
    trainer.iterate()
    assert seen == [("real", True), ("fake", True), ("penalty", False), ("synthesised", True)]


# ---- batches ----


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 3])
@pytest.mark.parametrize("augment", ["none", "diffaugment"])
def test_odd_batch_sizes_train(batch: int, augment: str) -> None:
    trainer = make_trainer(batch, augment={"use": augment})
    for _ in range(2):
        trainer.iterate()
    assert all(torch.isfinite(torch.tensor(value)) for value in trainer.read_terms().values())


def accumulated(**sets: Any) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
    """The state after two iterations of a batch of 4, and of two micro-batches of 2."""
    sets = merge({"training": {"precision": "fp64"}}, sets)
    trainers = make_trainer(4, **sets), make_trainer(2, **merge(sets, {"training": {"accumulate": 2}}))
    for trainer in trainers:
        for _ in range(2):
            trainer.iterate()
    return collect_state_tensors(trainers[0]), collect_state_tensors(trainers[1])


def differing(one: dict[str, Tensor], other: dict[str, Tensor]) -> set[str]:
    """The names of the tensors that differ, by the first two parts."""
    assert set(one) == set(other)
    return {"/".join(n.split("/")[:2]) for n in one if not torch.allclose(one[n], other[n], rtol=1e-6, atol=1e-9)}


@pytest.mark.slow
def test_accumulation_equals_joint_batch(monkeypatch: pytest.MonkeyPatch) -> None:
    """How a batch varies is seen within a micro-batch, and its path lengths are held to a mean that they move.

    Without the one, and with a mean that hardly moves, latents, mixes, noise and running means are the same.
    """
    assert "network/discriminator" in differing(*accumulated())
    monkeypatch.setattr(discriminator_module, "compute_minibatch_std", lambda x, most: torch.zeros_like(x[:, :1]))
    assert not differing(*accumulated(weights={"path_length": 0}))
    one, other = accumulated(weights={"path_decay": 1e-9})
    assert not differing(one, other)
    one, other = accumulated()
    assert differing(one, other) <= {"network/generator", "network/mapping", "optimizer/generator", "optimizer/mapping",
                                     "network/discriminator", "optimizer/discriminator", "game/"}  # fmt: skip


# ---- words ----


def test_mismatched_latent_sizes_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"generator\.style_dim=6, mapping\.style_dim=7: a latent has one size"):
        make_trainer(mapping={"use": "stylegan2", "style_dim": 7})


def test_overfitting_discriminator_is_reported() -> None:
    game: Any = make_trainer().game
    assert isinstance(game, Synthesis)
    assert "augment.use=ada" in (game.suggest_remedy({"real_sign": 0.97}, 60_000, 7500) or "")
    assert game.suggest_remedy({"real_sign": 0.97}, 40_000, 5000) is None
    assert game.suggest_remedy({"real_sign": 0.5}, 60_000, 7500) is None


def test_logged_signs_cover_all_batches_since_last_log() -> None:
    game: Any = make_trainer().game
    game._signs = {"real_sign": [torch.tensor(1.0), torch.tensor(-1.0), torch.tensor(0.5), torch.tensor(0.5)]}
    assert float(game.collect_figures()["real_sign"]) == 0.25
    trainer = make_trainer()
    for _ in range(3):
        trainer.iterate()
    signs: Any = trainer.game._signs
    assert len(signs["real_sign"]) == len(signs["fake_sign"]) == 3
    trainer.read_terms()
    assert not trainer.game._signs


def test_imported_mean_latent_is_kept() -> None:
    trainer = make_trainer()
    game: Any = trainer.game
    game.mean_latent.fill_(7.0)
    trainer.iterate()
    assert (game.mean_latent - 7).abs().max() < 0.2, "moved by two thousandths"
    fresh: Any = make_trainer()
    fresh.iterate()
    assert fresh.game.mean_latent.any(), "where there was none, the first batch's"


def test_rgb_sum_stays_float32_under_autocast() -> None:
    rgb, skip = ToRGB(4, 3, 5), make_noise(0, 2, 3, 8, 8)
    with torch.autocast("cpu", torch.bfloat16):
        shown = rgb(torch.zeros(2, 4, 16, 16), make_noise(1, 2, 5), skip)
    assert torch.equal(shown, upsample2d(skip)), "features of zeros show nothing but the doubled skip"
