"""The leadership fence: it is checked before each mutating request, and ends a process that no longer leads.

A process may be paused at any moment (SIGSTOP, a frozen container, a suspended machine) and continue without noticing. So
the fence doesn't rely on a notification: it compares the clock with the end of the lease, right before each request.

A hypervisor's pause of the whole virtual machine (a snapshot, a live migration) may be missing in every clock of the guest.
After a pause of more than `LEASE_SECONDS`, a leader continues until its next renewal shows another holder: at most
`RETRY_SECONDS` and the response time. docs/high-availability.md explains why the order of steps survives that.
"""

import logging
import os
import time
from collections.abc import Callable
from typing import NoReturn

log = logging.getLogger(__name__)

EXIT_STATUS = 3
_BOOT = getattr(time, "CLOCK_BOOTTIME", None)


def boot_seconds() -> float:
    """Seconds since the machine booted, including the time that it was suspended.

    CLOCK_MONOTONIC, which ``time.monotonic`` reads on Linux, continues while a process is stopped, but not while the machine
    is suspended. It is the fallback where there is no CLOCK_BOOTTIME. Neither clock need count a hypervisor's pause.
    """
    return time.clock_gettime(_BOOT) if _BOOT is not None else time.monotonic()


def end_process(why: str) -> NoReturn:
    """End the process at once: no ``finally`` block and no exit handler runs."""
    log.critical("%s; the process ends, so that two never work at once", why)
    os._exit(EXIT_STATUS)


class Fence:
    """Shut until it is opened.

    Args:
        lost: called by a check while the fence is shut; it doesn't return.
        clock: seconds; must count pauses of the process.
    """

    def __init__(
        self, lost: Callable[[str], NoReturn] = end_process, clock: Callable[[], float] = boot_seconds
    ) -> None:
        self._lost = lost
        self._clock = clock
        self._until = float("-inf")

    def open_until(self, moment: float) -> None:
        """Allow calls until a moment of the clock; infinity where no other process can lead."""
        self._until = moment

    def shut(self) -> None:
        """Allow no call from now on."""
        self._until = float("-inf")

    @property
    def seconds_left(self) -> float:
        """For how many seconds calls are allowed, unless the fence is opened again."""
        return max(0.0, self._until - self._clock())

    @property
    def is_open(self) -> bool:
        """True if a call is allowed now."""
        return self.seconds_left > 0

    def check(self) -> None:
        """Return if a call is allowed now; end the process otherwise."""
        if not self.is_open:
            self._lost("The lease has expired, or another process has it")
