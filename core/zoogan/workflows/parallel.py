"""Work on many pictures in threads: decoding releases Python's lock."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Generator, Iterable
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

Item = TypeVar("Item")
Result = TypeVar("Result")


def count_cores() -> int:
    """Count the CPU cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def map_in_threads(function: Callable[[Item], Result], items: Iterable[Item]) -> Generator[Result]:
    """Apply a function in one thread for each core, and yield the results in order.

    Closing the generator, or Ctrl-C, cancels what has not begun.

    Args:
        function: The function; an exception of it is raised here.
        items: Its arguments; a few are read ahead.

    Yields:
        One result for each item.
    """
    threads, rest = count_cores(), iter(items)
    pool = ThreadPoolExecutor(threads, thread_name_prefix="zoogan-pictures")
    waiting: deque[Future[Result]] = deque()
    try:
        waiting += (pool.submit(function, item) for item in islice(rest, 2 * threads))
        while waiting:
            result = waiting.popleft().result()
            waiting += (pool.submit(function, item) for item in islice(rest, 1))
            yield result
    finally:
        pool.shutdown(wait=False, cancel_futures=True)
