"""The base class of the networks of all roles."""

from __future__ import annotations

from abc import ABC
from typing import ClassVar

from torch import nn

from zoogan.interfaces.contract import Contract


class Network(nn.Module, ABC):
    """A network that fills a role.

    Attributes:
        contract: Names of the dimensions of its inputs and outputs.
    """

    contract: ClassVar[Contract]

    def list_compiled_modules(self) -> list[nn.Module]:
        """Return the modules to compile in place: those whose forward is called. By default the network itself."""
        return [self]
