"""Which key a rotation begins next."""

from datetime import UTC, datetime

from litclaw.reconcile.core.queue import Request
from litclaw.reconcile.rotation.run import LONG, RotationRun

from .proxies import Clock

KEYS: dict[str, Request] = {uid: ("OpenClawAgent", "ns", uid) for uid in "abcdef"}


def run(limit: int = 2, stop: int = 0, clock: Clock | None = None, grace: int = 300) -> tuple[RotationRun, list[str]]:
    enqueued: list[str] = []
    found = RotationRun(
        ("LiteLLMKeyRotation", "", "the rotation"),
        not_before=datetime.now(UTC),
        grace=grace,
        limit=limit,
        stop=stop,
        enqueue=lambda request: enqueued.append(request[2]),
        monotonic=(clock or Clock()).monotonic,
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
    clock.pass_(LONG + 1)
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


def test_a_leaked_key_that_takes_long_ends_and_takes_no_turn_any_more() -> None:
    clock = Clock()
    found, enqueued = run(limit=1, clock=clock, grace=0)
    waiting = {"a": KEYS["a"], "b": KEYS["b"]}
    found.plan(waiting, {}, suspended=False)
    assert found.covers("a") and not found.gives_up("a")
    clock.pass_(LONG + 1)
    found.plan(waiting, {}, suspended=False)
    assert enqueued == ["a", "a", "b"], "once more to end the key, and the next has its turn"
    assert found.covers("a") and found.gives_up("a") and not found.gives_up("b")
    found.plan(waiting, {}, suspended=False)
    assert enqueued == ["a", "a", "b"]
    found.mark_done("a")
    assert not found.covers("a") and not found.gives_up("a") and not found.late
    found.mark_failed("b", "NameTaken")
    assert found.gives_up("b"), "a person must act"


def test_a_leaked_key_whose_proxy_answers_ends_although_none_can_be_created_there() -> None:
    clock = Clock()
    found, enqueued = run(limit=1, clock=clock, grace=0)
    unreachable = {"a": KEYS["a"], "b": KEYS["b"]}
    found.plan({"c": KEYS["c"]}, unreachable, answering={"a"}, suspended=False)
    assert enqueued == ["c"] and not found.covers("a"), "it takes no turn"
    clock.pass_(LONG - 1)
    found.plan({}, unreachable, answering=(), suspended=False)
    clock.pass_(2)
    found.plan({}, unreachable, answering={"a"}, suspended=False)
    assert not found.covers("a"), "the proxy was away meanwhile"
    clock.pass_(LONG + 1)
    found.plan({}, unreachable, answering={"a"}, suspended=False)
    assert enqueued == ["c", "a"] and found.gives_up("a") and not found.gives_up("b")


def test_a_key_with_a_grace_period_does_not_end_before_there_is_a_new_one() -> None:
    clock = Clock()
    found, _ = run(limit=1, clock=clock, grace=1)
    found.plan({"a": KEYS["a"]}, {"b": KEYS["b"]}, answering={"b"}, suspended=False)
    found.mark_failed("a", "NameTaken")
    clock.pass_(LONG + 1)
    found.plan({"a": KEYS["a"]}, {"b": KEYS["b"]}, answering={"b"}, suspended=False)
    assert not found.gives_up("a") and not found.gives_up("b") and not found.covers("b")
