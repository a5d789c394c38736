"""What every source checks about its label columns: that they exist, that both values occur, how rare they
are."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Sequence

from jaxtyping import Float
from torch import Tensor

from zoogan.config import ConfigError
from zoogan.names import suggest_name

# CelebA's labels do not guarantee it, but nobody asks for two hair colours at once (StarGAN treats them so).
HAIR_COLOURS = ("Black_Hair", "Blond_Hair", "Brown_Hair", "Gray_Hair")
RARE = 0.01


class DataWarning(UserWarning):
    """Something about the data that will probably spoil a training, but need not."""


def columns(asked: Sequence[str], known: Sequence[str], where: str) -> list[int]:
    """The columns of the attributes asked for, in the order asked.

    Raises:
        ConfigError: every unknown name, with the nearest known one, and every name asked for twice.
    """
    problems = [
        f"data.attributes: {where} has no attribute {name!r}{suggest_name(name, known)}"
        for name in asked
        if name not in known
    ]
    if problems:
        problems.append(
            f"known attributes: {', '.join(known)}; names that you did not choose are the recipe's, and "
            "--set data.attributes=NAME,... replaces them"
        )
    problems += [
        f"data.attributes: {name!r} is asked for twice" for name in sorted({a for a in asked if asked.count(a) > 1})
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return [known.index(name) for name in asked]


def exclusive_among(chosen: Sequence[str], groups: Iterable[Sequence[str]]) -> tuple[tuple[str, ...], ...]:
    """The groups, reduced to the chosen attributes; those of which fewer than two are left are dropped."""
    reduced = (tuple(name for name in chosen if name in group) for group in groups)
    return tuple(group for group in reduced if len(group) > 1)


def check_balance(balance: str | None, chosen: Sequence[str]) -> None:
    """That the attribute to balance is among the chosen ones.

    Raises:
        ConfigError: if not, with the nearest chosen one.
    """
    if balance is not None and balance not in chosen:
        raise ConfigError(
            f"data.balance: {balance!r} is not among data.attributes{suggest_name(balance, chosen)}; "
            f"they are: {', '.join(chosen) or '(none)'}. Set data.balance to one of them, or to null"
        )


def check_both_values(chosen: Sequence[str], labels: Float[Tensor, "n a"], balance: str | None, where: str) -> None:
    """That every attribute shows both values in training, and a warning if one of them is rarer than 1 %.

    An attribute with one value teaches nothing: the usual cause is a wrong root or label file, and the usual
    sign is a model that returns its input.

    Raises:
        ConfigError: no faces, or every attribute that has the same value on all of them.
    """
    if not len(labels):
        raise ConfigError(f"data: {where} has no faces to train on")
    shares = dict(zip(chosen, labels.mean(0).tolist()))
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
