"""Which key a rotation begins next."""

from datetime import UTC, datetime, timedelta

from litclaw.reconcile.core.queue import Request
from litclaw.reconcile.rotation.run import LONG, RotationRun

KEYS: dict[str, Request] = {uid: ("OpenClawAgent", "ns", uid) for uid in "abcdef"}


class Clock:
    now = datetime(2026, 11, 24, tzinfo=UTC)

    def __call__(self) -> datetime:
        return self.now


def run(limit: int = 2, stop: int = 0, clock: Clock | None = None) -> tuple[RotationRun, list[str]]:
    enqueued: list[str] = []
    found = RotationRun(
        ("LiteLLMKeyRotation", "", "the rotation"),
        not_before=datetime.now(UTC),
        grace=0,
        limit=limit,
        stop=stop,
        enqueue=lambda request: enqueued.append(request[2]),
        now=clock or Clock(),
    )
    return found, enqueued


def test_a_limited_number_is_in_progress_and_the_next_follow_at_once() -> None:
    found, enqueued = run()
    found.plan(KEYS, {}, suspended=False)
    assert enqueued == ["a", "b"] and found.in_progress == 2 and found.covers("a") and not found.covers("c")
    found.mark_done("a")
    assert enqueued == ["a", "b", "c"] and not found.covers("a")
    found.mark_failed("f", "it isn't its turn")
    assert not found.failures and found.in_progress == 2


def test_the_rotation_is_enqueued_as_soon_as_no_key_is_in_progress() -> None:
    found, enqueued = run()
    found.plan({"a": KEYS["a"], "b": KEYS["b"]}, {}, suspended=False)
    found.next_pass = 60.0
    found.mark_done("a")
    assert enqueued == ["a", "b"] and found.next_pass == 60.0
    found.mark_failed("b", "NameTaken")
    assert enqueued == ["a", "b", "the rotation"] and found.next_pass == 0.0
    found.mark_failed("b", "NameTaken")
    assert enqueued == ["a", "b", "the rotation"], "a key that has failed and fails again wasn't in progress"


def test_a_failed_key_takes_no_place_and_is_done_when_its_cause_is_fixed() -> None:
    found, enqueued = run(limit=1)
    found.plan(KEYS, {}, suspended=False)
    found.mark_failed("a", "NameTaken")
    assert enqueued == ["a", "b"] and found.covers("a") and found.failures == {"a": (KEYS["a"], "NameTaken")}
    found.plan({uid: KEYS[uid] for uid in "abc"}, {}, suspended=False)
    assert enqueued == ["a", "b"], "it isn't enqueued for the same again"
    found.mark_done("a")
    assert not found.failures
    found.mark_failed("b", "X")
    found.plan({uid: KEYS[uid] for uid in "c"}, {}, suspended=False)
    assert not found.failures, "a resource that is gone hasn't failed"


def test_a_key_whose_proxy_goes_away_gives_its_place_to_the_next() -> None:
    found, enqueued = run(limit=1)
    found.plan({"a": KEYS["a"], "b": KEYS["b"]}, {}, suspended=False)
    found.plan({"b": KEYS["b"]}, {"a": KEYS["a"]}, suspended=False)
    assert enqueued == ["a", "b"] and not found.covers("a")


def test_a_key_that_takes_long_gives_its_place_to_the_next_and_has_its_turn_again_after_the_rest() -> None:
    clock = Clock()
    found, enqueued = run(limit=1, clock=clock)
    waiting = {"a": KEYS["a"], "b": KEYS["b"]}
    found.plan(waiting, {}, suspended=False)
    clock.now += LONG + timedelta(seconds=1)
    found.plan(waiting, {}, suspended=False)
    assert enqueued == ["a", "b"] and found.late == {"a": KEYS["a"]}
    found.mark_done("b")
    assert enqueued == ["a", "b", "a"] and found.covers("a")


def test_it_stops_at_its_number_of_failures_and_begins_none_while_suspended() -> None:
    found, enqueued = run(limit=1, stop=2)
    found.plan(KEYS, {}, suspended=True)
    assert enqueued == []
    found.plan(KEYS, {}, suspended=False)
    found.mark_failed("a", "X")
    assert not found.stopped
    found.mark_failed("b", "X")
    assert found.stopped and enqueued == ["a", "b", "the rotation"] and found.in_progress == 0
    found.plan(KEYS, {}, suspended=False)
    assert enqueued == ["a", "b", "the rotation"]
