"""A domain as the target: one kind of face out of several that exclude each other."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoogan.conditions.attributes import parse_attribute_value
from zoogan.config import ComponentConfig
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.condition import Request
from zoogan.interfaces.style import StyleCondition
from zoogan.names import suggest_name


class DomainCondition(StyleCondition):
    """Role `condition`: targets are {"domain": (n,) int64}, the domains of the reference faces.

    Args:
        config: Unused.
        facts: Domains and attributes of the data.

    Raises:
        ConfigError: The data have no domains.

    Source: StarGAN v2 (Choi et al. 2020), section 2.
    """

    def __init__(self, config: ComponentConfig, facts: Facts) -> None:
        self.names, self.attributes = facts.domains, facts.attributes
        if not self.names:
            raise ConfigError(
                "data.attributes: this method needs domains, of which every face shows one: name one attribute "
                "(without and with it), or several that exclude each other such as hair colours; "
                f"got {', '.join(facts.attributes)}"
            )

    def parse(self, words: Mapping[str, Any]) -> Request:
        """Parse the requested domain.

        Args:
            words: `{"domain": "male"}`, or `{"Eyeglasses": 1}` where an attribute makes the domains.

        Returns:
            The request.

        Raises:
            ValueError: Names are unknown, values are no domain, or there is not exactly one domain; all problems at
                once.
        """
        problems: list[str] = []
        domains: list[int] = []
        for name, word in words.items():
            result = self._parse_domain(str(word)) if name == "domain" else self._parse_attribute(name, word)
            if isinstance(result, int):
                domains.append(result)
            else:
                problems.append(result)
        if not problems and len(set(domains)) != 1:
            given = f"; {' and '.join(self.names[k] for k in domains)} are asked for" if domains else ""
            problems.append(f"expected one domain out of {', '.join(self.names)}{given}")
        if problems:
            raise ValueError("\n".join(problems))
        return Request(domain=domains[0])

    def _parse_domain(self, word: str) -> int | str:
        """Return the index of a domain, or the problem."""
        if word in self.names:
            return self.names.index(word)
        return f"domain: no domain is called {word!r}{suggest_name(word, self.names)}; known: {', '.join(self.names)}"

    def _parse_attribute(self, name: str, word: Any) -> int | str:
        """Return the index of the domain that shows the attribute or not, or the problem."""
        if name not in self.attributes:
            hint, names = suggest_name(name, self.attributes), f"domain, {', '.join(self.attributes)}"
            return f"{name}: this model does not know that attribute{hint}; it knows {names}"
        value = parse_attribute_value(word)
        if value not in (0.0, 1.0):
            return f"{name}: a face shows it or not: expected 0 or 1, got {word!r} (strength makes an edit weaker)"
        if len(self.attributes) == 1 and len(self.names) == 2:
            return int(value)
        if value == 0.0 and len(self.names) == 1:
            return f"{name}: it is the one domain of this model, so every edit shows it"
        if value == 0.0:
            return f"{name}: say which of {', '.join(self.names)} to show instead, not which to leave"
        return self.names.index(name)
