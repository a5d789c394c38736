"""Gives the networks to one request at a time, and of each page's requests to the newest alone."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from typing import TypeVar

from starlette.concurrency import run_in_threadpool

Result = TypeVar("Result")
IsSuperseded = Callable[[], bool]
KEPT_LANES = 256


class SupersededError(Exception):
    """A newer request of the same page took the place of this one."""


class Turns:
    """One lock round all networks.

    A request that waits while a newer one of its lane comes gives up when it is its turn, and a long search stops.
    """

    def __init__(self) -> None:
        self._lock = asyncio.Lock()
        self._newest: OrderedDict[str, int] = OrderedDict()
        self._count = 0
        self.is_closed = False

    async def run(self, lane: str, work: Callable[[IsSuperseded], Result]) -> Result:
        """Run a function in a thread when it is its turn.

        Args:
            lane: Requests of which only the newest counts, such as those of one page and one run.
            work: Gets a function that tells whether a newer request came.

        Raises:
            SupersededError: A newer request of the lane came first.
        """
        self._count += 1
        number = self._newest[lane] = self._count
        self._newest.move_to_end(lane)
        while len(self._newest) > KEPT_LANES:
            self._newest.popitem(last=False)

        def is_superseded() -> bool:
            return self.is_closed or self._newest.get(lane) != number

        async with self._lock:
            if is_superseded():
                raise SupersededError
            return await run_in_threadpool(work, is_superseded)
