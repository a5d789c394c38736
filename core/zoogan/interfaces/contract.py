"""Role contracts: the names of the dimensions at a component's boundary."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from torch import Tensor


class ContractError(Exception):
    """An input or output of a component has a shape that its role does not allow."""


@dataclass(frozen=True)
class Contract:
    """The shapes of the inputs and outputs of a role's forward.

    Shapes are strings of space-separated names or numbers, such as `"n 3 h w"`. A name stands for one size throughout a
    composition (`n` is the batch, `a` the attributes that the condition draws, `c h w` the image); `_` is any size.

    Attributes:
        inputs: Shape by argument name, in the order of the arguments.
        outputs: Shape by name of a field of the returned tuple; a field may be None.
    """

    inputs: Mapping[str, str] = field(default_factory=dict)
    outputs: Mapping[str, str] = field(default_factory=dict)

    def check(self, owner: str, shapes: Mapping[str, str], values: Mapping[str, Any], sizes: Mapping[str, int]) -> None:
        """Check the shapes of tensors.

        Args:
            owner: The component, for messages.
            shapes: Expected shape by name.
            values: Tensor by name; missing values and None are skipped.
            sizes: Size of each dimension name in this composition.

        Raises:
            ContractError: A shape differs; one sentence with the component, the tensor, its shape and the expected
                shape.
        """
        for name, shape in shapes.items():
            value = values.get(name)
            if value is None:
                continue
            if not isinstance(value, Tensor):
                raise ContractError(
                    f"{owner}: {name} is a {type(value).__name__}, expected a tensor of shape ({shape})"
                )
            dims = shape.split()
            expected = [sizes.get(dim, int(dim) if dim.isdigit() else None) for dim in dims]
            got = tuple(value.shape)
            if len(got) != len(dims) or any(e is not None and e != g for e, g in zip(expected, got)):
                spelled = ", ".join(
                    d if e is None else f"{d}={e}" if not d.isdigit() else d for d, e in zip(dims, expected)
                )
                raise ContractError(f"{owner}: {name} has shape {got}, but this composition needs ({spelled})")
