"""When an object is as it should be, and when it isn't."""

from typing import Any

import pytest
from litclaw.kube.cache import compact
from litclaw.kube.diff import covers, is_settled
from litclaw.render.metadata import sealed


@pytest.mark.parametrize(
    ("live", "desired"),
    [
        ({"a": 1, "default": True}, {"a": 1}),
        ({"cpu": "500m"}, {"cpu": "0.5"}),
        ({"memory": "1Gi"}, {"memory": "1024Mi"}),
        ({}, {"labels": {}, "items": [], "name": ""}),
        ({"list": [{"a": 1, "b": 2}]}, {"list": [{"a": 1}]}),
    ],
)
def test_covered(live: Any, desired: Any) -> None:
    assert covers(live, desired)


@pytest.mark.parametrize(
    ("live", "desired"),
    [
        ({"a": 2}, {"a": 1}),
        ({}, {"a": 1}),
        ({"list": [1, 2]}, {"list": [1]}),
        ({"list": [2, 1]}, {"list": [1, 2]}),
        ({"a": True}, {"a": 1.5}),
        ({"a": "x"}, {"a": {"b": 1}}),
    ],
)
def test_not_covered(live: Any, desired: Any) -> None:
    assert not covers(live, desired)


def configmap(**data: str) -> dict[str, Any]:
    return {"kind": "ConfigMap", "metadata": {"name": "x", "namespace": "y"}, "data": data}


def test_a_field_that_we_no_longer_want_is_seen_by_the_digest() -> None:
    live = compact(sealed(configmap(kept="1", dropped="2")))
    assert is_settled(live, sealed(configmap(kept="1", dropped="2")))
    assert not is_settled(live, sealed(configmap(kept="1")))
    assert not is_settled(None, sealed(configmap(kept="1")))


def test_a_value_that_somebody_changed_is_seen() -> None:
    live = compact({**sealed(configmap(kept="1")), "data": {"kept": "other"}})
    assert not is_settled(live, sealed(configmap(kept="1")))


def test_an_annotation_of_ours_that_somebody_has_changed_is_seen_and_a_foreign_one_is_not() -> None:
    desired = sealed({"kind": "Service", "metadata": {"name": "x", "annotations": {"example.com/ours": "1"}}})
    fields = {"f:metadata": {"f:annotations": {"f:example.com/ours": {}}}}

    def live(managed_by: str, **annotations: str) -> dict[str, Any]:
        meta = {"name": "x", "managedFields": [{"manager": managed_by, "fieldsV1": fields}]}
        digest = desired["metadata"]["annotations"]
        return compact({"kind": "Service", "metadata": {**meta, "annotations": {**digest, **annotations}}})

    assert is_settled(live("litclaw"), desired)
    assert is_settled(live("litclaw", foreign="x"), desired)
    assert not is_settled(live("kubectl-edit", **{"example.com/ours": "2"}), desired), (
        "its value isn't kept, but it is missing"
    )
