"""A pass that fails over one resource becomes that resource's condition, without the value that it failed over."""

import logging
from typing import Any

import pytest
from litclaw.kube.errors import InvalidError, UnavailableError
from litclaw.reconcile.core.conditions import ConditionType
from litclaw.reconcile.core.last_resort import guarded

from .scenes import Body, FakeKube, agent_body, context_of

SECRET = "sk-what-must-not-be-seen"
REQUIRED = (ConditionType.KEY_READY,)


def agent() -> Body:
    return agent_body(generation=7, status={"key": {"hash": "35fbc4e0"}, "spend": "3.21"})


def ready(status: dict[str, Any]) -> dict[str, Any]:
    [found] = [condition for condition in status["conditions"] if condition["type"] == "Ready"]
    return dict(found)


async def test_an_unexpected_exception_is_a_condition_and_keeps_the_rest_of_the_status(
    caplog: pytest.LogCaptureFixture,
) -> None:
    async def fails() -> float | None:
        raise TypeError(f"can't add {SECRET}")

    kube = FakeKube(agent())
    with caplog.at_level(logging.ERROR):
        requeue_after, failed = await guarded(context_of(kube), agent(), REQUIRED, fails)
    assert requeue_after and requeue_after > 30
    assert failed and (failed.reason, failed.stalled) == ("InternalError", True) and SECRET not in failed.message
    status = next(each["status"] for each in kube.applied if "status" in each)
    assert (ready(status)["reason"], ready(status)["observedGeneration"]) == ("InternalError", 7)
    assert (status["key"], status["spend"], status["observedGeneration"]) == ({"hash": "35fbc4e0"}, "3.21", 7)
    assert "TypeError" in caplog.text and "fails" in caplog.text, "the log has the place"
    assert SECRET not in caplog.text and SECRET not in str(kube.applied)


async def test_a_refusal_of_the_api_server_is_a_condition_and_a_transient_error_is_retried() -> None:
    async def refused() -> float | None:
        raise InvalidError(422, "Invalid", "spec.affinity is no affinity")

    async def away() -> float | None:
        raise UnavailableError(503, "ServiceUnavailable", "later")

    kube = FakeKube(agent())
    _, failed = await guarded(context_of(kube), agent(), REQUIRED, refused)
    status = next(each["status"] for each in kube.applied if "status" in each)
    assert ready(status)["reason"] == "Refused" and "no affinity" in ready(status)["message"]
    assert failed and failed.reason == "Refused"
    kube = FakeKube(agent())
    with pytest.raises(UnavailableError):
        await guarded(context_of(kube), agent(), REQUIRED, away)
    assert not kube.applied


async def test_a_pass_that_ends_well_has_no_problem_and_writes_nothing() -> None:
    async def fine() -> float | None:
        return 12.0

    kube = FakeKube(agent())
    assert await guarded(context_of(kube), agent(), REQUIRED, fine) == (12.0, None)
    assert not kube.applied
