"""The catalogue says what is true: it agrees with what is registered and with what the games read."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from support.plugins import GOOD_PLUGIN, PluginFolder, get_only_failure
from zoogan.composition.build import compose
from zoogan.errors import ConfigError
from zoogan.plugins.catalogue import find_catalogue, read_catalogue, read_core_catalogue
from zoogan.plugins.host import open_zoo
from zoogan.testing.conformance import make_tiny_config, make_tiny_facts

METHODS = ["sagan", "stargan", "stargan-v2", "stylegan2", "semantic-stylegan", "smile", "sd-gan"]
SHEET = """
{name}:
  title: Demo
  summary: A demo
  paper: {{title: Demo, authors: A. Nobody, venue: Nowhere}}
  year: 2025
  task: attribute-editing
  needs: {{source: [image, attributes]}}
  distribution: zoo-plugin-demo
  tier: community
  code: {{repository: null, official: false, licence: Apache-2.0}}
"""
WITH_SHEET = GOOD_PLUGIN + "\n    from pathlib import Path\n    CATALOGUE = Path(__file__).with_name('zoo.yaml')\n"


def written() -> list[str]:
    """The methods that the catalogue says come with zoogan."""
    return [name for name, entry in read_core_catalogue().items() if entry.distribution == "zoogan"]


def test_every_method_is_in_the_catalogue() -> None:
    assert list(read_core_catalogue()) == METHODS


def test_catalogue_and_registered_methods_agree() -> None:
    registered = {m.name: m for m in open_zoo(environment={}).registry.methods.values()}
    in_tree = [name for name in registered if name in read_core_catalogue()]
    assert sorted(in_tree) == sorted(written())
    for name in in_tree:
        entry, spec = read_core_catalogue()[name], registered[name]
        assert spec.title.startswith(entry.title)
        assert any(weights.importer for weights in entry.weights) == (spec.importer is not None)


@pytest.mark.parametrize("name", written())
def test_needs_are_the_games(name: str) -> None:
    """Of its default configuration: a game may need less when it is told to."""
    registry = open_zoo(environment={}).registry
    config = make_tiny_config(name, registry)
    with torch.device("meta"):
        game = compose(config, make_tiny_facts(config), registry).game
    assert {draw: need.fields for draw, need in game.needs.items()} == read_core_catalogue()[name].needs


@pytest.mark.parametrize("name", METHODS)
def test_what_is_not_written_claims_nothing(name: str) -> None:
    entry = read_core_catalogue()[name]
    planned = entry.distribution is None
    assert (entry.tier == "planned") == planned
    if planned:
        assert not entry.results and not any(weights.importer for weights in entry.weights)
    assert entry.tier != "reference" or entry.results, "measured, and not named"
    for result in entry.results:
        assert (find_catalogue().parent / result).exists()


def test_a_plugin_brings_its_own_sheet(plugin_folder: PluginFolder) -> None:
    plugin_folder.install("good", WITH_SHEET)
    (plugin_folder.folder / "zoo.yaml").write_text(SHEET.format(name="demo"))
    zoo = plugin_folder.open_zoo()
    assert not zoo.failures
    assert zoo.catalogue["demo"].distribution == "zoo-plugin-demo"
    assert set(METHODS) < set(zoo.catalogue)
    assert "demo" not in read_core_catalogue()


def test_a_plugin_may_bring_what_is_only_planned(plugin_folder: PluginFolder) -> None:
    plugin_folder.install("good", WITH_SHEET)
    (plugin_folder.folder / "zoo.yaml").write_text(SHEET.format(name="smile"))
    assert plugin_folder.open_zoo().catalogue["smile"].tier == "community"


def test_a_sheet_may_not_rewrite_what_is_written(good_plugin_folder: PluginFolder) -> None:
    good_plugin_folder.install("bad", WITH_SHEET.replace("plain", "other"))
    (good_plugin_folder.folder / "zoo.yaml").write_text(SHEET.format(name="stargan"))
    assert "method 'stargan' is in the catalogue already" in get_only_failure(good_plugin_folder.open_zoo()).reason


def test_every_problem_of_a_sheet_at_once(tmp_path: Path) -> None:
    path = tmp_path / "zoo.yaml"
    path.write_text(SHEET.format(name="demo").replace("year: 2025", "year: then").replace("tier:", "teir:"))
    with pytest.raises(ConfigError) as caught:
        read_catalogue(path)
    assert all(key in str(caught.value) for key in ("demo.year", "demo.tier", "demo.teir"))
