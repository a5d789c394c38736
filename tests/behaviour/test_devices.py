"""What training asks of a device, and what it must not wait for: on a CPU, with flags and devices that are made up."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

import zoogan.training.session as session
from zoogan.composition.build import compose
from zoogan.errors import ConfigError, NotFinite
from zoogan.interfaces import World
from zoogan.plugins.host import get_zoo
from zoogan.runs.folder import RunFolder
from zoogan.testing.conformance import make_tiny_config, make_tiny_facts, train_on_random_batches
from zoogan.training.averages import Average
from zoogan.training.machine import use_cuda_flags
from zoogan.training.optimizers import supports_found_inf
from zoogan.training.prepare import check_augment, prepare
from zoogan.training.trainer import Trainer

REGISTRY = get_zoo().registry
CUDA, CPU = torch.device("cuda"), torch.device("cpu")


# ---- how products are rounded ----


def flags() -> tuple[bool, bool, bool]:
    cudnn = torch.backends.cudnn
    return torch.backends.cuda.matmul.allow_tf32, cudnn.allow_tf32, cudnn.benchmark


@pytest.mark.parametrize("tf32", [True, False])
def test_cuda_flags_are_set_and_restored(tf32: bool) -> None:
    before = flags()
    with pytest.raises(KeyError), use_cuda_flags(CUDA, tf32):
        assert flags() == (tf32, tf32, True)
        raise KeyError
    assert flags() == before
    with use_cuda_flags(CPU, tf32):
        assert flags() == before


@pytest.mark.slow
@pytest.mark.parametrize("tf32", [True, False])
def test_a_session_trains_with_the_flags_of_its_config(
    tf32: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []
    inside: list[bool] = []

    @contextmanager
    def watched(device: torch.device, allowed: bool) -> Iterator[None]:
        asked.append((device.type, allowed))
        inside.append(True)
        yield
        inside.pop()

    iterate = Trainer.iterate
    monkeypatch.setattr(session, "use_cuda_flags", watched)
    monkeypatch.setattr(Trainer, "iterate", lambda trainer: iterate(trainer) if inside else pytest.fail("outside"))
    sets = {"training": {"tf32": tf32, "iterations": 2}, "data": {"faces": 16, "held_out": 8, "workers": 0}}
    config = make_tiny_config("sagan", REGISTRY, sets)
    prepared = prepare(get_zoo(), config, RunFolder(tmp_path / "run"), device="cpu")
    session.Session(prepared, quiet=True).train()
    assert asked == [("cpu", tf32)] * 2


# ---- what a device cannot do ----


def test_ada_is_refused_on_mps() -> None:
    for use, refused in (("ada", True), ("diffaugment", False), ("none", False)):
        config = make_tiny_config("sagan", REGISTRY, {"augment": {"use": use}})
        game = compose(config, make_tiny_facts(config), REGISTRY).game
        check_augment(config, game, CPU)
        check_augment(config, game, CUDA)
        if refused:
            with pytest.raises(ConfigError, match=r"augment.use: ada needs .* mps; take augment.use=diffaugment"):
                check_augment(config, game, torch.device("mps"))
        else:
            check_augment(config, game, torch.device("mps"))


def test_session_checks_augmentation_before_training(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("zoogan.layers.ada.AdaptiveAugment.unsupported_devices", ("cpu",))
    sets = {"augment": {"use": "ada"}, "data": {"faces": 16, "held_out": 8, "workers": 0}}
    with pytest.raises(ConfigError, match=r"augment\.use: ada"):
        prepare(get_zoo(), make_tiny_config("sagan", REGISTRY, sets), RunFolder(tmp_path / "run"), device="cpu")
    assert not (tmp_path / "run").exists()


# ---- the guard ----


def broken(fused: bool) -> Trainer:
    """A trainer that believes to be on CUDA, whose discriminator's penalty is not finite, and its optimizers."""
    trainer = train_on_random_batches(make_tiny_config("sagan", REGISTRY, {"training": {"average": 0.5}}), REGISTRY, 1)
    trainer.device = CUDA
    kind: Any = torch.optim.SGD  # which ignores found_inf where it is not fused; Adam would stop with an error
    trainer.optimizers = {
        name: kind(network.parameters(), lr=0.1, fused=fused) for name, network in trainer.networks.items()
    }
    batch = next(trainer.batches)
    for sample in batch.values():
        sample["image"][:] = float("nan")
    trainer.batches = iter([batch] * 8)
    return trainer


def weights(trainer: Trainer) -> list[Tensor]:
    networks = [*trainer.networks.values(), *(average.network for average in trainer.averages.values())]
    return [p.detach().clone() for network in networks for p in network.parameters()]


@pytest.mark.parametrize("fused", [True, False])
def test_non_finite_update_is_not_applied_on_cuda(fused: bool) -> None:
    """A fused optimizer is told by the flag, and the host does not look; for others the host must look at once."""
    trainer = broken(fused)
    assert all(supports_found_inf(optimizer) == fused for optimizer in trainer.optimizers.values())
    before = weights(trainer)
    if fused:
        trainer.iterate()
        with pytest.raises(NotFinite, match="not finite"):
            trainer.check_finite()
    else:
        with pytest.raises(NotFinite, match="not finite"):
            trainer.iterate()
    assert all(torch.equal(one, other) for one, other in zip(before, weights(trainer)))


# ---- averages ----


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_average_on_device_equals_host(dtype: torch.dtype) -> None:
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.Conv2d(4, 2, 3)).to(dtype)
    network = network.to(memory_format=torch.channels_last)
    one, other = (Average(network, lambda k: 0.9, ("2.bias",)) for _ in range(2))
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            tensor.copy_(torch.randn(tensor.shape) * 3)
    one.update(network, 0)
    other.update(network, 0, torch.tensor(1.0))
    for mine, theirs in zip(one.network.state_dict().values(), other.network.state_dict().values()):
        torch.testing.assert_close(mine, theirs)
    assert not torch.equal(one.network[0].weight, network[0].weight)  # type: ignore[index]


@pytest.mark.parametrize("value", [1.0, float("nan"), float("inf"), -float("inf")])
def test_average_is_unchanged_without_update(value: float) -> None:
    network = nn.Sequential(nn.Linear(3, 4), nn.BatchNorm1d(4))
    with torch.no_grad():
        network[0].bias.copy_(torch.tensor([0.0, -0.0, 1e-40, 3.0]))
    average = Average(network, lambda k: 0.9)
    before = [tensor.clone() for tensor in average.network.state_dict().values()]
    with torch.no_grad():
        for tensor in [*network.parameters(), *network.buffers()]:
            tensor.fill_(value if tensor.is_floating_point() else 7)
    average.update(network, 0, torch.tensor(0.0))
    for old, new in zip(before, average.network.state_dict().values()):
        assert torch.equal(old, new) and torch.equal(old.signbit(), new.signbit())


# ---- gradients over processes ----


class Joined(World):
    """One of several processes that are threads of this one."""

    def __init__(self, rank: int, size: int) -> None:
        self.rank, self.size = rank, size


def together(gradients: list[list[Tensor | None]], monkeypatch: pytest.MonkeyPatch) -> list[list[nn.Parameter]]:
    """Average the gradients of each process's parameters."""
    size, meeting, given = len(gradients), threading.Barrier(len(gradients)), {}

    def all_reduce(value: Tensor) -> None:
        given[threading.get_ident()] = value.clone()
        meeting.wait(10)
        total = torch.stack([given[ident] for ident in sorted(given)]).sum(0)
        meeting.wait(10)
        value.copy_(total)

    monkeypatch.setattr(dist, "all_reduce", all_reduce)
    processes: list[list[nn.Parameter]] = []
    for row in gradients:
        processes.append([nn.Parameter(torch.zeros(2, 3, dtype=torch.float64 if k else None)) for k in range(len(row))])
        for p, gradient in zip(processes[-1], row):
            p.grad = None if gradient is None else gradient.to(p.dtype)
    threads = [
        threading.Thread(target=Joined(rank, size).average_gradients, args=(parameters,))
        for rank, parameters in enumerate(processes)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    return processes


def test_missing_gradients_stay_none_after_reduction(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(0)
    a, b, c = (torch.randn(2, 3) for _ in range(3))
    nan = torch.full((2, 3), float("nan"))
    for found in together([[a, b, None, None, nan], [c, None, b, None, a]], monkeypatch):
        first, second, third, fourth, fifth = (p.grad for p in found)
        assert torch.equal(first, (a + c) / 2) and fourth is None and fifth.isnan().all()
        assert torch.equal(second, b.double() / 2) and torch.equal(third, b.double() / 2)


def test_gradient_reduction_reads_nothing_on_host(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("tolist", "item", "__bool__", "__float__"):
        monkeypatch.setattr(Tensor, name, lambda *a, **k: pytest.fail("the host waits for the device"))
    found = together([[torch.ones(2, 3)] * 2, [torch.zeros(2, 3)] * 2], monkeypatch)
    monkeypatch.undo()
    assert all(torch.equal(p.grad, torch.full_like(p, 0.5)) for row in found for p in row)
