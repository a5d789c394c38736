"""Attributes as the target: which of them a face is asked to show."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
from jaxtyping import Bool, Float
from torch import Tensor

from zoogan.conditions.config import AttributesConfig
from zoogan.config import ConfigError
from zoogan.facts import Facts
from zoogan.interfaces.condition import Condition, Request, Targets
from zoogan.interfaces.draws import Draws
from zoogan.names import suggest_name

WORDS = {"on": 1.0, "true": 1.0, "yes": 1.0, "off": 0.0, "false": 0.0, "no": 0.0}
SHOWN = 0.5  # from this value on an attribute counts as set


class AttributeCondition(Condition):
    """Role `condition`: targets are {"attributes": (n, a)}, values in [0, 1].

    Of an exclusive group at most one is set by what this condition does; own labels and permuted ones stay as
    the data have them. Groups are the source's and those of the config. After `show_one` all attributes are a group of
    which flipped and uniform targets show one, never none.

    Raises:
        ConfigError: every name in a group of the config that is no attribute of the data, at once.
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
        self.one_of_all = False
        self.exclude(*facts.exclusive, *config.exclusive)

    def exclude(self, *groups: tuple[str, ...]) -> None:
        """Of each of these groups at most one attribute is shown, besides the groups that are known already."""
        known = dict.fromkeys(group for group in [*self.groups, *groups] if len(group) > 1)
        self.groups = tuple(group for group in known if not any(set(group) < set(other) for other in known))
        rivals = torch.zeros(len(self.names), len(self.names))
        for group in self.groups:
            members = [self.names.index(name) for name in group if name in self.names]
            for i in members:
                for j in members:
                    rivals[i, j] = float(i != j)
        self._rivals = {torch.device("cpu"): rivals}

    def show_one(self) -> None:
        """Of all attributes exactly one is shown, as a softmax over them takes it."""
        self.exclude(self.names)
        self.one_of_all = True

    def rivals(self, device: torch.device) -> Float[Tensor, "a a"]:
        """1 where two attributes exclude each other. Kept by device, so that a step copies nothing."""
        if device not in self._rivals:
            self._rivals[device] = self._rivals[torch.device("cpu")].to(device)
        return self._rivals[device]

    def targets(self, sample: Mapping[str, Tensor], draw: Draws) -> Targets:
        """Targets for a batch with `attributes` (n, a), by the config's `draw`."""
        own = sample["attributes"]
        ways = {"flip": self._flipped, "permute": self._permuted, "uniform": self._uniform}
        return {"attributes": ways[self.draw](own, draw)}

    def _flipped(self, own: Float[Tensor, "n a"], draw: Draws) -> Float[Tensor, "n a"]:
        """The opposite of the only attribute, or of one of several, chosen for each face; where one of all must be
        shown, another one than the face's own."""
        a = own.shape[1]
        if self.one_of_all:
            return highest(draw.uniform("rank", a, like=own) - (own >= SHOWN).to(own.dtype))
        if a == 1:
            return 1 - own
        column = (draw.uniform("attribute", 1, like=own) * a).long().clamp(max=a - 1)
        chosen = torch.arange(a, device=own.device) == column
        return self._cleared(torch.where(chosen, 1 - own, own), chosen & (own < SHOWN))

    def _cleared(self, target: Float[Tensor, "n a"], newly_set: Bool[Tensor, "n a"]) -> Float[Tensor, "n a"]:
        """`target` without the rivals of what was newly set."""
        beaten = newly_set.to(target.dtype) @ self.rivals(target.device).to(target.dtype) > 0
        return target.masked_fill(beaten & ~newly_set, 0.0)

    def _permuted(self, own: Float[Tensor, "n a"], draw: Draws) -> Float[Tensor, "n a"]:
        """Another face's labels: combinations that occur; may be the face's own."""
        return draw.permute("targets", own)

    def _uniform(self, own: Float[Tensor, "n a"], draw: Draws) -> Float[Tensor, "n a"]:
        """Every attribute with probability 1/2; of rivals that come up together the one of higher rank
        stays. Where one of all must be shown, any."""
        a = own.shape[1]
        rank = draw.uniform("rank", a, like=own)
        if self.one_of_all:
            return highest(rank)
        up = draw.uniform("attributes", a, like=own) < 0.5
        column = torch.arange(a, device=own.device)
        # stronger[n, i, j]: j beats i. Equal ranks are rare, but two rivals must not both survive.
        stronger = (rank[:, None, :] > rank[:, :, None]) | (
            (rank[:, None, :] == rank[:, :, None]) & (column[None, :] < column[:, None])
        )
        beaten = (stronger & (self.rivals(own.device) > 0) & up[:, None, :]).any(2)
        return (up & ~beaten).to(own.dtype)

    def parse(self, words: Mapping[str, Any]) -> Request:
        """`{"Eyeglasses": "1", "Smiling": 0.5, "Male": "off"}` as a request.

        Raises:
            ValueError: every unknown name (with the nearest known one), every value that is not in 0..1 and
                every two rivals that are both set, at once.
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
            value = word_value(word)
            if value is None:
                problems.append(f"{name}: expected a value from 0 to 1, or on, off, true, false, yes, no; got {word!r}")
            else:
                request[name] = value
        for group in self.groups:
            together = [name for name in group if request.get(name, 0.0) >= SHOWN]
            if len(together) > 1:
                problems.append(f"{' and '.join(together)} exclude each other; set one of them")
        if problems:
            raise ValueError("\n".join(dict.fromkeys(problems)))
        return Request(request)

    def apply_request(self, own: Float[Tensor, "n a"], request: Request) -> Targets:
        """Own labels with the requested ones set; an attribute that is set clears its rivals, unless they
        were asked for too."""
        target = own.clone()
        for name, value in request.attributes.items():
            if value >= SHOWN:
                row = self.rivals(own.device)[self.names.index(name)]
                target = target.masked_fill(row > 0, 0.0)
        for name, value in request.attributes.items():
            target[:, self.names.index(name)] = value
        return {"attributes": target}

    def sweep(self, own: Float[Tensor, "n a"]) -> list[tuple[str, Targets]]:
        """One edit an attribute, as StarGAN's test mode makes them: a member of an exclusive group is set and
        its rivals are cleared, any other attribute is flipped."""
        edits = []
        for i, name in enumerate(self.names):
            grouped = any(name in group for group in self.groups)
            target = self.apply_request(own, Request({name: 1.0}))["attributes"] if grouped else own.clone()
            if not grouped:
                target[:, i] = 1 - own[:, i]
            edits.append((name, {"attributes": target}))
        return edits


def highest(rank: Float[Tensor, "n a"]) -> Float[Tensor, "n a"]:
    """1 where a row is highest, at the first place of equals, else 0."""
    return (torch.arange(rank.shape[1], device=rank.device) == rank.argmax(1, keepdim=True)).to(rank.dtype)


def word_value(word: Any) -> float | None:
    """A word as a number in [0, 1], or None."""
    if isinstance(word, str) and word.strip().lower() in WORDS:
        return WORDS[word.strip().lower()]
    try:
        value = float(word)
    except (TypeError, ValueError):
        return None
    return value if 0 <= value <= 1 else None
