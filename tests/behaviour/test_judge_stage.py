"""The stage that trains a judge, and a method that has one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import pytest
import torch

import zoogan
from support.runs import FEW_FACES, NARROW
from support.staged_runs import PLUGIN, make_judge_context, read_states
from zoogan.composition.stages import StageStopped
from zoogan.config import StagesConfig
from zoogan.config.registry import MethodSpec
from zoogan.errors import ConfigError
from zoogan.evaluation.inputs import find_own_judge
from zoogan.judges.judge import Judge
from zoogan.plugins import Stage
from zoogan.plugins.host import get_zoo
from zoogan.training import JudgeStage, open_judge_stage, run_judge_stage
from zoogan_stargan.config import StarganConfig

pytest.importorskip("timm")


class JudgedStages(StagesConfig):
    classifier: JudgeStage = JudgeStage(iterations=2, batch=8)


class JudgedConfig(StarganConfig):
    method: Literal["judged"] = "judged"  # type: ignore[assignment]
    stages: JudgedStages = JudgedStages()


@pytest.fixture
def staged_zoo() -> Iterator[Any]:
    """A zoo of one test with the staged method, and a method whose only stage trains a judge."""
    get_zoo.cache_clear()
    zoo = get_zoo()
    zoo.load_files([PLUGIN])
    stage = Stage("classifier", run="zoogan.training:run_judge_stage", open="zoogan.training:open_judge_stage")
    stargan = zoo.registry.methods["stargan"]
    zoo.registry.method(MethodSpec("judged", JudgedConfig, stargan.game, stargan.recipes, "Judged", stages=(stage,)))
    yield zoo
    get_zoo.cache_clear()


@pytest.mark.slow
def test_method_trains_or_takes_its_judge(staged_zoo: Any, tmp_path: Path) -> None:
    faces = {**FEW_FACES, "faces": 80, "held_out": 60, "image_size": 16, "attributes": ["Male"]}
    options: dict[str, Any] = {"device": "cpu", "quiet": True, "iterations": 1, "data": faces}
    options["settings"] = {**NARROW["stargan"], "training": {"sample_every": 0}}
    first = zoogan.train("judged", out=tmp_path / "first", **options)
    judge = first.stages["classifier"]
    assert isinstance(judge, Judge) and judge.attributes == ("Male",)
    assert read_states(tmp_path / "first")["classifier"]["state"] == "done"
    given = tmp_path / "first/stages/classifier"
    second = zoogan.train("judged", out=tmp_path / "second", stages={"classifier": given}, **options)
    assert read_states(tmp_path / "second")["classifier"]["state"] == "given"
    assert second.stages["classifier"].digest == judge.digest
    assert second.config.stages.classifier.attributes == ("Male",)  # type: ignore[attr-defined]
    options["data"] = faces | {"attributes": ["Male", "Smiling"]}
    with pytest.raises(ConfigError, match=r"stages.classifier: the judge in .* does not read Smiling; it reads Male"):
        zoogan.train("judged", out=tmp_path / "third", stages={"classifier": given}, **options)
    options["data"] = faces | {"held_out": 2}
    with pytest.raises(ConfigError, match=r"stages.classifier: data.attributes: Male is"):
        zoogan.train("judged", out=tmp_path / "third", **options)
    assert not (tmp_path / "third").exists()


@pytest.mark.slow
def test_judge_stage_trains_and_opens_a_judge(staged_zoo: Any, tmp_path: Path) -> None:
    pytest.importorskip("timm")
    stage = JudgeStage(iterations=2, batch=8)
    context = make_judge_context(staged_zoo, tmp_path / "judge", stage)
    run_judge_stage(context)
    judge = open_judge_stage(context)
    assert isinstance(judge, Judge) and judge.attributes == ("Male",) and len(judge.parts) == 19
    run_judge_stage(context)  # again after a stop
    with pytest.raises(ConfigError, match="does not read Smiling; it reads Male"):
        open_judge_stage(replace(context, config=stage.model_copy(update={"attributes": ("Smiling",)})))
    with pytest.raises(StageStopped) as stopped:
        run_judge_stage(replace(context, path=tmp_path / "other", get_signal=lambda: 15))
    assert stopped.value.signal == 15 and not (tmp_path / "other").exists()


@pytest.mark.slow
@pytest.mark.parametrize("device", ["cpu", "meta"])
def test_untrained_judge_equals_a_trained_one_in_shape(staged_zoo: Any, tmp_path: Path, device: str) -> None:
    pytest.importorskip("timm")
    context = make_judge_context(staged_zoo, None, JudgeStage())
    with torch.device(device):
        judge = open_judge_stage(replace(context, device=torch.device(device)))
        image = torch.zeros(2, 3, 16, 16)
    parts, pose = judge.read_parts(image), judge.read_poses(image)
    assert judge.read_attributes(image).shape == (2, 1) and judge.read_attributes(image).device.type == device
    assert parts is not None and parts.shape == (2, 16, 16) and pose is not None and pose.shape == (2, 3)


def test_judge_of_the_run_itself_is_refused(staged_zoo: Any) -> None:
    pytest.importorskip("timm")
    judge, other = (
        open_judge_stage(make_judge_context(staged_zoo, None, JudgeStage(attributes=names)))
        for names in (("Male",), ("Smiling",))
    )
    assert find_own_judge(judge, {"colours": object(), "parser": other}) is None and find_own_judge(None, {}) is None
    assert "the judge is stage classifier of this run" in (find_own_judge(judge, {"classifier": judge}) or "")
