"""The conformance suite that every method passes, and hypothesis strategies for configs and tensors."""

from zoogan.testing.conformance import CHECKS, check_method

__all__ = ["CHECKS", "check_method"]
