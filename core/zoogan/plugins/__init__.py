"""Names with which a plugin registers methods, components and commands, and words its messages. Imports no torch."""

from importlib import import_module

# Loaded on first use: `zoo --help` looks for plugins and needs no config classes.
_MODULES = {
    "Component": "zoogan.config.registry",
    "Facts": "zoogan.facts",
    "MethodInfo": "zoogan.plugins.methods",
    "MethodSpec": "zoogan.config.registry",
    "OfficialFiles": "zoogan.config.stages",
    "RegistrationError": "zoogan.config.registry",
    "Registry": "zoogan.config.registry",
    "Stage": "zoogan.config.stages",
    "hookimpl": "zoogan.plugins.hooks",
    "join_problems": "zoogan.names",
    "suggest_name": "zoogan.names",
}
__all__ = sorted(_MODULES)


def __getattr__(name: str) -> object:
    """Import a public name when it is first used."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_MODULES[name]), name)


def __dir__() -> list[str]:
    """List the public names."""
    return list(__all__)
