"""What the networks of all roles share."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from torch import nn

from zoogan.interfaces.contract import Contract


class Network(nn.Module, ABC):
    """A network that fills a role. contract: names of the dimensions that go in and come out."""

    contract: ClassVar[Contract]

    def compiled_parts(self) -> list[nn.Module]:
        """The modules to compile in place: those that are *called*. By default the network itself."""
        return [self]
