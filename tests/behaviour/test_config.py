"""Configs: layers of values, components swapped by name, and messages about invalid settings."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from zoogan.config import compose_config, merge, parse_sets, parse_value, validate
from zoogan.errors import ConfigError
from zoogan.plugins.host import get_zoo


def compose(*settings: str, method: str = "sagan", **options: Any) -> Any:
    """Compose a config of a method from `KEY=VALUE` settings."""
    registry = get_zoo().registry
    return compose_config(registry.methods[method], registry, sets=parse_sets(settings), **options)


def test_later_layers_override_earlier_layers(tmp_path: Any) -> None:
    recipe = compose().training.iterations
    file = tmp_path / "mine.yaml"
    file.write_text("training: {iterations: 7, log_every: 3}\npenalty: r1\n")
    config = compose(files=[file])
    assert (config.training.iterations, config.training.log_every, config.penalty.use) == (7, 3, "r1")
    both = compose("training.iterations=5", files=[file])
    assert (both.training.iterations, both.training.log_every) == (5, 3)
    assert recipe not in (5, 7)


@pytest.mark.parametrize(
    ("recipe", "message"),
    [
        (None, r"sagan: no recipe in .*recipes; a method needs one"),
        ("training: {iterations: 3}", r"mine.yaml: data.source: missing"),
        ("data: {source: drawn}\ntraining:", r"mine.yaml: training: expected settings below it, got nothing"),
        ("data: drawn", r"mine.yaml: data: expected settings below it, got 'drawn'"),
    ],
)
def test_unreadable_recipe_of_a_plugin_is_reported(tmp_path: Path, recipe: str | None, message: str) -> None:
    registry = get_zoo().registry
    (tmp_path / "recipes").mkdir()
    if recipe is not None:
        (tmp_path / "recipes/mine.yaml").write_text(recipe)
    with pytest.raises(ConfigError, match=message):
        compose_config(replace(registry.methods["sagan"], recipes=tmp_path / "recipes"), registry)


@pytest.mark.parametrize("order", [1, -1])
def test_swapped_component_drops_the_old_settings(order: int) -> None:
    settings = ["discriminator.use=stargan", "discriminator.width=24"][::order]
    swapped = compose(*settings).discriminator
    assert (swapped.use, swapped.width) == ("stargan", 24)
    assert "score_heads" not in swapped.model_dump()


def test_slot_can_be_set_by_component_name() -> None:
    assert compose("adversarial=hinge").adversarial.use == "hinge"
    swapped = compose("penalty=gradient", "penalty.weight=3").penalty
    assert (swapped.use, swapped.weight) == ("gradient", 3.0)


def test_all_problems_are_reported_with_nearest_names() -> None:
    with pytest.raises(ConfigError) as error:
        compose(
            "training.iteratons=5",
            "discriminator.widht=3",
            "adversarial=hing",
            "training.seed=x",
            "data.batch=0",
            "training.precision=pf32",
        )
    lines = str(error.value).splitlines()
    assert len(lines) == 6
    text = "\n".join(lines)
    for expected in (
        "did you mean 'iterations'",
        "did you mean 'width'",
        "did you mean 'hinge'",
        "did you mean 'fp32'",
        "training.seed",
        "data.batch",
    ):
        assert expected in text


def test_unknown_recipe_and_malformed_setting_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"drown-64.*did you mean 'drawn-64'"):
        compose(recipe="drown-64")
    with pytest.raises(ConfigError, match="KEY=VALUE"):
        parse_sets(["training.iterations"])


@pytest.mark.parametrize(
    ("text", "value"),
    [("1", 1), ("1e-4", 1e-4), ("0.5", 0.5), ("true", True), ("null", None), ("a,b", ["a", "b"]),
     ("0.5,0.999", [0.5, 0.999]), ("hinge", "hinge"), ("No_Beard", "No_Beard"), ("/tmp/e1", "/tmp/e1")],
)  # fmt: skip
def test_value_of_a_setting_is_parsed(text: str, value: object) -> None:
    assert parse_value(text) == value


def test_merge_works_by_key_and_copies() -> None:
    low = {"a": {"use": "x", "p": 1}, "b": {"c": 1}}
    high = {"a": {"p": 2}, "b": {"d": 2}}
    assert merge(low, high) == {"a": {"use": "x", "p": 2}, "b": {"c": 1, "d": 2}}
    assert merge(low, {"a": {"use": "y"}})["a"] == {"use": "y"}
    assert low == {"a": {"use": "x", "p": 1}, "b": {"c": 1}}


@pytest.mark.parametrize("method", ["sagan", "stargan"])
def test_every_recipe_round_trips_through_json(method: str) -> None:
    registry = get_zoo().registry
    spec = registry.methods[method]
    for recipe in spec.list_recipes():
        config = compose_config(spec, registry, recipe=recipe)
        assert validate(spec, registry, config.model_dump(mode="json")) == config


def test_other_source_keeps_settings_common_to_all_sources() -> None:
    registry = get_zoo().registry
    spec = registry.methods["stargan"]
    drawn = compose_config(spec, registry, recipe="celeba-128", source="drawn", sets={})
    assert (drawn.data.source, drawn.data.image_size, len(drawn.data.attributes)) == ("drawn", 128, 5)
    celeba = compose_config(spec, registry, recipe="celeba-128", source="celeba", sets={"data": {"root": "."}})
    assert celeba.data.crop == 178  # type: ignore[attr-defined]


def test_source_with_own_labels_ignores_those_of_the_recipe() -> None:
    registry = get_zoo().registry
    spec = registry.methods["stargan"]
    recipe = compose_config(spec, registry)
    root = {"data": {"root": "."}}
    data = compose_config(spec, registry, source="folders", sets=root).data
    assert (data.attributes, data.balance) == ((), None) and data.batch == recipe.data.batch
    named = compose_config(spec, registry, source="folders", sets={"data": {"root": ".", "attributes": ["a", "b"]}})
    assert named.data.attributes == ("a", "b")
    for source in ("celeba", "folder", "celebamask_hq"):
        assert compose_config(spec, registry, recipe=recipe.recipe, source=source, sets=root).data.attributes == (
            recipe.data.attributes
        )
    balanced = compose_config(registry.methods["sagan"], registry, recipe="celeba-64", source="folders", sets=root)
    assert balanced.data.balance is None  # the recipe balances one of its own labels


def test_source_can_be_set_by_name() -> None:
    assert parse_sets(["data=celeba", "data.root=faces"]) == {"data": {"source": "celeba", "root": "faces"}}
    assert parse_sets(["data.root=faces", "data=celeba"]) == {"data": {"source": "celeba", "root": "faces"}}
