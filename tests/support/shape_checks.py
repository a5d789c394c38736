"""Checks of the types and shapes of annotated functions at run time, many times as fast as jaxtyping's own.

For better messages `jaxtyping.jaxtyped` binds every call to a signature and checks the arguments twice, alone and with
the result. It makes a check whenever a function is defined, so for a nested function at every call of the outer one.

A check depends on types, shapes and dtypes alone. So a call whose arguments and result have those of an earlier call of
the same function passes without a check.
"""

from __future__ import annotations

import functools
import inspect
import re
import types
from collections import defaultdict
from collections.abc import Callable, Collection, Hashable
from dataclasses import is_dataclass
from typing import Any, get_type_hints
from unittest import mock

import jaxtyping
import numpy as np
import torch
from beartype import beartype
from torch import Tensor, nn

VALUES = re.compile(r"""\{|Literal\[(?!["'])""")
Function = Callable[..., Any]
Passed = dict[Hashable, set[Hashable]]
"""Kinds of arguments that passed -> the kinds of results that passed with them."""

GENERATOR = torch.Generator
jaxtyped: Any = jaxtyping.jaxtyped
open_scope = functools.partial(jaxtyped, "context")  # sizes such as "n" have one value in it
passed_by_name: defaultdict[Hashable, Passed] = defaultdict(dict)
"""What passed, by module, name and code of a function, because nested functions are made anew again and again."""


def check_shapes(target: Any = None, *, typechecker: object = None) -> Any:
    """Decorate a function, or the constructor of a dataclass, in place of `jaxtyping.jaxtyped`.

    Args:
        target: The function or the class; None = return a decorator.
        typechecker: What the import hook names; beartype checks always.
    """
    if target is None:
        return check_shapes
    if inspect.isclass(target):
        if is_dataclass(target) and not hasattr(target.__init__, "__wrapped__"):
            target.__init__ = check_function(target.__init__)  # type: ignore[misc]
        return target
    assert isinstance(target, types.FunctionType), f"the import hook decorates functions and classes, not {target!r}"
    return check_function(target)


def check_function(function: Any) -> Function:
    """Decorate a function with a check that is made at the first call."""
    # Sizes such as "{size}" are arguments, which jaxtyped binds. Beartype checks a generator late, out of the scope.
    # And for "{size}" or a `Literal` of numbers a type says too little.
    needs_values = any(VALUES.search(str(annotation)) for annotation in function.__annotations__.values())
    if needs_values or inspect.isgeneratorfunction(function):
        return jaxtyped(function, typechecker=beartype)
    checked: Function | None = None
    precomputed: list[Any] = []
    has_strings = all(isinstance(annotation, str) for annotation in function.__annotations__.values())
    name = function.__module__, function.__qualname__, function.__code__  # code alone may be equal in two files
    passed: Passed = passed_by_name[name] if has_strings else {}

    def check(*args: Any, **kwargs: Any) -> Any:
        """Call the function, or take the precomputed result, and check the arguments and the result."""
        __tracebackhide__ = True
        nonlocal checked
        if checked is None:
            checked = make_check(function, precomputed)
        with open_scope():
            return checked(*args, **kwargs)

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        if torch.compiler.is_compiling():
            return check(*args, **kwargs)
        try:
            kind = describe((args, kwargs))
        except NotDescribedError:
            return check(*args, **kwargs)
        if kind not in passed:
            result = check(*args, **kwargs)
            passed[kind] = set()
            return result
        result = function(*args, **kwargs)
        try:
            result_kind = describe(result)
        except NotDescribedError:
            result_kind = None
        if result_kind is None or result_kind not in passed[kind]:
            precomputed.append(result)
            try:
                check(*args, **kwargs)
            finally:
                precomputed.clear()
            passed[kind].add(result_kind)
        return result

    return wrapper


class NotDescribedError(Exception):
    """A value has items that cannot be described."""


def describe(value: Any) -> Hashable:
    """Return everything of a value that a check depends on, as something that can be compared.

    Raises:
        NotDescribedError: The value has, or contains, items of an unknown kind.
    """
    kind = type(value)
    describe_kind = DESCRIBERS.get(kind)
    return describe_kind(value) if describe_kind is not None else describe_rare(value, kind)


def describe_dict(value: dict[Any, Any]) -> Hashable:
    """Describe a dict; its keys are compared as they are if all are texts, which is usual and quick."""
    if set(map(type, value)) == {str}:
        return dict, tuple(value), *map(describe, value.values())
    return dict, *((describe(key), describe(item)) for key, item in value.items())


def describe_rare(value: Any, kind: type) -> Hashable:
    """Describe a value of a type that is not in `DESCRIBERS`."""
    if isinstance(value, Tensor | np.ndarray):
        return kind, value.dtype, value.shape
    if is_described_by_type(kind):
        return kind
    if isinstance(value, tuple | list):
        return kind, *map(describe, value)
    if isinstance(value, dict):
        return kind, describe_dict(value)
    if isinstance(value, str):
        return kind, value
    if isinstance(value, type):
        return type, value  # a class, which its instances are not
    raise NotDescribedError


DESCRIBERS: dict[type, Callable[[Any], Hashable]] = {
    Tensor: lambda value: (Tensor, value.dtype, value.shape),
    dict: describe_dict,
    tuple: lambda value: (tuple, *map(describe, value)),
    list: lambda value: (list, *map(describe, value)),
    str: lambda value: (str, value),
    **{kind: lambda value: type(value) for kind in (int, float, bool, type(None))},
}
"""Type -> how its values are described; the usual types, because most time is spent here."""


@functools.cache
def is_described_by_type(kind: type) -> bool:
    """Return whether checks look at nothing but the type of a value.

    They look into collections, at texts because of `Literal`, and at classes themselves.
    """
    return issubclass(kind, nn.Module | range) or not issubclass(kind, Collection | type)


def make_check(function: Any, precomputed: list[Any]) -> Function:
    """Make a copy of a function that checks its arguments and its result.

    Args:
        function: The function.
        precomputed: A result that the copy takes from this list instead of calling the function.
    """

    def compute(*args: Any, **kwargs: Any) -> Any:
        return precomputed.pop() if precomputed else function(*args, **kwargs)

    copy: Any = functools.wraps(function)(compute)
    copy.__annotations__ = resolve_annotations(function)
    return beartype(copy)


def resolve_annotations(function: Any) -> dict[str, Any]:
    """Evaluate annotations that are strings; one that names something unknown is not checked.

    A check is made at the first call, perhaps while a test replaces torch's generator.
    """
    hints = {}
    for name, annotation in function.__annotations__.items():
        holder = types.SimpleNamespace(__annotations__={name: annotation})
        try:
            with mock.patch.object(torch, "Generator", GENERATOR):
                hints[name] = get_type_hints(holder, function.__globals__, include_extras=True)[name]
        except NameError:
            hints[name] = Any
    return hints
