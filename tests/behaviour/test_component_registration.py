"""Components without a config class, and metrics whose config class is an attribute of the metric."""

from __future__ import annotations

import subprocess
import sys
from typing import Any, Literal

import pytest
from pydantic import ValidationError

from zoogan.config import ComponentConfig
from zoogan.config.problems import validate_model
from zoogan.config.registry import RegistrationError, Registry
from zoogan.errors import ConfigError


class BlueConfig(ComponentConfig):
    """Settings of `Blue`."""

    use: Literal["blue"] = "blue"
    faces: int = 10


class Blue:
    """A metric with settings."""

    Config = BlueConfig

    def __init__(self, config: Any, facts: Any = None) -> None:
        self.config = config


class Plain:
    """A metric without settings."""

    def __init__(self, config: Any, facts: Any = None) -> None:
        self.config = config


class BadConfig:
    """A metric whose `Config` is no config class."""

    Config = dict


@pytest.fixture
def registry() -> Registry:
    """An empty registry of the plugin `colours`."""
    return Registry(plugin="colours")


def test_component_without_class_has_only_use(registry: Registry) -> None:
    registry.component("adversarial_loss", "two-sided_loss", build=f"{__name__}:Plain")
    config_class = registry.components["adversarial_loss", "two-sided_loss"].config
    config = config_class()
    assert config.model_dump() == {"use": "two-sided_loss"}
    assert config_class.__name__ == "TwoSidedLossConfig"
    assert config_class.model_validate(config.model_dump()) == config
    assert isinstance(registry.build("adversarial_loss", config), Plain)


def test_component_without_class_refuses_other_keys(registry: Registry) -> None:
    registry.component("adversarial_loss", "plain", build=f"{__name__}:Plain")
    config_class = registry.components["adversarial_loss", "plain"].config
    with pytest.raises(ConfigError, match=r"loss\.weight: no such setting; known here: use"):
        validate_model(config_class, {"use": "plain", "weight": 1}, registry, "loss")
    with pytest.raises(ValidationError, match="use"):
        config_class.model_validate({"use": "other"})


def test_config_class_of_a_component_is_made_once(registry: Registry) -> None:
    other = Registry()
    for each in (registry, other):
        each.component("adversarial_loss", "plain", build=f"{__name__}:Plain")
    assert (
        registry.components["adversarial_loss", "plain"].config is other.components["adversarial_loss", "plain"].config
    )


def test_source_without_class_has_the_common_settings(registry: Registry) -> None:
    registry.component("source", "plain", build=f"{__name__}:Plain")
    config: Any = registry.components["source", "plain"].config()
    assert (config.source, config.image_size) == ("plain", 64)


def test_metric_reads_its_config_from_the_class(registry: Registry) -> None:
    registry.metric("blue", f"{__name__}:Blue")
    component = registry.components["metric", "blue"]
    assert component.config is BlueConfig
    assert registry.build("metric", component.config()).config.faces == 10


def test_metric_without_config_has_no_settings(registry: Registry) -> None:
    registry.metric("plain", f"{__name__}:Plain")
    assert registry.components["metric", "plain"].config().model_dump() == {"use": "plain"}


@pytest.mark.parametrize(
    ("build", "message"),
    [
        ("no_such_module:Blue", "plugin 'colours': metric 'green' cannot be imported from 'no_such_module:Blue'"),
        (f"{__name__}:Green", "plugin 'colours': metric 'green' cannot be imported from"),
        (
            f"{__name__}:Blue",
            "metric 'green': field `use` of BlueConfig accepts only 'blue'. Correct the attribute Config",
        ),
        (f"{__name__}:BadConfig", "metric 'green': config must be a ComponentConfig class"),
    ],
)
def test_metric_mistake_is_reported_when_config_is_read(registry: Registry, build: str, message: str) -> None:
    registry.metric("green", build)
    with pytest.raises(ConfigError) as error:
        _ = registry.components["metric", "green"].config
    assert message in str(error.value)


def test_metric_with_taken_name_or_bad_import_is_refused(registry: Registry) -> None:
    registry.metric("blue", f"{__name__}:Blue")
    with pytest.raises(RegistrationError, match="metric 'blue' is already registered by plugin 'colours'"):
        registry.metric("blue", f"{__name__}:Blue")
    with pytest.raises(RegistrationError, match="build of metric 'red': expected an import string"):
        registry.metric("red", "print")


def test_registering_imports_no_torch() -> None:
    script = (
        "import sys; from zoogan.config.registry import Registry; r = Registry(); "
        "r.metric('x', 'zoogan.interfaces:Metric'); "
        "r.component('term', 'y', build='zoogan.losses.terms:MaskArea'); "
        "sys.exit('torch' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", script], check=False).returncode == 0
