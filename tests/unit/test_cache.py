"""The cache keeps the newest version of an object that is ours, no value of a Secret, and of large objects a part."""

import base64
import hashlib
import json
import sys
import tracemalloc
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from litclaw.kube.cache import Cache, compact, is_trimmed
from litclaw.kube.errors import ConflictError
from litclaw.kube.interning import Interner
from litclaw.kube.size import exceeds

Body = dict[str, Any]

KEY = "sk-a-virtual-key-of-an-agent"
SECRET = ("Secret", "team-a", "scout-litellm")
OUR_FIELDS = {"manager": "litclaw", "fieldsV1": {"f:metadata": {"f:annotations": {"f:reloader.example/match": {}}}}}


def owner(uid: str, kind: str = "OpenClawAgent", api_version: str = "litclaw.dev/v1alpha1") -> list[Body]:
    return [{"apiVersion": api_version, "kind": kind, "name": "scout", "uid": uid, "controller": True}]


def secret(version: int, *, uid: str = "u1", agent_uid: str = "agent-1", value: str = KEY, **metadata: Any) -> Body:
    return {
        "apiVersion": "v1",
        "kind": "Secret",
        "metadata": {
            "name": "scout-litellm",
            "namespace": "team-a",
            "uid": uid,
            "resourceVersion": str(version),
            "managedFields": [OUR_FIELDS],
            "ownerReferences": owner(agent_uid),
            **metadata,
        },
        "data": {"LITELLM_API_KEY": base64.b64encode(value.encode()).decode()},
    }


def agent(name: str, version: int = 1, *, route: Body | None = None, namespace: str = "team-a", **spec: Any) -> Body:
    meta = {"name": name, "namespace": namespace, "uid": f"uid-{name}", "resourceVersion": str(version)}
    return {"kind": "OpenClawAgent", "metadata": meta, "spec": {"routeRef": route or {"name": "main"}, **spec}}


def names(bodies: list[Body]) -> list[str]:
    return [f"{body['metadata']['namespace']}/{body['metadata']['name']}" for body in bodies]


def test_a_value_is_kept_as_the_hash_that_litellm_calls_its_token() -> None:
    cache = Cache()
    cache.store(secret(1))
    cached = cache.get(*SECRET)
    assert cached and cached["data"] == {"LITELLM_API_KEY": hashlib.sha256(KEY.encode()).hexdigest()}
    assert KEY not in str(cached) and base64.b64encode(KEY.encode()).decode() not in str(cached)
    assert "managedFields" not in cached["metadata"]


# Versions


def test_a_late_event_does_not_undo_the_response_to_a_write() -> None:
    cache = Cache()
    cache.store(secret(12, value="the newer one"))
    cache.store(secret(9))
    cached = cache.get(*SECRET)
    assert cached and cached["metadata"]["resourceVersion"] == "12"


def test_an_older_object_of_the_same_name_does_not_replace_its_successor() -> None:
    cache = Cache()
    cache.store(secret(20, uid="u2", agent_uid="agent-2"))
    cache.store(secret(10, uid="u1", agent_uid="agent-1"))
    cached = cache.get(*SECRET)
    assert cached and cached["metadata"]["uid"] == "u2"
    assert cache.owned_by("team-a", "agent-1") == [] and len(cache.owned_by("team-a", "agent-2")) == 1


def test_a_late_deletion_does_not_remove_the_successor() -> None:
    cache = Cache()
    cache.store(secret(20, uid="u2"))
    cache.remove(secret(10, uid="u1"))
    assert cache.get(*SECRET)
    cache.remove(secret(21, uid="u2"))
    assert cache.get(*SECRET) is None


def test_what_a_full_list_lacks_is_removed_unless_it_is_newer_than_the_list() -> None:
    cache = Cache()
    cache.store(secret(5))
    assert cache.prune("Secret", {"u1"}, 9) == []
    cache.store(secret(12, uid="u2"))
    assert cache.prune("Secret", {"u1"}, 9) == [], "created after the list"
    [gone] = cache.prune("Secret", set(), 20)
    assert gone["metadata"]["uid"] == "u2" and cache.get(*SECRET) is None
    assert cache.owned_by("team-a", "agent-1") == [] and list(cache.within("Secret", "team-a")) == []


# Indexes


def test_owned_objects_follow_their_owner() -> None:
    cache = Cache()
    cache.store(secret(1, agent_uid="agent-1"))
    assert [body["kind"] for body in cache.owned_by("team-a", "agent-1")] == ["Secret"]
    cache.store(secret(2, agent_uid="agent-2"))
    assert cache.owned_by("team-a", "agent-1") == [] and len(cache.owned_by("team-a", "agent-2")) == 1
    cache.remove(secret(3, agent_uid="agent-2"))
    assert cache.owned_by("team-a", "agent-2") == []


def test_agents_are_found_by_the_route_that_they_name() -> None:
    cache = Cache()
    shared = {"name": "main", "namespace": "ai"}
    for each in (agent("b", route=shared), agent("a", route=shared), agent("own"), agent("z", namespace="a-team")):
        cache.store(each)
    cache.store(agent("y", route=shared, namespace="a-team"))
    assert names(cache.agents_of(("ai", "main"))) == ["a-team/y", "team-a/a", "team-a/b"]
    assert names(cache.agents_of(("team-a", "main"))) == ["team-a/own"], "without a namespace it is the agent's"
    cache.store(agent("a", 2, route={"name": "main"}))
    assert names(cache.agents_of(("ai", "main"))) == ["a-team/y", "team-a/b"]
    assert names(cache.agents_of(("team-a", "main"))) == ["team-a/a", "team-a/own"]
    cache.remove(agent("a", 3))
    cache.prune("OpenClawAgent", {"uid-b"}, 9)
    assert names(cache.agents_of(("ai", "main"))) == ["team-a/b"] and cache.agents_of(("team-a", "main")) == []


def test_an_agent_that_an_older_crd_let_through_without_a_route_belongs_to_none() -> None:
    cache = Cache()
    body = agent("scout")
    del body["spec"]
    cache.store(body)
    assert cache.get("OpenClawAgent", "team-a", "scout") and cache.agents_of(("team-a", "main")) == []


_EVENTS = st.tuples(
    st.sampled_from(["store", "remove", "write", "prune"]),
    st.sampled_from(["a", "b", "c"]),
    st.sampled_from(["x", "y"]),
    st.integers(1, 20),
    st.sampled_from(["main", "other"]),
    st.booleans(),
)


@given(st.lists(_EVENTS, max_size=40))
def test_indexes_agree_with_the_objects_whatever_happened(events: list[tuple[str, str, str, int, str, bool]]) -> None:
    cache = Cache()
    for what, name, uid, version, route, is_ours in events:
        bodies = [agent(name, version, route={"name": route}), secret(version, uid=uid, agent_uid=f"owner-{route}")]
        bodies[0]["metadata"]["uid"] = uid
        if not is_ours:
            del bodies[1]["metadata"]["ownerReferences"]
        for body in bodies:
            if what == "prune":
                cache.prune(body["kind"], {uid}, version)
            else:
                {"store": cache.store, "remove": cache.remove, "write": cache.store_written}[what](body)
    agents = sorted(cache.all("OpenClawAgent"), key=lambda body: str(body["metadata"]["name"]))
    for route in ("main", "other"):
        assert cache.agents_of(("team-a", route)) == [a for a in agents if a["spec"]["routeRef"]["name"] == route]
        owned = [s for s in cache.all("Secret") if s["metadata"]["ownerReferences"][0]["uid"] == f"owner-{route}"]
        assert cache.owned_by("team-a", f"owner-{route}") == owned
    cached = {body["metadata"]["uid"] for kind in ("OpenClawAgent", "Secret") for body in cache.all(kind)}
    assert set(cache._written) <= cached, "no record outlives its object"


# Our own writes


def test_the_event_of_our_own_write_is_known_once_and_the_next_one_is_news() -> None:
    cache = Cache()
    cache.store_written(secret(5))
    assert cache.is_own_write(secret(5)), "the event that our write caused"
    assert not cache.is_own_write(secret(5)), "the record is consumed"
    assert not cache.is_own_write(secret(6, value="somebody else's"))
    cache.store_written(secret(8))
    assert not cache.is_own_write(secret(9)), "several changes may come as one event, the last"
    cache.store(secret(12))
    assert not cache.is_own_write(secret(12)), "a version that a watch has shown first"


def test_a_watch_event_during_a_write_is_handled_after_the_response() -> None:
    cache = Cache()
    own: list[bool] = []

    def handle(body: Body) -> None:
        if not cache.defer(body, lambda: handle(body)):
            own.append(cache.is_own_write(body))

    with cache.writing(SECRET):
        handle(secret(5))
        handle(secret(6, value="somebody else's"))
        assert own == []
        cache.store_written(secret(5))
    assert own == [True, False], "the event of our own write was faster than the response"
    with suppress(RuntimeError), cache.writing(SECRET):
        handle(secret(7))
        raise RuntimeError
    assert own == [True, False, False], "a write that failed may have been carried out"


def test_the_second_writer_of_an_object_gets_a_conflict_and_the_first_goes_on() -> None:
    cache = Cache()
    handled: list[str] = []
    with cache.writing(SECRET):
        with pytest.raises(ConflictError, match="Secret team-a/scout-litellm is being written"), cache.writing(SECRET):
            pytest.fail("two write at once")
        with cache.writing(("Secret", "team-a", "another")):
            pass
        assert cache.defer(secret(5), lambda: handled.append("event"))
        assert handled == []
    assert handled == ["event"]
    with cache.writing(SECRET):
        pass


def test_a_deferred_event_of_an_object_that_a_full_list_lacks_is_not_handled() -> None:
    cache = Cache()
    handled: list[str] = []
    with cache.writing(SECRET):
        assert cache.defer(secret(5), lambda: handled.append("the Secret"))
        cache.prune("Agent", set(), 9)
        cache.prune("Secret", {"another"}, 9)
    assert handled == []


def test_a_write_over_what_its_author_has_changed_meanwhile_counts_as_the_author_s() -> None:
    def scout(version: int, generation: int, **annotations: str) -> Body:
        body = agent("scout", version)
        body["metadata"] |= {"generation": generation, "annotations": annotations, "managedFields": []}
        return body

    rotate = {"litclaw.dev/rotate": "now"}
    cache = Cache()
    cache.store_written(scout(5, 1), scout(4, 1))
    assert cache.is_own_write(scout(5, 1))
    cache.store_written(scout(7, 2), scout(5, 1))
    assert not cache.is_own_write(scout(7, 2)), "the spec has changed between the read and the write"
    cache.store_written(scout(9, 2, **rotate), scout(7, 2))
    assert not cache.is_own_write(scout(9, 2, **rotate))
    cache.store_written(scout(10, 2, **rotate, **{"example.com/noise": "x"}), scout(9, 2, **rotate))
    assert cache.is_own_write(scout(10, 2)), "foreign annotations are nobody's intent"
    cache.store_written(scout(11, 2), scout(10, 2))
    cache.remove(scout(11, 2))
    assert not cache.is_own_write(scout(11, 2)), "no record of an object that is gone"


# What is ours


@pytest.mark.parametrize(
    "references",
    [
        [],
        [{**owner("agent-1")[0], "controller": False}],
        owner("agent-1", api_version="example.com/v1"),
        owner("agent-1", api_version="litclaw.dev.example.com/v1"),
        owner("agent-1", kind="Deployment", api_version="apps/v1"),
        owner("agent-1", kind="LiteLLMKeyRotation"),
    ],
)
@pytest.mark.parametrize("kind", ["Secret", "ConfigMap", "Deployment"])
def test_an_object_with_our_label_that_no_resource_of_ours_controls_is_not_cached(kind: str, references: Any) -> None:
    cache = Cache()
    body = {**secret(1, ownerReferences=references), "kind": kind}
    cache.store(body)
    cache.store_written(body)
    assert list(cache.all(kind)) == [] and not cache.is_own_write(body)


def test_an_object_that_loses_its_owner_leaves_the_cache_and_may_come_back() -> None:
    cache = Cache()
    cache.store(secret(5))
    cache.store(secret(4, ownerReferences=[]))
    assert cache.get(*SECRET), "an older version changes nothing"
    cache.store(secret(6, ownerReferences=[]))
    assert cache.get(*SECRET) is None and cache.owned_by("team-a", "agent-1") == []
    cache.store(secret(7, agent_uid="agent-2"))
    assert len(cache.owned_by("team-a", "agent-2")) == 1


def test_an_object_of_another_namespace_that_names_an_owner_is_none_of_its_objects() -> None:
    cache = Cache()
    cache.store(secret(1))
    cache.store(secret(2, uid="u2", name="forged", namespace="team-z"))
    assert [body["metadata"]["name"] for body in cache.owned_by("team-a", "agent-1")] == ["scout-litellm"]


def test_of_annotations_ours_stay() -> None:
    annotations = {"litclaw.dev/digest": "d", "reloader.example/match": "true", "example.com/huge": "x" * 100_000}
    ours = {"litclaw.dev/digest": "d", "reloader.example/match": "true"}
    cache = Cache()
    cache.store(secret(1, annotations=annotations, labels={"a": "b"}))
    cached = cache.get(*SECRET)
    assert cached and cached["metadata"]["annotations"] == ours, "a prefix of ours, or applied by our field manager"
    assert cached["metadata"]["labels"] == {"a": "b"}
    cache.store(secret(2, annotations=annotations, managedFields=[{"manager": "kubectl-annotate"}]))
    cached = cache.get(*SECRET)
    assert cached and cached["metadata"]["annotations"] == {"litclaw.dev/digest": "d"}, (
        "another manager has taken it over"
    )
    manifest = {"kind": "Service", "metadata": {"name": "x", "annotations": annotations}}
    assert compact(manifest)["metadata"] == manifest["metadata"], "a manifest of ours has no managed fields"


# What is large


def test_an_owned_object_with_too_many_keys_or_too_much_metadata_is_not_cached() -> None:
    cache = Cache()
    cache.store({**secret(1), "data": {f"key-{number}": "" for number in range(300)}})
    assert cache.get(*SECRET)
    cache.store({**secret(2), "data": {f"key-{number}": "" for number in range(301)}})
    assert cache.get(*SECRET) is None, "and the version before it has left"
    cache.store(secret(3, labels={f"label-{number}": "x" * 63 for number in range(1_000)}))
    assert cache.get(*SECRET) is None
    cache.store(secret(4))
    assert cache.get(*SECRET)


def test_of_a_large_agent_other_passes_still_find_their_fields() -> None:
    cache = Cache()
    key = {"secretName": "mine", "metadata": {"note": "x"}}
    route = {"name": "main", "namespace": "ai"}
    cache.store(agent("small", route=route, suspend=True, config={"files": {"AGENTS.md": "x" * 10_000}}))
    cache.store(agent("large", route=route, suspend=True, key=key, config={"files": {"AGENTS.md": "x" * 17_000}}))
    large, small = cache.agents_of(("ai", "main"))
    assert not is_trimmed(small) and len(small["spec"]["config"]["files"]["AGENTS.md"]) == 10_000
    assert is_trimmed(large)
    kept = {"routeRef": route, "suspend": True, "key": {"secretName": "mine"}}
    assert {name: large["spec"][name] for name in kept} == kept
    assert not exceeds(large, 1_000)
    cache.store(agent("large", 2, route=route))
    assert not any(map(is_trimmed, cache.agents_of(("ai", "main"))))


def test_of_a_large_route_other_passes_still_find_their_fields() -> None:
    def route(**spec: Any) -> Body:
        meta = {"name": "main", "namespace": "ai", "uid": "r", "resourceVersion": str(len(list(cache.all(kind))) + 1)}
        return {"kind": kind, "metadata": meta, "spec": {**spec, "routerSettings": {"note": "x" * 17_000}}}

    cache, kind = Cache(), "LiteLLMRoute"
    models = [{"name": "claude", "litellmParams": {"model": "anthropic/claude"}}, {"name": "gpt"}]
    reference, allowed = {"name": "s", "key": "k"}, {"from": "All"}
    managed = {"masterKeySecretRef": reference, "database": {"embedded": {}}}
    cache.store(route(models=models, managed=managed, allowedNamespaces=allowed))
    cached = cache.get(kind, "ai", "main")
    assert cached and is_trimmed(cached)
    assert cached["spec"] == {
        "models": [{"name": "claude"}, {"name": "gpt"}],
        "managed": {"masterKeySecretRef": reference},
        "allowedNamespaces": allowed,
    }
    cache.store(route(external={"url": "https://x", "masterKeySecretRef": reference}))
    cached = cache.get(kind, "ai", "main")
    assert cached
    assert cached["spec"] == {
        "models": [],
        "external": {"masterKeySecretRef": reference},
        "allowedNamespaces": {},
    }


def test_large_labels_of_an_agent_are_not_cached_either() -> None:
    body = agent("scout")
    body["metadata"]["labels"] = {f"label-{number}": "x" * 63 for number in range(1_000)}
    cache = Cache()
    cache.store(body)
    cached = cache.get("OpenClawAgent", "team-a", "scout")
    assert cached and is_trimmed(cached) and not exceeds(cached, 1_000)
    assert cached["metadata"]["uid"] == "uid-scout"


def test_an_owned_object_that_is_large_is_not_cached() -> None:
    def deployment(version: int, size: int) -> Body:
        env = [{"name": f"V{number}", "value": ""} for number in range(size)]
        spec = {"replicas": 0, "template": {"spec": {"containers": [{"name": "x", "env": env}]}}}
        return {**secret(version), "kind": "Deployment", "spec": spec}

    cache, key = Cache(), ("Deployment", *SECRET[1:])
    cache.store(deployment(1, 1_000))
    assert cache.get(*key)
    cache.store(deployment(2, 10_000))
    assert cache.get(*key) is None and cache.owned_by("team-a", "agent-1") == []


def test_of_a_status_that_somebody_has_filled_the_short_facts_stay() -> None:
    conditions = [
        {"type": type_, "status": "True", "reason": "R", "message": "m" * 5_000} for type_ in ("Ready", "Odd")
    ]
    status = {
        "conditions": conditions,
        "spend": "1.5",
        "defaultModel": "m" * 20_000,
        "key": {"hash": "abc", "alias": "a" * 99},
    }
    cache = Cache()
    cache.store({**agent("scout"), "status": status})
    cached = cache.get("OpenClawAgent", "team-a", "scout")
    assert cached and is_trimmed(cached)
    assert cached["status"] == {
        "conditions": [{"type": "Ready", "status": "True", "reason": "R"}],
        "spend": "1.5",
        "key": {"hash": "abc"},
    }


def test_a_resource_with_thousands_of_finalizers_keeps_ours() -> None:
    body = agent("scout")
    body["metadata"]["finalizers"] = ["litclaw.dev/finalizer", *(f"example.com/{number}" for number in range(5_000))]
    cache = Cache()
    cache.store(body)
    cached = cache.get("OpenClawAgent", "team-a", "scout")
    assert cached and cached["metadata"]["finalizers"] == ["litclaw.dev/finalizer"] and not exceeds(cached, 1_000)


def test_a_namespace_with_a_megabyte_of_labels_is_known_without_them() -> None:
    labels = {f"label-{number}": "x" * 63 for number in range(10_000)}
    meta = {"name": "team-z", "uid": "n", "resourceVersion": "1", "labels": labels}
    cache = Cache()
    cache.store({"apiVersion": "v1", "kind": "Namespace", "metadata": meta})
    cached = cache.get("Namespace", "", "team-z")
    assert cached and cached["metadata"]["uid"] == "n" and not exceeds(cached, 1_000)


def test_a_trimmed_resource_is_never_taken_for_a_whole_one() -> None:
    from litclaw.api.agent import OpenClawAgent
    from pydantic import ValidationError

    cache = Cache()
    body = agent("scout", gateway={}, config={"files": {"a": "x" * 17_000}})
    OpenClawAgent.model_validate(body)
    cache.store(body)
    with pytest.raises(ValidationError):
        OpenClawAgent.model_validate(cache.get("OpenClawAgent", "team-a", "scout"))


@pytest.mark.parametrize(
    ("value", "size"),
    [("x" * 100, 104), ({"key": "value"}, 20), ([1, None, True], 16), ({"a": {"b": ["c", {"d": "e"}]}}, 41), ({}, 4)],
)
def test_a_size_is_estimated_about_as_json_writes_it(value: Any, size: int) -> None:
    assert not exceeds(value, size) and exceeds(value, size - 1)
    assert size / 2 <= len(json.dumps(value)) <= size * 2


def test_measuring_a_large_value_stops_at_the_limit() -> None:
    class Watched(list[str]):
        read = 0

        def __iter__(self) -> Any:
            for each in super().__iter__():
                Watched.read += 1
                yield each

    assert exceeds(Watched(["x" * 100] * 10_000), 1_000)
    assert Watched.read < 20


# Memory


def held_bytes(bodies: list[Body]) -> int:
    """What a cache of these objects takes."""
    cache, texts = Cache(), [json.dumps(body) for body in bodies]
    tracemalloc.start()
    try:
        for text in texts:
            cache.store(json.loads(text))
        return tracemalloc.get_traced_memory()[0]
    finally:
        tracemalloc.stop()


def test_agents_with_a_megabyte_each_take_little_memory() -> None:
    files = {f"file-{number}": "x" * 10_000 for number in range(100)}
    assert held_bytes([agent(f"a{number}", config={"files": files}) for number in range(20)]) < 200_000


def test_configmaps_that_anybody_can_create_take_no_memory() -> None:
    data = {f"{number:05}": "" for number in range(20_000)}
    ours = [{**secret(1, name=f"s{number}"), "kind": "ConfigMap", "data": data} for number in range(5)]
    foreign = [{**secret(1, name=f"f{number}", ownerReferences=[]), "data": {}} for number in range(100)]
    assert held_bytes([*ours, *foreign]) < 20_000


def test_an_agent_and_its_objects_take_a_few_kilobytes() -> None:
    applied = json.dumps({"spec": {"note": "x" * 2_000}})
    bodies = []
    for number in range(300):
        body = agent(f"a{number}")
        body["metadata"] |= {
            "annotations": {"kubectl.kubernetes.io/last-applied-configuration": applied},
            "managedFields": [{"manager": "kubectl-client-side-apply", "fieldsV1": {"f:spec": {}}}],
        }
        bodies += [body, secret(1, name=f"s{number}", uid=f"s{number}", agent_uid=f"uid-a{number}")]
    assert held_bytes(bodies) / 300 < 5_000


def test_equal_strings_of_many_objects_are_kept_once() -> None:
    cache = Cache()
    for number in range(3):
        cache.store(json.loads(json.dumps(secret(1, uid=f"u{number}", name=f"s{number}"))))
    first, *others = [body["metadata"] for body in cache.all("Secret")]
    for other in others:
        assert other["namespace"] is first["namespace"] and other["uid"] != first["uid"]
        assert other["ownerReferences"][0]["kind"] is first["ownerReferences"][0]["kind"]
    place = cache._objects["Secret"]["team-a"]
    assert all(name is body["metadata"]["name"] for name, body in place.items()), "names are kept once too"


def test_more_strings_than_the_pool_takes_are_still_right() -> None:
    pool = Interner()
    values = [{"name": f"n{number}", "long": "x" * 100, "list": [number, None, True]} for number in range(12_000)]
    assert [pool.intern(value) for value in values] == values
    assert len(pool._known) <= 5_000 and sys.getsizeof(pool._known) < 500_000
