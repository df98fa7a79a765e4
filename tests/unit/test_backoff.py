"""Delays double up to the longest, are never the same for two callers, and start again after a success."""

from litclaw.net.backoff import Backoff, jittered


def test_a_delay_is_within_a_quarter_of_what_is_asked_and_differs_each_time() -> None:
    delays = {jittered(100) for _ in range(200)}
    assert len(delays) > 100 and 75 <= min(delays) < 85 and 115 < max(delays) <= 125


def test_delays_double_up_to_the_longest_and_start_again_after_a_success() -> None:
    backoff = Backoff(1, 5)
    for expected in (1, 2, 4, 5, 5):
        assert 0.75 * expected <= backoff.next() <= 1.25 * expected
    backoff.reset()
    assert backoff.next() <= 1.25
