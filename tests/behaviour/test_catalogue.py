"""The catalogue agrees with the registered methods and with what their games read; plugins may add entries."""

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

METHODS = [
    "sagan",
    "stargan",
    "stargan-v2",
    "stylegan2",
    "semantic-stylegan",
    "smile",
    "smile-image",
    "smile-layout",
    "sd-gan",
    "sd-gan-joint",
]
ENTRY = """
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
GOOD_PLUGIN_WITH_CATALOGUE = (
    GOOD_PLUGIN + "\n    from pathlib import Path\n    CATALOGUE = Path(__file__).with_name('zoo.yaml')\n"
)


def list_own_methods() -> list[str]:
    """List the methods that come with zoogan according to the catalogue."""
    return [name for name, entry in read_core_catalogue().items() if entry.distribution == "zoogan"]


def test_catalogue_lists_methods_in_order() -> None:
    assert list(read_core_catalogue()) == METHODS


def test_catalogue_and_registered_methods_agree() -> None:
    registered = {m.name: m for m in open_zoo(environment={}).registry.methods.values()}
    names = [name for name in registered if name in read_core_catalogue()]
    assert sorted(names) == sorted(list_own_methods())
    for name in names:
        entry, spec = read_core_catalogue()[name], registered[name]
        assert spec.title.startswith(entry.title)
        assert entry.stages == tuple(stage.name for stage in spec.stages)
        assert any(weights.importer for weights in entry.weights) == (spec.importer is not None)


@pytest.mark.parametrize("name", list_own_methods())
def test_catalogue_needs_equal_the_needs_of_the_game(name: str) -> None:
    """The default config counts; other settings may need less."""
    registry = open_zoo(environment={}).registry
    config = make_tiny_config(name, registry)
    with torch.device("meta"):
        game = compose(config, make_tiny_facts(config), registry).game
    assert {draw: need.fields for draw, need in game.needs.items()} == read_core_catalogue()[name].needs


@pytest.mark.parametrize("name", METHODS)
def test_planned_method_claims_no_results_or_weights(name: str) -> None:
    entry = read_core_catalogue()[name]
    planned = entry.distribution is None
    assert (entry.tier == "planned") == planned
    if planned:
        assert not entry.results and not any(weights.importer for weights in entry.weights)
    assert entry.tier != "reference" or entry.results, "a reference method has measured results"
    for result in entry.results:
        assert (find_catalogue().parent / result).exists()


def test_plugin_adds_its_own_entry(plugin_folder: PluginFolder) -> None:
    plugin_folder.install("good", GOOD_PLUGIN_WITH_CATALOGUE)
    (plugin_folder.path / "zoo.yaml").write_text(ENTRY.format(name="demo"))
    zoo = plugin_folder.open_zoo()
    assert not zoo.failures
    assert zoo.catalogue["demo"].distribution == "zoo-plugin-demo"
    assert set(METHODS) < set(zoo.catalogue)
    assert "demo" not in read_core_catalogue()


def test_plugin_may_replace_a_planned_entry(plugin_folder: PluginFolder, planned_method: str) -> None:
    plugin_folder.install("good", GOOD_PLUGIN_WITH_CATALOGUE)
    (plugin_folder.path / "zoo.yaml").write_text(ENTRY.format(name=planned_method))
    assert plugin_folder.open_zoo().catalogue[planned_method].tier == "community"


def test_plugin_must_not_replace_an_existing_entry(good_plugin_folder: PluginFolder) -> None:
    good_plugin_folder.install("bad", GOOD_PLUGIN_WITH_CATALOGUE.replace("plain", "other"))
    (good_plugin_folder.path / "zoo.yaml").write_text(ENTRY.format(name="stargan"))
    assert "method 'stargan' is in the catalogue already" in get_only_failure(good_plugin_folder.open_zoo()).reason


def test_all_problems_of_a_catalogue_are_reported_at_once(tmp_path: Path) -> None:
    path = tmp_path / "zoo.yaml"
    path.write_text(ENTRY.format(name="demo").replace("year: 2025", "year: then").replace("tier:", "teir:"))
    with pytest.raises(ConfigError) as error:
        read_catalogue(path)
    assert all(key in str(error.value) for key in ("demo.year", "demo.tier", "demo.teir"))
