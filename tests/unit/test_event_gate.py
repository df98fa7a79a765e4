"""An event is told as often as people do things, and not as often as a loop turns."""

from litclaw.reconcile.core.event_rate import BURST, PAUSE_SECONDS, EventRateLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_few_in_a_row_pass_and_a_loop_is_told_now_and_then() -> None:
    clock = Clock()
    gate = EventRateLimit(clock)
    told = 0
    for _ in range(240):  # two hours of flapping every 30 s
        told += gate.passes(("uid", "ProxyUnavailable"))
        clock.now += 30
    assert told == BURST + 240 * 30 / PAUSE_SECONDS - 1


def test_another_event_and_another_resource_are_told_all_the_same() -> None:
    gate = EventRateLimit(Clock())
    while gate.passes(("uid", "Ready")):
        pass
    assert gate.passes(("uid", "Spent")) and gate.passes(("other", "Ready"))


def test_what_is_over_is_forgotten() -> None:
    clock = Clock()
    gate = EventRateLimit(clock)
    for number in range(10_000):  # an agent a second that comes and goes
        assert gate.passes((f"uid-{number}", "Ready"))
        clock.now += 1
    assert gate.remembered < 3 * PAUSE_SECONDS
