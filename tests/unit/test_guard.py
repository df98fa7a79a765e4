"""A pass that fails over one resource says so there, without the value that it failed over."""

import logging
from typing import Any

import pytest
from litclaw.kube.cache import Cache
from litclaw.kube.errors import InvalidError, UnavailableError
from litclaw.reconcile.context import Context
from litclaw.reconcile.core.last_resort import guarded

SECRET = "sk-what-must-not-be-seen"


class FakeKube:
    """Takes every write, as the API server would, and keeps it."""

    def __init__(self) -> None:
        self.applied: list[dict[str, Any]] = []

    async def apply(self, manifest: dict[str, Any], **_: object) -> dict[str, Any]:
        self.applied.append(manifest)
        return {**manifest, "metadata": {**manifest["metadata"], "resourceVersion": str(len(self.applied) + 1)}}


def context(kube: FakeKube) -> Context:
    return Context(
        kube=kube, cache=Cache(), cluster="c", wake=lambda key: None, enqueue_after=lambda key, seconds: None
    )  # type: ignore[arg-type]


def agent() -> dict[str, Any]:
    return {
        "apiVersion": "litclaw.dev/v1alpha1",
        "kind": "OpenClawAgent",
        "metadata": {"name": "x", "namespace": "y", "uid": "u", "generation": 7, "resourceVersion": "1"},
        "spec": {"routeRef": {"name": "main"}},
        "status": {"key": {"hash": "35fbc4e0"}, "spend": "3.21"},
    }


def ready(status: dict[str, Any]) -> dict[str, Any]:
    [found] = [condition for condition in status["conditions"] if condition["type"] == "Ready"]
    return dict(found)


async def test_what_nobody_thought_of_is_a_condition_and_keeps_what_was_known(caplog: pytest.LogCaptureFixture) -> None:
    async def fails() -> float | None:
        raise TypeError(f"can't add {SECRET}")

    kube = FakeKube()
    with caplog.at_level(logging.ERROR):
        requeue_after = await guarded(context(kube), agent(), ("KeyReady",), fails)
    assert requeue_after and requeue_after > 30
    status = next(each["status"] for each in kube.applied if "status" in each)
    assert (ready(status)["reason"], ready(status)["observedGeneration"]) == ("InternalError", 7)
    assert (status["key"], status["spend"], status["observedGeneration"]) == ({"hash": "35fbc4e0"}, "3.21", 7)
    assert "TypeError" in caplog.text and "fails" in caplog.text, "the log says where"
    assert SECRET not in caplog.text and SECRET not in str(kube.applied)


async def test_what_the_api_server_refuses_is_said_and_what_passes_is_tried_again() -> None:
    async def refused() -> float | None:
        raise InvalidError(422, "Invalid", "spec.affinity is no affinity")

    async def away() -> float | None:
        raise UnavailableError(503, "ServiceUnavailable", "later")

    kube = FakeKube()
    await guarded(context(kube), agent(), ("KeyReady",), refused)
    status = next(each["status"] for each in kube.applied if "status" in each)
    assert ready(status)["reason"] == "Refused" and "no affinity" in ready(status)["message"]
    with pytest.raises(UnavailableError):
        await guarded(context(FakeKube()), agent(), ("KeyReady",), away)
