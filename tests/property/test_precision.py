"""Products that must not be rounded to TF32: what they are, and that the flag is down at each of them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

import zoogan.layers.precision as precision
from zoogan.interfaces import Draws, World
from zoogan.layers.ada import AdaptiveAugment
from zoogan.layers.precision import MatmulWithoutTF32, disable_tf32
from zoogan.testing.tensors import make_faces
from zoogan_semantic_stylegan.parts import Positions, make_coordinate_grid

PRODUCTS = {torch.ops.aten.mm, torch.ops.aten.bmm, torch.ops.aten.addmm, torch.ops.aten.baddbmm}


@pytest.fixture(autouse=True)
def allowed() -> Iterator[None]:
    """TF32, as training allows it."""
    before = torch.backends.cuda.matmul.allow_tf32
    torch.backends.cuda.matmul.allow_tf32 = True
    yield
    torch.backends.cuda.matmul.allow_tf32 = before


class Rounded(TorchDispatchMode):
    """Counts products: those with the flag up, and all."""

    def __init__(self) -> None:
        super().__init__()
        self.up, self.all = 0, 0

    def __torch_dispatch__(self, function: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if function.overloadpacket in PRODUCTS:
            self.all += 1
            self.up += torch.backends.cuda.matmul.allow_tf32
        return function(*args, **(kwargs or {}))


def test_tf32_flag_is_off_inside_context_only() -> None:
    with pytest.raises(KeyError), disable_tf32():
        assert not torch.backends.cuda.matmul.allow_tf32
        raise KeyError
    assert torch.backends.cuda.matmul.allow_tf32


@pytest.mark.slow
@pytest.mark.parametrize(
    "shapes", [((2, 3), (3, 4)), ((5, 6), (2, 3, 6, 4)), ((2, 3, 4, 6), (6, 5)), ((2, 3, 3), (2, 3, 7))]
)
def test_exact_matmul_has_product_derivatives(shapes: tuple[Any, Any]) -> None:
    torch.manual_seed(0)
    one, other = (torch.randn(shape, dtype=torch.float64, requires_grad=True) for shape in shapes)
    assert torch.equal(MatmulWithoutTF32.apply(one, other), one @ other)
    assert torch.autograd.gradcheck(MatmulWithoutTF32.apply, (one, other))
    assert torch.autograd.gradgradcheck(MatmulWithoutTF32.apply, (one, other))


def augmented(image: Tensor) -> Tensor:
    draw = Draws(3, World.make_single(), len(image), slice(None))
    return AdaptiveAugment()(image, draw, "x", torch.tensor(0.8))


def test_ada_never_uses_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor gradients, nor the gradients of those: as R1 takes them."""

    def derived() -> list[Tensor]:
        image = make_faces(0, 2, 16).requires_grad_()
        output = augmented(image)
        (gradient,) = torch.autograd.grad(output.pow(3).sum(), image, create_graph=True)
        (second,) = torch.autograd.grad(gradient.square().sum(), image)
        return [output, gradient, second]

    usual = derived()
    monkeypatch.setattr(precision, "may_use_tf32", lambda x: True)  # as on CUDA
    with Rounded() as rounded:
        guarded = derived()
    assert rounded.all > 10 and not rounded.up
    for one, other in zip(usual, guarded):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-4)


def test_coordinates_never_use_tf32(monkeypatch: pytest.MonkeyPatch) -> None:
    positions = Positions(5, 8)
    usual = positions(make_coordinate_grid(16))
    monkeypatch.setattr(precision, "may_use_tf32", lambda x: True)
    with Rounded() as rounded:
        guarded = positions(make_coordinate_grid(16))
        guarded.square().sum().backward()
    assert rounded.all >= 2 and not rounded.up and torch.equal(usual, guarded)
