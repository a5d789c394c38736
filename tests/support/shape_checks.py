"""Checks of the types and shapes of annotated functions at run time, four times as fast as jaxtyping's own.

For better messages `jaxtyping.jaxtyped` binds every call to a signature and checks the arguments twice, alone and with
the result. It makes a check whenever a function is defined, so for a nested function at every call of the outer one.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Callable
from dataclasses import is_dataclass
from typing import Any, get_type_hints
from unittest import mock

import jaxtyping
import torch
from beartype import beartype

Function = Callable[..., Any]

GENERATOR = torch.Generator
jaxtyped: Any = jaxtyping.jaxtyped
open_scope = functools.partial(jaxtyped, "context")  # sizes such as "n" have one value in it


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
    has_bound_sizes = any("{" in str(annotation) for annotation in function.__annotations__.values())
    if has_bound_sizes or inspect.isgeneratorfunction(function):
        return jaxtyped(function, typechecker=beartype)
    checked: Function | None = None

    @functools.wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        __tracebackhide__ = True
        nonlocal checked
        if jaxtyping.config.jaxtyping_disable:
            return function(*args, **kwargs)
        if checked is None:
            checked = make_check(function)
        with open_scope():
            return checked(*args, **kwargs)

    return wrapper


def make_check(function: Any) -> Function:
    """Make a copy of a function that checks its arguments and its result."""
    copy = types.FunctionType(
        function.__code__, function.__globals__, function.__name__, function.__defaults__, function.__closure__
    )
    copy.__kwdefaults__, copy.__module__ = function.__kwdefaults__, function.__module__
    copy.__qualname__, copy.__annotations__ = function.__qualname__, resolve_annotations(function)
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
