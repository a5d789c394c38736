"""Every registered method, whoever brings it, passes the same suite."""

from __future__ import annotations

import pytest

from zoogan.plugins import zoo
from zoogan.testing import CHECKS

REGISTRY = zoo().registry


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("method", sorted(REGISTRY.methods))
def test_conformance(method: str, check) -> None:  # type: ignore[no-untyped-def]
    check(method, REGISTRY)
