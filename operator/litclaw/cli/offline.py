"""The objects that the operator would create from manifests, by its own render functions and without a cluster.

A value that only a cluster or a proxy knows is a placeholder, or is left out with a remark.
"""

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, TypeVar

from litclaw.api import names
from litclaw.api.agent import OpenClawAgent
from litclaw.api.digest import digest
from litclaw.api.models import OpenClawModel
from litclaw.api.route import AllowedNamespaces, LiteLLMRoute
from litclaw.cli.manifests import Manifests
from litclaw.net.address import Reach, allow_private_network, base_url, reach
from litclaw.reconcile.agent.accept import NOT_ALLOWED, models_of
from litclaw.reconcile.core.conditions import Blocked
from litclaw.reconcile.proxy.offer import offered_names
from litclaw.reconcile.route.allowed_namespaces import allows
from litclaw.reconcile.route.connect import checked_url
from litclaw.render.agent.configmap import agent_configmap
from litclaw.render.agent.gateway import gateway_deployment, gateway_service, gateway_volume_claim
from litclaw.render.agent.gateway_network_policy import gateway_network_policy
from litclaw.render.agent.secret import agent_secret, gateway_token_secret
from litclaw.render.metadata import Manifest, sealed
from litclaw.render.openclaw.config import ModelFacts, model_facts, openclaw_config
from litclaw.render.openclaw.releases import TooOldError
from litclaw.render.proxy_peer import ProxyPeer, address_peer, managed_peer, service_of, service_peer
from litclaw.render.route.config_yaml import ModelsCollideError, SettingClashError
from litclaw.render.route.configmap import route_configmap
from litclaw.render.route.deployment import route_deployment
from litclaw.render.route.extras import route_extras
from litclaw.render.route.migration_job import route_migration_job
from litclaw.render.route.postgres import postgres_secret_data, postgres_service, postgres_statefulset
from litclaw.render.route.secret import generated_secret
from litclaw.render.route.service import route_service, service_url

MADE_UP: Final = "MADE-UP-BY-THE-OPERATOR"
"""Placeholder for a secret value."""
UNKNOWN: Final = "KNOWN-IN-THE-CLUSTER-ALONE"
"""Placeholder for a uid, or for a digest that depends on one or on secret values."""
_JOB_DIGEST: Final = "xxxxxxxx"  # a name can't have capital letters
_NAMESPACE_NAME: Final = "kubernetes.io/metadata.name"

R = TypeVar("R", LiteLLMRoute, OpenClawAgent)
Info = Mapping[str, Mapping[str, Any]]
"""A proxy's data about its models, from /model/info, by model."""


@dataclass(frozen=True, slots=True)
class Made:
    """The result for one resource.

    Attributes:
        owner: kind, namespace and name.
        objects: the objects that the operator would apply, in its order.
        problem: why the resource wouldn't become ready, as ``reason: message``; empty: no problem is known.
        remarks: differences from a cluster.
    """

    owner: tuple[str, str, str]
    objects: list[Manifest] = field(default_factory=list)
    problem: str = ""
    remarks: tuple[str, ...] = ()


def make_all(given: Manifests, *, operator_namespace: str, info: Info | None) -> list[Made]:
    """The results for all routes and agents.

    Args:
        operator_namespace: the operator's namespace.
        info: the proxy's data about its models; None: unknown.
    """
    routes = [make_route(route, operator_namespace) for route in given.routes.values()]
    return routes + [make_agent(agent, given, info) for agent in given.agents.values()]


def make_route(given: LiteLLMRoute, operator_namespace: str) -> Made:
    """The result for a route."""
    route = _with_uid(given)
    owner = (names.ROUTE_KIND, route.metadata.namespace, route.metadata.name)
    if problem := _problem(route):
        return Made(owner, problem=problem)
    managed = route.spec.managed
    if managed is None:
        return Made(owner)
    try:
        configmap = route_configmap(route)
    except (SettingClashError, ModelsCollideError) as error:
        reason = "InvalidSettings" if isinstance(error, SettingClashError) else "ModelsCollide"
        return Made(owner, problem=f"{reason}: {error}.")
    name = route.metadata.name
    secrets: list[Manifest] = []
    database: list[Manifest] = []
    if managed.master_key_secret_ref is None:
        data, made = {names.MASTER_KEY: MADE_UP}, {names.ANNOTATION_MADE: UNKNOWN}
        secrets.append(generated_secret(route, names.route_master_key(name), "master-key", data, made))
    if managed.salt_key_secret_ref is None:
        secrets.append(generated_secret(route, names.route_salt_key(name), "salt-key", {names.SALT_KEY: MADE_UP}))
    if managed.database.embedded:
        data = postgres_secret_data(route, MADE_UP)
        secrets.append(generated_secret(route, names.route_postgres(name), "database", data))
        database = [postgres_service(route), postgres_statefulset(route, managed.database.embedded)]
    around = route_extras(
        route, managed, operator_namespace=operator_namespace, keeps_database=False, pod_monitors=True
    )
    job = route_migration_job(route, managed, _JOB_DIGEST)
    deployment = route_deployment(
        route,
        managed,
        config_digest=digest(configmap["data"]),
        secrets_digest=UNKNOWN,
        migration=UNKNOWN,
        salt=UNKNOWN,
    )
    remarks = []
    if managed.monitoring.enabled:
        remarks.append("the PodMonitor is created only if the cluster knows that kind.")
    objects = [*secrets, *database, configmap, route_service(route, managed), *around, job, deployment]
    return Made(owner, [_finished(each) for each in objects], remarks=tuple(remarks))


def _problem(route: LiteLLMRoute) -> str:
    """Why a route can't be used, as ``reason: message``; empty: it can."""
    external = route.spec.external
    if (route.spec.managed is None) == (external is None):
        return "InvalidSpec: exactly one of spec.managed and spec.external must be set."
    try:
        if external:
            checked_url(external.url)
    except Blocked as why:
        return f"{why.reason}: {why.message}"
    return ""


def make_agent(given: OpenClawAgent, manifests: Manifests, info: Info | None) -> Made:
    """The result for an agent."""
    agent = _with_uid(given)
    owner = (names.AGENT_KIND, agent.metadata.namespace, agent.metadata.name)
    where = f"LiteLLMRoute {'/'.join(agent.route_key)}"
    route = manifests.routes.get(agent.route_key)
    if route is None:
        return Made(
            owner, problem=f"RouteNotFound: {where} isn't among the manifests: add its file, or fix spec.routeRef."
        )
    if problem := _problem(route):
        return Made(owner, problem=f"RouteNotReady: {where} wouldn't be: {problem}")
    remarks: list[str] = []
    if not _may_use(route, agent, manifests, remarks):
        message = (
            f"{where} doesn't allow agents of namespace {agent.metadata.namespace}: see its spec.allowedNamespaces."
        )
        return Made(owner, problem=f"{NOT_ALLOWED}: {message}")
    facts = _facts(route, info, remarks)
    if not facts:
        return Made(owner, problem=f"NoModels: {where} leaves its models to its proxy: list them with --model-info.")
    url, where_it_is = _address(route, remarks)
    authorities = ""
    if route.spec.external and route.spec.external.ca_bundle_secret_ref:
        authorities = f"{UNKNOWN}\n"
        remarks.append("ca.crt and request.tls.ca are the value in the Secret of the route's caBundleSecretRef.")
    try:
        models = models_of(agent, where, facts)
        config = openclaw_config(
            agent,
            base_url=url,
            allow_private_network=allow_private_network(where_it_is, agent.spec.config.allow_private_network),
            models=models,
            authorities=authorities,
        )
    except Blocked as why:
        return Made(owner, problem=f"{why.reason}: {why.message}")
    except TooOldError as error:
        message = f"OpenClawTooOld: {error}: use a newer one, or fix spec.config.openclawVersion."
        return Made(owner, problem=message)
    remarks += config.remarks
    configmap = agent_configmap(agent, config.text, authorities)
    objects = [_key_secret(agent, url), configmap]
    if gateway := agent.spec.gateway:
        objects += [
            gateway_token_secret(agent, MADE_UP),
            gateway_volume_claim(agent, gateway),
            gateway_service(agent, gateway),
            _with_known_digest(gateway_deployment(agent, gateway, configmap, UNKNOWN), known=not authorities),
        ]
        if gateway.network_policy.enabled:
            objects.append(gateway_network_policy(agent, gateway, _peer(route, url, manifests, remarks)))
    return Made(owner, [_finished(each) for each in objects], remarks=tuple(remarks))


def _with_uid(given: R) -> R:
    """The resource with a uid: a placeholder, unless its manifest is from a cluster and has one."""
    meta = given.metadata
    return given if meta.uid else given.model_copy(update={"metadata": meta.model_copy(update={"uid": UNKNOWN})})


def _may_use(route: LiteLLMRoute, agent: OpenClawAgent, manifests: Manifests, remarks: list[str]) -> bool:
    allowed: AllowedNamespaces = route.spec.allowed_namespaces
    namespace, named = agent.metadata.namespace, {_NAMESPACE_NAME: agent.metadata.namespace}
    labels = manifests.namespaces.get(namespace)
    if labels is not None:
        labels = {**labels, **named}
    elif allowed.selector and set(allowed.selector.match_labels) == {_NAMESPACE_NAME}:
        labels = named  # the only label that every namespace has
    answer = allows(allowed, route.metadata.namespace, namespace, labels)
    if answer is None:
        remarks.append(
            f"whether the route allows namespace {namespace} depends on its labels: add its manifest to see."
        )
    return answer is not False


def _facts(route: LiteLLMRoute, info: Info | None, remarks: list[str]) -> tuple[ModelFacts, ...]:
    """The route's models, from the resource and, if given, the proxy's data."""
    given = {model.name: model for model in route.spec.models}
    if info is None and given:
        remarks.append(
            "what the proxy alone knows of its models (prices; context windows, sizes of answers, images and reasoning "
            "where spec.models[].openclaw leaves them out) isn't in openclaw.json: --model-info adds it."
        )
    known = info or {}
    facts = []
    for name in given or offered_names(known):
        openclaw = given[name].openclaw if name in given else OpenClawModel()
        # At /model/info, LiteLLM merges a model's own model_info into its built-in data.
        facts.append(model_facts(name, openclaw, known.get(name) or (given[name].model_info if name in given else {})))
    return tuple(facts)


def _address(route: LiteLLMRoute, remarks: list[str]) -> tuple[str, Reach]:
    if managed := route.spec.managed:
        url = service_url(route, managed)
        return url, reach(url)
    assert route.spec.external
    url = base_url(route.spec.external.url)
    where = reach(url)
    if where is Reach.PUBLIC:
        remarks.append(f"{url} is treated as public: if its name resolves to a private address, openclaw.json differs.")
    return url, where


def _peer(route: LiteLLMRoute, url: str, manifests: Manifests, remarks: list[str]) -> ProxyPeer:
    if route.spec.managed:
        return managed_peer(route)
    if found := service_of(url):
        if service := manifests.services.get(found):
            return service_peer(url, service)
        remarks.append(
            f"the NetworkPolicy opens the pods and port behind Service {'/'.join(found)}: add its manifest to see them."
        )
    return address_peer(url)


def _key_secret(agent: OpenClawAgent, url: str) -> Manifest:
    secret = agent_secret(agent, key=MADE_UP, token=UNKNOWN, base_url=url)
    secret["metadata"]["annotations"][names.ANNOTATION_KEY] = UNKNOWN  # the token's first characters
    return secret


def _with_known_digest(deployment: Manifest, *, known: bool) -> Manifest:
    if not known:
        deployment["spec"]["template"]["metadata"]["annotations"][names.ANNOTATION_CONFIG] = UNKNOWN
    return deployment


def _finished(manifest: Manifest) -> Manifest:
    """The manifest as it is applied, with a Secret's values as text. A digest of something unknown is a placeholder."""
    out = sealed(manifest)
    if UNKNOWN in json.dumps(manifest) or _JOB_DIGEST in manifest["metadata"]["name"]:
        meta = out["metadata"]
        out["metadata"] = {**meta, "annotations": {**meta["annotations"], names.ANNOTATION_DIGEST: UNKNOWN}}
    if out["kind"] == "Secret":
        values = {key: base64.b64decode(value).decode() for key, value in out.pop("data").items()}
        out["stringData"] = values
    return out
