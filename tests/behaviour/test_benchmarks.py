"""The benchmarks run, and what they count is what a hand counts."""

from __future__ import annotations

import importlib
import json
import sys
from contextlib import nullcontext
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from zoogan.cli import main

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def benchmark(monkeypatch: pytest.MonkeyPatch) -> Any:
    """A benchmark's module by name."""
    monkeypatch.syspath_prepend(str(FOLDER))
    return importlib.import_module


def test_step_benchmark_reports_each_part(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    narrow = ["--set", "generator.width=4", "--set", "generator.blocks=1", "--set", "discriminator.width=4"]
    tiny = ["--size", "16", "--batch", "2", "--iterations", "1", "--warmup", "0", "--device", "cpu"]
    benchmark("step").main(["--model", "sagan", *tiny, *narrow])
    line = json.loads(capsys.readouterr().out)
    assert line["model"] == "sagan" and line["size"] == 16 and line["batch"] == 2 and line["precision"] == "fp32"
    for key in ("milliseconds", "images_per_second", "peak_mib", "gflop", "operator_calls"):
        assert line[key] > 0, key
    assert set(line["parameters_m"]) == {"generator", "discriminator"}
    assert {"torch", "zoogan", "python", "device", "machine", "threads", "date", "recipe", "compile"} <= set(line)


@pytest.mark.parametrize("script", ["versus_stylegan2", "versus_semantic_stylegan"])
def test_step_benchmark_times_synthesis_parts(script: str, benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    narrow = [f"--set={slot}.max_width=4" for slot in ("generator", "discriminator")]
    if "semantic" in script:
        narrow += [f"--set=generator.{name}" for name in ("part_width=4", "feature_width=4", "render_from=4")]
    benchmark(script).main(["--only", "ours", "--size", "16", "--pairs", "1", *narrow])
    line = json.loads(capsys.readouterr().out)
    parts = line["parts_ms"]["ours"]
    assert set(parts) == {"discriminator", "penalty", "generator", "path_length", "average"}
    shares = (1, 1 / 16, 1, 1 / 4, 1)
    assert line["iteration_ms"]["ours"] == pytest.approx(
        sum(share * spent for share, spent in zip(shares, parts.values())), abs=0.3
    )
    with pytest.raises(SystemExit):
        benchmark(script).main([])


class Maker(nn.Module):
    """In the place of a published generator: colours that are linear in the latent."""

    def __init__(self, size: int, *others: Any, **named: Any) -> None:
        super().__init__()
        self.size, self.style = size, nn.Linear(512, 8)
        self.colour, self.layout = nn.Linear(8, 3), nn.Linear(8, 13)

    def mix_styles(self, styles: list[Tensor]) -> Tensor:
        return styles[0][:, None].repeat(1, 4, 1)

    def forward(
        self, noise: list[Tensor], input_is_latent: bool = False, return_latents: bool = False, return_all: bool = False
    ) -> tuple[Any, ...]:
        latents = noise[0] if input_is_latent else self.mix_styles([self.style(noise[0])])
        image, layout = (
            network(latents.mean(1))[..., None, None].expand(-1, -1, self.size, self.size)
            for network in (self.colour, self.layout)
        )
        if return_latents:
            return image, latents
        return (image, layout, layout[..., ::2, ::2], None, None) if return_all else (image, layout)


class Judge(nn.Module):
    """In the place of a published discriminator."""

    def __init__(self, *others: Any, **named: Any) -> None:
        super().__init__()
        self.scores = nn.ModuleList([nn.Conv2d(channels, 1, 1) for channels in (3, 13)])

    def forward(self, *shown: Tensor) -> Tensor:
        return sum((score(part).square().mean((1, 2, 3)) for score, part in zip(self.scores, shown)), torch.zeros(()))


PUBLISHED = {
    "versus_stylegan2": {
        "model": {"Generator": Maker, "Discriminator": Judge},
        "train": {
            "mixing_noise": lambda batch, width, share, device: [torch.randn(batch, width)],
            "d_logistic_loss": lambda real, fake: (fake - real).mean(),
            "d_r1_loss": lambda score, image: torch.autograd.grad(score.sum(), image, create_graph=True)[0].norm(),
            "g_nonsaturating_loss": lambda score: -score.mean(),
            "g_path_regularize": lambda fake, latents, mean: (fake.square().mean(), mean, None),
            "accumulate": lambda kept, now, decay: None,
        },
    },
    "versus_semantic_stylegan": {
        "models": {}, "models.semantic_stylegan": {"SemanticGenerator": Maker, "DualBranchDiscriminator": Judge},
    },
}  # fmt: skip


@pytest.mark.parametrize("script", PUBLISHED)
def test_official_side_uses_equal_optimizers(
    script: str, benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With stand-ins for its code: each part of an iteration moves one network."""
    for name, content in PUBLISHED[script].items():
        monkeypatch.setitem(sys.modules, name, SimpleNamespace(**content))
    versus, opened = benchmark("versus"), []
    module = benchmark(script)
    init = versus.OfficialSynthesis.__init__

    def kept(self: Any, *given: Any) -> None:
        init(self, *given)
        opened.append(self)

    monkeypatch.setattr(versus.OfficialSynthesis, "__init__", kept)
    module.main(["--official", str(tmp_path), "--only", "official", "--size", "16", "--pairs", "1"])
    assert set(json.loads(capsys.readouterr().out)["parts_ms"]["official"]) == set(versus.SHARES)
    (side,) = opened
    groups = {name: optimizer.param_groups[0] for name, optimizer in side.optimizers.items()}
    assert {name: group["lr"] for name, group in groups.items()} == {
        "generator": 0.0016,
        "discriminator": 0.002 * 16 / 17,
    }
    assert groups["discriminator"]["betas"] == (0.0, 0.99 ** (16 / 17))
    played = side.make_parts()
    networks = {
        "discriminator": "discriminator",
        "penalty": "discriminator",
        "generator": "generator",
        "path_length": "generator",
    }
    for part, learns in networks.items():
        before = {name: [p.clone() for p in getattr(side, name).parameters()] for name in groups}
        played[part]()
        for name, old in before.items():
            moved = any(not torch.equal(one, other) for one, other in zip(old, getattr(side, name).parameters()))
            assert moved is (name == learns), (part, name)


NARROW = {
    "versus_stargan": ["generator.width=4", "generator.blocks=1", "discriminator.width=4", "discriminator.stages=3"],
    "versus_stargan_v2": [
        f"{slot}.{name}=4"
        for slot in ("generator", "style_encoder", "discriminator")
        for name in ("width", "max_width")
    ],
}
SOLVER = """
import torch

class Solver:
    device = torch.device("cpu")

    def __init__(self, batches, other, arguments):
        self.batches, self.arguments = batches, arguments

    def train(self):
        print("Start training...")
        assert self.arguments.num_iters == self.arguments.n_critic == 5
        for image, labels in self.batches:
            image.square().sum(), labels.sum()
"""


@pytest.mark.parametrize("script", NARROW)
def test_versus_runs_a_whole_iteration(script: str, benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    settings = [f"--set={setting}" for setting in NARROW[script]]
    benchmark(script).main(["--only", "ours", "--size", "32", "--pairs", "1", *settings])
    line = json.loads(capsys.readouterr().out)
    assert line["iteration_ms"]["ours"] > 0 and set(line["parts_ms"]["ours"]) == {"iterations"}
    assert line["peak_mib"]["ours"] > 0


def test_versus_alternates_two_processes(
    benchmark: Any, capsys: pytest.CaptureFixture[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "solver.py").write_text(SOLVER)
    monkeypatch.setattr(sys, "path", [*sys.path])
    settings = [f"--set={setting}" for setting in NARROW["versus_stargan"]]
    benchmark("versus_stargan").main(["--official", str(tmp_path), "--size", "32", "--pairs", "2", *settings])
    line = json.loads(capsys.readouterr().out)
    assert set(line["iteration_ms"]) == set(line["peak_mib"]) == {"official", "ours"}
    assert line["ratio"] < 1 and len(line["ratios"]) == 2


def test_stargan_v2_benchmark_follows_official_order(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    """With stand-ins for its code: which networks learn in which of the four updates, and three averages."""
    names, learnt, averaged = ("generator", "mapping_network", "style_encoder", "discriminator"), [], []
    networks = {name: nn.Linear(1, 1) for name in names}
    before = {name: network.weight.clone() for name, network in networks.items()}

    def compute_loss(given: Any, settings: Any, *data: Any, **styles: Any) -> tuple[Tensor, None]:
        learnt.append((sorted(styles), [n for n in names if not torch.equal(before[n], networks[n].weight)]))
        before.update({name: network.weight.clone() for name, network in networks.items()})
        return sum((network.weight.sum() for network in networks.values()), torch.zeros(())), None

    averages = {name: nn.Linear(1, 1) for name in names[:3]}
    core = SimpleNamespace(
        model=SimpleNamespace(build_model=lambda settings: (networks, averages)),
        solver=SimpleNamespace(
            compute_d_loss=compute_loss,
            compute_g_loss=compute_loss,
            moving_average=lambda network, average, beta: averaged.append(beta),
        ),
        utils=SimpleNamespace(he_init=lambda layer: None),
    )
    monkeypatch.setitem(sys.modules, "core", core)
    monkeypatch.setattr(sys, "path", [*sys.path])
    for name in benchmark("versus_stargan_v2").UNUSED:
        monkeypatch.setitem(sys.modules, name, SimpleNamespace())
    benchmark("versus_stargan_v2").main(
        ["--official", str(tmp_path), "--only", "official", "--size", "16", "--pairs", "1"]
    )
    assert json.loads(capsys.readouterr().out)["iteration_ms"]["official"] > 0
    assert [styles for styles, _ in learnt[:4]] == [["z_trg"], ["x_ref"], ["z_trgs"], ["x_refs"]]
    assert [moved for _, moved in learnt[1:5]] == [["discriminator"]] * 2 + [list(names[:3]), ["generator"]]
    assert averaged == [0.999] * 6


def test_semantic_stylegan_makes_few_operator_calls(benchmark: Any) -> None:
    """At the published widths: about 16,000 there, lazy steps by their share (its 13 parts run one after another)."""
    step, versus = benchmark("step"), benchmark("versus")
    registry, clock = benchmark("zoogan.plugins.host").get_zoo().registry, benchmark("zoogan.interfaces").Clock(0, 1)
    values = {"data": {"image_size": 64, "batch": 2, "label_set": "celebamask-13"}}
    config = benchmark("zoogan.config").validate(registry.methods["semantic-stylegan"], registry, values)
    trainer = step.make_trainer(config, registry, SimpleNamespace(device=torch.device("meta"), autocast=nullcontext))
    trainer.optimizers = dict.fromkeys(trainer.optimizers, step.IdleOptimizer())
    trainer.terms = {name: step.UnguardedTermLog() for name in trainer.terms}
    calls = 0.0
    for played in trainer.game.steps:
        trainer.fetch_batch()
        with step.CountWork() as count:
            trainer.update(played, 0, clock, frozenset())
        calls += versus.SHARES[played.name] * count.calls
    assert calls < 5000


def test_stargan_needs_fewer_flops_than_official(benchmark: Any) -> None:
    registry, official = benchmark("zoogan.plugins.host").get_zoo().registry, 487  # GFLOP at 128 px, batch 8
    values = {"data": {"image_size": 128, "batch": 8, "attributes": list("ABCDE")}}
    config = benchmark("zoogan.config").validate(registry.methods["stargan"], registry, values)
    gflop = benchmark("step").count_work(config, registry)["gflop"]
    assert 0.8 * official < gflop < 0.95 * official


def test_flop_count_of_convolutions(benchmark: Any) -> None:
    with torch.device("meta"):
        down = nn.Conv2d(3, 8, 4, 2, 1)
        grouped = nn.Conv2d(8, 8, 3, 1, 1, groups=4)
        up = nn.ConvTranspose2d(8, 5, 4, 2, 1)
        image = torch.zeros(2, 3, 16, 16)
    forward = [2 * 2 * 8 * 8 * weights for weights in (8 * 3 * 16, 8 * 2 * 9, 8 * 5 * 16)]  # all on a map of 8 x 8
    count = benchmark("counting").CountWork
    with count() as ahead:
        out = up(grouped(down(image)))
    assert ahead.flops == sum(forward)
    with count() as back:
        out.sum().backward()
    assert back.flops == 2 * sum(forward) - forward[0], "the image itself needs no gradient"


def test_flop_count_of_gradient_penalty(benchmark: Any) -> None:
    """Forward, gradient of the input, then two more for each convolution, as of a plain backward, and the first's."""
    with torch.device("meta"):
        network = nn.Conv2d(3, 8, 1, bias=False)
        image = torch.zeros(2, 3, 16, 16, requires_grad=True)
    forward = 2 * 2 * 16 * 16 * 8 * 3
    with benchmark("counting").CountWork() as count:
        (gradient,) = torch.autograd.grad(network(image).square().sum(), image, create_graph=True)
        gradient.square().sum().backward(inputs=[network.weight])
    # Once ahead; once for the image's gradient; that gradient's weight; what the scores' gradient gets; its weight.
    assert count.flops == 5 * forward


def test_extremes_benchmark_brackets_all_measures(
    benchmark: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    judge, out = tmp_path / "judge", tmp_path / "result.json"
    small = [
        "--size", "24", "--iterations", "2", "--set", "data.faces=64", "--set", "data.held_out=32",
        "--set", "data.workers=0",
    ]  # fmt: skip
    assert main(["judge", "train", "--attributes", "Eyeglasses,Male", "--out", str(judge), *small]) == 0
    capsys.readouterr()
    benchmark("report_extremes").main(["--judge", str(judge), "--faces", "12", "--out", str(out)])
    table = capsys.readouterr().out.splitlines()
    assert [line.split(" | ")[0] for line in table[2:]] == [
        "| identity", "| true redraw", "| sagan, untrained", "| stargan, untrained",
    ]  # fmt: skip
    errors = {name: row["edit_error"]["value"] for name, row in json.loads(out.read_text())["editors"].items()}
    assert errors["identity"] == 1 and errors["true redraw"] == 0 and errors["sagan, untrained"] > 0.5


def test_edit_error_limit_benchmark_runs(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    """The median of many tries is nearer to the truth than one of them, and one's own glasses are the truth."""
    limit = benchmark("edit_error_limit")
    limit.main(["--size", "32", "--faces", "6", "--frames", "8"])
    told = json.loads(capsys.readouterr().out)
    assert 0 < told["median"] < told["sampler"] < 1.2 and told["faces"] == 6
    source = limit.DrawnSource(limit.DrawnData(image_size=16, attributes=("Eyeglasses",)))
    own, other = [], []
    for others, drawn in ((0, own), (5, other)):
        with limit.exchange_glasses(others):
            drawn += [source.redraw("test", [0, 1], Eyeglasses=1.0)["image"]]
    assert torch.equal(own[0], source.redraw("test", [0, 1], Eyeglasses=1.0)["image"])
    assert not torch.equal(own[0], other[0])


def test_remaining_benchmarks_run(benchmark: Any, capsys: pytest.CaptureFixture[str]) -> None:
    benchmark("loader").main(["--size", "16", "--batch", "2", "--seconds", "0.05", "--faces", "8"])
    assert json.loads(capsys.readouterr().out)["images_per_second"] > 0
    benchmark("renderer").main(["--size", "16", "--batch", "2", "--seconds", "0.05"])
    assert json.loads(capsys.readouterr().out)["faces_per_second"] > 0
    benchmark("startup").main(["1"])
    line = json.loads(capsys.readouterr().out)
    assert line["runs"] == 1 and line["imports_torch"] is False


def test_busy_machine(benchmark: Any, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """One training stands for both, because the busy processes end at once: tests share the machine."""
    module, rates = benchmark("busy_machine"), {}
    measure = module.measure_rate
    monkeypatch.setattr(module, "BUSY", (sys.executable, "-c", "pass"))

    def measure_once(options: Any, folder: Path) -> Any:
        rates[folder.name] = next(iter(rates.values()), None) or measure(options, folder)
        return rates[folder.name]

    monkeypatch.setattr(module, "measure_rate", measure_once)
    tiny = ["data.image_size=16", "data.batch=2", "data.workers=0", "data.faces=8", "data.held_out=4"]
    tiny += ["generator.width=4", "discriminator.width=4", "training.sample_every=0"]
    settings = [part for setting in tiny for part in ("--set", setting)]
    module.main(["--iterations", "10", *settings, "--environment", "OMP_NUM_THREADS=1"])
    line = json.loads(capsys.readouterr().out)
    for name in ("quiet", "busy"):
        assert line[name]["iterations"] == 5 and line[name]["iterations_per_second"] > 0
    assert list(rates) == ["quiet", "busy"]


def test_versus_sd_gan_compares_layers_and_times_networks(
    benchmark: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    script = benchmark("versus_sd_gan")
    for name, value in {"CHANNELS": 6, "POSITIONS": 4, "IMAGE_SIZE": 32, "STYLE_DIM": 16}.items():
        monkeypatch.setattr(script, name, value)
    script.main(["--batches", "1", "3", "--pairs", "2"])
    line = json.loads(capsys.readouterr().out)
    assert set(line["locally_connected"]) == {"batch 1", "batch 3"}
    assert all(len(each["speedups"]) == 2 for each in line["locally_connected"].values())
    assert set(line["forward"]) == {"sd-gan-official", "sd-gan", "sd-gan with geometry"}
