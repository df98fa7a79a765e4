"""What stands between this process and everything that it changes: open while it may, shut otherwise.

A process may be paused at any moment (SIGSTOP, a frozen container, a suspended machine) and go on without knowing. So
the question isn't whether somebody has told us to stop, but what the clock says, asked right before each call.

A hypervisor's pause of the whole virtual machine (a snapshot, a live migration) may be in no clock of the guest's. After
more than `LEASE_SECONDS` of that, a leader goes on until its next renewal tells it of another holder: at most
`RETRY_SECONDS` and the answer's time. docs/high-availability.md says why the order of steps survives that.
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
    """Seconds since the machine was started, with those in which it had suspended itself.

    CLOCK_MONOTONIC, which ``time.monotonic`` reads on Linux, goes on while a process is stopped, but not while the
    machine is suspended; where there is no CLOCK_BOOTTIME, it has to do. Neither need count what a hypervisor takes away.
    """
    return time.clock_gettime(_BOOT) if _BOOT is not None else time.monotonic()


def end_process(why: str) -> NoReturn:
    """End at once, without anything that would still be done on the way out."""
    log.critical("%s; the process ends so that it can't work beside another", why)
    os._exit(EXIT_STATUS)


class Fence:
    """Shut until it is opened.

    Args:
        lost: what is done with a call that is made while it is shut; doesn't return.
        clock: in seconds, and counts pauses.
    """

    def __init__(
        self, lost: Callable[[str], NoReturn] = end_process, clock: Callable[[], float] = boot_seconds
    ) -> None:
        self._lost = lost
        self._clock = clock
        self._until = float("-inf")

    def open_until(self, moment: float) -> None:
        """Let calls through until a moment of the clock; infinity where nobody else can be at work."""
        self._until = moment

    def shut(self) -> None:
        """Let nothing through from now on."""
        self._until = float("-inf")

    @property
    def seconds_left(self) -> float:
        """For how long calls get through from now on, unless it is opened anew."""
        return max(0.0, self._until - self._clock())

    @property
    def is_open(self) -> bool:
        """Whether a call would get through now."""
        return self.seconds_left > 0

    def check(self) -> None:
        """Return if a call may be made now, and not at all otherwise."""
        if not self.is_open:
            self._lost("The lease isn't, or may not be, this process's")
