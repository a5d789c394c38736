"""Checks of attribute columns, for every source: the columns exist, both values occur, and no value is rare."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from jaxtyping import Float
from torch import Tensor

from zoogan.errors import ConfigError
from zoogan.names import suggest_name

# CelebA's labels do not guarantee that these exclude each other, but StarGAN treats them so, and so does zoogan.
HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
RARE = 0.01  # share of the faces below which a value is reported


class DataWarning(UserWarning):
    """A warning about data that will probably spoil a training."""


def find_columns(attributes: Sequence[str], columns: Sequence[str], where: str) -> list[int]:
    """Find the columns of attributes.

    Args:
        attributes: Names from the config.
        columns: Names of all columns.
        where: The file or source, for messages.

    Returns:
        Indices into `columns`, in the order of `attributes`.

    Raises:
        ConfigError: Lists every unknown name with the nearest known one, and every name that occurs twice.
    """
    problems = [
        f"data.attributes: {where} has no attribute {name!r}{suggest_name(name, columns)}"
        for name in attributes
        if name not in columns
    ]
    if problems:
        problems.append(
            f"known attributes: {', '.join(columns)}; names that you did not choose are the recipe's, and "
            "--set data.attributes=NAME,... replaces them"
        )
    repeated = sorted({name for name in attributes if attributes.count(name) > 1})
    problems += [f"data.attributes: {name!r} is asked for twice" for name in repeated]
    if problems:
        raise ConfigError("\n".join(problems))
    return [columns.index(name) for name in attributes]


def select_exclusive(attributes: Sequence[str], groups: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """Reduce exclusive groups to these attributes, and drop groups with fewer than two left."""
    reduced = (tuple(name for name in attributes if name in group) for group in groups)
    return tuple(group for group in reduced if len(group) > 1)


def check_balance(balance: str | None, attributes: Sequence[str]) -> None:
    """Check that the attribute to balance is among the attributes of the config.

    Args:
        balance: The setting `data.balance`.
        attributes: The setting `data.attributes`.

    Raises:
        ConfigError: It is not; the message suggests the nearest one.
    """
    if balance is not None and balance not in attributes:
        raise ConfigError(
            f"data.balance: {balance!r} is not among data.attributes{suggest_name(balance, attributes)}; "
            f"they are: {', '.join(attributes) or '(none)'}. Set data.balance to one of them, or to null"
        )


def check_both_values(attributes: Sequence[str], labels: Float[Tensor, "n a"], balance: str | None, where: str) -> None:
    """Check that every attribute has both values in training, and warn if one value is rarer than 1 %.

    Nothing can be learned from an attribute with one value: the trained editor returns its input. The usual cause is a
    wrong root or label file.

    Args:
        attributes: Names of the columns.
        labels: Labels of the train split, 0 or 1.
        balance: The setting `data.balance`; no warning about this attribute.
        where: The folder or source, for messages.

    Raises:
        ConfigError: There are no faces, or some attributes have the same value on all of them; the message lists these.
    """
    if not len(labels):
        raise ConfigError(f"data: {where} has no faces to train on")
    shares = dict(zip(attributes, labels.mean(0).tolist()))
    constant = [name for name, share in shares.items() if share in (0.0, 1.0)]
    if constant:
        raise ConfigError(
            "\n".join(
                f"data.attributes: {name} is {shares[name]:.0f} on all {len(labels)} training faces of "
                f"{where}; both values must occur"
                for name in constant
            )
        )
    for name, share in shares.items():
        if min(share, 1 - share) < RARE and name != balance:
            value = int(share < 0.5)
            warnings.warn(
                f"{name} is {value} on only {100 * min(share, 1 - share):.2g} % of the training faces; "
                f"data.balance={name} would draw both values equally often",
                DataWarning,
                stacklevel=3,
            )
