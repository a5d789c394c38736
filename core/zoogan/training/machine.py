"""Memory, threads and rounding of the machine while a training runs."""

from __future__ import annotations

import ctypes
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import torch

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # options of glibc's mallopt, see mallopt(3)


def keep_freed_memory() -> bool:
    """Let glibc keep freed memory for the next tensor. Does nothing with another C library.

    By default glibc allocates large tensors with mmap and returns them to the kernel when they are freed, so every
    iteration waits for zeroed pages, which is slow in virtual machines. With kept memory a CPU is 1.46 to 1.57 times as
    fast for StarGAN at 128 px (discriminator step), 1.02 to 1.20 times for StyleGAN2 and 1.02 to 1.06 times for SaGAN.
    The process then holds its peak memory until it ends.

    Returns:
        Whether both options were accepted.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (only glibc has it)
        mallopt = library.mallopt
    except (AttributeError, OSError):
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, 2**31 - 1))


@contextmanager
def limit_threads(threads: int | None) -> Iterator[None]:
    """Use at most so many CPU threads inside; afterwards as many as before.

    Args:
        threads: None, or more than torch takes by itself (OMP_NUM_THREADS), changes nothing.
    """
    before = torch.get_num_threads()
    torch.set_num_threads(min(before, threads or before))
    try:
        yield
    finally:
        torch.set_num_threads(before)


@contextmanager
def use_cuda_flags(device: torch.device, tf32: bool) -> Iterator[None]:
    """Set the rounding and convolution flags of CUDA inside this context; restore them afterwards.

    Inside, cuDNN takes the fastest convolution for each shape, because the shapes of training are fixed.

    Args:
        device: of the training.
        tf32: whether fp32 products and convolutions may round to TensorFloat-32.
    """
    matmul, cudnn = torch.backends.cuda.matmul, torch.backends.cudnn
    settings = [(matmul, "allow_tf32", tf32), (cudnn, "allow_tf32", tf32), (cudnn, "benchmark", True)]
    flags = settings if device.type == "cuda" else []
    before = [getattr(owner, flag) for owner, flag, _ in flags]
    try:
        for owner, flag, value in flags:
            setattr(owner, flag, value)
        yield
    finally:
        for (owner, flag, _), value in zip(flags, before):
            setattr(owner, flag, value)
