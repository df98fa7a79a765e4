"""Whose turn it is in a rotation."""

from datetime import UTC, datetime

from litclaw.kube.cache import Key
from litclaw.reconcile.rotation.run import RotationRun

KEYS: dict[str, Key] = {uid: ("OpenClawAgent", "ns", uid) for uid in "abcdef"}


def run(limit: int = 2, stop: int = 0) -> tuple[RotationRun, list[str]]:
    woken: list[str] = []
    made = RotationRun(
        ("LiteLLMKeyRotation", "", "the rotation"),
        not_before=datetime.now(UTC),
        grace=0,
        limit=limit,
        stop=stop,
        wake=lambda key: woken.append(key[2]),
        now=lambda: datetime.now(UTC),
    )
    return made, woken


def test_so_many_are_worked_on_at_a_time_and_the_next_follow_at_once() -> None:
    found, woken = run()
    found.plan(KEYS, {}, resting=False)
    assert woken == ["a", "b"] and found.at_work == 2 and found.covers("a") and not found.covers("c")
    found.settle("a", None)
    assert woken == ["a", "b", "c"] and not found.covers("a")
    found.settle("f", "whose turn it isn't")
    assert not found.failures and found.at_work == 2


def test_the_rotation_is_looked_at_as_soon_as_nobody_is_worked_on() -> None:
    found, woken = run()
    found.plan({"a": KEYS["a"], "b": KEYS["b"]}, {}, resting=False)
    found.look_at = 60.0
    found.settle("a", None)
    assert woken == ["a", "b"] and found.look_at == 60.0
    found.settle("b", "NameTaken")
    assert woken == ["a", "b", "the rotation"] and found.look_at == 0.0
    found.settle("b", "NameTaken")
    assert woken == ["a", "b", "the rotation"], "who has failed and fails again hasn't been at work"


def test_one_that_failed_takes_no_place_and_is_done_when_it_is_mended() -> None:
    found, woken = run(limit=1)
    found.plan(KEYS, {}, resting=False)
    found.settle("a", "NameTaken")
    assert woken == ["a", "b"] and found.covers("a") and found.failures == {"a": (KEYS["a"], "NameTaken")}
    found.plan({uid: KEYS[uid] for uid in "abc"}, {}, resting=False)
    assert woken == ["a", "b"], "it isn't woken for the same again"
    found.settle("a", None)
    assert not found.failures
    found.settle("b", "X")
    found.plan({uid: KEYS[uid] for uid in "c"}, {}, resting=False)
    assert not found.failures, "who is gone hasn't failed"


def test_one_whose_proxy_goes_away_gives_its_place_to_the_next() -> None:
    found, woken = run(limit=1)
    found.plan({"a": KEYS["a"], "b": KEYS["b"]}, {}, resting=False)
    found.plan({"b": KEYS["b"]}, {"a": KEYS["a"]}, resting=False)
    assert woken == ["a", "b"] and not found.covers("a")


def test_it_stops_at_its_number_of_failures_and_rests_when_told() -> None:
    found, woken = run(limit=1, stop=2)
    found.plan(KEYS, {}, resting=True)
    assert woken == []
    found.plan(KEYS, {}, resting=False)
    found.settle("a", "X")
    assert not found.stopped
    found.settle("b", "X")
    assert found.stopped and woken == ["a", "b", "the rotation"] and found.at_work == 0
    found.plan(KEYS, {}, resting=False)
    assert woken == ["a", "b", "the rotation"]
