"""Memory and disk space that run out: recognising it, and going on with smaller batches. Imports no torch itself."""

from __future__ import annotations

import errno
import gc
import logging
import sys
from collections.abc import Callable, Iterator, Sequence
from typing import Any, TypeVar

from zoogan.errors import OutOfMemory

log = logging.getLogger("zoogan")
Row = TypeVar("Row")
Result = TypeVar("Result")
MEMORY_WORDS = ("out of memory", "can't allocate memory", "not enough memory", "CUBLAS_STATUS_ALLOC_FAILED")


def is_out_of_memory(error: BaseException) -> bool:
    """Return whether an error says that memory ran out: Python's, or torch's on any device."""
    if isinstance(error, MemoryError) or "OutOfMemoryError" in (kind.__name__ for kind in type(error).__mro__):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error) for words in MEMORY_WORDS)


def is_disk_full(error: BaseException) -> bool:
    """Return whether an error says that a disk, or the user's share of it, is full."""
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return True
    return "No space left on device" in str(error)  # of safetensors, which has an error of its own


def free_memory() -> None:
    """Give back the memory of tensors that nothing refers to any more."""
    gc.collect()
    torch: Any = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.empty_cache()


def run_in_batches(rows: Sequence[Row], batch: int, work: Callable[[Sequence[Row]], Result]) -> Iterator[Result]:
    """Do something with rows in batches; where memory runs out, go on with half a batch, down to one row.

    Args:
        rows: All rows.
        batch: How many at once.
        work: Called with each batch; a batch that failed is repeated in halves.

    Yields:
        What `work` returned.

    Raises:
        OutOfMemory: A single row needs more memory than there is.
    """
    first = 0
    while first < len(rows):
        part = rows[first : first + batch]
        try:
            result = work(part)
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            if len(part) == 1:
                raise OutOfMemory(
                    "out of memory with a single face at a time; close other programs, or take --device cpu or a "
                    "machine with more memory"
                ) from error
        else:
            first += len(part)
            yield result
            continue
        batch = (len(part) + 1) // 2  # outside of `except`, which would keep the tensors of the failed batch alive
        log.warning("out of memory with %d faces at once; going on with %d", len(part), batch)
        free_memory()
