"""Names with which a plugin registers methods, components and commands. Imports no torch."""

from zoogan.config.registry import Component, MethodSpec, RegistrationError, Registry
from zoogan.facts import Facts
from zoogan.plugins.hooks import hookimpl
from zoogan.plugins.methods import MethodInfo

__all__ = ["Component", "Facts", "MethodInfo", "MethodSpec", "RegistrationError", "Registry", "hookimpl"]
