"""How stages are registered and listed, and the stage that trains a judge."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

from support.runs import REGISTRY
from support.staged_runs import PLUGIN, make_judge_context
from zoogan.cli import main
from zoogan.composition.stages import StageContext, cast_stages, open_stage
from zoogan.config import ConfigModel, StageConfig, StagesConfig
from zoogan.config.registry import MethodSpec, RegistrationError, Registry
from zoogan.errors import ConfigError
from zoogan.interfaces import ContractError
from zoogan.plugins import OfficialFiles, Stage
from zoogan.plugins.host import get_zoo
from zoogan.testing.conformance import make_tiny_config, make_tiny_facts
from zoogan.training import JudgeStage, TrainedStage, open_trained_stage
from zoogan.training.importing import import_weights
from zoogan_stargan.config import StarganConfig

# ---- registration ----


class TwoStages(StagesConfig):
    first: StageConfig = StageConfig()
    second: StageConfig | None = StageConfig()


class TwoConfig(StarganConfig):
    method: Literal["two"] = "two"  # type: ignore[assignment]
    stages: TwoStages = TwoStages()


class PlainField(StagesConfig):
    first: ConfigModel = ConfigModel()


class PlainConfig(TwoConfig):
    stages: PlainField = PlainField()  # type: ignore[assignment]


FIRST = Stage("first", run="m:run", open="m:open")
SECOND = Stage("second", run="m:run", open="m:open", after=("first",), optional=True)


def register(stages: tuple[Stage, ...], config: Any = TwoConfig) -> MethodSpec:
    registry = Registry(plugin="tests")
    registry.method(MethodSpec("two", config, "m:Game", Path(), "Two", stages=stages))
    return registry.methods["two"]


def test_stages_are_registered_in_order() -> None:
    assert [stage.name for stage in register((FIRST, SECOND)).stages] == ["first", "second"]


@pytest.mark.parametrize(
    ("stages", "config", "expected"),
    [
        (
            (replace(FIRST, run="nothing"), SECOND),
            TwoConfig,
            "run of stage 'first' of method 'two': expected an import",
        ),
        ((replace(FIRST, open="nothing"), SECOND), TwoConfig, "open of stage 'first' of method 'two': expected an"),
        ((FIRST, FIRST), TwoConfig, "stage 'first': two stages have this name"),
        ((SECOND, FIRST), TwoConfig, "stage 'second': after names first; earlier stages: none"),
        ((replace(FIRST, name="First"), SECOND), TwoConfig, "expected a name of lower-case letters"),
        ((FIRST, replace(SECOND, name="third")), TwoConfig, "stages has no such field; fields: first, second"),
        ((FIRST, replace(SECOND, optional=False)), TwoConfig, "stage 'second'.*must accept None exactly if"),
        ((replace(FIRST, optional=True), SECOND), TwoConfig, "stage 'first'.*must accept None exactly if"),
        ((FIRST,), TwoConfig, "TwoConfig.stages has fields without a stage: second"),
        ((FIRST,), PlainConfig, "must be a StageConfig"),
        ((FIRST,), StarganConfig, "StarganConfig.stages has no such field; fields: none"),
    ],
)
def test_wrong_stages_are_refused(stages: tuple[Stage, ...], config: Any, expected: str) -> None:
    with pytest.raises(RegistrationError, match=f"(?s){expected}"):
        register(stages, config)


# ---- what a method without stages stores, and what lists show ----


@pytest.fixture
def staged_zoo() -> Iterator[Any]:
    """A zoo of one test with the staged method."""
    get_zoo.cache_clear()
    zoo = get_zoo()
    zoo.load_files([PLUGIN])
    yield zoo
    get_zoo.cache_clear()


def test_only_methods_with_stages_store_them(staged_zoo: Any) -> None:
    stored = {name: make_tiny_config(name, staged_zoo.registry).model_dump() for name in ("sagan", "staged")}
    assert "stages" not in stored["sagan"] and list(stored["staged"]["stages"]) == ["colours", "backbone"]


def test_list_show_and_doctor_name_the_stages(staged_zoo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["list"]) == 0
    (row,) = [line for line in capsys.readouterr().out.splitlines() if line.startswith("staged ")]
    assert "colours, backbone" in row
    assert main(["list", "--json"]) == 0
    rows = {row["name"]: row["stages"] for row in json.loads(capsys.readouterr().out)["installed"]}
    assert rows["staged"] == ["colours", "backbone"] and rows["sagan"] == []
    assert main(["show", "staged", "--settings"]) == 0
    output = capsys.readouterr().out
    assert "zoogan.training:run_trained_stage" in output and "sagan" in output and "stages.colours.faces" in output
    assert main(["show", "staged", "--json"]) == 0
    colours, backbone = json.loads(capsys.readouterr().out)["stages"]
    assert colours["optional"] and backbone["after"] == ["colours"] and backbone["settings"]["recipe"] == "drawn-64"
    main(["doctor"])
    assert "staged: colours, backbone" in capsys.readouterr().out


def test_doctor_reports_a_stage_that_cannot_be_opened(staged_zoo: Any, capsys: pytest.CaptureFixture[str]) -> None:
    spec = staged_zoo.registry.methods["staged"]
    broken = replace(spec.stages[1], open="zoogan.nothing:open")
    staged_zoo.registry.methods["staged"] = replace(spec, stages=(spec.stages[0], broken))
    assert main(["doctor"]) == 1
    assert "stage 'backbone': open='zoogan.nothing:open' cannot be imported" in capsys.readouterr().out


def test_list_without_staged_methods_has_no_column(capsys: pytest.CaptureFixture[str]) -> None:
    get_zoo.cache_clear()
    assert main(["list"]) == 0
    has_stages = any(spec.stages for spec in get_zoo().registry.methods.values())
    assert ("stages" in capsys.readouterr().out.splitlines()[0].split()) == has_stages


def test_game_that_owns_a_stage_network_is_refused(staged_zoo: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from zoogan.composition.build import compose
    from zoogan.names import import_object

    config = make_tiny_config("staged", staged_zoo.registry)
    game = import_object(staged_zoo.registry.methods["staged"].game)
    initialise = game.__init__

    def own(self: Any, config: Any, facts: Any, components: Any) -> None:
        initialise(self, config, facts, components)
        self.backbone = components["stages"]["backbone"].networks["generator"]

    monkeypatch.setattr(game, "__init__", own)
    with pytest.raises(ContractError, match="holds a network of stage 'backbone' as its own module"):
        compose(config, make_tiny_facts(config), staged_zoo.registry)


# ---- trainings ----

METHODS = [name for name, spec in REGISTRY.methods.items() if not spec.stages]


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "meta"])
@pytest.mark.parametrize("method", METHODS)
def test_every_method_can_be_an_untrained_stage(staged_zoo: Any, method: str, device: str) -> None:
    registry = staged_zoo.registry
    size = {"data": {"image_size": registry.methods[method].min_image_size}}
    parent = make_tiny_config("staged", registry, size)
    stage = TrainedStage(method=method)
    with torch.device(device):
        run = open_trained_stage(
            StageContext("any", stage, parent, make_tiny_facts(parent), registry, {}, torch.device(device))
        )
    assert run.config.method == method and {p.device.type for p in run.networks.parameters()} == {device}
    assert not any(p.requires_grad for p in run.networks.parameters())


def test_weights_without_importers_are_refused(staged_zoo: Any, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="staged has no importer of official weights"):
        import_weights("staged", tmp_path / "w.pth", out=tmp_path / "run", zoo=staged_zoo)
    official = OfficialFiles("zoogan.plugins:identify", needed=("generator",))
    spec = replace(staged_zoo.registry.methods["staged"], importer="m:read", official_files=official)
    staged_zoo.registry.methods["staged"] = spec
    with pytest.raises(ConfigError) as error:
        import_weights("staged", tmp_path / "w.pth", out=tmp_path / "run", zoo=staged_zoo)
    assert str(error.value).splitlines()[1:] == [
        f"{tmp_path / 'w.pth'}: not used: no such file",
        "missing: stage backbone (sagan), whose official files cannot be told apart; add --stage backbone=RUN",
        "missing: the generator of staged itself; add --weights FILE",
    ]


class Holder:
    """An opened stage of a plugin: an object with modules among its attributes."""

    def __init__(self) -> None:
        self.network = torch.nn.Dropout()
        self.others = {"linear": torch.nn.Linear(2, 2)}


def open_holder(context: StageContext) -> Holder:
    """Open a stage that its plugin does not freeze."""
    return Holder()


def test_modules_of_a_plugin_stage_are_frozen_and_cast(staged_zoo: Any) -> None:
    context = make_judge_context(staged_zoo, None, JudgeStage())
    opened = open_stage(Stage("holder", run="m:run", open=f"{__name__}:open_holder"), context)
    assert not opened.network.training and not opened.others["linear"].training
    assert not any(p.requires_grad for p in opened.others["linear"].parameters())
    cast_stages({"holder": opened}, torch.float64)
    assert opened.others["linear"].weight.dtype == torch.float64
