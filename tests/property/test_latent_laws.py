"""Laws of directions, of inversion's schedule and of its measures."""

from __future__ import annotations

import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from torch import Tensor

from zoogan.editors.config import InversionConfig
from zoogan.editors.direction_fits import DIRECTION_FITS, DirectionFit, choose_surest_faces, fit_plane
from zoogan.editors.directions import MIN_LENGTH, Direction, make_basis, make_conditional, solve_move
from zoogan.editors.inversion import get_jitter, get_learning_rate, measure_autocorrelation, normalise_noise
from zoogan.interfaces.synthesis import collect_noise, name_noise
from zoogan.losses.reconstruction import multiscale_l1
from zoogan.testing.strategies import batches, seeds
from zoogan.testing.tensors import make_noise

STYLE = 12


def direction(seed: int) -> Direction:
    normal = make_noise(seed, STYLE).double()
    normal = normal / normal.norm()
    low, width = make_noise(seed + 1, 2).double().tolist()
    return Direction(normal, float(make_noise(seed + 2, 1)), normal, (low, low + 1 + abs(width)))


# ---- directions ----


@given(seeds, batches, st.integers(1, 3), st.integers(1, 4))
def test_move_reaches_target_by_shortest_path(seed: int, n: int, k: int, rows: int) -> None:
    asked, latents = [direction(seed + 10 * i) for i in range(k)], make_noise(seed, n, rows, STYLE)
    normals = torch.stack([one.normal for one in asked])
    lengths = torch.linalg.svdvals(normals @ normals.T)
    assume(float(lengths[-1] / lengths[0]) > 1.1 * MIN_LENGTH)  # nearly parallel planes are met halfway
    values = torch.rand(k, generator=torch.Generator().manual_seed(seed)).tolist()
    move = solve_move(asked, values, latents)
    for one, value in zip(asked, values):
        aim = torch.full((n,), one.get_typical_distance(value), dtype=torch.float64)
        torch.testing.assert_close(one.measure_distance(latents + move[:, None]), aim, atol=1e-4, rtol=0)
    inside = normals.T @ torch.linalg.pinv(normals.T) @ move.double().T
    torch.testing.assert_close(inside, move.double().T, atol=1e-4, rtol=0)


@given(seeds, st.integers(1, 3))
def test_conditional_direction_keeps_other_distances(seed: int, k: int) -> None:
    one, others = direction(seed), {str(i): direction(seed + 10 * (i + 1)) for i in range(k)}
    latents = make_noise(seed, 2, 3, STYLE)
    apart = make_conditional(one, others)
    assert abs(float(apart.path.norm()) - 1) < 1e-9
    moved = latents + solve_move([apart], [1.0], latents)[:, None]
    far = float((moved - latents).norm())
    for other in others.values():
        torch.testing.assert_close(
            other.measure_distance(moved), other.measure_distance(latents), atol=1e-5 * (1 + far), rtol=0
        )
    torch.testing.assert_close(
        apart.measure_distance(moved),
        torch.full((2,), one.get_typical_distance(1.0), dtype=torch.float64),
        atol=1e-5 * (1 + far),
        rtol=0,
    )


@given(seeds, batches, st.integers(1, 4), st.floats(0.0, 1.0))
def test_basis_move_equals_move_of_one_direction(seed: int, n: int, k: int, value: float) -> None:
    known = {str(i): direction(seed + 10 * i) for i in range(k)}
    for name in list(known)[1:]:  # paths that are not the normals
        try:
            known[name] = make_conditional(known[name], {"0": known["0"]})
        except ValueError:
            continue
    basis, latents = make_basis(known), make_noise(seed, n, 3, STYLE)
    attribute = torch.randint(k, (n,), generator=torch.Generator().manual_seed(seed))
    values = value * torch.rand(n, generator=torch.Generator().manual_seed(seed))
    moves, own = basis.solve_move(latents, attribute, value), basis.solve_move(latents, attribute, values)
    assert moves.shape == (n, STYLE) and moves.dtype == torch.float32 and basis.names == tuple(known)
    for row in range(n):
        one, face = known[basis.names[attribute[row]]], latents[row : row + 1]
        for move, target in ((moves, value), (own, float(values[row]))):
            expected = solve_move([one], [target], face)
            size = 1 + float(expected.norm())
            torch.testing.assert_close(move[row : row + 1], expected, atol=1e-5 * size, rtol=1e-5)
        distance = basis.measure_distance(face, attribute[row : row + 1])
        torch.testing.assert_close(distance.double(), one.measure_distance(face), atol=1e-5, rtol=1e-5)


@given(seeds, st.sampled_from(DIRECTION_FITS), st.floats(0.1, 10.0), st.floats(-3.0, 3.0))
def test_fitted_plane_follows_shifted_latents(seed: int, fit: DirectionFit, scale: float, shift: float) -> None:
    """Latents that are larger or elsewhere have the same normal, and the plane moves with them."""
    latents = make_noise(seed, 120, 4)
    shown = latents @ torch.tensor([0.8, 0.6, 0.0, 0.0]) > 0.2 * make_noise(seed + 1, 120)
    assume(20 < int(shown.sum()) < 100)
    normal, intercept = fit_plane(latents, shown, fit=fit)
    assert float(normal @ torch.tensor([0.8, 0.6, 0.0, 0.0], dtype=torch.float64)) > (
        0.8 if fit == "mean_difference" else 0.9
    )
    other, there = fit_plane(scale * latents + shift, shown, fit=fit)
    torch.testing.assert_close(other, normal, atol=1e-4, rtol=0)
    distance = (scale * latents + shift).double() @ other + there
    torch.testing.assert_close(distance, scale * (latents.double() @ normal + intercept), atol=1e-3 * scale, rtol=1e-3)
    flipped, offset = fit_plane(latents, ~shown, fit=fit)
    torch.testing.assert_close(flipped, -normal, atol=1e-5, rtol=0)
    assert offset == pytest.approx(-intercept, abs=1e-4)


@given(seeds)
def test_svm_minimises_the_squared_hinge(seed: int) -> None:
    latents = make_noise(seed, 80, 3)
    shown = latents[:, 0] > 0.7 * make_noise(seed + 1, 80)
    x = latents.double()
    centre, scale = x.mean(0), (x - x.mean(0)).square().mean().sqrt()
    sign = 2 * shown.double() - 1
    weight = torch.zeros(4, dtype=torch.float64, requires_grad=True)
    search = torch.optim.LBFGS([weight], max_iter=200, tolerance_grad=1e-10, line_search_fn="strong_wolfe")

    def measure() -> Tensor:
        search.zero_grad()
        score = (x - centre) / scale @ weight[:3] + weight[3]
        loss = (1 - sign * score).clamp(min=0).square().mean() / 2 + 0.1 * weight[:3].square().sum() / 2
        loss.backward()
        return loss

    search.step(measure)
    found = weight.detach()
    normal, intercept = fit_plane(latents, shown, fit="svm")
    torch.testing.assert_close(normal, found[:3] / found[:3].norm(), atol=1e-4, rtol=0)
    assert intercept == pytest.approx(float(found[3] * scale / found[:3].norm() - normal @ centre), abs=1e-4)


@given(seeds, st.integers(20, 80), st.floats(0.01, 0.5))
def test_surest_faces_are_balanced(seed: int, shown: int, share: float) -> None:
    order = torch.randperm(100, generator=torch.Generator().manual_seed(seed))
    probability = torch.where(torch.arange(100) < shown, 0.6 + order / 250, order / 250)
    without, showing, counts = choose_surest_faces(probability, 0.5, share)
    assert len(without) == len(showing) == counts["kept"] == min(shown, 100 - shown, max(20, round(share * 100)))
    assert counts["with"] == shown and all(k < shown for k in showing) and all(k >= shown for k in without)
    rest = set(range(shown)) - set(showing)
    assert not rest or probability[showing].min() >= probability[list(rest)].max()


# ---- inversion ----


@given(st.integers(1, 300))
def test_inversion_rate_ramps_up_and_down(iterations: int) -> None:
    config = InversionConfig(iterations=iterations)
    rates = [get_learning_rate(config, k) for k in range(iterations)]
    assert rates[0] == 0 and all(0 <= value <= config.lr for value in rates)
    assert all(value == pytest.approx(config.lr) for value in rates[iterations // 20 + 1 : iterations * 3 // 4])
    assert all(a >= b for a, b in zip(rates[iterations * 3 // 4 + 1 :], rates[iterations * 3 // 4 + 2 :]))
    shakes = [get_jitter(config, k) for k in range(iterations)]
    assert shakes[0] == 0.05 and shakes == sorted(shakes, reverse=True)
    assert all(value == 0 for value in shakes[-(-iterations * 3 // 4) :])


def maps(seed: int, n: int) -> list[Tensor]:
    return [make_noise(seed + k, n, 1, size, size) for k, size in enumerate((4, 8, 8, 32))]


@given(seeds, batches)
def test_noise_correlation_is_low_for_noise_only(seed: int, n: int) -> None:
    drawn = maps(seed, n)
    smooth = [torch.linspace(-1.7, 1.7, 32).expand(n, 1, 32, 32).clone()]
    normalise_noise(smooth)
    assert measure_autocorrelation(drawn).shape == (n,) and bool((measure_autocorrelation(smooth) > 10).all())
    assert bool((measure_autocorrelation([drawn[-1]]) < 0.1 * measure_autocorrelation(smooth)).all())
    torch.testing.assert_close(
        measure_autocorrelation([level[-1:] for level in drawn]), measure_autocorrelation(drawn)[-1:]
    )


@given(seeds, batches)
def test_normalised_noise_has_zero_mean_unit_variance(seed: int, n: int) -> None:
    drawn = [3 * level + 1 for level in maps(seed, n)]
    normalise_noise(drawn)
    once = [level.clone() for level in drawn]
    normalise_noise(drawn)
    for level, before in zip(drawn, once):
        torch.testing.assert_close(level.mean((1, 2, 3)), torch.zeros(n), atol=1e-5, rtol=0)
        torch.testing.assert_close(level.square().mean((1, 2, 3)), torch.ones(n), atol=1e-4, rtol=0)
        torch.testing.assert_close(level, before, atol=1e-4, rtol=1e-4)


@given(seeds, st.integers(0, 12))
def test_noise_maps_keep_their_order(seed: int, k: int) -> None:
    given_maps = [make_noise(seed + i, 1, 1, 2, 2) for i in range(k)]
    named: dict[str, Tensor] = {"latents": make_noise(seed, 1, 2, 3), **dict(reversed(name_noise(given_maps).items()))}
    found = collect_noise(named)
    assert (found is None) == (k == 0) and all(torch.equal(a, b) for a, b in zip(found or [], given_maps))


@given(seeds, batches, st.sampled_from([3, 4, 9, 32]))
def test_multiscale_l1_is_a_distance_per_pair(seed: int, n: int, size: int) -> None:
    one, other = make_noise(seed, n, 3, size, size), make_noise(seed + 1, n, 3, size, size)
    found = multiscale_l1(one, other)
    assert found.shape == (n,) and bool((found > 0).all()) and torch.equal(multiscale_l1(one, one), torch.zeros(n))
    torch.testing.assert_close(multiscale_l1(other, one), found)
    torch.testing.assert_close(multiscale_l1(one[-1:], other[-1:]), found[-1:])
    torch.testing.assert_close(multiscale_l1(one + 0.5, one), torch.full((n,), 0.5))  # the same on every scale
