"""No call is refused while a managed proxy's pods, port or environment change."""

from datetime import timedelta
from typing import Any

import pytest
from litclaw.kube.cache import compact
from litclaw.reconcile.core.conditions import Blocked, Conditions
from litclaw.reconcile.route.deploy import Deployed, deploy
from litclaw.reconcile.route.reconcile import REQUIRED_CONDITIONS
from litclaw.reconcile.route.secrets import route_secrets
from litclaw.render.metadata import encode
from litclaw.render.route.deployment import route_deployment
from litclaw.render.route.migration_job import route_migration_job
from litclaw.render.route.postgres import postgres_statefulset
from litclaw.render.route.service import FORMER_PORT_SECONDS, former_ports, route_service

from .proxies import Clock
from .routes import managed_route
from .scenes import Body, Scene

GIVEN = {"config_digest": "c", "secrets_digest": "s", "migration": "m", "salt": "f"}


def pods(**managed: Any) -> Body:
    """The specification of the proxy's pods."""
    found: Body = route_deployment(*managed_route(managed), **GIVEN)["spec"]["template"]["spec"]
    return found


@pytest.mark.parametrize(("given", "grace", "sleep"), [({}, 300, 120), ({"terminationGracePeriodSeconds": 20}, 20, 10)])
def test_a_pod_that_ends_still_accepts_calls_before_it_finishes_those_that_it_has(
    given: Body, grace: int, sleep: int
) -> None:
    spec = pods(**given)
    [container] = spec["containers"]
    assert spec["terminationGracePeriodSeconds"] == grace
    assert container["lifecycle"] == {"preStop": {"sleep": {"seconds": sleep}}}, "the image may have no shell"


def test_a_migration_has_nobody_to_wait_for() -> None:
    [container] = route_migration_job(*managed_route(), "0" * 16)["spec"]["template"]["spec"]["containers"]
    assert "lifecycle" not in container


def service(port: int, live: Body | None, clock: Clock) -> Body:
    """The Service after a pass."""
    route, managed = managed_route({"port": port})
    return compact(route_service(route, managed, live=live, former=former_ports(live, port, clock())))


def ports(body: Body) -> dict[str, int]:
    """Its ports by name. All lead to the same port of the pods."""
    assert {each["targetPort"] for each in body["spec"]["ports"]} == {"http"}
    return {each["name"]: each["port"] for each in body["spec"]["ports"]}


def test_a_port_that_was_given_up_is_served_for_a_while() -> None:
    clock = Clock()
    before = service(4000, None, clock)
    assert ports(before) == {"http": 4000} and "annotations" not in before["metadata"]
    after = service(5000, before, clock)
    assert ports(after) == {"http-5000": 5000, "http": 4000}, (
        "under another name it would have no endpoints for a moment"
    )
    clock.pass_(60)
    assert service(5000, after, clock) == after, "the next pass changes nothing"
    again = service(6000, after, clock)
    assert ports(again) == {"http-6000": 6000, "http": 4000, "http-5000": 5000}
    assert ports(service(4000, again, clock)) == {"http": 4000, "http-5000": 5000, "http-6000": 6000}
    clock.pass_(FORMER_PORT_SECONDS)
    alone = service(6000, again, clock)
    assert ports(alone) == {"http-6000": 6000} and "annotations" not in alone["metadata"]
    assert ports(service(7000, alone, clock)) == {"http": 7000, "http-6000": 6000}


@pytest.mark.parametrize("name", ["https", "http-admin", "http-1", ""])
def test_a_port_that_somebody_else_has_added_is_none_of_ours(name: str) -> None:
    body = service(4000, None, Clock())
    added = {"name": name, "port": 8443, "protocol": "TCP", "targetPort": 8443}
    live = {**body, "spec": {**body["spec"], "ports": [*body["spec"]["ports"], added]}}
    assert former_ports(live, 4000, Clock()()) == {}
    assert service(4000, live, Clock()) == body


def test_a_note_that_somebody_has_edited_is_ignored() -> None:
    body = service(4000, None, Clock())
    until = "2999-01-01T00:00:00"
    for noted in ("x", "4001=soon", "=,", "4002", f"4001={until}", f"99999={until}Z", f"-1={until}Z"):
        live = {**body, "metadata": {**body["metadata"], "annotations": {"litclaw.dev/former-ports": noted}}}
        assert former_ports(live, 4000, Clock()() + timedelta()) == {}


async def test_a_changed_configmap_of_the_environment_rolls_the_pods() -> None:
    scene = Scene()
    source = {"configMapKeyRef": {"name": "one", "key": "A"}}
    route, managed = managed_route(
        {"env": [{"name": "A", "valueFrom": source}], "envFrom": [{"configMapRef": {"name": "all"}}]}
    )

    async def digest(name: str, value: str) -> str:
        meta = {"namespace": "ai", "name": name, "uid": name, "resourceVersion": "1"}
        scene.kube.objects["ConfigMap", "ai", name] = {"kind": "ConfigMap", "metadata": meta, "data": {"A": value}}
        return (await route_secrets(scene.context, route, managed, None)).digest

    first = await digest("one", "1")
    assert await digest("one", "1") == first
    found = {first, await digest("one", "2"), await digest("all", "1"), await digest("all", "2")}
    assert len(found) == 4


def test_an_existing_database_keeps_its_volume() -> None:
    route, managed = managed_route({"database": {"embedded": {"storage": "20Gi"}}})
    assert managed.database.embedded
    [claim] = postgres_statefulset(route, managed.database.embedded, "10Gi")["spec"]["volumeClaimTemplates"]
    assert claim["spec"]["resources"]["requests"]["storage"] == "10Gi"


def with_database() -> Scene:
    """A scene with a database of the owner's own."""
    scene = Scene()
    meta = {"namespace": "ai", "name": "db", "uid": "db", "resourceVersion": "1"}
    data = encode({"URL": "postgresql://u:p@db/litellm"})
    scene.put({"kind": "Secret", "metadata": meta, "data": data})
    return scene


async def one_pass(scene: Scene, **managed: Any) -> Deployed | Blocked:
    """What a pass over the route finds."""
    database = {"secretRef": {"name": "db", "key": "URL"}}
    try:
        return await deploy(
            scene.context, *managed_route({"database": database, **managed}), Conditions(REQUIRED_CONDITIONS)
        )
    except Blocked as why:
        return why


def show(scene: Scene, kind: str, **status: Any) -> None:
    """Let the only object of a kind have a status."""
    [body] = [body for body in scene.kube.objects.values() if body["kind"] == kind]
    version = str(int(body["metadata"]["resourceVersion"]) + 1000)
    scene.put({**body, "metadata": {**body["metadata"], "resourceVersion": version}, "status": status})


async def migrated(**managed: Any) -> Scene:
    """A scene in which the database is up to date and the pods exist."""
    scene = with_database()
    found = await one_pass(scene, **managed)
    assert isinstance(found, Blocked) and found.reason == "Migrating"
    show(scene, "Job", conditions=[{"type": "Complete", "status": "True"}])
    await one_pass(scene, **managed)
    return scene


async def test_a_proxy_of_no_pods_says_so() -> None:
    scene = await migrated(replicas=0)
    found = await one_pass(scene, replicas=0)
    assert isinstance(found, Blocked) and (found.reason, found.stalled) == ("ScaledToZero", True)
    assert found.message == "spec.managed.replicas is 0, so no call is answered: set it to 1 or more."


async def test_a_roll_out_that_is_refused_is_reported_and_agents_still_get_keys() -> None:
    scene = await migrated()
    show(scene, "Deployment", replicas=1, readyReplicas=1, updatedReplicas=1)
    found = await one_pass(scene)
    assert isinstance(found, Deployed) and found.pending is None
    refused = {"type": "ReplicaFailure", "status": "True", "message": 'pods "x-1" is forbidden: exceeded quota: q'}
    show(scene, "Deployment", replicas=1, readyReplicas=1, updatedReplicas=0, conditions=[refused])
    found = await one_pass(scene)
    assert isinstance(found, Deployed) and found.pending and found.pending.serving
    assert found.pending.reason == "FailedCreate" and "exceeded quota: q. " in found.pending.message
    assert found.pending.message.endswith("What ran before goes on.")
