"""A training that starts from another run."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from torch import Tensor

import zoogan
from support.set_metrics import in_two_processes
from support.style_runs import sets
from support.training_runs import FEW, PARTS, REGISTRY, SIZE, begin, below, flat, newest, part_config, same
from zoogan.cli import main
from zoogan.composition.build import compose
from zoogan.config import TrainingConfig, compose_config
from zoogan.errors import ConfigError
from zoogan.files import write_tensors
from zoogan.interfaces import World
from zoogan.runs import checkpoints
from zoogan.testing.conformance import make_tiny_facts
from zoogan.training import prepare
from zoogan.training.averages import make_decay
from zoogan.training.origin import make_start_layer
from zoogan.training.session import Outcome, Session
from zoogan.training.start import StartWeights, load_start
from zoogan.training.trainer import Trainer


def watched(monkeypatch: pytest.MonkeyPatch) -> list[checkpoints.TrainingState]:
    """The states with which trainings begin, from now on."""
    seen: list[checkpoints.TrainingState] = []
    iterate: Callable[[Trainer], None] = Trainer.iterate

    def looked_at(trainer: Trainer) -> None:
        if trainer.iteration == 0:
            seen.append(trainer.get_state())
        iterate(trainer)

    monkeypatch.setattr(Trainer, "iterate", looked_at)
    return seen


def opened(monkeypatch: pytest.MonkeyPatch, model: str, out: Path, *options: str) -> Session:
    """The training that `zoo train` opens, before its first iteration."""
    kept: list[Session] = []

    def stop(session: Session) -> Outcome:
        kept.append(session)
        return Outcome("stopped", 0)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "train", stop)
        assert begin(model, out, *options) == 0
    return kept[0]


# ---- where it begins ----


def test_networks_and_averages_begin_with_those_of_the_run(
    glasses_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    seen, out, old = watched(monkeypatch), tmp_path / "next", newest(glasses_run)
    assert not same(old.networks["generator"], old.averages["generator"])
    options = sets([*FEW[1:], "training.average=0.5", "training.sample_every=0"])
    assert begin("sagan", out, "--from", str(glasses_run), *options) == 0
    assert f"starting from {glasses_run}: networks as trained until iteration 2" in capsys.readouterr().out
    (first,) = seen
    assert (first.iteration, first.position) == (0, 0) and not first.optimizers["generator"]
    assert all(same(first.networks[slot], old.networks[slot]) for slot in ("generator", "discriminator"))
    assert same(first.averages["generator"], old.averages["generator"])
    assert not same(newest(out).networks["generator"], old.networks["generator"])
    written = yaml.safe_load((out / "config.yaml").read_text())
    assert written["training"]["start_from"] == str(glasses_run)
    assert written["generator"]["width"] == written["discriminator"]["width"] == 4, "the run's, not the recipe's"
    assert written["data"]["image_size"] == SIZE and zoogan.load(out).iteration == 2


def test_a_run_without_checkpoints_gives_its_model_to_both(
    glasses_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """As imported runs are; and what was never trained starts afresh."""
    imported = tmp_path / "imported"
    shutil.copytree(glasses_run, imported)
    shutil.rmtree(imported / "checkpoints")
    model = imported / "model/config.json"
    model.write_text(json.dumps(json.loads(model.read_text()) | {"untrained": ["discriminator"]}))
    options = ["--from", str(imported), *sets([*FEW[1:], "training.average=0.5"])]
    state = opened(monkeypatch, "sagan", tmp_path / "next", *options).trainer.get_state()
    said = capsys.readouterr().out
    assert "from its model, for it has no checkpoint" in said and "no trained discriminator: it starts afresh" in said
    weights = load_file(imported / "model/generator.safetensors")
    assert same(state.networks["generator"], weights) and same(state.averages["generator"], weights)
    discriminator = load_file(imported / "model/discriminator.safetensors")
    assert not same(state.networks["discriminator"], discriminator)
    frozen = [*options, "--set", "training.freeze=discriminator.trunk"]
    assert begin("sagan", tmp_path / "frozen", *frozen) == 2
    assert "has no trained discriminator" in capsys.readouterr().err


def test_an_imported_generator_goes_on_with_what_its_training_had(semantic_run: Path, tmp_path: Path) -> None:
    imported, before = tmp_path / "imported", newest(semantic_run)
    shutil.copytree(semantic_run, imported, ignore=shutil.ignore_patterns("checkpoints"))
    averaged = ("generator", "mapping")
    for slot in averaged:
        write_tensors(imported / f"model/{slot}.raw.safetensors", before.networks[slot])
    config = part_config(training={"start_from": str(imported)})
    found = load_start(config, make_tiny_facts(config), REGISTRY, World.make_single())
    for slot in averaged:
        assert not same(before.networks[slot], before.averages[slot])
        assert same(found.networks[slot], before.networks[slot]) and same(found.averages[slot], before.averages[slot])
    assert "discriminator" in found.networks and "discriminator" not in found.averages
    assert "generator and mapping apart from their averages" in found.messages[0]
    alone = part_config(training={"start_from": str(imported), "average": None, "average_images": None})
    begun = load_start(
        alone, make_tiny_facts(alone), REGISTRY, World.make_single()
    )  # with what the imported run makes faces with
    assert all(same(begun.networks[slot], before.averages[slot]) for slot in averaged)
    assert zoogan.load(imported).networks.keys() == {"generator", "mapping", "discriminator"}


def test_a_damaged_checkpoint_is_passed_over_and_none_at_all_is_told(
    glasses_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(glasses_run, run)
    (checkpoints.list_checkpoints(run / "checkpoints")[-1] / "generator.safetensors").write_bytes(b"nothing")
    options = ["--from", str(run), *sets(FEW[1:])]
    state = opened(monkeypatch, "sagan", tmp_path / "next", *options).trainer.get_state()
    assert same(state.networks["generator"], load_file(run / "model/generator.safetensors"))
    said = capsys.readouterr().out
    assert "iteration-00000002 is damaged" in said and "from its model" in said
    shutil.rmtree(run / "checkpoints")
    shutil.rmtree(run / "model")
    assert begin("sagan", tmp_path / "other", *options) == 2
    assert "holds no trained weights yet" in capsys.readouterr().err


def test_the_games_state_comes_along_but_an_adaptive_augmentation_begins_anew(
    semantic_run: Path, tmp_path: Path
) -> None:
    run = tmp_path / "run"
    shutil.copytree(semantic_run, run)
    config, facts = part_config(augment={"use": "ada"}, training={"start_from": str(run)}), None
    path = checkpoints.find_newest_checkpoint(run / "checkpoints")[0]
    assert path is not None
    game = load_file(path / "game.safetensors")
    assert game["mean_latent"].any()
    game |= {"augment_p": torch.tensor(0.5), "path_mean": torch.tensor(3.0), "unknown": torch.zeros(2)}
    write_tensors(path / "game.safetensors", game)
    (path / "manifest.json").write_text(json.dumps({"files": {}}))
    facts = make_tiny_facts(config)
    composition = compose(config, facts, REGISTRY)
    load_start(config, facts, REGISTRY, World.make_single()).load_into(composition)
    state = composition.game.state_dict()
    assert torch.equal(state["mean_latent"], game["mean_latent"]) and state["path_mean"] == 3
    assert state["augment_p"] == 0
    composition.game.mean_latent = torch.zeros(9)  # another size: it keeps its own
    load_start(config, facts, REGISTRY, World.make_single()).load_into(composition)
    assert composition.game.state_dict()["mean_latent"].shape == (9,)


def saved_again(run: Path, scale: float) -> Path:
    """The run's training saved its next checkpoint, of other weights."""
    before = checkpoints.list_checkpoints(run / "checkpoints")[-1]
    after = before.with_name(checkpoints.make_checkpoint_name(checkpoints.parse_iteration(before) + 1))
    shutil.copytree(before, after)
    for file in after.glob("generator*.safetensors"):
        write_tensors(file, {name: scale * value for name, value in load_file(file).items()})
    (after / "manifest.json").write_text(json.dumps({"files": {}}))
    return after


def test_processes_start_from_one_checkpoint_though_the_run_trains_on(
    glasses_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process decides; it saves between any two looks."""
    run = tmp_path / "run"
    shutil.copytree(glasses_run, run)
    spec = REGISTRY.methods["sagan"]
    layer = {"training": {"start_from": str(run)}}
    config = compose_config(spec, REGISTRY, sets=layer, start=make_start_layer(spec, REGISTRY, run))
    facts = zoogan.load(run).facts

    def newest_then_one_more(folder: Path) -> tuple[Path | None, list[str]]:
        found = checkpoints.find_newest_checkpoint(folder)
        saved_again(run, 0.5)
        return found

    def started(rank: int, world: World) -> StartWeights | str:
        try:
            return load_start(config, facts, REGISTRY, world)
        except ConfigError as error:
            return str(error)

    monkeypatch.setattr("zoogan.training.start.find_newest_checkpoint", newest_then_one_more)
    one, two = in_two_processes(started)
    assert isinstance(one, StartWeights) and isinstance(two, StartWeights)
    assert "until iteration 2," in one.messages[0] and one.messages == two.messages
    for group in ("networks", "averages"):
        assert same(getattr(one, group)["generator"], getattr(two, group)["generator"])

    files = list(checkpoints.list_checkpoints(run / "checkpoints")[-1].glob("generator.safetensors"))
    monkeypatch.setattr("zoogan.training.start.find_newest_checkpoint", checkpoints.find_newest_checkpoint)

    def load_once(file: Path) -> dict[str, Tensor]:
        if file in files:  # for the first who asks it is gone
            files.remove(file)
            raise FileNotFoundError(file.name)
        return load_file(file)

    monkeypatch.setattr("zoogan.training.start.load_file", load_once)
    one, two = in_two_processes(started)
    assert one == two and "went away while it was read (generator.safetensors); try again" in str(one)


def test_processes_know_of_each_other_before_they_look(
    glasses_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for name, real in (("open_accelerator", prepare.open_accelerator), ("load_start", prepare.load_start)):

        def noted(*args: Any, name: str = name, real: Callable[..., Any] = real) -> Any:
            order.append(name)
            return real(*args)

        monkeypatch.setattr(f"zoogan.training.prepare.{name}", noted)
    opened(monkeypatch, "sagan", tmp_path / "next", "--from", str(glasses_run), *sets(FEW[1:]))
    assert order == ["open_accelerator", "load_start"]


def test_an_average_that_was_taken_over_does_not_warm_up() -> None:
    """It would be forgotten in the first iterations."""
    for fields in ({"average": 0.99}, {"average_images": 10_000.0}):
        fresh, started = TrainingConfig(**fields), TrainingConfig(**fields, start_from=Path("run"))
        first, slow = make_decay(fresh, 16), make_decay(started, 16)
        assert first is not None and slow is not None
        assert first(0) < 0.2 and slow(0) > 0.98 and slow(0) == slow(10**6) == pytest.approx(first(10**6))


# ---- adaptation, and going on with it ----


def test_a_run_is_adapted_to_pictures_and_goes_on_without_it(
    semantic_run: Path, cartoons: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that a person types; and a resume is the same run, though the first is gone."""
    first, out, whole = tmp_path / "first", tmp_path / "adapted", tmp_path / "whole"
    shutil.copytree(semantic_run, first)
    few = sets(["data.batch=4", "data.workers=0", "training.checkpoint_every=1"])
    start = ["--from", str(first), "--data", "folder", "--root", str(cartoons), *few]
    assert begin("semantic-stylegan", out, *start, iterations=3) == 0
    shutil.copytree(out, whole)
    config, old, new = yaml.safe_load((out / "config.yaml").read_text()), newest(first), newest(out)
    assert config["recipe"] == "adapt" and config["training"]["freeze"] == list(PARTS)
    assert config["judge_segmentation"] is False and config["weights"]["mask"] == 0
    assert config["data"]["image_size"] == SIZE and config["data"]["label_set"] == "celebamask-13"
    inside = [path.partition(".")[2] for path in PARTS]
    for group in ("networks", "averages"):
        before, after = getattr(old, group), getattr(new, group)
        assert same(below(old.averages["generator"], *inside), below(after["generator"], *inside)), "one and the same"
        assert not same(before["mapping"], after["mapping"])
    unseen = [below(state.networks["discriminator"], "segmentation_trunk") for state in (old, new)]
    assert same(*unseen), "nobody asks the discriminator's other branch, and it is still there"
    made = zoogan.load(out).sample(2)
    assert made.segmentation is not None and made.segmentation.shape[0] == 2

    shutil.rmtree(first)
    shutil.rmtree(checkpoints.list_checkpoints(out / "checkpoints")[-1])
    assert main(["train", "--out", str(out), "--resume", "--device", "cpu"]) == 0
    assert same(flat(newest(whole)), flat(newest(out)))
    assert main(["train", "--out", str(out), "--resume", "--from", str(semantic_run)]) == 2
    assert "leave out --from" in capsys.readouterr().err


def test_a_recipe_that_freezes_is_for_those_who_start_from_a_run(
    cartoons: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = REGISTRY.methods["semantic-stylegan"]
    assert compose_config(spec, REGISTRY, source="folder").recipe == "drawn-32"
    assert begin("semantic-stylegan", tmp_path / "run", "--data", "folder", "--root", str(cartoons)) == 2
    assert "start from a trained run and adapt it to pictures without: --from RUN" in capsys.readouterr().err
    options = ["--recipe", "adapt", "--root", str(cartoons), *sets([f"data.image_size={SIZE}"])]
    assert begin("semantic-stylegan", tmp_path / "run", *options) == 2
    said = capsys.readouterr().err
    assert "random weights cannot be frozen" in said and "--from RUN" in said
    assert not (tmp_path / "run").exists()


# ---- what a config takes over ----


def test_a_relative_start_is_kept_absolute(semantic_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(semantic_run.parent)
    start = sets(["training.start_from=parts", "data.faces=32", "data.held_out=8", "training.sample_every=0"])
    assert begin("semantic-stylegan", tmp_path / "run", *start, iterations=1) == 0
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["training"]["start_from"]
    assert kept == str(semantic_run.resolve())


def test_a_file_may_name_the_run_and_another_source(
    glasses_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The size and the labels are the run's, though the file's source dropped the recipe's."""
    file = tmp_path / "mine.yaml"
    data = {"source": "drawn", "faces": 32, "held_out": 8, "batch": 4}
    file.write_text(yaml.safe_dump({"training": {"start_from": str(glasses_run)}, "data": data}))
    options = ["--recipe", "celeba-64", "--config", str(file)]
    session = opened(monkeypatch, "sagan", tmp_path / "run", *options)
    config: Any = session.config
    assert config.data.source == "drawn" and config.data.image_size == SIZE
    assert config.data.attributes == ("Eyeglasses",) and config.generator.width == 4
    assert same(session.trainer.get_state().networks["generator"], newest(glasses_run).networks["generator"])
