"""Events about one resource are emitted as often as people do things, and not as often as a loop turns."""

from litclaw.reconcile.core.event_rate import BURST, PAUSE_SECONDS, EventRateLimit


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


def test_a_few_in_a_row_pass_and_a_loop_passes_now_and_then() -> None:
    clock = Clock()
    limit = EventRateLimit(clock)
    passed = 0
    for _ in range(240):  # two hours in which a condition changes every 30 s
        passed += limit.passes(("uid", "ProxyUnavailable"))
        clock.now += 30
    assert passed == BURST + 240 * 30 / PAUSE_SECONDS - 1


def test_another_event_and_another_resource_have_limits_of_their_own() -> None:
    limit = EventRateLimit(Clock())
    while limit.passes(("uid", "Ready")):
        pass
    assert limit.passes(("uid", "Spent")) and limit.passes(("other", "Ready"))


def test_full_buckets_are_forgotten() -> None:
    clock = Clock()
    limit = EventRateLimit(clock)
    for number in range(10_000):  # an agent a second that comes and goes
        assert limit.passes((f"uid-{number}", "Ready"))
        clock.now += 1
    assert limit.remembered < 3 * PAUSE_SECONDS
