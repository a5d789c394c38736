"""The plugin host: loads each plugin separately and notifies observers. Imports no torch.

pluggy has typed hooks but no isolation: a bad entry point, a misspelt hook or an error in one plugin would stop the
whole zoo. Therefore each plugin is imported, checked and called separately. It registers into a draft, which is added
to the registry only if everything succeeded.
"""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Mapping, Sequence
from contextlib import redirect_stdout
from dataclasses import dataclass, field
from functools import cache, cached_property
from pathlib import Path
from types import MappingProxyType
from typing import Any

import pluggy

from zoogan.config.registry import MethodSpec, Registry
from zoogan.environment import read_switch, read_variable
from zoogan.errors import ConfigError
from zoogan.names import suggest_name
from zoogan.plugins import hooks
from zoogan.plugins.catalogue import Entry, merge_catalogues, read_catalogue, read_core_catalogue
from zoogan.plugins.discovery import Candidate, find_candidates, make_file_candidate, split_names
from zoogan.plugins.isolation import RejectedError, check_hooks, check_version, explain_failure, list_implemented_hooks

log = logging.getLogger(__name__)
SLOW_SECONDS = 5.0  # an import that takes longer is named
SLOW = (
    "it imports torch when it is loaded, which makes every command slow. Import torch inside the functions that use it"
)


@dataclass(frozen=True)
class PluginInfo:
    """A loaded plugin and its registered entries.

    Attributes:
        name: Its name.
        distribution: The package that it came with.
        version: Version of that package.
        where: Where it was discovered.
        hooks: Names of the hooks that it implements.
        methods: Ids of its methods.
        components: (role, name) of its components.
        commands: Its verbs.
        warnings: Whole sentences for `zoo doctor`.
    """

    name: str
    distribution: str | None
    version: str | None
    where: str
    hooks: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    components: tuple[tuple[str, str], ...] = ()
    commands: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()


@dataclass(frozen=True)
class PluginFailure:
    """A plugin that is not in use.

    Attributes:
        name: Its name.
        distribution: The package that it came with.
        version: Version of that package.
        where: Where it was discovered.
        reason: Why it failed, in one sentence.
        hint: What to do about it.
        error: The exception.
    """

    name: str
    distribution: str | None
    version: str | None
    where: str
    reason: str
    hint: str
    error: BaseException | None = field(default=None, repr=False, compare=False)

    def as_json(self) -> dict[str, str]:
        """Return the fields that JSON output shows."""
        return {"plugin": self.name, "where": self.where, "reason": self.reason, "hint": self.hint}

    def __str__(self) -> str:
        return f"plugin {self.name!r} is not in use: {self.reason} (hint: {self.hint})"


class PluginHost:
    """Everything that the core and the plugins registered, and the plugins that failed.

    Attributes:
        registry: Methods, components and commands.
        plugins: Loaded plugins, in loading order.
        failures: Plugins that are not in use.
        disabled: Names in ZOOGAN_DISABLE_PLUGINS.
        warnings: Whole sentences for `zoo doctor`.
        files: Single-file plugins that `load_files` loaded, which later commands have to name again.
        manager: pluggy's manager, which holds the loaded plugins.
    """

    def __init__(self) -> None:
        self.registry = Registry()
        self.plugins: list[PluginInfo] = []
        self.failures: list[PluginFailure] = []
        self.disabled: list[str] = []
        self.warnings: list[str] = []
        self.files: list[Path] = []
        self.manager = pluggy.PluginManager("zoogan")
        self.manager.add_hookspecs(hooks)
        self._plugin_catalogues: dict[str, Entry] = {}  # the plugins' own catalogues

    @cached_property
    def catalogue(self) -> dict[str, Entry]:
        """The catalogue entry of each method, installed or not, by id."""
        return merge_catalogues(read_core_catalogue(), self._plugin_catalogues)

    def get_method(self, name: str) -> MethodSpec:
        """Return an installed method.

        Raises:
            ConfigError: No such method is installed; says whether it is planned, broken or misspelt.
        """
        if name in self.registry.methods:
            return self.registry.methods[name]
        broken = [failure for failure in self.failures if failure.name in (name, name.replace("-", "_"))]
        if broken:
            raise ConfigError(f"model {name!r} is not available: {broken[0]}")
        names = sorted(self.registry.methods)
        installed = f"installed: {', '.join(names) or 'none'}"
        entry = self.catalogue.get(name)
        if entry is not None:
            state = f"it comes with {entry.distribution}" if entry.distribution else "planned, not written yet"
            raise ConfigError(f"model {name!r} ({entry.title}) is not installed: {state}; {installed}")
        hint = suggest_name(name, [*names, *self.catalogue])
        raise ConfigError(f"no method is called {name!r}{hint}; {installed}")

    # ---- loading --------------------------------------------------------------------------------------

    def load_files(self, files: Sequence[Path]) -> None:
        """Load single-file plugins (`--plugin`) into this zoo; a plugin that is loaded already is skipped."""
        for path in files:
            before = len(self.failures)
            self.load(make_file_candidate(path))
            if len(self.failures) == before and path not in self.files:
                self.files.append(path)

    def load(self, candidate: Candidate) -> None:
        """Load one plugin. On failure nothing of it stays, and the reason is in `failures`.

        What the plugin prints goes to stderr, because stdout may be a document for programs.
        """
        if candidate.name in self.disabled:
            return
        try:
            with redirect_stdout(sys.stderr):
                self._load(candidate)
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # SystemExit too: a plugin may not end the program
            reason, hint = explain_failure(error, candidate.distribution)
            origin = (candidate.name, candidate.distribution, candidate.version, candidate.where)
            self.failures.append(PluginFailure(*origin, reason, hint, error))

    def _load(self, candidate: Candidate) -> None:
        """Import, check and register one plugin."""
        had_torch, begin = "torch" in sys.modules, time.monotonic()
        plugin = candidate.load()
        seconds = time.monotonic() - begin
        warnings: tuple[str, ...] = (SLOW,) if not had_torch and "torch" in sys.modules else ()
        if seconds > SLOW_SECONDS and candidate.distribution != "zoogan":
            warnings += (f"its import takes {seconds:.0f} s, which every command waits for",)
            log.warning("plugin %r: %s; leave it out with ZOOGAN_DISABLE_PLUGINS", candidate.name, warnings[-1])
        if self.manager.is_registered(plugin):  # loaded already: ZOOGAN_PLUGINS may name an installed plugin
            return
        other = next((info for info in self.plugins if info.name == candidate.name), None)
        if other is not None:
            raise RejectedError(f"another plugin ({other.where}) has the same name", "rename or uninstall one")
        check_version(plugin)
        check_hooks(plugin)
        draft = self.registry.draft(candidate.name)
        self.manager.register(plugin, candidate.name)
        try:
            self.manager.check_pending()
            self.call_hook(plugin, "zoo_register", registry=draft)
            catalogue = read_catalogue(Path(plugin.CATALOGUE)) if hasattr(plugin, "CATALOGUE") else {}
            if catalogue:
                merge_catalogues(self.catalogue, catalogue)
        except BaseException:
            self.manager.unregister(plugin)
            raise
        if catalogue:
            self._plugin_catalogues |= catalogue
            del self.catalogue
        self.registry.commit(draft)
        self.plugins.append(make_plugin_info(candidate, plugin, draft, warnings))

    def call_hook(self, plugin: Any, hook: str, **arguments: Any) -> None:
        """Call one plugin's implementation of a hook, if it has one."""
        others = [other for other in self.manager.get_plugins() if other is not plugin]
        self.manager.subset_hook_caller(hook, others)(**arguments)

    # ---- observers ------------------------------------------------------------------------------------

    def notify_observers(self, hook: str, **arguments: Any) -> None:
        """Call each plugin that observes `hook`. A plugin that raises is named in the log and not called again.

        Observers cannot change a training: their results are ignored, and mappings are read-only.
        """
        observed = {
            name: MappingProxyType(value) if isinstance(value, dict) else value for name, value in arguments.items()
        }
        for implementation in getattr(self.manager.hook, hook).get_hookimpls():  # a copy, in loading order
            plugin, name = implementation.plugin, implementation.plugin_name
            try:
                with redirect_stdout(sys.stderr):
                    self.call_hook(plugin, hook, **observed)
            except (Exception, SystemExit) as error:
                reason, hint = explain_failure(error)
                log.warning("plugin %r failed in %s and is not called again: %s", name, hook, reason)
                info = next(info for info in self.plugins if info.name == name)
                origin = (name, info.distribution, info.version, info.where)
                self.failures.append(PluginFailure(*origin, f"in {hook}: {reason}", hint, error))
                self.manager.unregister(plugin)


def make_plugin_info(candidate: Candidate, plugin: Any, draft: Registry, warnings: tuple[str, ...]) -> PluginInfo:
    """Collect the entries that a plugin added to its draft."""
    name = candidate.name
    return PluginInfo(
        name,
        candidate.distribution,
        candidate.version,
        candidate.where,
        hooks=tuple(list_implemented_hooks(plugin)),
        methods=tuple(method.name for method in draft.methods.values() if method.plugin == name),
        components=tuple(key for key, component in draft.components.items() if component.plugin == name),
        commands=tuple(command.name for command in draft.commands.values() if command.plugin == name),
        warnings=warnings,
    )


def open_zoo(files: Sequence[Path] = (), environment: Mapping[str, str] = os.environ) -> PluginHost:
    """Open a fresh zoo: the core, then entry points by name, then ZOOGAN_PLUGINS, then `files`.

    Args:
        files: Single-file plugins.
        environment: Environment variables. ZOOGAN_PLUGINS names modules or .py files to load as well;
            ZOOGAN_DISABLE_PLUGINS names plugins to leave out (they are not even imported). Both take lists separated by
            commas. With ZOOGAN_STRICT_PLUGINS=1 a plugin that fails is an error.

    Raises:
        ConfigError: A plugin failed, and ZOOGAN_STRICT_PLUGINS is on; names all that failed.
    """
    host = PluginHost()
    host.disabled = split_names(read_variable("ZOOGAN_DISABLE_PLUGINS", environment))
    candidates = list(find_candidates(files, environment))
    names = [candidate.name for candidate in candidates]
    for name in host.disabled:
        if name not in names:
            hint = suggest_name(name, names)
            host.warnings.append(f"ZOOGAN_DISABLE_PLUGINS names {name!r}, and there is no such plugin{hint}")
    for candidate in candidates:
        host.load(candidate)
    if host.failures and read_switch("ZOOGAN_STRICT_PLUGINS", environment):
        raise ConfigError("\n".join(map(str, host.failures)))
    return host


@cache
def get_zoo() -> PluginHost:
    """Return the zoo of this process, opened at the first call; `--plugin` files are added with `load_files`."""
    return open_zoo()
