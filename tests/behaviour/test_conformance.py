"""The conformance suite on every registered method, and the suite's own parts."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import ClassVar

import pytest

from zoogan.composition.build import compose, find_fields
from zoogan.composition.rehearsal import check_fields
from zoogan.data.drawn.source import DrawnSource
from zoogan.errors import ConfigError
from zoogan.interfaces.fields import Field
from zoogan.interfaces.game import Need
from zoogan.plugins.host import get_zoo
from zoogan.testing import CHECKS, check_method, conformance

REGISTRY = get_zoo().registry


@pytest.mark.slow
@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__)
@pytest.mark.parametrize("method", sorted(REGISTRY.methods))
def test_conformance(method: str, check) -> None:  # type: ignore[no-untyped-def]
    check(method, REGISTRY)


class LandmarkSource(DrawnSource):
    """Drawn faces that also declare landmarks."""

    extra_fields: ClassVar = {"landmarks": Field((5, 2))}


def test_game_reads_every_field_that_sources_declare(monkeypatch: pytest.MonkeyPatch) -> None:
    config = conformance.make_tiny_config("sagan", REGISTRY)
    composition = compose(config, conformance.make_tiny_facts(config), REGISTRY)
    game = composition.game
    game.needs = {"source": Need(("image", "pose", "visible"))}
    composition.fields = find_fields(config, game, REGISTRY)
    batch = next(conformance.make_random_batches(composition))["source"]
    assert batch["pose"].shape == (4, 3) and batch["visible"].shape == (4, len(composition.facts.attributes))
    game.needs = {"source": Need(("landmarks",))}
    with pytest.raises(ConfigError, match=r"reads landmarks, of which a rehearsal knows .*pose.* `extra_fields`"):
        check_fields(game, find_fields(config, game, REGISTRY))
    drawn = replace(REGISTRY.components["source", "drawn"], build=f"{__name__}:LandmarkSource")
    monkeypatch.setitem(REGISTRY.components, ("source", "drawn"), drawn)
    composition.fields = find_fields(config, game, REGISTRY)
    assert next(conformance.make_random_batches(composition))["source"]["landmarks"].shape == (4, 5, 2)


PLUGIN_FILE = """
from dataclasses import replace
from zoogan.plugins.hooks import hookimpl
from zoogan.plugins.host import get_zoo

@hookimpl
def zoo_register(registry):
    registry.method(replace(get_zoo().registry.methods["sagan"], name="mine", plugin=""))
"""


def test_check_method_accepts_a_single_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    checked: list[str] = []
    monkeypatch.setattr(conformance, "CHECKS", (lambda name, registry: checked.append(registry.methods[name].name),))
    with pytest.raises(ConfigError, match="no method is called 'mine'"):
        check_method("mine")
    (tmp_path / "mine.py").write_text(PLUGIN_FILE)
    try:
        check_method("mine", plugin=tmp_path / "mine.py")
    finally:
        get_zoo.cache_clear()
    assert checked == ["mine"]
