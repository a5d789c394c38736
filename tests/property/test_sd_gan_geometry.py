"""Laws of the geometry of faces: the depth warp, Unsup3D's post-processing and its training."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional as F

from zoogan.data.drawn import DrawnFaces
from zoogan_sd_gan.depth_warp import (
    FARTHEST,
    back_project,
    compute_normals,
    get_focal_length,
    make_rotation,
    move_from_view,
    move_to_view,
    project,
    render_depth,
    warp_to_view,
)
from zoogan_sd_gan.unsup3d import Unsup3dGeometry, Unsup3dNetworks, scale_depth, shrink_face
from zoogan_sd_gan.unsup3d_training import train_unsup3d

SIDE = 64
MIDDLE, RADII = (0.0, 0.0, 1.03), (0.055, 0.065, 0.08)
"""An ellipsoid as large as a face, before a wall."""
WALL = 1.15
ANGLES = st.floats(-0.4, 0.4)


def make_view(*angles: float, shift: tuple[float, float, float] = (0.0, 0.0, 0.0)) -> Tensor:
    return torch.tensor([[*angles, *shift]], dtype=torch.float64)


def look_at_ellipsoid(view: Tensor, side: int = SIDE) -> tuple[Tensor, Tensor]:
    """Exact depth of the ellipsoid in a view, and where it is hit: a ray for each pixel, intersected in closed form."""
    rays = back_project(torch.ones(1, 1, side, side, dtype=torch.float64)).flatten(2)
    start = (move_from_view(torch.zeros_like(rays), view) - torch.tensor(MIDDLE).view(1, 3, 1)) / torch.tensor(
        RADII, dtype=torch.float64
    ).view(1, 3, 1)
    step = (make_rotation(view[:, :3]).mT @ rays) / torch.tensor(RADII, dtype=torch.float64).view(1, 3, 1)
    a, b, c = step.square().sum(1), (start * step).sum(1), start.square().sum(1) - 1
    root = b.square() - a * c
    depth = torch.where(root > 0, (-b - root.clamp(min=0).sqrt()) / a, WALL)
    return depth.view(1, 1, side, side), (root > 0).view(1, 1, side, side)


def shrink_mask(mask: Tensor, by: int = 2) -> Tensor:
    """Leave out the border of a mask."""
    return F.max_pool2d((~mask).double(), 2 * by + 1, 1, by) == 0


def make_positions() -> Tensor:
    """Maps that tell each pixel of the canonical face where it is, across and down in pixels."""
    steps = torch.arange(SIDE, dtype=torch.float64)
    return torch.stack([steps.expand(SIDE, SIDE), steps[:, None].expand(SIDE, SIDE)])[None]


# ---- camera ----


@given(x=ANGLES, y=ANGLES, z=ANGLES, shift=st.tuples(*[st.floats(-0.05, 0.05)] * 3))
@settings(max_examples=20, deadline=None)
def test_moving_from_a_view_undoes_moving_to_it(x: float, y: float, z: float, shift: tuple[float, ...]) -> None:
    view = torch.tensor([[x, y, z, *shift]], dtype=torch.float64)
    points = back_project(torch.rand(1, 1, 8, 8, dtype=torch.float64) / 5 + 0.9).flatten(2)
    torch.testing.assert_close(move_from_view(move_to_view(points, view), view), points)
    centre = torch.tensor([0.0, 0, 1], dtype=torch.float64).view(1, 3, 1)
    torch.testing.assert_close(move_to_view(centre, view), centre + view[:, 3:, None])
    rotation = make_rotation(view[:, :3])
    torch.testing.assert_close(rotation @ rotation.mT, torch.eye(3, dtype=torch.float64)[None])


def test_rotation_turns_about_x_then_y_then_z() -> None:
    quarter = math.pi / 2
    turned = make_rotation(torch.tensor([[quarter, quarter, 0.0]], dtype=torch.float64))[0]
    # About x: y -> z. About y: z -> x.
    torch.testing.assert_close(turned @ torch.tensor([0.0, 1, 0]).double(), torch.tensor([1.0, 0, 0]).double())


def test_projection_undoes_back_projection() -> None:
    depth = torch.rand(2, 1, 16, 16, dtype=torch.float64) / 5 + 0.9
    pixels = project(back_project(depth).flatten(2), 16)
    torch.testing.assert_close(pixels.across.view(2, 16, 16)[0, 3], torch.arange(16.0).double())
    torch.testing.assert_close(pixels.down.view(2, 16, 16)[1, :, 5], torch.arange(16.0).double())
    assert math.degrees(math.atan(7.5 / get_focal_length(16))) == pytest.approx(5)


def test_normals_of_a_slanted_plane() -> None:
    """Points of a plane z = 1 + slope * x have the normal (-slope, 0, 1), up to its length."""
    slope = 0.7
    x = (torch.arange(SIDE, dtype=torch.float64) - (SIDE - 1) / 2) / get_focal_length(SIDE)
    depth = (1 / (1 - slope * x)).expand(1, 1, SIDE, SIDE)
    normal = compute_normals(depth)
    expected = torch.tensor([-slope, 0, 1]).double() / math.hypot(slope, 1)
    torch.testing.assert_close(F.normalize(normal[0, :, 20, 20], dim=0), expected, atol=1e-6, rtol=0)
    assert float(normal[0, :, 20, 20].norm()) == pytest.approx(1, abs=0.005)
    assert torch.equal(normal[0, :, 0, 7], torch.tensor([0.0, 0, 1]).double() / (1 + 1e-7))


# ---- the depth warp ----


@pytest.mark.parametrize("angles", [(0.0, 0.35, 0.0), (0.3, 0.0, 0.0), (0.15, -0.3, 0.2)])
def test_ellipsoid_in_two_poses_is_consistent_under_the_depth_warp(angles: tuple[float, float, float]) -> None:
    """The canonical depth, rendered in a pose, is the exact depth there; each pixel finds its place of the front."""
    front, _ = look_at_ellipsoid(make_view(0.0, 0.0, 0.0))
    view = make_view(*angles, shift=(0.004, -0.003, 0.01))
    exact, hit = look_at_ellipsoid(view)
    rendered = render_depth(front, view)
    place = project(move_from_view(back_project(exact).flatten(2), view), SIDE)
    expected = torch.stack([place.across, place.down], 1).view(1, 2, SIDE, SIDE)
    seen = F.grid_sample(
        front, (expected / ((SIDE - 1) / 2) - 1).permute(0, 2, 3, 1), align_corners=True, padding_mode="border"
    )
    is_front = (seen.flatten(2) - place.depth[:, None]).abs() < 0.004  # the front shows that point of the ellipsoid
    inside = shrink_mask(hit & is_front.view_as(hit))
    assert inside.sum() > 500
    error = (rendered - exact).abs()[inside]
    still = (front - exact).abs()[inside]
    assert error.mean() < 0.1 * still.mean() and error.quantile(0.95) < 0.004
    off = (warp_to_view(make_positions(), rendered, view) - expected).norm(dim=1, keepdim=True)[inside]
    assert off.mean() < 0.35 and off.quantile(0.95) < 1


def test_identity_view_renders_the_same_depth() -> None:
    depth = look_at_ellipsoid(make_view(0.1, 0.2, 0.0))[0]
    torch.testing.assert_close(render_depth(depth, make_view(0.0, 0.0, 0.0)), depth, atol=1e-6, rtol=0)


def test_near_points_hide_far_ones() -> None:
    """A pillar that is turned before a wall covers it and is not mixed with it."""
    depth = torch.full((1, 1, SIDE, SIDE), 1.1, dtype=torch.float64)
    depth[..., 28:36] = 0.9
    rendered = render_depth(depth, make_view(0.0, 0.25, 0.0))
    row = rendered[0, 0, SIDE // 2]
    assert ((row < 0.96) | (row > 1.05)).all() and (row < 0.96).sum() >= 7


def test_view_that_leaves_the_picture_is_empty() -> None:
    depth = torch.ones(1, 1, SIDE, SIDE, dtype=torch.float64)
    assert (render_depth(depth, make_view(0.0, 0.0, 0.0, shift=(1.0, 0.0, 0.0))) == FARTHEST).all()


def test_rendered_depth_has_the_gradient_of_depth_and_view() -> None:
    depth = look_at_ellipsoid(make_view(0.0, 0.0, 0.0))[0].requires_grad_()
    view = make_view(0.1, 0.2, 0.0).requires_grad_()
    rendered = render_depth(depth, view)
    inside = shrink_mask(rendered.detach() < 1.05, 3)
    of_depth, of_view = torch.autograd.grad(rendered[inside].mean(), [depth, view])
    assert of_depth.isfinite().all() and of_depth.any()
    assert float(of_view[0, 5]) == pytest.approx(1, abs=0.1), "moving away adds as much depth"
    moved = view.detach() + torch.tensor([[0, 0, 0, 0, 0, 1e-3]])
    change = (render_depth(depth.detach(), moved) - rendered.detach())[inside].mean() / 1e-3
    assert float(change) == pytest.approx(float(of_view[0, 5]), abs=0.1)


# ---- Unsup3D ----


@pytest.mark.parametrize("size", [32, 64, 256, 300])
def test_geometry_of_faces_of_any_size(size: int) -> None:
    torch.manual_seed(0)
    geometry = Unsup3dGeometry(Unsup3dNetworks(width=4, code=8).double(), side=16)
    image = torch.rand(2, 3, size, size, generator=torch.Generator().manual_seed(1)).double() * 2 - 1
    maps = geometry.encode(image)
    assert maps.shape == (2, geometry.channels, 16, 16) and not maps.requires_grad
    assert maps.abs().max() <= 1 + 1e-5
    torch.testing.assert_close(maps[:, 3:6].norm(dim=1), torch.ones(2, 16, 16).double())
    assert torch.equal(maps[:, 0], maps[:, 2]) and maps[:, 0].std() > 0
    torch.testing.assert_close(geometry.encode(image[1:]), maps[1:])


def test_large_faces_are_shrunk_twice() -> None:
    image = torch.rand(1, 3, 512, 512, generator=torch.Generator().manual_seed(0))
    half = F.interpolate(image, (128, 128), mode="bilinear", align_corners=False)
    assert torch.equal(shrink_face(image), F.interpolate(half, (64, 64), mode="bilinear", align_corners=False))
    assert shrink_face(image[..., :64, :64]).shape == (1, 3, 64, 64)


def test_depth_has_a_border_and_a_range() -> None:
    raw = 5 * torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(0))
    depth = scale_depth(raw, 1.05)
    assert (depth[..., :2] == 1.05).all() and (depth[..., -2:] == 1.05).all()
    assert depth.min() >= 0.9 and depth.max() <= 1.1
    torch.testing.assert_close(scale_depth(raw + 3, 1.05), depth)


@pytest.mark.slow
def test_training_lowers_the_loss_and_is_deterministic() -> None:
    faces = DrawnFaces(SIDE).draw(range(8)).image.float() / 127.5 - 1

    def train(iterations: int, stop: int = 0) -> tuple[Unsup3dNetworks | None, list[float]]:
        losses: list[float] = []

        def watch(iteration: int, loss: Tensor) -> bool:
            losses.append(float(loss))
            return iteration == stop

        networks = train_unsup3d(faces, iterations, 4, 3, "cpu", watch, width=8, code=16, learning_rate=1e-3)
        return networks, losses

    networks, losses = train(20)
    assert networks is not None and not networks.training
    assert sum(losses[-4:]) / 4 < sum(losses[:4]) / 4 - 0.2
    again, first = train(3)
    assert first == losses[:3] and again is not None
    stopped, few = train(20, stop=2)
    assert stopped is None and few == losses[:2]


def test_training_reads_batches_of_an_iterable() -> None:
    faces = torch.rand(2, 3, SIDE, SIDE, generator=torch.Generator().manual_seed(0)) * 2 - 1
    state = torch.get_rng_state()
    networks = train_unsup3d([faces, faces], 5, width=4, code=8)
    assert networks is not None and torch.equal(torch.get_rng_state(), state), "the caller's seed is left alone"
