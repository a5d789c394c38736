"""OpenMP spinning, freed memory, threads and device names."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest
import torch

from zoogan.devices import SPIN_COUNT, check_device_name, choose_device, limit_openmp_spinning
from zoogan.errors import ConfigError
from zoogan.training import machine

# Prints the variable at the moment of the import of torch, in a process that imports zoogan first.
PROBE = """
import os, sys
class Probe:
    def find_spec(self, name, path=None, target=None):
        if name == "torch":
            print(os.environ.get("GOMP_SPINCOUNT"))
            sys.exit()
sys.meta_path.insert(0, Probe())
import zoogan
zoogan.load
"""


def read_spin_count(**variables: str) -> str:
    """Read GOMP_SPINCOUNT in a new process with these environment variables, when torch is imported."""
    environment = {name: v for name, v in os.environ.items() if name not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    command = [sys.executable, "-c", PROBE]
    return subprocess.run(
        command, env=environment | variables, check=True, capture_output=True, text=True
    ).stdout.strip()


def test_spin_count_is_set_before_torch_is_imported() -> None:
    assert read_spin_count() == SPIN_COUNT


def test_users_openmp_variables_are_left_alone() -> None:
    assert read_spin_count(GOMP_SPINCOUNT="7") == "7"
    assert read_spin_count(OMP_WAIT_POLICY="active") == "None"
    environment = {"GOMP_SPINCOUNT": "7", "OMP_WAIT_POLICY": "passive"}
    limit_openmp_spinning(environment)
    assert environment == {"GOMP_SPINCOUNT": "7", "OMP_WAIT_POLICY": "passive"}


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="options of glibc")
def test_freed_memory_is_kept_on_glibc() -> None:
    """Large tensors come from the heap and freed pages stay, so that later tensors cause few page faults."""
    code = """
import ctypes, resource, torch
from zoogan.training.machine import keep_freed_memory
if not hasattr(ctypes.CDLL(None), "gnu_get_libc_version"):
    raise SystemExit
assert keep_freed_memory()
for _ in range(20):
    torch.ones(4_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(20):
    torch.ones(4_000_000)
assert resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before < 2000
"""
    subprocess.run([sys.executable, "-c", code], check=True)


def test_freed_memory_is_not_kept_without_glibc(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(machine.ctypes, "CDLL", lambda name: object())  # another C library
    assert not machine.keep_freed_memory()
    monkeypatch.setattr(machine.sys, "platform", "darwin")
    assert not machine.keep_freed_memory()


def test_threads_are_restored_after_an_error() -> None:
    before = torch.get_num_threads()
    with pytest.raises(KeyError), machine.limit_threads(1):
        raise KeyError
    assert torch.get_num_threads() == before


def test_device_names_are_checked_without_torch() -> None:
    for name in ("auto", "cpu", "cuda", "mps"):
        check_device_name(name)
    with pytest.raises(ConfigError, match="--device tpu: expected auto, cuda, mps or cpu"):
        check_device_name("tpu")
    assert choose_device("cpu") == torch.device("cpu")
    code = "import sys, zoogan.devices, zoogan.training.train; assert 'torch' not in sys.modules"
    subprocess.run([sys.executable, "-c", code], check=True)
