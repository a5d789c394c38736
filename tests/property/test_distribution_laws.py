"""Laws of the set metrics' arithmetic, and the same numbers by other roads."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from torch import Tensor
from torchvision.transforms.functional import gaussian_blur

from support.set_metrics import NoiseSource, RandomFilters
from zoogan.auxiliary.features import Features
from zoogan.auxiliary.squeezenet import SQUEEZENET_WEIGHTS, SqueezeNet
from zoogan.data.config import DrawnData
from zoogan.data.drawn.source import DrawnSource
from zoogan.evaluation.metrics.frechet import Moments, compute_frechet_distance
from zoogan.evaluation.metrics.kernel import apply_cubic_kernel, compute_kernel_distance
from zoogan.evaluation.metrics.manifold import compute_overlap
from zoogan.evaluation.metrics.real_faces import choose_matching_faces
from zoogan.interfaces.edits import round_as_saved
from zoogan.pictures.photo import normalize_image
from zoogan.testing.strategies import make_noise, seeds

counts = st.integers(2, 40)
widths = st.integers(1, 12)


def distance(first: Tensor, second: Tensor) -> float:
    return compute_frechet_distance(Moments.from_features(first), Moments.from_features(second))


# ---- the same numbers by other roads ----


@given(seed=seeds, n=counts, m=counts, d=widths)
def test_frechet_distance_equals_matrix_root_formula(seed: int, n: int, m: int, d: int) -> None:
    """Also with fewer rows than dimensions, where scipy's root is the one that loses digits."""
    x, y = make_noise(seed, n, d).double().numpy(), 2 * make_noise(seed + 1, m, d).double().numpy() + 1
    one, two = np.cov(x, rowvar=False).reshape(d, d), np.cov(y, rowvar=False).reshape(d, d)
    jitter = 1e-9 * np.eye(d)
    cross = np.trace(sqrtm((one + jitter) @ (two + jitter)).real)
    expected = ((x.mean(0) - y.mean(0)) ** 2).sum() + np.trace(one) + np.trace(two) - 2 * cross
    assert distance(torch.tensor(x), torch.tensor(y)) == pytest.approx(expected, rel=1e-3, abs=1e-2)


def test_frechet_and_kernel_distance_equal_torch_fidelity() -> None:
    fid, kid = pytest.importorskip("torch_fidelity.metric_fid"), pytest.importorskip("torch_fidelity.metric_kid")
    x, y = make_noise(0, 70, 16).double(), make_noise(1, 70, 16).double() * 1.5 + 0.2
    theirs = fid.fid_statistics_to_metric(
        fid.fid_features_to_statistics(x), fid.fid_features_to_statistics(y), verbose=False
    )
    assert distance(x, y) == pytest.approx(theirs["frechet_inception_distance"], rel=1e-9)
    kernels = [kid.kernel_poly(a, b, kid_kernel_poly_degree=3, kid_kernel_poly_gamma=None, kid_kernel_poly_coef0=1)
               for a, b in ((x.numpy(), x.numpy()), (x.numpy(), y.numpy()), (y.numpy(), y.numpy()))]  # fmt: skip
    assert compute_kernel_distance(x, y)[0] == pytest.approx(kid.mmd2(*kernels), rel=1e-9)


@given(seed=seeds, n=st.integers(3, 7), m=st.integers(3, 7), d=widths)
def test_kernel_distance_and_error_equal_hand_computation(seed: int, n: int, m: int, d: int) -> None:
    """Pair by pair, and leaving out each row in turn."""
    x, y = make_noise(seed, n, d).double(), make_noise(seed + 1, m, d).double()

    def by_hand(x: Tensor, y: Tensor) -> float:
        def mean(a: Tensor, b: Tensor, same: bool) -> float:
            pairs = [(i, j) for i in range(len(a)) for j in range(len(b)) if not (same and i == j)]
            return sum((float(a[i] @ b[j]) / d + 1) ** 3 for i, j in pairs) / len(pairs)

        return mean(x, x, True) + mean(y, y, True) - 2 * mean(x, y, False)

    def spread(values: list[float]) -> float:
        return (len(values) - 1) * float(np.var(values))

    value, error = compute_kernel_distance(x, y)
    without_x = [by_hand(x[torch.arange(n) != i], y) for i in range(n)]
    without_y = [by_hand(x, y[torch.arange(m) != i]) for i in range(m)]
    assert value == pytest.approx(by_hand(x, y), rel=1e-9, abs=1e-9)
    assert error == pytest.approx(math.sqrt(spread(without_x) + spread(without_y)), rel=1e-6, abs=1e-9)


@given(seed=seeds, n=st.integers(4, 9), m=st.integers(4, 9), k=st.integers(1, 3))
def test_precision_recall_equal_hand_computation(seed: int, n: int, m: int, k: int) -> None:
    """The definitions of Kynkaanniemi et al. and Naeem et al., face by face."""
    x, y = make_noise(seed, n, 2), make_noise(seed + 1, m, 2)

    def far(a: Tensor, b: Tensor) -> float:
        return float((a.double() - b.double()).norm())

    def ball(rows: Tensor, i: int) -> float:
        return sorted(far(rows[i], rows[j]) for j in range(len(rows)) if j != i)[k - 1]

    found = compute_overlap(x, y, k)
    for i in range(n):
        balls = sum(far(x[i], y[j]) < ball(y, j) for j in range(m))
        assert bool(found.realistic[i]) == (balls > 0) and float(found.density[i]) == balls / k
    for j in range(m):
        assert bool(found.reached[j]) == any(far(x[i], y[j]) < ball(x, i) for i in range(n))
        assert bool(found.covered[j]) == (min(far(x[i], y[j]) for i in range(n)) < ball(y, j))


# ---- laws ----


@given(seed=seeds, n=counts, d=widths)
def test_distance_of_set_to_itself_is_zero(seed: int, n: int, d: int) -> None:
    """Frechet 0, whatever the rank; the kernel distance of a set to itself is below what it is to itself moved."""
    x = make_noise(seed, n, d)
    assert distance(x, x) == pytest.approx(0, abs=1e-9 * float(Moments.from_features(x).covariance.trace() + 1))
    assert compute_kernel_distance(x, x)[0] < 1e-9  # the diagonal counts between the sets and not within them
    if n > 3:
        same = compute_overlap(x, x, 3)
        assert bool(same.realistic.all() & same.reached.all() & same.covered.all())


@given(seed=seeds, n=counts, m=counts, d=widths)
def test_set_distances_are_symmetric(seed: int, n: int, m: int, d: int) -> None:
    x, y = make_noise(seed, n, d), make_noise(seed + 1, m, d) + 0.5
    assert distance(x, y) == pytest.approx(distance(y, x), rel=1e-9, abs=1e-9)
    assert compute_kernel_distance(x, y) == pytest.approx(
        compute_kernel_distance(y, x), rel=1e-9, abs=1e-9, nan_ok=True
    )
    if min(n, m) > 2:
        one, two = compute_overlap(x, y, 2), compute_overlap(y, x, 2)
        assert torch.equal(one.realistic, two.reached) and torch.equal(one.reached, two.realistic)


@given(seed=seeds, n=counts, d=widths, data=st.data())
def test_distances_ignore_order_and_batching(seed: int, n: int, d: int, data: st.DataObject) -> None:
    """Moments of parts, in any order, are those of the whole."""
    x, y = make_noise(seed, n, d), make_noise(seed + 1, 9, d)
    order = data.draw(st.permutations(range(n)))
    streamed = Moments(d)
    for part in x[order].split(data.draw(st.integers(1, n))):
        streamed.add(part)
    assert torch.allclose(streamed.covariance, torch.cov(x.double().T).reshape(d, d), atol=1e-9)
    assert compute_frechet_distance(streamed, Moments.from_features(y)) == pytest.approx(
        distance(x, y), rel=1e-7, abs=1e-7
    )
    assert compute_kernel_distance(x[order], y)[0] == pytest.approx(
        compute_kernel_distance(x, y)[0], rel=1e-9, abs=1e-9
    )
    if n > 2:
        assert torch.equal(compute_overlap(x[order], y, 2).density, compute_overlap(x, y, 2).density[order])


def test_empty_sets_have_no_distance() -> None:
    x, none = make_noise(0, 5, 3), torch.zeros(0, 3)
    assert math.isnan(distance(x, none)) and math.isnan(distance(none, none))
    assert all(map(math.isnan, compute_kernel_distance(x, none)))


def test_kernel_equals_published_formula() -> None:
    assert float(apply_cubic_kernel(torch.full((1, 4), 2.0).double(), torch.full((1, 4), 3.0).double())) == (6 + 1) ** 3


# ---- damage is seen, and more of it is seen more ----


def mean_filters() -> Features:
    return RandomFilters(24)


def squeezenet() -> Features:
    named = os.environ.get("ZOOGAN_METRIC_WEIGHTS")
    path = Path(named) / SQUEEZENET_WEIGHTS.name if named else None
    if path is None or not path.is_file():
        pytest.skip("the SqueezeNet weights are not here (ZOOGAN_METRIC_WEIGHTS)")
    return SqueezeNet(path, torch.device("cpu"))


def noisy(image: Tensor, sd: float) -> Tensor:
    return round_as_saved(image + make_noise(5, *image.shape) * sd / 127.5)


def blurred(image: Tensor, sigma: float) -> Tensor:
    return round_as_saved(gaussian_blur(image, 17, sigma))


@pytest.mark.parametrize("network, faces", [(mean_filters, 32), (squeezenet, 6)])
@pytest.mark.parametrize("damage, levels", [(noisy, (10, 25, 50)), (blurred, (1, 2, 4))])
def test_distance_grows_with_damage(
    network: Callable[[], Features], faces: int, damage: Callable[[Tensor, float], Tensor], levels: Sequence[float]
) -> None:
    features = network()
    image = normalize_image(DrawnSource(DrawnData(image_size=32)).read("train", range(faces))["image"])
    clean = features(image)
    damaged = [features(damage(image, level)) for level in levels]
    for measure in (distance, lambda x, y: compute_kernel_distance(x, y)[0]):
        values = [measure(clean, clean), *(measure(rows, clean) for rows in damaged)]
        assert all(less < more for less, more in pairwise(values)), values


# ---- the choice of real faces ----


@given(seed=seeds, on=st.integers(0, 70), off=st.integers(0, 130), data=st.data())
def test_real_set_matches_target_attribute_share(seed: int, on: int, off: int, data: st.DataObject) -> None:
    source = NoiseSource()
    shows = source.read_labels("train")[:, 0] > 0.5
    wanted = torch.arange(on + off) < on
    shuffled = wanted[data.draw(st.permutations(range(on + off)))]
    first = choose_matching_faces(source, "A", wanted, seed)
    assert first == choose_matching_faces(NoiseSource(), "A", shuffled, seed), "only the targets and the seed decide"
    assert len(set(first.indices)) == len(first.indices) <= on + off
    had = int(shows[list(first.indices)].sum())
    if on <= int(shows.sum()) and off <= int((~shows).sum()):
        assert (had, len(first.indices) - had) == (on, off)
    elif first.indices and on and off:
        assert had / on == pytest.approx((len(first.indices) - had) / off, abs=1 / min(on, off))
    others = choose_matching_faces(source, "A", wanted, seed, others=True)
    assert not set(others.indices) & set(first.indices)
    if others.indices:
        assert int(shows[list(others.indices)].sum()) == had and len(others.indices) == len(first.indices)
        assert others.key != first.key
