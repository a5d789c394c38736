"""CUDA without a GPU: what it finds, and that the conformance suite fails by it."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

import zoogan.interfaces.draws
import zoogan.training.trainer
from zoogan.plugins.host import get_zoo
from zoogan.testing.conformance import check_cuda
from zoogan.testing.cuda import CUDA, FakeCudaMode, HostWaitError, find_obstacle, simulate_cuda

REGISTRY = get_zoo().registry


@pytest.fixture
def cuda() -> Iterator[FakeCudaMode]:
    with simulate_cuda() as mode:
        yield mode


def test_networks_train_on_simulated_cuda(cuda: FakeCudaMode) -> None:
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)).to(CUDA).to(memory_format=torch.channels_last)
    optimizer = torch.optim.Adam(network.parameters(), fused=True)
    cuda.forbids_waits = True
    image = torch.zeros(2, 3, 8, 8, device=CUDA, requires_grad=True)
    (slope,) = torch.autograd.grad(F.interpolate(network(image), 4).square().sum(), image, create_graph=True)
    slope.square().sum().backward()
    optimizer.step()
    cuda.forbids_waits = False
    whole = [*network.state_dict().values(), *copy.deepcopy(network).parameters(), slope, image.new_zeros(3)]
    assert {value.device for value in whole} == {CUDA} and all(value.is_cuda for value in whole)
    assert all(p.grad is not None and p.grad.device == CUDA for p in network.parameters())


def test_cpu_tensors_keep_their_values(cuda: FakeCudaMode) -> None:
    drawn = torch.randn(3, generator=torch.Generator().manual_seed(1))
    assert drawn.sum().item() != 0 and torch.equal(drawn, drawn.to(CUDA, copy=True).cpu() + drawn)


@pytest.mark.parametrize(
    "mixed",
    [
        lambda x: x + torch.ones(3),
        lambda x: torch.cat([x, torch.ones(3)]),
        lambda x: torch.ones(3)[torch.zeros(1, dtype=torch.int64, device=CUDA)],
        lambda x: torch.rand(3, generator=torch.Generator().manual_seed(5), device=CUDA),
        lambda x: torch.rand(3, generator=torch.Generator(CUDA).manual_seed(5)),
    ],
    ids=["add", "cat", "index", "generator", "generator of CUDA"],
)
def test_mixed_devices_are_refused(cuda: FakeCudaMode, mixed: Callable[[Tensor], Tensor]) -> None:
    x = torch.ones(3, device=CUDA)
    x += torch.tensor(2.0)  # numbers go along with the operator
    torch.rand(3, generator=torch.Generator(CUDA).manual_seed(5), device=CUDA)
    with pytest.raises(AssertionError, match=r"two devices|rows on the CPU|a generator on"):
        mixed(x)


@pytest.mark.parametrize(
    "waiting",
    [
        lambda x: x.sum().item(), lambda x: bool(x.isfinite().all()), lambda x: x.tolist(), lambda x: x.cpu(),
        lambda x: torch.zeros(3).copy_(x), lambda x: x[x > 0], lambda x: x.nonzero(), lambda x: x[[0, 1]],
        lambda x: torch.ones(3).to(CUDA), lambda x: torch.tensor([1.0], device=CUDA),
    ],
    ids=["item", "bool", "tolist", "cpu", "copy", "mask", "nonzero", "list", "to", "tensor"],
)  # fmt: skip
def test_training_step_never_waits_for_device(cuda: FakeCudaMode, waiting: Callable[[Tensor], object]) -> None:
    x, cuda.forbids_waits = torch.ones(3, device=CUDA), True
    torch.ones(3).to(CUDA, non_blocking=True)
    with pytest.raises(HostWaitError, match="the host waits for the device"):
        waiting(x)


def test_allowed_waits_return_one_row(cuda: FakeCudaMode) -> None:
    x = torch.ones(3, 4, device=CUDA)
    assert x[x[:, 0] > 0].shape == (1, 4) and x[x > 0].shape == x.masked_select(x > 0).shape == (1,)
    values, which = x.unique(return_inverse=True)
    assert values.shape == (1,) and which.shape == x.shape and values.is_cuda
    assert len(cuda.waits) == 4


def test_generators_with_equal_seeds_are_distinguished(cuda: FakeCudaMode) -> None:
    there, here = torch.Generator(CUDA).manual_seed(0), torch.Generator().manual_seed(0)
    assert torch.rand(2, generator=there, device=CUDA).is_cuda and torch.rand(2, generator=here).is_cpu
    assert torch.rand(2, generator=torch.Generator(CUDA), device=CUDA).is_cuda
    with pytest.raises(AssertionError, match="a generator on"):
        torch.rand(2, generator=here, device=CUDA)


@pytest.mark.slow
def test_step_that_reads_device_values_is_reported(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(zoogan.interfaces.draws, "move_like", lambda drawn, like: drawn.to(like))
        with pytest.raises(HostWaitError, match=r"_to_copy.* copies from the host"):
            check_cuda("stargan", REGISTRY)
    monkeypatch.setattr(zoogan.training.trainer, "supports_found_inf", lambda optimizer: False)
    with pytest.raises(HostWaitError, match="returns a value of the device to the host"):
        check_cuda("stargan", REGISTRY)


def test_unsupported_torch_skips_cuda_simulation(monkeypatch: pytest.MonkeyPatch) -> None:
    assert find_obstacle() is None
    monkeypatch.delattr(torch._C, "_ensureCUDADeviceGuardSet")
    with pytest.warns(UserWarning, match="sagan was not checked on CUDA without a GPU: torch .*_ensureCUDADevice"):
        check_cuda("sagan", REGISTRY)
