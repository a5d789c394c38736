"""A domain as the target: one kind of face out of several that exclude each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoogan.conditions.attributes import word_value
from zoogan.conditions.config import DomainConfig
from zoogan.config import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.condition import Request
from zoogan.interfaces.style import StyleCondition
from zoogan.names import suggest_name


class DomainCondition(StyleCondition):
    """Role `condition`: targets are {"domain": (n,) int64}, those of the reference faces (StarGAN v2, section 2).

    Raises:
        ConfigError: the data have no domains.
    """

    def __init__(self, config: DomainConfig, facts: Facts) -> None:
        self.names, self.attributes = facts.domains, facts.attributes
        if not self.names:
            raise ConfigError(
                "data.attributes: this method needs domains, of which every face shows one: name one attribute "
                "(without and with it), or several that exclude each other such as hair colours; "
                f"got {', '.join(facts.attributes)}"
            )

    def parse(self, words: Mapping[str, Any]) -> Request:
        """`{"domain": "male"}`, or `{"Eyeglasses": 1}` where an attribute makes the domains.

        Raises:
            ValueError: unknown names (with the nearest known one), values that are no domain, more or less than one.
        """
        problems: list[str] = []
        wanted: list[int] = []
        for name, word in words.items():
            found = self._domain(str(word)) if name == "domain" else self._shown(name, word)
            if isinstance(found, int):
                wanted.append(found)
            else:
                problems.append(found)
        if not problems and len(set(wanted)) != 1:
            which = f"; {' and '.join(self.names[k] for k in wanted)} are asked for" if wanted else ""
            problems.append(f"expected one domain out of {', '.join(self.names)}{which}")
        if problems:
            raise ValueError("\n".join(problems))
        return Request(domain=wanted[0])

    def _domain(self, word: str) -> int | str:
        if word in self.names:
            return self.names.index(word)
        return f"domain: no domain is called {word!r}{suggest_name(word, self.names)}; known: {', '.join(self.names)}"

    def _shown(self, name: str, word: Any) -> int | str:
        """The domain in which an attribute is shown or not, or what is wrong."""
        if name not in self.attributes:
            known = f"domain, {', '.join(self.attributes)}"
            return f"{name}: this model does not know that attribute{suggest_name(name, self.attributes)}; it knows {known}"
        value = word_value(word)
        if value not in (0.0, 1.0):
            return f"{name}: a face shows it or not: expected 0 or 1, got {word!r} (strength makes an edit weaker)"
        if len(self.attributes) == 1 and len(self.names) == 2:
            return int(value)
        if value == 0.0 and len(self.names) == 1:
            return f"{name}: it is the one domain of this model, so every edit shows it"
        if value == 0.0:
            return f"{name}: say which of {', '.join(self.names)} to show instead, not which to leave"
        return self.names.index(name)
