"""Attributes as the target: which of them a face should show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan.conditions.config import AttributesConfig
from zoogan.errors import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.condition import Condition, Request, Targets
from zoogan.interfaces.draws import Draws
from zoogan.names import suggest_name

VALUE_WORDS = {"on": 1.0, "true": 1.0, "yes": 1.0, "off": 0.0, "false": 0.0, "no": 0.0}
SHOWN_THRESHOLD = 0.5  # from this value on an attribute counts as set


class AttributeCondition(Condition):
    """Role `condition`: targets are {"attributes": (n, a)}, values in [0, 1].

    This condition sets at most one attribute of an exclusive group; own labels and permuted labels are not
    changed. Groups come from the source and from the config. After `require_exactly_one`, all attributes are one
    group of which flipped and uniform targets show exactly one.

    Args:
        config: How targets are drawn, and further exclusive groups.
        facts: Attributes and exclusive groups of the data.

    Raises:
        ConfigError: A group of the config names attributes that the data lack; all of them at once.
    """

    def __init__(self, config: AttributesConfig, facts: Facts) -> None:
        self.draw, self.names = config.draw, facts.attributes
        unknown = dict.fromkeys(name for group in config.exclusive for name in group if name not in self.names)
        if unknown:
            raise ConfigError("\n".join(
                f"condition.exclusive: {name!r} is not among data.attributes{suggest_name(name, self.names)}; "
                f"they are: {', '.join(self.names) or '(none)'}"
                for name in unknown
            ))  # fmt: skip
        self.groups: tuple[tuple[str, ...], ...] = ()
        self.exactly_one = False
        self.add_exclusive_groups(*facts.exclusive, *config.exclusive)

    def add_exclusive_groups(self, *groups: tuple[str, ...]) -> None:
        """Add groups of attributes of which a face shows at most one.

        Args:
            *groups: Names of attributes; a group that lies inside another one is dropped.
        """
        candidates = dict.fromkeys(group for group in [*self.groups, *groups] if len(group) > 1)
        self.groups = tuple(group for group in candidates if not any(set(group) < set(other) for other in candidates))
        rivals = torch.zeros(len(self.names), len(self.names))
        for group in self.groups:
            members = [self.names.index(name) for name in group if name in self.names]
            for i in members:
                for j in members:
                    rivals[i, j] = float(i != j)
        self._rivals = {torch.device("cpu"): rivals}

    def require_exactly_one(self) -> None:
        """Make all attributes one group of which every target shows exactly one, as a softmax over them needs."""
        self.add_exclusive_groups(self.names)
        self.exactly_one = True

    def get_rivals(self, device: torch.device) -> Float[Tensor, "a a"]:
        """Return which attributes exclude each other.

        Args:
            device: Where the matrix is needed; it is cached by device, so that a step copies nothing.

        Returns:
            A matrix (a, a): 1 where two attributes exclude each other, else 0.
        """
        if device not in self._rivals:
            self._rivals[device] = self._rivals[torch.device("cpu")].to(device)
        return self._rivals[device]

    def draw_targets(self, sample: Mapping[str, Tensor], draw: Draws) -> Targets:
        """Draw targets for a batch, as the setting `draw` determines.

        Args:
            sample: The batch, with `attributes` (n, a).
            draw: Random numbers.

        Returns:
            {"attributes": (n, a)}.
        """
        own = sample["attributes"]
        samplers = {"flip": self._flip, "permute": self._permute, "uniform": self._sample_uniform}
        return {"attributes": samplers[self.draw](own, draw)}

    def _flip(self, own: Float[Tensor, "n a"], draw: Draws) -> Float[Tensor, "n a"]:
        """Flip one attribute of each face; with `exactly_one`, choose another attribute than the face's own."""
        a = own.shape[1]
        if self.exactly_one:
            return mark_highest(draw.uniform("rank", a, like=own) - (own >= SHOWN_THRESHOLD).to(own.dtype))
        if a == 1:
            return 1 - own
        column = (draw.uniform("attribute", 1, like=own) * a).long().clamp(max=a - 1)
        is_flipped = torch.arange(a, device=own.device) == column
        return self._clear_rivals(torch.where(is_flipped, 1 - own, own), is_flipped & (own < SHOWN_THRESHOLD))

    def _clear_rivals(self, target: Float[Tensor, "n a"], newly_set: Bool[Tensor, "n a"]) -> Float[Tensor, "n a"]:
        """Clear the rivals of the attributes that were newly set."""
        has_rival = newly_set.to(target.dtype) @ self.get_rivals(target.device).to(target.dtype) > 0
        return target.masked_fill(has_rival & ~newly_set, 0.0)

    def _permute(self, own: Float[Tensor, "n a"], draw: Draws) -> Float[Tensor, "n a"]:
        """Take the labels of another face, so that combinations occur as in the data; may be the face's own."""
        return draw.permute("targets", own)

    def _sample_uniform(self, own: Float[Tensor, "n a"], draw: Draws) -> Float[Tensor, "n a"]:
        """Set every attribute with probability 1/2; of rivals that are both set, the one of higher rank stays.

        With `exactly_one`, any one attribute is set.
        """
        a = own.shape[1]
        rank = draw.uniform("rank", a, like=own)
        if self.exactly_one:
            return mark_highest(rank)
        is_set = draw.uniform("attributes", a, like=own) < 0.5
        column = torch.arange(a, device=own.device)
        # stronger[n, i, j]: j has priority over i. Equal ranks are rare, but only one of two rivals may stay set.
        stronger = (rank[:, None, :] > rank[:, :, None]) | (
            (rank[:, None, :] == rank[:, :, None]) & (column[None, :] < column[:, None])
        )
        is_beaten = (stronger & (self.get_rivals(own.device) > 0) & is_set[:, None, :]).any(2)
        return (is_set & ~is_beaten).to(own.dtype)

    def parse(self, words: Mapping[str, Any]) -> Request:
        """Parse the requested attributes.

        Args:
            words: Values by attribute: `{"Eyeglasses": "1", "Smiling": 0.5, "Male": "off"}`.

        Returns:
            The request.

        Raises:
            ValueError: Names are unknown, values lie outside [0, 1], or rivals are both set; all problems at once.
        """
        request: dict[str, float] = {}
        problems = []
        for name, word in words.items():
            if name not in self.names:
                problems.append(
                    f"{name}: this model does not know that attribute{suggest_name(name, self.names)}; "
                    f"it knows {', '.join(self.names)}"
                )
                continue
            value = parse_attribute_value(word)
            if value is None:
                problems.append(f"{name}: expected a value from 0 to 1, or on, off, true, false, yes, no; got {word!r}")
            else:
                request[name] = value
        for group in self.groups:
            rivals = [name for name in group if request.get(name, 0.0) >= SHOWN_THRESHOLD]
            if len(rivals) > 1:
                problems.append(f"{' and '.join(rivals)} exclude each other; set one of them")
        if problems:
            raise ValueError("\n".join(dict.fromkeys(problems)))
        return Request(request)

    def apply_request(self, own: Float[Tensor, "n a"], request: Request) -> Targets:
        """Set the requested attributes in the own labels of faces.

        An attribute that is set clears its rivals, except those that were requested too.

        Args:
            own: Own labels (n, a).
            request: The attributes to set.

        Returns:
            {"attributes": (n, a)}.
        """
        requested = torch.full_like(own, torch.nan)
        for name, value in request.attributes.items():
            requested[:, self.names.index(name)] = value
        return {"attributes": self.apply_values(own, requested)}

    def apply_values(self, own: Float[Tensor, "n a"], requested: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
        """Set requested values in the own labels of faces, see `apply_request`.

        Args:
            own: Own labels (n, a).
            requested: Requested values (n, a); NaN = not requested.

        Returns:
            The target labels (n, a).
        """
        is_set = (requested >= SHOWN_THRESHOLD).to(own.dtype)  # NaN is not
        is_cleared = is_set @ self.get_rivals(own.device).to(own.dtype) > 0
        return torch.where(requested.isnan(), own.masked_fill(is_cleared, 0.0), requested)

    def list_single_edits(self, own: Float[Tensor, "n a"]) -> list[tuple[str, Targets]]:
        """List one edit an attribute, as StarGAN's test mode makes them.

        A member of an exclusive group is set and its rivals are cleared; any other attribute is flipped.

        Args:
            own: Own labels (n, a).

        Returns:
            (attribute, targets), in the order of the attributes.

        Source: StarGAN (Choi et al. 2018), test mode.
        """
        edits = []
        for i, name in enumerate(self.names):
            is_grouped = any(name in group for group in self.groups)
            target = self.apply_request(own, Request({name: 1.0}))["attributes"] if is_grouped else own.clone()
            if not is_grouped:
                target[:, i] = 1 - own[:, i]
            edits.append((name, {"attributes": target}))
        return edits


def mark_highest(rank: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
    """Mark the highest value of each row.

    Args:
        rank: Values (n, a).

    Returns:
        1 at the highest value, the first one of equals, else 0.
    """
    return (torch.arange(rank.shape[1], device=rank.device) == rank.argmax(1, keepdim=True)).to(rank.dtype)


def parse_attribute_value(word: Any) -> float | None:
    """Parse the value of an attribute.

    Args:
        word: A number in [0, 1], its text, or on, off, true, false, yes, no.

    Returns:
        A number in [0, 1]; None = not a value.
    """
    if isinstance(word, str) and word.strip().lower() in VALUE_WORDS:
        return VALUE_WORDS[word.strip().lower()]
    try:
        value = float(word)
    except (TypeError, ValueError):
        return None
    return value if 0 <= value <= 1 else None
