"""The intake of watch events: the cache takes each, and what it concerns is reconciled; our own writes enqueue nothing."""

import copy
from typing import Any

import pytest
from litclaw.handlers.intake import Intake
from litclaw.kube.cache import Cache, key_of
from litclaw.kube.resources import AGENT, SECRET
from litclaw.reconcile.core.queue import Request
from litclaw.render.agent.secret import agent_secret
from litclaw.render.metadata import owned_object
from litclaw.render.route.service import route_service

from .routes import managed_route
from .scenes import Body, agent_body, agent_of, route_body


class Taken:
    """An intake, and what it enqueues."""

    def __init__(self) -> None:
        self.cache = Cache()
        self.enqueued: list[Request] = []
        self.intake = Intake(self.cache, self.enqueued.append)

    def handle(self, event: str | None, body: Body) -> list[Request]:
        """Take an event; returns what it enqueues."""
        self.enqueued.clear()
        self.intake.handle(event, body)
        return list(self.enqueued)


@pytest.fixture
def taken() -> Taken:
    return Taken()


def versioned(body: Body, version: int, **meta: Any) -> Body:
    """An object with a resource version and a uid."""
    uid = body["metadata"].get("uid", f"uid-{body['metadata']['name']}")
    return {**body, "metadata": {"uid": uid, **body["metadata"], "resourceVersion": str(version), **meta}}


def secret(version: int, **meta: Any) -> Body:
    """The Secret of the agent ``n/a``."""
    return versioned(agent_secret(agent_of(), key="sk-x", token="t", base_url="http://x"), version, **meta)


AGENT_A: Request = ("OpenClawAgent", "n", "a")
ROUTE_MAIN: Request = ("LiteLLMRoute", "ai", "main")


def test_an_event_concerns_the_resource_or_the_owner_of_the_object(taken: Taken) -> None:
    assert taken.handle(None, agent_body()) == [AGENT_A], "of kopf's first list"
    assert taken.handle("ADDED", route_body()) == [("LiteLLMRoute", "n", "r")]
    rotation = {"kind": "LiteLLMKeyRotation", "metadata": {"name": "x", "uid": "x", "resourceVersion": "1"}, "spec": {}}
    assert taken.handle("ADDED", rotation) == [("LiteLLMKeyRotation", "", "x")]
    assert taken.handle("ADDED", secret(2)) == [AGENT_A]
    assert taken.handle("DELETED", secret(3)) == [AGENT_A] and taken.cache.get("Secret", "n", "a-litellm") is None


def test_a_namespace_concerns_its_agents(taken: Taken) -> None:
    for body in (agent_body("a"), agent_body("b", "v"), agent_body("c", "w", namespace="other")):
        taken.handle("ADDED", body)
    namespace = {"kind": "Namespace", "metadata": {"name": "n", "uid": "n", "resourceVersion": "5"}}
    assert sorted(taken.handle("MODIFIED", namespace)) == [AGENT_A, ("OpenClawAgent", "n", "b")]


def test_an_object_of_a_foreign_owner_concerns_nobody(taken: Taken) -> None:
    foreign = secret(
        1, ownerReferences=[{"apiVersion": "v1", "kind": "ConfigMap", "name": "x", "uid": "x", "controller": True}]
    )
    assert taken.handle("ADDED", foreign) == [] and taken.handle("ADDED", secret(1, ownerReferences=[])) == []


def test_our_own_write_enqueues_nothing_and_the_next_change_does(taken: Taken) -> None:
    taken.handle("ADDED", agent_body())
    taken.cache.store_written(secret(5))
    assert taken.handle("ADDED", secret(5)) == [], "the pass knows what it has written"
    assert taken.handle("MODIFIED", secret(6)) == [AGENT_A]
    written = agent_body(resourceVersion="7", status={"spend": "1.00"})
    taken.cache.store_written(written, agent_body())
    assert taken.handle("MODIFIED", written) == [], "a status"


def test_the_deletion_of_an_object_that_we_have_written_is_not_our_own_write(taken: Taken) -> None:
    taken.cache.store_written(secret(5))
    assert taken.handle("DELETED", secret(5)) == [AGENT_A]


def test_a_route_goes_on_with_what_becomes_of_its_own_objects(taken: Taken) -> None:
    route, managed = managed_route()
    service = versioned(route_service(route, managed), 5)
    taken.cache.store_written(service)
    assert taken.handle("MODIFIED", service) == [ROUTE_MAIN], "its pods may be there by now"
    body = route_body(status={"url": "x"})
    taken.cache.store_written(body)
    assert taken.handle("MODIFIED", body) == []


def test_an_object_whose_owner_reference_is_removed_concerns_its_former_owner(taken: Taken) -> None:
    taken.handle("ADDED", secret(1))
    assert taken.handle("MODIFIED", secret(2, ownerReferences=[])) == [AGENT_A]
    assert taken.cache.get("Secret", "n", "a-litellm") is None, "it isn't ours any more"
    assert taken.handle("MODIFIED", secret(3, ownerReferences=[])) == []


def test_an_object_that_changes_its_owner_concerns_both(taken: Taken) -> None:
    taken.handle("ADDED", secret(1))
    other = owned_object(agent_of(name="b", uid="v"), "v1", "Secret", "a-litellm", component="virtual-key")
    assert sorted(taken.handle("MODIFIED", {**versioned(other, 2), "data": {}})) == [
        AGENT_A,
        ("OpenClawAgent", "n", "b"),
    ]


def test_events_during_a_write_are_handled_after_its_response(taken: Taken) -> None:
    taken.handle("ADDED", agent_body())
    with taken.cache.writing(key_of(secret(5))):
        assert taken.handle("ADDED", secret(5)) == [], "it may be our own write"
        assert taken.handle("MODIFIED", secret(6)) == [], "or somebody else's"
        assert taken.cache.get("Secret", "n", "a-litellm") is None
        assert taken.handle("MODIFIED", agent_body(resourceVersion="6")) == [AGENT_A], (
            "events of other objects aren't deferred"
        )
        taken.enqueued.clear()
        taken.cache.store_written(secret(5))
    assert taken.enqueued == [AGENT_A], "once: for version 6, which isn't ours"
    assert taken.cache.get("Secret", "n", "a-litellm") == taken.cache.get(*key_of(secret(6)))


def test_an_older_version_does_not_replace_a_newer_one(taken: Taken) -> None:
    taken.handle("ADDED", agent_body(resourceVersion="9", suspend=True))
    taken.handle("MODIFIED", agent_body(resourceVersion="8"))
    found = taken.cache.get("OpenClawAgent", "n", "a")
    assert found and found["spec"]["suspend"]


def test_objects_that_a_list_lacks_are_removed_and_enqueued(taken: Taken) -> None:
    for body in (agent_body("a", "u"), agent_body("b", "v"), secret(3)):
        taken.handle("ADDED", body)
    taken.enqueued.clear()
    taken.intake.prune(AGENT, "", {"v"}, 100)
    assert taken.enqueued == [AGENT_A] and [each["metadata"]["name"] for each in taken.cache.all("OpenClawAgent")] == [
        "b"
    ]
    taken.intake.prune(SECRET, "other", set(), 100)
    assert taken.cache.get("Secret", "n", "a-litellm"), "a list of another namespace"
    taken.intake.prune(SECRET, "n", set(), 100)
    assert taken.cache.get("Secret", "n", "a-litellm") is None and taken.enqueued == [AGENT_A, AGENT_A]


def test_kopf_s_copies_of_it_are_itself(taken: Taken) -> None:
    assert copy.copy(taken.intake) is taken.intake, "kopf copies its memo for each object"
