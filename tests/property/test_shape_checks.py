"""The checks that tests make of annotated functions: each kind of mistake is found, and good calls pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

import jaxtyping
import pytest
import torch
from beartype.roar import BeartypeCallHintViolation
from jaxtyping import Float, Int64, TypeCheckError
from torch import Tensor

from support import shape_checks
from support.shape_checks import check_shapes
from zoogan.layers.winograd import conv3x3

WRONG = (BeartypeCallHintViolation, TypeCheckError)


@check_shapes(typechecker=None)
def add_rows(x: Float[Tensor, "n c"], y: Float[Tensor, "n c"], columns: int = 3) -> Float[Tensor, "n 3"]:
    return (x + y)[:, :columns]


@check_shapes(typechecker=None)
def make_square(size: int, side: int) -> Float[Tensor, "{size} {size}"]:
    return torch.zeros(side, side)


@check_shapes(typechecker=None)
@dataclass
class Pair:
    image: Float[Tensor, "n 3"]
    label: Int64[Tensor, " n"]


@check_shapes(typechecker=None)
def count_rows(x: Float[Tensor, "n c"]) -> Iterator[int]:
    yield len(x)


def make_adder(width: int) -> Callable[[Tensor], Tensor]:
    @check_shapes(typechecker=None)
    def add_width(x: Float[Tensor, " n"]) -> Float[Tensor, " n"]:
        return x + width

    return add_width


ROWS = torch.zeros(2, 4)


@pytest.mark.parametrize(
    "call",
    [
        lambda: add_rows(ROWS, torch.zeros(2, 4, 1)),
        lambda: add_rows(ROWS, ROWS.long()),
        lambda: add_rows(ROWS, torch.zeros(1, 4)),  # another n
        lambda: add_rows(ROWS, ROWS, columns=2),  # the result
        lambda: add_rows(ROWS, ROWS, columns="3"),
        lambda: make_square(2, 3),
        lambda: Pair(torch.zeros(2, 3), torch.zeros(3).long()),
        lambda: make_adder(1)(ROWS),
        lambda: count_rows(ROWS[0]),
        lambda: conv3x3(torch.zeros(1, 3, 8, 8), torch.zeros(4, 2, 3, 3)),  # the import hook uses these checks
    ],
)
def test_wrong_shape_or_type_is_refused(call: Callable[[], Any]) -> None:
    with pytest.raises(WRONG):
        call()


@check_shapes(typechecker=None)
def read_rows(rows: list[Tensor], mode: Literal["first", "all"] = "first") -> Float[Tensor, "..."]:
    return rows[0] if mode == "first" else torch.stack(rows)


@check_shapes(typechecker=None)
def count_named(rows: dict[Literal["a", "b"], Float[Tensor, "n c"]]) -> int:
    return len(rows)


@check_shapes(typechecker=None)
def choose_row(x: Float[Tensor, "n c"], row: int) -> Tensor | None:
    return x[row] if row >= 0 else "none"  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("right", "wrong"),
    [
        (lambda: add_rows(ROWS, ROWS), lambda: add_rows(ROWS, ROWS, columns=2)),
        (lambda: add_rows(ROWS, ROWS, 3), lambda: add_rows(ROWS, ROWS, 2)),  # the same arguments but for a value
        (lambda: add_rows(ROWS, ROWS), lambda: add_rows(ROWS, ROWS.double().long())),
        (lambda: add_rows(ROWS, ROWS), lambda: add_rows(ROWS, ROWS[:1])),
        (lambda: Pair(torch.zeros(2, 3), torch.zeros(2).long()), lambda: Pair(torch.zeros(2, 3), torch.zeros(2))),
        (lambda: make_adder(1)(torch.zeros(2)), lambda: make_adder(1)(torch.zeros(2, 1))),
        (lambda: read_rows([ROWS]), lambda: read_rows([3])),  # type: ignore[list-item]
        (lambda: read_rows([ROWS], "all"), lambda: read_rows([ROWS], "last")),  # type: ignore[arg-type]
        (lambda: choose_row(ROWS, 0), lambda: choose_row(ROWS, -1)),
        (lambda: count_named({"a": ROWS}), lambda: count_named({"a": ROWS[0]})),
        (lambda: count_named({"a": ROWS}), lambda: count_named({"c": ROWS})),  # type: ignore[dict-item]
    ],
)
def test_wrong_call_after_right_calls_is_refused(right: Callable[[], Any], wrong: Callable[[], Any]) -> None:
    """Right calls are remembered, wrong ones never."""
    for _ in range(3):
        right()
        with pytest.raises(WRONG):
            wrong()


def test_remembered_call_runs_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where its result is new and has to be checked; a check that is known to pass is not made again."""
    runs: list[int] = []

    @check_shapes(typechecker=None)
    def repeat(x: Float[Tensor, " n"], count: int) -> Float[Tensor, " m"]:
        runs.append(count)
        return x.repeat(count)

    for count in (1, 1, 2, 2, 3):
        assert len(repeat(torch.zeros(4), count)) == 4 * count
    assert runs == [1, 1, 2, 2, 3]
    monkeypatch.setattr(shape_checks, "open_scope", None)
    assert len(repeat(torch.zeros(4), 3)) == 12
    with pytest.raises(TypeError):
        repeat(torch.zeros(4), 4)


def test_right_shapes_pass() -> None:
    assert add_rows(ROWS, ROWS).shape == (2, 3)
    assert add_rows(torch.zeros(5, 6), torch.zeros(5, 6)).shape == (5, 3), "n belongs to one call"
    assert make_square(3, 3).shape == (3, 3)
    assert Pair(torch.zeros(2, 3), torch.zeros(2).long()).image.shape == (2, 3)
    assert [int(make_adder(k)(torch.zeros(1))) for k in (1, 2)] == [1, 2]
    assert list(count_rows(ROWS)) == [2]


def test_disabled_checks_pass_wrong_shapes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)
    assert add_rows(ROWS, ROWS, columns=2).shape == (2, 2)


def draw_with(generator: torch.Generator) -> float:
    return float(torch.rand((), generator=generator))


def test_checks_made_while_the_generator_is_replaced_know_the_real_one(monkeypatch: pytest.MonkeyPatch) -> None:
    checked = check_shapes(draw_with)
    real = torch.Generator()
    monkeypatch.setattr(torch, "Generator", type("Fake", (torch.Generator,), {}))
    assert 0 <= checked(real) < 1
