"""Stories that cross objects: retained keys and their adoption, two routes, two workers, gateways, managed routes, names.

Each has a promise of its end state, in which the case's name is CASE and no value is shown: see `end_state`.
"""

from typing import Final

from litclaw.api import names
from litclaw.kube.resources import AGENT, ROUTE, SECRET

from .played import NOWHERE
from .stage import NAMESPACE_NAME, Object, Stage
from .story import Story, with_route
from .workers import END as TWO_WORKERS

_GATEWAY: Final = {"storage": "1Gi", "nodeSelector": NOWHERE}
_DEPLOYMENT, _SECRET = "Deployment CASE-openclaw", "Secret CASE-litellm"


# Retained keys


async def _retain(stage: Stage, case: str) -> None:
    await stage.change(stage.agent(case), {"key": {"deletionPolicy": "Retain"}})


async def _delete(stage: Stage, case: str) -> None:
    """The keys don't end with it (`CaseRecord.ending`): whatever ends one is wrong."""
    await stage.delete(AGENT, case)


async def _adopt(stage: Stage, case: str) -> None:
    await stage.apply(stage.agent(case))


def _is_retained(state: Object) -> bool:
    [key] = state["keys"]
    owners = state[_SECRET]["metadata"].get("ownerReferences")
    return "OpenClawAgent CASE" not in state and not owners and key["mark"]["retained"] == f"{NAMESPACE_NAME}/CASE"


def _is_adopted(state: Object) -> bool:
    [key] = state["keys"]
    return bool(state[_SECRET]["metadata"].get("ownerReferences")) and not key["mark"]["retained"]


# Two routes


async def with_second_route(stage: Stage, case: str) -> None:
    """A second route, to another LiteLLM where there is one."""
    await with_route(stage, case)
    await stage.apply(stage.route(f"{case}-b", f"{case}-b"))


async def _with_shared_proxy(stage: Stage, case: str) -> None:
    await with_route(stage, case)
    await stage.apply(stage.route(f"{case}-b", case))


async def _with_second_url(stage: Stage, case: str) -> None:
    await with_route(stage, case)
    await stage.apply(stage.route(f"{case}-b", f"{case}-x"))


async def move(stage: Stage, case: str) -> None:
    """The agent gets its key by the second route from now on."""
    await stage.change(stage.agent(case), {"routeRef": {"name": f"{case}-b"}})


async def _move_and_delete_route(stage: Stage, case: str) -> None:
    await move(stage, case)
    await stage.delete(ROUTE, case)


def _has_second_route_alone(state: Object) -> bool:
    return "LiteLLMRoute CASE" not in state and "LiteLLMRoute CASE-b" in state


# Two workers


async def _with_two_workers(stage: Stage, case: str) -> None:
    await stage.apply(stage.route(case, f"{case}{TWO_WORKERS}"))
    await stage.apply(stage.agent(case))


async def _rotate(stage: Stage, case: str) -> None:
    await stage.annotate(stage.agent(case), rotate="now")


# Gateways


async def _with_gateway(stage: Stage, case: str) -> None:
    await stage.change(stage.agent(case), {"gateway": _GATEWAY})


async def _revoke_key_and_token(stage: Stage, case: str) -> None:
    """As after a leak."""
    await stage.annotate(stage.agent(case, gateway=_GATEWAY), rotate="now")
    await stage.delete(SECRET, names.agent_gateway_token(case))


async def _without_gateway(stage: Stage, case: str) -> None:
    await stage.apply(stage.agent(case))


def _has_gateway(state: Object) -> bool:
    """Whether there is a gateway whose pod has the configuration and the token of now."""
    annotations = state[_DEPLOYMENT]["spec"]["template"]["metadata"]["annotations"]
    return (annotations[names.ANNOTATION_CONFIG], annotations[names.ANNOTATION_SECRETS]) == ("CONFIG", "TOKEN")


def _has_volume_alone(state: Object) -> bool:
    gone = (_DEPLOYMENT, "Service CASE-openclaw", "NetworkPolicy CASE-openclaw", "Secret CASE-gateway")
    return "PersistentVolumeClaim CASE-openclaw" in state and not any(each in state for each in gone)


# Managed routes


async def _with_managed_route(stage: Stage, case: str) -> None:
    await stage.apply(stage.managed_route(case))
    await stage.apply(stage.agent(case))


async def _delete_route(stage: Stage, case: str) -> None:
    await stage.delete(ROUTE, case)


def _has_proxy(state: Object) -> bool:
    wanted = ("Deployment CASE-litellm", "Service CASE-litellm", "Secret CASE-master-key", "Secret CASE-salt-key")
    return all(each in state for each in wanted) and state["jobs"] == 1


def _has_no_proxy(state: Object) -> bool:
    """Whether the agent's objects are left alone."""
    left = {"OpenClawAgent CASE", _SECRET, "ConfigMap CASE-openclaw", "keys", "jobs"}
    return set(state) == left and state["jobs"] == 0


# Names


async def _rename_secret(stage: Stage, case: str) -> None:
    await stage.change(stage.agent(case), {"key": {"secretName": f"{case}-other"}})


def _has_other_secret(state: Object) -> bool:
    return "Secret CASE-other" in state and _SECRET not in state


async def _rename_alias(stage: Stage, case: str) -> None:
    await stage.change(stage.agent(case), {"key": {"alias": f"{NAMESPACE_NAME}/{case}-other"}})


def _has_other_alias(state: Object) -> bool:
    [key] = state["keys"]
    return bool(key["key_alias"] == f"{NAMESPACE_NAME}/CASE-other")


async def _apply_aliases(stage: Stage, case: str, one: str, other: str) -> None:
    for agent, alias in ((case, one), (f"{case}-b", other)):
        await stage.apply(stage.agent(agent, key={"alias": f"{NAMESPACE_NAME}/{case}-{alias}"}))


async def _with_aliases(stage: Stage, case: str) -> None:
    await stage.apply(stage.route(case, case))
    await _apply_aliases(stage, case, "one", "other")


async def _swap_aliases(stage: Stage, case: str) -> None:
    await _apply_aliases(stage, case, "other", "one")


def _has_swapped(state: Object) -> bool:
    held = {key["key_alias"]: key["in the Secret"] for key in state["keys"]}
    return held == {f"{NAMESPACE_NAME}/CASE-other": "CASE-litellm", f"{NAMESPACE_NAME}/CASE-one": "CASE-b-litellm"}


CROSSINGS: Final = (
    Story("retain", _delete, prepare=(_retain,), promise=_is_retained, crosses=True, retains=True),
    Story("adopt", _adopt, prepare=(_retain, _delete), promise=_is_adopted, crosses=True),
    Story(
        "move-and-delete-route",
        _move_and_delete_route,
        begin=with_second_route,
        tenant="-b",
        promise=_has_second_route_alone,
        crosses=True,
    ),
    Story(
        "shared-proxy", _move_and_delete_route, begin=_with_shared_proxy, promise=_has_second_route_alone, crosses=True
    ),
    Story(
        "second-url",
        _move_and_delete_route,
        begin=_with_second_url,
        tenant="-x",
        promise=_has_second_route_alone,
        crosses=True,
    ),
    Story(
        "two-workers",
        _rotate,
        begin=_with_two_workers,
        tenant=TWO_WORKERS,
        tenant_before=TWO_WORKERS,
        crosses=True,
    ),
    Story("gateway", _with_gateway, promise=_has_gateway, crosses=True),
    Story("gateway-leak", _revoke_key_and_token, prepare=(_with_gateway,), promise=_has_gateway, crosses=True),
    Story("gateway-remove", _without_gateway, prepare=(_with_gateway,), promise=_has_volume_alone, crosses=True),
    Story("managed-create", _with_managed_route, begin=None, promise=_has_proxy, crosses=True),
    Story(
        "managed-delete",
        _delete_route,
        begin=_with_managed_route,
        accepted=None,
        promise=_has_no_proxy,
        crosses=True,
        loses_database=True,
    ),
    Story("rename-secret", _rename_secret, promise=_has_other_secret, crosses=True),
    Story("rename-alias", _rename_alias, promise=_has_other_alias, crosses=True),
    Story("swap-aliases", _swap_aliases, begin=_with_aliases, keys=2, promise=_has_swapped, crosses=True),
)
