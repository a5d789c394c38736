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

    By default glibc takes large tensors from the kernel with mmap and gives them back when they are freed, so every
    iteration pays again for zeroed pages, which is dear in virtual machines. Measured on a CPU, times faster: StarGAN
    128 px 1.46-1.57 (discriminator step), StyleGAN2 1.02-1.20, SaGAN 1.02-1.06. The process then keeps the most memory
    that it ever used until it ends.

    Returns:
        Whether both options were accepted.
    """
    if not sys.platform.startswith("linux"):
        return False
    try:
        library = ctypes.CDLL(None)
        library.gnu_get_libc_version  # noqa: B018 (glibc alone has it)
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
    """Set the rounding and convolution flags of CUDA inside; afterwards, and on other devices, all is as torch has it.

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
