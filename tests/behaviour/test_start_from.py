"""A training that starts from another run, and parts of networks that stay as they are."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from accelerate import Accelerator
from safetensors.torch import load_file
from torch import Tensor

import zoogan
from distribution_kit import in_two_processes
from style_runs import paint, sets
from zoogan.cli import main
from zoogan.composition import compose, rehearse
from zoogan.config import ConfigError, GameConfig, TrainingConfig, compose_config, merge, validate
from zoogan.facts import Facts
from zoogan.freezing import Frozen
from zoogan.interfaces import World
from zoogan.plugins import zoo
from zoogan.storage import write_tensors
from zoogan.testing.conformance import tensors_of, tiny_config, tiny_facts, trained
from zoogan.testing.tensors import faces, parts_shown
from zoogan.training import checkpoints, session
from zoogan.training.averages import decay_of
from zoogan.training.run import Run
from zoogan.training.session import Session
from zoogan.training.start import Start, layer_from, start_of
from zoogan.training.trainer import Batch, Trainer

REGISTRY = zoo().registry
SIZE = 16
FEW = [f"data.image_size={SIZE}", "data.batch=4", "data.workers=0", "data.faces=32", "data.held_out=8"]
NARROW = [
    "generator.style_dim=8", "mapping.style_dim=8", "mapping.layers=2", "generator.part_layers=3",
    "generator.shape_layers=2", "generator.part_width=4", "generator.feature_width=6", "generator.coarse_size=8",
    "generator.render_from=4", "generator.max_width=8", "discriminator.max_width=8", "training.sample_every=0",
]  # fmt: skip
PARTS = ("generator.part_generators", "generator.positions")


def begin(model: str, out: Path, *options: str, iterations: int = 2) -> int:
    """`zoo train` on the CPU. Returns the exit code."""
    length = ["--iterations", str(iterations)]
    return main(["train", "--model", model, "--out", str(out), "--device", "cpu", *length, *options])


@pytest.fixture(scope="module")
def parts_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SemanticStyleGAN on drawn faces of 13 parts, whose averages differ from its networks."""
    run = tmp_path_factory.mktemp("parts") / "parts"
    slow = ["training.average_images=null", "training.average=0.9", "training.average_warm_up=false"]
    assert begin("semantic-stylegan", run, *sets([*FEW, *NARROW, *slow])) == 0
    return run


@pytest.fixture(scope="module")
def cartoons(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Pictures without labels and label maps."""
    root = tmp_path_factory.mktemp("pictures") / "cartoons"
    for number in range(12):
        paint(root / f"{number}.png")
    return root


@pytest.fixture(scope="module")
def glasses_run(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny SaGAN of one width of its own, with averages."""
    run = tmp_path_factory.mktemp("glasses") / "glasses"
    own = ["generator.width=4", "discriminator.width=4", "training.average=0.5", "data.attributes=Eyeglasses"]
    assert begin("sagan", run, *sets([*FEW, *own]), "--set", "training.sample_every=0") == 0
    return run


def newest(run: Path) -> checkpoints.State:
    """The last checkpoint."""
    path, damaged = checkpoints.newest_valid(run / "checkpoints")
    assert path is not None and not damaged
    return checkpoints.load(path)


def flat(state: checkpoints.State) -> dict[str, Tensor]:
    """All its tensors by name."""
    groups = {"": state.networks, ".average": state.averages, ".optimizer": state.optimizers, "game": {"": state.game}}
    return {f"{n}{g}/{k}": t for g, group in groups.items() for n, ts in group.items() for k, t in ts.items()}


def below(tensors: dict[str, Tensor], *paths: str) -> dict[str, Tensor]:
    """The tensors of a network under some module paths inside it."""
    return {key: t for key, t in tensors.items() if key.startswith(tuple(f"{path}." for path in paths))}


def same(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    """Whether both hold the same bits under the same names, and anything at all."""
    return bool(one) and set(one) == set(other) and all(torch.equal(one[key], other[key]) for key in one)


def watched(monkeypatch: pytest.MonkeyPatch) -> list[checkpoints.State]:
    """The states with which trainings begin, from now on."""
    seen: list[checkpoints.State] = []
    iterate: Callable[[Trainer], None] = Trainer.iterate

    def looked_at(trainer: Trainer) -> None:
        if trainer.iteration == 0:
            seen.append(trainer.state())
        iterate(trainer)

    monkeypatch.setattr(Trainer, "iterate", looked_at)
    return seen


def opened(monkeypatch: pytest.MonkeyPatch, model: str, out: Path, *options: str) -> Session:
    """The training that `zoo train` opens, before its first iteration."""
    kept: list[Session] = []

    def start(zoo: Any, config: GameConfig, folder: Path, device: str, resume: bool) -> int:
        kept.append(Session(zoo, config, Run(folder), device=device, resume=resume))
        return 0

    with monkeypatch.context() as patch:
        patch.setattr("zoogan.cli.train.start", start)
        assert begin(model, out, *options) == 0
    return kept[0]


def part_config(**others: Any) -> GameConfig:
    """SemanticStyleGAN, all of whose steps play in iteration 0."""
    spec = REGISTRY.methods["semantic-stylegan"]
    layer: dict[str, Any] = {"data": {"label_set": "celebamask-13"}}
    for setting in [*FEW, *NARROW, "training.average=0.5", "training.average_images=null", "weights.path_length=0.5"]:
        path, _, value = setting.partition("=")
        slot, _, key = path.partition(".")
        layer.setdefault(slot, {})[key] = yaml.safe_load(value)
    return compose_config(spec, REGISTRY, sets=merge(layer, others))


def part_trainer(config: GameConfig) -> Trainer:
    """Its trainer, on random faces with random parts."""
    facts = tiny_facts(config)
    composition = compose(config, facts, REGISTRY)

    def batches() -> Iterator[Batch]:
        rows, k = config.data.batch * config.training.accumulate, 0
        while True:
            parts = parts_shown(k, rows, SIZE, len(facts.parts))
            sample = {"image": faces(k, rows, SIZE), "segmentation": parts}
            yield {"source": {field: sample[field] for field in composition.game.needs["source"].fields}}
            k += 1

    return Trainer(composition, REGISTRY, Accelerator(cpu=True), batches())


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
    state = opened(monkeypatch, "sagan", tmp_path / "next", *options).trainer.state()
    said = capsys.readouterr().out
    assert "from its model, for it has no checkpoint" in said and "no trained discriminator: it starts afresh" in said
    weights = load_file(imported / "model/generator.safetensors")
    assert same(state.networks["generator"], weights) and same(state.averages["generator"], weights)
    critic = load_file(imported / "model/discriminator.safetensors")
    assert not same(state.networks["discriminator"], critic)
    frozen = [*options, "--set", "training.freeze=discriminator.trunk"]
    assert begin("sagan", tmp_path / "frozen", *frozen) == 2
    assert "has no trained discriminator" in capsys.readouterr().err


def test_a_damaged_checkpoint_is_passed_over_and_none_at_all_is_told(
    glasses_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    run = tmp_path / "run"
    shutil.copytree(glasses_run, run)
    (checkpoints.find(run / "checkpoints")[-1] / "generator.safetensors").write_bytes(b"nothing")
    options = ["--from", str(run), *sets(FEW[1:])]
    state = opened(monkeypatch, "sagan", tmp_path / "next", *options).trainer.state()
    assert same(state.networks["generator"], load_file(run / "model/generator.safetensors"))
    said = capsys.readouterr().out
    assert "iteration-00000002 is damaged" in said and "from its model" in said
    shutil.rmtree(run / "checkpoints")
    shutil.rmtree(run / "model")
    assert begin("sagan", tmp_path / "other", *options) == 2
    assert "holds no trained weights yet" in capsys.readouterr().err


def test_the_games_state_comes_along_but_an_adaptive_augmentation_begins_anew(parts_run: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    shutil.copytree(parts_run, run)
    config, facts = part_config(augment={"use": "ada"}, training={"start_from": str(run)}), None
    path = checkpoints.newest_valid(run / "checkpoints")[0]
    assert path is not None
    game = load_file(path / "game.safetensors")
    assert game["mean_latent"].any()
    game |= {"augment_p": torch.tensor(0.5), "path_mean": torch.tensor(3.0), "unknown": torch.zeros(2)}
    write_tensors(path / "game.safetensors", game)
    (path / "manifest.json").write_text(json.dumps({"files": {}}))
    facts = tiny_facts(config)
    composition = compose(config, facts, REGISTRY)
    start_of(config, facts, REGISTRY, World.alone()).lay_into(composition)
    state = composition.game.state_dict()
    assert torch.equal(state["mean_latent"], game["mean_latent"]) and state["path_mean"] == 3
    assert state["augment_p"] == 0
    composition.game.mean_latent = torch.zeros(9)  # another size: it keeps its own
    start_of(config, facts, REGISTRY, World.alone()).lay_into(composition)
    assert composition.game.state_dict()["mean_latent"].shape == (9,)


def saved_again(run: Path, scale: float) -> Path:
    """The run's training saved its next checkpoint, of other weights."""
    before = checkpoints.find(run / "checkpoints")[-1]
    after = before.with_name(checkpoints.name_of(checkpoints.iteration_of(before) + 1))
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
    config = compose_config(spec, REGISTRY, sets=layer, start=layer_from(spec, REGISTRY, run))
    facts = zoogan.load(run).facts

    def newest_then_one_more(folder: Path) -> tuple[Path | None, list[str]]:
        found = checkpoints.newest_valid(folder)
        saved_again(run, 0.5)
        return found

    def started(rank: int, world: World) -> Start | str:
        try:
            return start_of(config, facts, REGISTRY, world)
        except ConfigError as error:
            return str(error)

    monkeypatch.setattr("zoogan.training.start.newest_valid", newest_then_one_more)
    one, two = in_two_processes(started)
    assert isinstance(one, Start) and isinstance(two, Start)
    assert "until iteration 2," in one.said[0] and one.said == two.said
    for group in ("networks", "averages"):
        assert same(getattr(one, group)["generator"], getattr(two, group)["generator"])

    files = list(checkpoints.find(run / "checkpoints")[-1].glob("generator.safetensors"))
    monkeypatch.setattr("zoogan.training.start.newest_valid", checkpoints.newest_valid)

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
    for name, real in (("open_accelerator", session.open_accelerator), ("start_of", session.start_of)):

        def noted(*args: Any, name: str = name, real: Callable[..., Any] = real) -> Any:
            order.append(name)
            return real(*args)

        monkeypatch.setattr(f"zoogan.training.session.{name}", noted)
    opened(monkeypatch, "sagan", tmp_path / "next", "--from", str(glasses_run), *sets(FEW[1:]))
    assert order == ["open_accelerator", "start_of"]


def test_an_average_that_was_taken_over_does_not_warm_up() -> None:
    """It would be forgotten in the first iterations."""
    for fields in ({"average": 0.99}, {"average_images": 10_000.0}):
        fresh, started = TrainingConfig(**fields), TrainingConfig(**fields, start_from=Path("run"))
        first, slow = decay_of(fresh, 16), decay_of(started, 16)
        assert first is not None and slow is not None
        assert first(0) < 0.2 and slow(0) > 0.98 and slow(0) == slow(10**6) == pytest.approx(first(10**6))


# ---- what stays as it is ----


@pytest.mark.parametrize("sets", [{}, {"training": {"accumulate": 2}}, {"judge_segmentation": False}], ids=str)
def test_what_is_frozen_never_moves_and_lets_gradients_through(sets: dict[str, Any]) -> None:
    """Both lazy steps play in iteration 0: the penalty and the path lengths reach what is free through what is not."""
    frozen = {"training": {"freeze": [*PARTS, "discriminator.trunk"], "start_from": "run"}}
    trainer = part_trainer(part_config(**merge(sets, frozen)))
    held = {id(p) for group in ("generator", "discriminator") for g in trainer.optimizers[group].param_groups
            for p in g["params"]}  # fmt: skip
    assert not held & {id(p) for p in trainer.frozen.parameters}
    before, reached = trainer.state(), {}
    update = trainer.update

    def looked_at(step: Any, *rest: Any) -> None:
        update(step, *rest)
        parameters = [p for slot in step.trains for p in trainer.frozen.free(slot)]
        reached[step.name] = any(p.grad is not None and bool(p.grad.any()) for p in parameters)

    trainer.update = looked_at  # type: ignore[method-assign]
    for _ in range(3):
        trainer.iterate()
    assert reached == dict.fromkeys(("discriminator", "penalty", "generator", "path_length"), True)
    assert all(p.grad is None and not p.requires_grad for p in trainer.frozen.parameters)
    after, inside = trainer.state(), [path.partition(".")[2] for path in PARTS]
    for group in ("networks", "averages"):
        old, new = getattr(before, group)["generator"], getattr(after, group)["generator"]
        assert same(below(old, *inside), below(new, *inside))
        assert not same(below(old, "renderer"), below(new, "renderer"))
    critic = before.networks["discriminator"], after.networks["discriminator"]
    assert same(*(below(state, "trunk") for state in critic)) and not same(*(below(state, "head") for state in critic))
    assert not below(after.optimizers["generator"], *inside) and below(after.optimizers["generator"], "renderer")


def test_statistics_of_batches_stay_too() -> None:
    """A frozen norm computes what it did, whatever the mode that others put the network in."""
    sets: dict[str, Any] = {"generator": {"res_norm": "batch"}, "training": {"average": 0.5}}
    free = tiny_config("sagan", REGISTRY, sets)
    names = [name for name, module in trained(free, REGISTRY, 0).nets.named_modules() if hasattr(module, "running_var")]
    assert names
    held = tiny_config("sagan", REGISTRY, merge(sets, {"training": {"freeze": names}}))
    for config, moves in ((free, True), (held, False)):
        trainer = trained(config, REGISTRY, 0)
        before = tensors_of(trainer)
        trainer.iterate()
        trainer.nets.train()  # as who has measured it does
        trainer.iterate()
        after = tensors_of(trainer)
        norms = [key for key in before if key.endswith(("running_mean", "running_var", "num_batches_tracked"))]
        norms = [key for key in norms if key.startswith(("network/", "average/"))]
        assert norms and all(torch.equal(before[key], after[key]) != moves for key in norms)
        assert any(not torch.equal(before[key], after[key]) for key in before if key.startswith("average/"))


def test_an_average_may_stay_while_its_network_moves() -> None:
    """The official code's way: the trained copy learns on."""
    trainer = part_trainer(part_config(training={"freeze_average": list(PARTS), "start_from": "run"}))
    before = trainer.state()
    for _ in range(2):
        trainer.iterate()
    after, inside = trainer.state(), [path.partition(".")[2] for path in PARTS]
    for path in inside:
        assert not same(below(before.networks["generator"], path), below(after.networks["generator"], path))
    assert same(*(below(s.averages["generator"], *inside) for s in (before, after)))
    assert not same(*(below(s.averages["generator"], "renderer") for s in (before, after)))


def test_a_compiled_game_freezes_too(monkeypatch: pytest.MonkeyPatch) -> None:
    import jaxtyping

    monkeypatch.setattr(jaxtyping.config, "jaxtyping_disable", True)  # checks of shapes are slow to compile
    torch._dynamo.reset()
    sets = {"generator": {"use": "stargan", "width": 4, "blocks": 1}, "cadence": {"generator_every": 1},
            "training": {"freeze": "discriminator.trunk.0"}}  # fmt: skip
    trainer = trained(tiny_config("stargan", REGISTRY, sets), REGISTRY, 0)
    critic: Any = trainer.nets["discriminator"]
    for part in critic.compiled_parts():
        part.compile(backend="aot_eager")
    before = tensors_of(trainer)
    for _ in range(2):
        trainer.iterate()
    after = tensors_of(trainer)
    name = "network/discriminator/"
    still = {key for key in before if key.startswith(name) and torch.equal(before[key], after[key])}
    assert still == {name + key for key in trainer.frozen.names("discriminator")} != set()


def test_paths_that_lead_nowhere_are_told_before_any_data() -> None:
    config = part_config(
        training={"freeze": ["generator.part_generator", "generater.positions", "discriminator.trunk.9"]}
    )
    with pytest.raises(ConfigError) as error:
        rehearse(config, tiny_facts(config), REGISTRY)
    lines = str(error.value).splitlines()
    assert len(lines) == 3
    assert "no module 'part_generator' in generator, did you mean 'generator.part_generators'?" in lines[0]
    assert "no network 'generater', did you mean 'generator'?" in lines[1]
    assert "no module '9' in discriminator.trunk" in lines[2] and "known there: " in lines[2]
    for wrong, said in (
        ({"freeze_average": ["generator.part"]}, "freeze_average: generator.part: no module 'part' in generator"),
        ({"freeze_average": ["discriminator"]}, "averages are kept of generator and mapping"),
        ({"freeze_average": list(PARTS), "average": None}, "no moving average is kept"),
        ({"freeze": ["discriminator"]}, "'discriminator' would train nothing.*\n.*'penalty' would train nothing"),
    ):
        config = part_config(training=wrong)
        with pytest.raises(ConfigError, match=said):
            rehearse(config, tiny_facts(config), REGISTRY)
    # Images alone are judged: what looks at segmentations cannot learn.
    wrong = {"freeze": ["discriminator.trunk", "discriminator.head"]}
    config = part_config(training=wrong, judge_segmentation=False, weights={"mask": 0})
    with pytest.raises(ConfigError, match=r"step 'discriminator' reaches nothing but what training\.freeze names"):
        rehearse(config, tiny_facts(config), REGISTRY)


def test_a_network_may_be_frozen_whole() -> None:
    config = part_config(training={"freeze": ["mapping"]})
    rehearse(config, tiny_facts(config), REGISTRY)
    trainer = part_trainer(config)
    before = trainer.state()
    trainer.iterate()
    after = trainer.state()
    for group in ("networks", "averages"):
        assert same(getattr(before, group)["mapping"], getattr(after, group)["mapping"])
    assert not after.optimizers["mapping"]


def test_names_below_a_path_are_whole_words() -> None:
    nets = torch.nn.ModuleDict({"a": torch.nn.ModuleDict({"one": torch.nn.Linear(1, 1), "oner": torch.nn.Linear(1, 1)}),
                                "ab": torch.nn.Linear(1, 1)})  # fmt: skip
    frozen = Frozen(nets, ["a.one"])
    assert frozen.names("a") == {"one.weight", "one.bias"} and frozen.names("ab") == set()
    assert Frozen(nets, ["a"]).names("a") == {f"{name}.{p}" for name in ("one", "oner") for p in ("weight", "bias")}
    assert Frozen(nets, ["a"]).names("ab") == set() and len(Frozen(nets, ["a"]).free("ab")) == 2


# ---- adaptation, and going on with it ----


def test_a_run_is_adapted_to_pictures_and_goes_on_without_it(
    parts_run: Path, cartoons: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """All that a person types; and a resume is the same run, though the first is gone."""
    first, out, whole = tmp_path / "first", tmp_path / "adapted", tmp_path / "whole"
    shutil.copytree(parts_run, first)
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
        assert same(below(before["generator"], *inside), below(after["generator"], *inside))
        assert not same(before["mapping"], after["mapping"])
    unseen = [below(state.networks["discriminator"], "segmentation_trunk") for state in (old, new)]
    assert same(*unseen), "nobody asks the critic's other branch, and it is still there"
    made = zoogan.load(out).sample(2)
    assert made.segmentation is not None and made.segmentation.shape[0] == 2

    shutil.rmtree(first)
    shutil.rmtree(checkpoints.find(out / "checkpoints")[-1])
    assert main(["train", "--out", str(out), "--resume", "--device", "cpu"]) == 0
    assert same(flat(newest(whole)), flat(newest(out)))
    assert main(["train", "--out", str(out), "--resume", "--from", str(parts_run)]) == 2
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
    assert "frozen weights that were never trained" in said and "--from RUN" in said
    assert not (tmp_path / "run").exists()


# ---- mistakes ----


def test_runs_that_are_none(glasses_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for wrong, said in (
        (glasses_run.with_name("glases"), "glases is not a run (no config.yaml in it), did you mean 'glasses'?"),
        (glasses_run / "model", f"did you mean {str(glasses_run)!r}?"),
        (tmp_path, "is not a run"),
    ):
        assert begin("sagan", tmp_path / "run", "--from", str(wrong)) == 2
        assert said in capsys.readouterr().err


def test_runs_of_another_kind(
    glasses_run: Path, parts_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert begin("semantic-stylegan", tmp_path / "run", "--from", str(glasses_run)) == 2
    said = capsys.readouterr().err
    assert "is a run of sagan" in said and "semantic-stylegan has generator (latent_generator)" in said
    # The same roles, but the run's networks would be trained with numbers that were made for others.
    for method, origin, other in (("stargan", glasses_run, "sagan"), ("stylegan2", parts_run, "semantic-stylegan")):
        assert begin(method, tmp_path / "run", "--from", str(origin)) == 2
        said = capsys.readouterr().err
        assert f"{origin} is a run of {other}: generator {other!r} where {method} has {method!r}" in said
        assert f"Train --model {other}, or start from a run of {method}" in said
    assert not (tmp_path / "run").exists()


def test_pictures_without_label_maps_are_told_of_before_a_folder_is_used(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for number in range(6):
        paint(tmp_path / "pictures" / f"{number}.png")
    plain = ["--data", "folder", "--root", str(tmp_path / "pictures"), "--recipe", "drawn-32"]
    few = sets(["data.label_set=celebamask-13", *NARROW, f"data.image_size={SIZE}", "data.batch=4", "data.workers=0"])
    assert begin("semantic-stylegan", tmp_path / "run", *plain, *few) == 2
    said = capsys.readouterr().err
    assert "needs segmentation" in said and "data.label_maps=FOLDER" in said and "judge_segmentation=false" in said
    assert not (tmp_path / "run").exists()


def test_a_relative_start_is_kept_absolute(parts_run: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(parts_run.parent)
    start = sets(["training.start_from=parts", "data.faces=32", "data.held_out=8", "training.sample_every=0"])
    assert begin("semantic-stylegan", tmp_path / "run", *start, iterations=1) == 0
    kept = yaml.safe_load((tmp_path / "run" / "config.yaml").read_text())["training"]["start_from"]
    assert kept == str(parts_run.resolve())


def test_settings_that_contradict_the_weights(
    glasses_run: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--from", str(glasses_run), *sets(FEW[1:])]
    assert begin("sagan", tmp_path / "run", *start, "--set", "discriminator.width=6") == 2
    said = capsys.readouterr().err
    assert "discriminator." in said and "(4, 3, 4, 4) in the run, (6, 3, 4, 4) here" in said and "in all)" in said
    assert "generator." not in said
    for wrong, told in (
        (["data.image_size=32"], "image_size (data.image_size): 16 in the run, 32 here"),
        (["data.attributes=Smiling"], "attributes (data.attributes): Eyeglasses in the run, Smiling here"),
    ):
        assert begin("sagan", tmp_path / "run", *start, *sets(wrong)) == 2
        assert told in capsys.readouterr().err
    assert not (tmp_path / "run").exists()


def test_parts_that_are_others(
    parts_run: Path, cartoons: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    start = ["--from", str(parts_run), "--data", "folder", "--root", str(cartoons)]
    assert begin("semantic-stylegan", tmp_path / "run", *start, "--set", "data.label_set=celebamask-19") == 2
    said = capsys.readouterr().err
    assert "parts (data.label_set): background, face" in said and "transparent (data.label_set): " in said


def test_facts_that_networks_do_not_need_may_differ(parts_run: Path, tmp_path: Path) -> None:
    """Labels mean nothing to a generator of faces from noise, nor parts to one that has none."""
    from zoogan.training.start import check_facts

    stored, before = validate_stored(parts_run)
    check_facts(parts_run, stored, before, before.model_copy(update={"attributes": ("Bald",), "crop": 0.5}), REGISTRY)
    plain = tiny_config("stylegan2", REGISTRY, {"data": {"image_size": SIZE}})
    for parts in ((), ("background", "face")):
        check_facts(tmp_path, plain, Facts(image_size=SIZE, parts=("a", "b")), Facts(image_size=SIZE, parts=parts),
                    REGISTRY)  # fmt: skip
    with pytest.raises(ConfigError, match=r"image_size .*: 16 in the run, 32 here"):
        check_facts(tmp_path, plain, Facts(image_size=SIZE), Facts(image_size=32), REGISTRY)


def validate_stored(run: Path) -> tuple[GameConfig, Facts]:
    values = yaml.safe_load((run / "config.yaml").read_text())
    return validate(REGISTRY.methods[values["method"]], REGISTRY, values), zoogan.load(run).facts


# ---- what a config takes over ----


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
    assert same(session.trainer.state().networks["generator"], newest(glasses_run).networks["generator"])
