"""A managed route's Service."""

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Any

from litclaw.api import names
from litclaw.api.managed import Managed
from litclaw.api.route import LiteLLMRoute
from litclaw.render.metadata import Manifest, labels, owned_object

FORMER_PORT_SECONDS = 3600
"""How long the Service still has a port that the resource has given up: agents' pods know it by their Secret, which a kubelet
refreshes within 90 s, or by their environment until they are restarted. As long as a replaced key lives by default."""
_NAME = "http"
_MOST_FORMER = 5
_PORTS = range(1, 65_536)


def former_ports(service: Mapping[str, Any] | None, port: int, now: datetime) -> dict[int, datetime]:
    """The ports that the Service had before, each with the moment at which it is removed.

    Args:
        service: as it is in the cluster; None: it doesn't exist.
        port: the port of now.
        now: the time.
    """
    if service is None:
        return {}
    noted = (service["metadata"].get("annotations") or {}).get(names.ANNOTATION_FORMER_PORTS, "")
    found: dict[int, datetime] = {}
    for entry in filter(None, noted.split(",")):
        number, _, until = entry.partition("=")
        try:
            if (moment := datetime.fromisoformat(until)).tzinfo and int(number) in _PORTS:
                found[int(number)] = moment
        except ValueError:
            continue  # somebody has edited it
    for entry in service["spec"].get("ports") or ():
        if entry.get("name") in (_NAME, _numbered(entry["port"])):  # others may add ports of their own
            found.setdefault(entry["port"], now + timedelta(seconds=FORMER_PORT_SECONDS))
    kept = sorted((until, number) for number, until in found.items() if number != port and until > now)
    return {number: until for until, number in kept[-_MOST_FORMER:]}


def route_service(
    route: LiteLLMRoute,
    managed: Managed,
    *,
    live: Mapping[str, Any] | None = None,
    former: Mapping[int, datetime] | None = None,
) -> Manifest:
    """The Service in front of the proxy's pods.

    Args:
        route: the resource.
        managed: its ``spec.managed``.
        live: the Service as it is in the cluster.
        former: see `former_ports`.
    """
    name, annotations = names.route_workload(route.metadata.name), dict(managed.service.annotations)
    if former:
        noted = ",".join(f"{number}={until.isoformat()}" for number, until in former.items())
        annotations[names.ANNOTATION_FORMER_PORTS] = noted
    manifest = owned_object(route, "v1", "Service", name, component="proxy", annotations=annotations)
    return {
        **manifest,
        "spec": {
            "type": managed.service.type,
            "selector": labels(route.metadata.name, "proxy"),
            "ports": _ports((managed.port, *(former or ())), live),
        },
    }


def _ports(numbers: Iterable[int], live: Mapping[str, Any] | None) -> list[dict[str, Any]]:
    """The ports, each by the name that it has already: one with a new name has no endpoints for a moment, and refuses calls."""
    before = {entry["port"]: entry.get("name", "") for entry in (live or {}).get("spec", {}).get("ports", ())}
    ports = []
    for number in numbers:
        name = before.get(number) or (_numbered(number) if _NAME in before.values() else _NAME)
        ports.append({"name": name, "port": number, "protocol": "TCP", "targetPort": "http"})
    return ports


def _numbered(port: int) -> str:
    """A port's name where another one has the plain one."""
    return f"{_NAME}-{port}"


def service_url(route: LiteLLMRoute, managed: Managed) -> str:
    """The Service's URL, as agents of every namespace reach it."""
    name = names.route_workload(route.metadata.name)
    return f"http://{name}.{route.metadata.namespace}.svc.cluster.local:{managed.port}"
