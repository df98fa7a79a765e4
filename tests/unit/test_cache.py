"""The cache keeps the newest version of an object and no value of a Secret."""

import base64
import hashlib
import json
from contextlib import suppress
from typing import Any

from litclaw.kube.cache import Cache
from litclaw.kube.interning import Shared

KEY = "sk-a-virtual-key-of-an-agent"


def secret(version: int, *, uid: str = "u1", owner: str = "agent-1", value: str = KEY) -> dict[str, object]:
    reference = {"kind": "OpenClawAgent", "name": "scout", "uid": owner, "controller": True}
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "scout-litellm",
            "namespace": "team-a",
            "uid": uid,
            "resourceVersion": str(version),
            "managedFields": [{"manager": "litclaw"}],
            "ownerReferences": [reference],
        },
        "data": {"LITELLM_API_KEY": base64.b64encode(value.encode()).decode()},
    }


def test_a_value_is_kept_as_the_hash_that_litellm_calls_its_token() -> None:
    cache = Cache()
    cache.observe(secret(1))
    held = cache.get("Secret", "team-a", "scout-litellm")
    assert held and held["data"] == {"LITELLM_API_KEY": hashlib.sha256(KEY.encode()).hexdigest()}
    assert KEY not in str(held) and base64.b64encode(KEY.encode()).decode() not in str(held)
    assert "managedFields" not in held["metadata"]


def test_a_late_event_does_not_undo_what_a_write_has_told() -> None:
    cache = Cache()
    cache.observe(secret(12, value="the newer one"))
    cache.observe(secret(9))
    held = cache.get("Secret", "team-a", "scout-litellm")
    assert held and held["metadata"]["resourceVersion"] == "12"


def test_a_late_deletion_does_not_forget_the_successor() -> None:
    cache = Cache()
    cache.observe(secret(20, uid="u2"))
    cache.forget(secret(10, uid="u1"))
    assert cache.get("Secret", "team-a", "scout-litellm")
    cache.forget(secret(21, uid="u2"))
    assert cache.get("Secret", "team-a", "scout-litellm") is None


def test_children_follow_their_owner() -> None:
    cache = Cache()
    cache.observe(secret(1, owner="agent-1"))
    assert [body["kind"] for body in cache.children("agent-1")] == ["Secret"]
    cache.observe(secret(2, owner="agent-2"))
    assert cache.children("agent-1") == [] and len(cache.children("agent-2")) == 1
    cache.forget(secret(3, owner="agent-2"))
    assert cache.children("agent-2") == []


def test_what_a_full_list_lacks_is_dropped_unless_it_is_newer_than_the_list() -> None:
    cache = Cache()
    cache.observe(secret(5))
    assert cache.prune("Secret", {"u1"}, 9) == []
    cache.observe(secret(12, uid="u2"))
    assert cache.prune("Secret", {"u1"}, 9) == [], "made after the list was"
    [gone] = cache.prune("Secret", set(), 20)
    assert gone["metadata"]["uid"] == "u2" and cache.get("Secret", "team-a", "scout-litellm") is None
    assert cache.children("agent-1") == [] and list(cache.within("Secret", "team-a")) == []


def test_the_event_of_our_own_write_is_no_news_and_the_next_one_is() -> None:
    cache = Cache()
    cache.wrote(secret(5))
    assert not cache.is_news(secret(5)), "the event that our write caused"
    assert cache.is_news(secret(6, value="somebody else's"))
    cache.wrote(secret(8))
    assert cache.is_news(secret(9)), "several changes may come as one event, the last"
    cache.observe(secret(12))
    assert cache.is_news(secret(12)), "what a watch has shown first"


def test_what_a_watch_shows_during_a_write_waits_for_its_answer() -> None:
    cache = Cache()
    seen: list[bool] = []

    def see(body: dict[str, Any]) -> None:
        if not cache.waits(body, lambda: see(body)):
            seen.append(cache.is_news(body))

    with cache.writing(("Secret", "team-a", "scout-litellm")):
        see(secret(5))
        see(secret(6, value="somebody else's"))
        assert seen == []
        cache.wrote(secret(5))
    assert seen == [False, True], "the event of our own write was faster than the answer"
    with suppress(RuntimeError), cache.writing(("Secret", "team-a", "scout-litellm")):
        see(secret(7))
        raise RuntimeError
    assert seen == [False, True, True], "one that failed may be done all the same"


def test_what_a_full_list_lacks_is_not_seen_again_after_a_write() -> None:
    cache = Cache()
    seen: list[str] = []
    with cache.writing(("Secret", "team-a", "scout-litellm")):
        assert cache.waits(secret(5), lambda: seen.append("the Secret"))
        cache.prune("Agent", set(), 9)
        cache.prune("Secret", {"another"}, 9)
    assert seen == []


def test_a_write_over_what_its_owner_has_changed_meanwhile_is_news() -> None:
    def agent(version: int, generation: int, **annotations: str) -> dict[str, object]:
        meta = {"name": "scout", "namespace": "team-a", "uid": "a", "resourceVersion": str(version)}
        return {
            "kind": "OpenClawAgent",
            "metadata": {**meta, "generation": generation, "annotations": annotations},
        }

    cache = Cache()
    cache.wrote(agent(5, 1), agent(4, 1))
    assert not cache.is_news(agent(5, 1))
    cache.wrote(agent(7, 2), agent(5, 1))
    assert cache.is_news(agent(7, 2)), "the spec has changed between what the pass went by and its write"
    cache.wrote(agent(9, 2, rotate="now"), agent(7, 2))
    assert cache.is_news(agent(9, 2, rotate="now"))
    cache.wrote(agent(10, 2), agent(9, 2))
    cache.forget(agent(10, 2))
    assert cache.is_news(agent(10, 2)), "nothing is remembered of what has gone"


def test_what_many_objects_say_is_kept_once() -> None:
    cache = Cache()
    for number in range(3):
        body = json.loads(json.dumps(secret(1, uid=f"u{number}")))
        cache.observe({**body, "metadata": {**body["metadata"], "name": f"s{number}"}})
    first, *others = [body["metadata"] for body in cache.all("Secret")]
    for other in others:
        assert other["namespace"] is first["namespace"] and other["uid"] != first["uid"]
        assert other["ownerReferences"][0]["kind"] is first["ownerReferences"][0]["kind"]


def test_more_strings_than_are_kept_are_still_right() -> None:
    shared = Shared()
    values = [{"name": f"n{number}", "long": "x" * 100, "list": [number, None, True]} for number in range(12_000)]
    assert [shared.of(value) for value in values] == values
    assert len(shared._known) <= 5_000
