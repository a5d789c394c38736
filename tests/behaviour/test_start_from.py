"""Trainings that start from another run: weights, averages, game state, frozen parts and settings."""

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
from support.runs import (
    FEW_FACES,
    PART_MODULES,
    REGISTRY,
    SIZE,
    are_same_tensors,
    flatten_state,
    list_settings,
    make_semantic_config,
    make_set_options,
    make_train_command,
    read_newest_checkpoint,
    select_below,
    tiny_run,
)
from support.set_metrics import run_in_two_threads
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

pytestmark = pytest.mark.slow


def record_first_states(monkeypatch: pytest.MonkeyPatch) -> list[checkpoints.TrainingState]:
    """Return a list to which every later training adds its state before its first iteration."""
    states: list[checkpoints.TrainingState] = []
    iterate: Callable[[Trainer], None] = Trainer.iterate

    def record(trainer: Trainer) -> None:
        if trainer.iteration == 0:
            states.append(trainer.get_state())
        iterate(trainer)

    monkeypatch.setattr(Trainer, "iterate", record)
    return states


def open_session(monkeypatch: pytest.MonkeyPatch, command: list[str]) -> Session:
    """Open the session of a `zoo train` command without running an iteration."""
    sessions: list[Session] = []

    def stop(session: Session) -> Outcome:
        sessions.append(session)
        return Outcome("stopped", 0)

    with monkeypatch.context() as patch:
        patch.setattr(Session, "train", stop)
        assert main(command) == 0
    return sessions[0]


# ---- weights and state ----


def test_start_from_takes_networks_and_averages_of_the_run(
    averaged_sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    states, out, old = record_first_states(monkeypatch), tmp_path / "next", read_newest_checkpoint(averaged_sagan_run)
    assert not are_same_tensors(old.networks["generator"], old.averages["generator"])
    assert tiny_run("sagan", out, start_from=averaged_sagan_run, training={"average": 0.5}) == 0
    assert f"starting from {averaged_sagan_run}: networks as trained until iteration 2" in capsys.readouterr().out
    (first,) = states
    assert (first.iteration, first.position) == (0, 0) and not first.optimizers["generator"]
    assert all(are_same_tensors(first.networks[slot], old.networks[slot]) for slot in ("generator", "discriminator"))
    assert are_same_tensors(first.averages["generator"], old.averages["generator"])
    assert not are_same_tensors(read_newest_checkpoint(out).networks["generator"], old.networks["generator"])
    config = yaml.safe_load((out / "config.yaml").read_text())
    assert config["training"]["start_from"] == str(averaged_sagan_run)
    assert config["generator"]["width"] == config["discriminator"]["width"] == 4, "the run's, not the recipe's"
    assert config["data"]["image_size"] == SIZE and zoogan.load(out).iteration == 2


def test_start_from_a_run_without_checkpoints_takes_its_model(
    averaged_sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Imported runs have no checkpoints; networks that were never trained start with random weights."""
    imported = tmp_path / "imported"
    shutil.copytree(averaged_sagan_run, imported)
    shutil.rmtree(imported / "checkpoints")
    model = imported / "model/config.json"
    model.write_text(json.dumps(json.loads(model.read_text()) | {"untrained": ["discriminator"]}))
    command = make_train_command("sagan", tmp_path / "next", start_from=imported, training={"average": 0.5})
    state = open_session(monkeypatch, command).trainer.get_state()
    output = capsys.readouterr().out
    assert "from its model, for it has no checkpoint" in output
    assert "no trained discriminator: it starts afresh" in output
    weights = load_file(imported / "model/generator.safetensors")
    assert are_same_tensors(state.networks["generator"], weights) and are_same_tensors(
        state.averages["generator"], weights
    )
    discriminator = load_file(imported / "model/discriminator.safetensors")
    assert not are_same_tensors(state.networks["discriminator"], discriminator)
    training = {"average": 0.5, "freeze": "discriminator.trunk"}
    assert tiny_run("sagan", tmp_path / "frozen", start_from=imported, training=training) == 2
    assert "has no trained discriminator" in capsys.readouterr().err


def test_imported_raw_networks_and_averages_start_apart(semantic_stylegan_run: Path, tmp_path: Path) -> None:
    imported, before = tmp_path / "imported", read_newest_checkpoint(semantic_stylegan_run)
    shutil.copytree(semantic_stylegan_run, imported, ignore=shutil.ignore_patterns("checkpoints"))
    averaged = ("generator", "mapping")
    for slot in averaged:
        write_tensors(imported / f"model/{slot}.raw.safetensors", before.networks[slot])
    config = make_semantic_config(training={"start_from": str(imported)})
    start = load_start(config, make_tiny_facts(config), REGISTRY, World.make_single())
    for slot in averaged:
        assert not are_same_tensors(before.networks[slot], before.averages[slot])
        assert are_same_tensors(start.networks[slot], before.networks[slot]) and are_same_tensors(
            start.averages[slot], before.averages[slot]
        )
    assert "discriminator" in start.networks and "discriminator" not in start.averages
    assert "generator and mapping apart from their averages" in start.messages[0]
    no_average = make_semantic_config(training={"start_from": str(imported), "average": None, "average_images": None})
    # Without averages, networks start with the averages, with which the imported run makes faces.
    start = load_start(no_average, make_tiny_facts(no_average), REGISTRY, World.make_single())
    assert all(are_same_tensors(start.networks[slot], before.averages[slot]) for slot in averaged)
    assert zoogan.load(imported).networks.keys() == {"generator", "mapping", "discriminator"}


def test_start_from_skips_damaged_checkpoints(
    averaged_sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(averaged_sagan_run, run)
    (checkpoints.list_checkpoints(run / "checkpoints")[-1] / "generator.safetensors").write_bytes(b"nothing")
    state = open_session(
        monkeypatch, make_train_command("sagan", tmp_path / "next", start_from=run)
    ).trainer.get_state()
    assert are_same_tensors(state.networks["generator"], load_file(run / "model/generator.safetensors"))
    output = capsys.readouterr().out
    assert "iteration-00000002 is damaged" in output and "from its model" in output
    shutil.rmtree(run / "checkpoints")
    shutil.rmtree(run / "model")
    assert tiny_run("sagan", tmp_path / "other", start_from=run) == 2
    assert "holds no trained weights yet" in capsys.readouterr().err


def test_start_from_takes_game_state_but_not_ada_probability(semantic_stylegan_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(semantic_stylegan_run, run)
    config, facts = make_semantic_config(augment={"use": "ada"}, training={"start_from": str(run)}), None
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
    composition.game.mean_latent = torch.zeros(9)  # a state of another size is not taken
    load_start(config, facts, REGISTRY, World.make_single()).load_into(composition)
    assert composition.game.state_dict()["mean_latent"].shape == (9,)


def save_next_checkpoint(run: Path, scale: float) -> Path:
    """Save a copy of a run's newest checkpoint as the next iteration, with scaled generator weights."""
    before = checkpoints.list_checkpoints(run / "checkpoints")[-1]
    after = before.with_name(checkpoints.make_checkpoint_name(checkpoints.parse_iteration(before) + 1))
    shutil.copytree(before, after)
    for file in after.glob("generator*.safetensors"):
        write_tensors(file, {name: scale * value for name, value in load_file(file).items()})
    (after / "manifest.json").write_text(json.dumps({"files": {}}))
    return after


def test_processes_start_from_the_same_checkpoint(
    averaged_sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first process chooses the checkpoint, though the run saves another one after each search."""
    run = tmp_path / "run"
    shutil.copytree(averaged_sagan_run, run)
    spec = REGISTRY.methods["sagan"]
    layer = {"training": {"start_from": str(run)}}
    config = compose_config(spec, REGISTRY, sets=layer, start=make_start_layer(spec, REGISTRY, run))
    facts = zoogan.load(run).facts

    def find_then_save(folder: Path) -> tuple[Path | None, list[str]]:
        result = checkpoints.find_newest_checkpoint(folder)
        save_next_checkpoint(run, 0.5)
        return result

    def try_start(rank: int, world: World) -> StartWeights | str:
        try:
            return load_start(config, facts, REGISTRY, world)
        except ConfigError as error:
            return str(error)

    monkeypatch.setattr("zoogan.training.start.find_newest_checkpoint", find_then_save)
    one, two = run_in_two_threads(try_start)
    assert isinstance(one, StartWeights) and isinstance(two, StartWeights)
    assert "until iteration 2," in one.messages[0] and one.messages == two.messages
    for group in ("networks", "averages"):
        assert are_same_tensors(getattr(one, group)["generator"], getattr(two, group)["generator"])

    files = list(checkpoints.list_checkpoints(run / "checkpoints")[-1].glob("generator.safetensors"))
    monkeypatch.setattr("zoogan.training.start.find_newest_checkpoint", checkpoints.find_newest_checkpoint)

    def load_once(file: Path) -> dict[str, Tensor]:
        if file in files:  # the first process to read it finds it deleted
            files.remove(file)
            raise FileNotFoundError(file.name)
        return load_file(file)

    monkeypatch.setattr("zoogan.training.start.load_file", load_once)
    one, two = run_in_two_threads(try_start)
    assert one == two and "went away while it was read (generator.safetensors); try again" in str(one)


def test_process_group_is_opened_before_the_start_is_loaded(
    averaged_sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    order: list[str] = []
    for name, real in (("open_accelerator", prepare.open_accelerator), ("load_start", prepare.load_start)):

        def record(*args: Any, name: str = name, real: Callable[..., Any] = real) -> Any:
            order.append(name)
            return real(*args)

        monkeypatch.setattr(f"zoogan.training.prepare.{name}", record)
    open_session(monkeypatch, make_train_command("sagan", tmp_path / "next", start_from=averaged_sagan_run))
    assert order == ["open_accelerator", "load_start"]


def test_average_of_a_started_run_does_not_warm_up() -> None:
    """A warm-up would replace the average of the other run in the first iterations."""
    for fields in ({"average": 0.99}, {"average_images": 10_000.0}):
        fresh_config, started_config = TrainingConfig(**fields), TrainingConfig(**fields, start_from=Path("run"))
        fresh, started = make_decay(fresh_config, 16), make_decay(started_config, 16)
        assert fresh is not None and started is not None
        assert fresh(0) < 0.2 and started(0) > 0.98
        assert started(0) == started(10**6) == pytest.approx(fresh(10**6))


# ---- adaptation ----


def test_adapted_run_resumes_without_its_original(
    semantic_stylegan_run: Path, plain_pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A run adapted to pictures without labels resumes to the same weights, though the first run is deleted."""
    first, out, whole = tmp_path / "first", tmp_path / "adapted", tmp_path / "whole"
    shutil.copytree(semantic_stylegan_run, first)
    source = ["--data", "folder", "--root", str(plain_pictures)]
    training = {"checkpoint_every": 1}
    assert tiny_run("semantic-stylegan", out, *source, iterations=3, start_from=first, training=training) == 0
    shutil.copytree(out, whole)
    config, old, new = (
        yaml.safe_load((out / "config.yaml").read_text()),
        read_newest_checkpoint(first),
        read_newest_checkpoint(out),
    )
    assert config["recipe"] == "adapt" and config["training"]["freeze"] == list(PART_MODULES)
    assert config["judge_segmentation"] is False and config["weights"]["mask"] == 0
    assert config["data"]["image_size"] == SIZE and config["data"]["label_set"] == "celebamask-13"
    inside = [path.partition(".")[2] for path in PART_MODULES]
    for group in ("networks", "averages"):
        before, after = getattr(old, group), getattr(new, group)
        assert are_same_tensors(
            select_below(old.averages["generator"], *inside), select_below(after["generator"], *inside)
        ), "frozen"
        assert not are_same_tensors(before["mapping"], after["mapping"])
    unused = [select_below(state.networks["discriminator"], "segmentation_trunk") for state in (old, new)]
    assert are_same_tensors(*unused), "the discriminator's segmentation branch is stored though no term uses it"
    faces = zoogan.load(out).sample(2)
    assert faces.segmentation is not None and faces.segmentation.shape[0] == 2

    shutil.rmtree(first)
    shutil.rmtree(checkpoints.list_checkpoints(out / "checkpoints")[-1])
    assert main(["train", "--out", str(out), "--resume", "--device", "cpu"]) == 0
    assert are_same_tensors(flatten_state(read_newest_checkpoint(whole)), flatten_state(read_newest_checkpoint(out)))
    assert main(["train", "--out", str(out), "--resume", "--from", str(semantic_stylegan_run)]) == 2
    assert "leave out --from" in capsys.readouterr().err


def test_recipe_that_freezes_needs_a_run_to_start_from(
    plain_pictures: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    spec = REGISTRY.methods["semantic-stylegan"]
    assert compose_config(spec, REGISTRY, source="folder").recipe == "drawn-32"
    assert tiny_run("semantic-stylegan", tmp_path / "run", "--data", "folder", "--root", str(plain_pictures)) == 2
    assert "start from a trained run and adapt it to pictures without: --from RUN" in capsys.readouterr().err
    options = ["--recipe", "adapt", "--root", str(plain_pictures), *make_set_options([f"data.image_size={SIZE}"])]
    assert main(["train", "--model", "semantic-stylegan", "--out", str(tmp_path / "run"), *options]) == 2
    message = capsys.readouterr().err
    assert "random weights cannot be frozen" in message and "--from RUN" in message
    assert not (tmp_path / "run").exists()


# ---- settings ----


def test_relative_path_of_the_start_is_stored_absolute(
    semantic_stylegan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(semantic_stylegan_run.parent)
    settings = ["training.start_from=parts", "training.sample_every=0", *list_settings({"data": FEW_FACES})]
    command = ["train", "--model", "semantic-stylegan", "--out", str(tmp_path / "run"), "--device", "cpu"]
    assert main([*command, "--iterations", "1", *make_set_options(settings)]) == 0
    stored = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["training"]["start_from"]
    assert stored == str(semantic_stylegan_run.resolve())


def test_config_file_names_the_run_and_another_source(
    averaged_sagan_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Image size and attributes come from the run, though the source of the file drops those of the recipe."""
    file = tmp_path / "mine.yaml"
    data = {"source": "drawn", "faces": 32, "held_out": 8, "batch": 4}
    file.write_text(yaml.safe_dump({"training": {"start_from": str(averaged_sagan_run)}, "data": data}))
    command = ["train", "--model", "sagan", "--out", str(tmp_path / "run"), "--device", "cpu", "--iterations", "2"]
    session = open_session(monkeypatch, [*command, "--recipe", "celeba-64", "--config", str(file)])
    config: Any = session.config
    assert config.data.source == "drawn" and config.data.image_size == SIZE
    assert config.data.attributes == ("Eyeglasses",) and config.generator.width == 4
    assert are_same_tensors(
        session.trainer.get_state().networks["generator"],
        read_newest_checkpoint(averaged_sagan_run).networks["generator"],
    )
