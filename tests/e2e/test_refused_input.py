"""The API server refuses what the schema can refuse, with a message that names the field and says what to write."""

import json
from typing import Any

import pytest

from .api import Object
from .kube import Kube
from .resources import AI, MODELS, TEAM, agent, managed_route, resource

EXTERNAL = {"url": "https://litellm.example.com", "masterKeySecretRef": {"name": "m", "key": "K"}}
DATABASE = {"database": {"embedded": {"storage": "1Gi"}}}


def _route(**changes: Any) -> Object:
    """A managed route with some top fields of its spec replaced; None removes one."""
    spec = {**managed_route("x")["spec"], **changes}
    return resource("LiteLLMRoute", "x", AI, {key: value for key, value in spec.items() if value is not None})


def _managed(**fields: Any) -> Object:
    return _route(managed={**DATABASE, **fields})


def _external(**fields: Any) -> Object:
    return _route(managed=None, external={**EXTERNAL, **fields}, models=None)


def _model(**fields: Any) -> Object:
    return _route(models=[{**MODELS[0], **fields}])


REFUSED: dict[str, tuple[Object, tuple[str, ...]]] = {
    "route: no spec": ({**_route(), "spec": {}}, ("exactly one of spec.managed and spec.external",)),
    "route: managed and external": (_route(external=EXTERNAL), ("exactly one of spec.managed and spec.external",)),
    "route: no database": (_route(managed={"database": {}}), ("database.secretRef and database.embedded",)),
    "route: two databases": (
        _managed(database={**DATABASE["database"], "secretRef": {"name": "a", "key": "b"}}),
        ("exactly one of database.secretRef and database.embedded",),
    ),
    "route: no models": (_route(models=[]), ("spec.models", "at least one model")),
    "route: a model twice": (_route(models=[MODELS[0], MODELS[0]]), ("spec.models", "duplicate", "claude-opus-4-6")),
    "route: a model without model": (_model(litellmParams={}), ("litellmParams.model",)),
    "route: a key in the open": (
        _model(litellmParams={"model": "openai/x", "api_key": "sk-plain-text"}),
        ("litellmParams.api_key", "apiKeySecretRef"),
    ),
    "route: a fallback to nothing": (
        _route(fallbacks=[{"model": "claude-opus-4-6", "to": ["gone"]}]),
        ("fallbacks", "add the model or fix the name"),
    ),
    "route: a fallback to itself": (
        _route(fallbacks=[{"model": "gpt-4o", "to": ["gpt-4o"]}]),
        ("fallbacks[0].to", "itself"),
    ),
    "route: port": (_managed(port=70000), ("spec.managed.port", "65535")),
    "route: replicas": (_managed(replicas=-1), ("spec.managed.replicas",)),
    "route: replicas and autoscaling": (
        _managed(replicas=2, autoscaling={"maxReplicas": 3}),
        ("spec.managed.replicas", "remove one of them"),
    ),
    "route: autoscaling backwards": (
        _managed(autoscaling={"minReplicas": 4, "maxReplicas": 3}),
        ("spec.managed.autoscaling.minReplicas", "at most maxReplicas"),
    ),
    "route: autoscaling without a request": (
        _managed(autoscaling={"maxReplicas": 3}, resources={"requests": {"memory": "1Gi"}}),
        ("spec.managed.resources", "add resources.requests.cpu"),
    ),
    "route: disruption budget": (
        _managed(podDisruptionBudget={"minAvailable": "most"}),
        ("spec.managed.podDisruptionBudget.minAvailable",),
    ),
    "route: disruption budget without its sign": (
        _managed(podDisruptionBudget={"minAvailable": "50"}),
        ("spec.managed.podDisruptionBudget.minAvailable", "should match"),
    ),
    "route: disruption budget below nothing": (
        _managed(podDisruptionBudget={"minAvailable": -1}),
        ("spec.managed.podDisruptionBudget.minAvailable", "greater than or equal to 0"),
    ),
    "route: spread": (
        _managed(topologySpreadConstraints=[{"maxSkew": 1, "whenUnsatisfiable": "DoNotSchedule"}]),
        ("spec.managed.topologySpreadConstraints[0].topologyKey", "Required"),
    ),
    "route: Redis twice": (
        _managed(redis={"secretRef": {"name": "r", "key": "URL"}}, env=[{"name": "REDIS_URL", "value": "x"}]),
        ("spec.managed.env", "redis.secretRef"),
    ),
    "route: image": (_managed(image="not an image"), ("spec.managed.image", "must name an image")),
    "route: storage": (
        _managed(database={"embedded": {"storage": "much"}}),
        ("spec.managed.database.embedded.storage", "10Gi"),
    ),
    "route: an environment variable of the operator's": (
        _managed(env=[{"name": "LITELLM_MASTER_KEY", "value": "x"}]),
        ("spec.managed.env", "LITELLM_MASTER_KEY"),
    ),
    "route: a pod that passes as Prometheus": (
        _managed(podLabels={"app.kubernetes.io/name": "prometheus"}),
        ("spec.managed.podLabels", "reserved"),
    ),
    "route: URL": (_external(url="litellm.example.com"), ("spec.external.url", "http://")),
    "route: URL with a user": (_external(url="https://u:p@litellm.example.com"), ("spec.external.url",)),
    "route: URL with a reference": (
        _external(url="https://litellm.example.com/${SLACK_BOT_TOKEN}"),
        ("spec.external.url", "environment variables"),
    ),
    "route: a model's name with a reference": (
        _model(name="${GITHUB_TOKEN}"),
        ("spec.models[0].name", "environment variables"),
    ),
    "route: a display name with a reference": (
        _model(openclaw={"displayName": "a ${GITHUB_TOKEN}"}),
        ("spec.models[0].openclaw.displayName", "environment variables"),
    ),
    "route: metadata address": (_external(url="http://169.254.169.254/latest"), ("spec.external.url", "link-local")),
    "route: metadata name": (_external(url="http://metadata.google.internal"), ("spec.external.url", "metadata")),
    "route: models of an external proxy": (
        _route(managed=None, external=EXTERNAL),
        ("spec.models", "an external proxy has its own"),
    ),
    "route: selector without labels": (
        _route(allowedNamespaces={"from": "Selector"}),
        ("allowedNamespaces.selector", "at least one label"),
    ),
    "route: budget": (_route(keyDefaults={"maxBudget": "-5"}), ("keyDefaults.maxBudget", "decimal string")),
    "route: a long name": (
        {**_route(), "metadata": {"name": "x" * 50, "namespace": AI}},
        ("metadata.name", "at most 43 characters"),
    ),
    "agent: grace": (
        agent("x", key={"rotation": {"gracePeriod": "169h"}}),
        ("spec.key.rotation.gracePeriod", "at most 168h"),
    ),
    "agent: no route": (resource("OpenClawAgent", "x", TEAM, {}), ("spec.routeRef", "Required")),
    "agent: budget as a number": (agent("x", key={"maxBudget": 5}), ("spec.key.maxBudget", "string")),
    "agent: budget as a word": (agent("x", key={"maxBudget": "much"}), ("spec.key.maxBudget", "'0.25'")),
    "agent: period": (agent("x", key={"budgetDuration": "banana"}), ("spec.key.budgetDuration", "24h or 30d")),
    "agent: limit": (agent("x", key={"rpmLimit": -1}), ("spec.key.rpmLimit",)),
    "agent: a team that no database keeps": (agent("x", key={"team": "a\0b"}), ("spec.key.team", "NUL")),
    "agent: reserved metadata": (agent("x", key={"metadata": {"litclaw": {}}}), ("spec.key.metadata", "litclaw")),
    "agent: default model": (
        agent("x", models=["a"], defaultModel="b"),
        ("spec.defaultModel", "must be one of spec.models"),
    ),
    "agent: image model": (
        agent("x", models=["a"], imageModel={"name": "b"}),
        ("spec.imageModel", "must be one of spec.models"),
    ),
    "agent: timeout": (agent("x", imageModel={"name": "b", "timeout": "soon"}), ("imageModel.timeout", "180s")),
    "agent: file": (agent("x", config={"files": {"openclaw.json": "{}"}}), ("config.files", "config.extra")),
    "agent: file path": (agent("x", config={"files": {"../x": "y"}}), ("config.files", "letters")),
    "agent: flag": (agent("x", config={"allowPrivateNetwork": "Maybe"}), ("allowPrivateNetwork", "Auto")),
    "agent: storage": (agent("x", gateway={"storage": "0"}), ("spec.gateway.storage", "more than zero")),
    "agent: a pod that passes as Prometheus": (
        agent("x", gateway={"podLabels": {"app.kubernetes.io/name": "prometheus"}}),
        ("spec.gateway.podLabels", "reserved"),
    ),
    "agent: requests over limits": (
        agent("x", gateway={"resources": {"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}}}),
        ("gateway.resources.requests", "at most its limit"),
    ),
    "agent: an endless amount": (
        agent("x", gateway={"resources": {"limits": {"memory": "1e999999999999"}}}),
        ("gateway.resources.limits.memory", "should match"),
    ),
    "agent: a long name": (
        {**agent("x"), "metadata": {"name": "x" * 60, "namespace": TEAM}},
        ("metadata.name", "at most 54 characters"),
    ),
}


@pytest.mark.parametrize("case", REFUSED)
def test_refused_with_the_fields_name(kube: Kube, proxy: object, case: str) -> None:
    manifest, words = REFUSED[case]
    done = kube.run("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest), check=False)
    assert done.returncode, f"{case} was taken"
    for word in words:
        assert word in done.stderr, done.stderr


def test_what_cannot_change_is_refused_later_too(kube: Kube, proxy: object) -> None:
    change = {"spec": {"managed": {"database": {"embedded": {"storage": "2Gi"}}}}}
    command = ("-n", AI, "patch", "litellmroute", "main", "--type=merge", "--dry-run=server", "-p", json.dumps(change))
    done = kube.run(*command, check=False)
    assert done.returncode and "storage can't be changed" in done.stderr, done.stderr


def test_the_plain_resources_are_taken(kube: Kube, proxy: object) -> None:
    for manifest in (_route(), _external(), agent("x"), agent("x", gateway={}, key={"metadata": {"a": {"b": 1}}})):
        kube.run("apply", "--server-side", "--dry-run=server", "-f", "-", stdin=json.dumps(manifest))
