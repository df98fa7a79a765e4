"""The database is migrated once, before the pods are replaced; if that fails, the old pods stay."""

from collections.abc import Iterator

import pytest

from .api import Object
from .database import let_in
from .kube import Kube
from .proxy import Proxy
from .resources import AI, MODELS, TEAM, agent, managed_route
from .waiting import LONG_SECONDS, eventually

NAME = "mover-litellm"
PSQL = ("exec", "main-postgres-0", "--", "psql", "--username=litellm", "--dbname=litellm", "--command")


def url(kube: Kube, database: str) -> str:
    """A URL of one of the databases beside main's own."""
    return kube.secret(AI, "main-postgres")["DATABASE_URL"].removesuffix("/litellm") + f"/{database}"


def point_to(kube: Kube, where: str) -> None:
    """Point the route's Secret to another database."""
    meta = {"name": "mover-db", "namespace": AI}
    kube.apply({"apiVersion": "v1", "kind": "Secret", "metadata": meta, "stringData": {"URL": where}})


def jobs(kube: Kube) -> list[Object]:
    """The route's migrations, the oldest first."""
    found = kube.list("jobs", "-l", "app.kubernetes.io/instance=mover")
    return sorted(found, key=lambda body: str(body["metadata"]["creationTimestamp"]))


def pods(kube: Kube) -> list[Object]:
    """The proxy's pods, without terminating ones."""
    found = kube.list("pods", "-l", "app.kubernetes.io/instance=mover,app.kubernetes.io/component=proxy")
    return [body for body in found if "deletionTimestamp" not in body["metadata"]]


def template(kube: Kube) -> Object:
    """The pods' template."""
    found: Object = kube.must("deployment", AI, NAME)["spec"]["template"]
    return found


@pytest.fixture(scope="module")
def mover(kube: Kube, proxy: Proxy) -> Iterator[Proxy]:
    """A route ``mover`` with a database of its own in main's PostgreSQL."""
    kube.run("-n", AI, *PSQL, "CREATE DATABASE moved")
    kube.apply(let_in("mover"))
    point_to(kube, url(kube, "moved"))
    managed = {"database": {"secretRef": {"name": "mover-db", "key": "URL"}}}
    kube.apply(managed_route("mover", managed=managed, models=MODELS))
    kube.wait_ready("litellmroute", AI, "mover", timeout=LONG_SECONDS)
    yield Proxy(kube, AI, NAME, kube.secret(AI, "mover-master-key")["LITELLM_MASTER_KEY"])
    kube.delete("litellmroute", AI, "mover", "--cascade=foreground")
    kube.delete("secret", AI, "mover-db")
    kube.delete("networkpolicy", AI, "mover-reaches-main-postgres")


def test_the_first_pods_find_a_database_that_a_job_has_made_ready(kube: Kube, mover: Proxy) -> None:
    [job] = jobs(kube)
    [pod] = pods(kube)
    assert job["status"]["completionTime"] <= pod["metadata"]["creationTimestamp"]
    assert job["metadata"]["name"].startswith("mover-migrate-")
    [container] = pod["spec"]["containers"]
    assert {"name": "DISABLE_SCHEMA_UPDATE", "value": "true"} in container["env"]


def test_an_image_that_is_not_there_changes_nothing(kube: Kube, mover: Proxy) -> None:
    before = template(kube)
    kube.patch("litellmroute", AI, "mover", {"spec": {"managed": {"image": "litellm.invalid/none:1"}}})
    found = kube.wait_condition("litellmroute", AI, "mover", "DatabaseReady", "False", "ImagePullBackOff", timeout=60)
    assert "What ran before goes on" in found["message"] and "litellm.invalid/none:1" in found["message"]
    kube.wait_condition("litellmroute", AI, "mover", "Stalled", "True")
    assert len(jobs(kube)) == 2 and template(kube) == before
    kube.patch("litellmroute", AI, "mover", {"spec": {"managed": {"image": None}}})
    kube.wait_ready("litellmroute", AI, "mover")
    eventually(lambda: len(jobs(kube)) == 1, what="a Job that isn't wanted any more and can't start is deleted")
    assert template(kube) == before


def test_a_failed_migration_leaves_the_old_pods_and_agents_being_made(kube: Kube, mover: Proxy) -> None:
    before = template(kube)
    point_to(kube, url(kube, "gone"))
    found = kube.wait_condition(
        "litellmroute", AI, "mover", "DatabaseReady", "False", "MigrationFailed", timeout=LONG_SECONDS
    )
    assert "ends with exit code " in found["message"] and " logs mover-migrate-" in found["message"]
    assert "What ran before goes on" in found["message"]
    kube.wait_condition("litellmroute", AI, "mover", "Stalled", "True")
    kube.wait_condition("litellmroute", AI, "mover", "ModelsReady", "True")
    assert template(kube) == before
    eventually(lambda: kube.must("deployment", AI, NAME)["status"]["readyReplicas"] == 1)
    kube.apply(agent("early", route="mover"))
    kube.wait_ready("openclawagent", TEAM, "early")
    assert mover.chat(kube.secret(TEAM, "early-litellm")["LITELLM_API_KEY"]).status_code == 200


def test_a_repaired_database_is_migrated_once_and_then_the_pods_change(kube: Kube, mover: Proxy) -> None:
    before = {body["metadata"]["name"] for body in jobs(kube)}
    old = template(kube)["metadata"]["annotations"]["litclaw.dev/migrated"]
    point_to(kube, url(kube, "moved") + "?application_name=mover")

    def rolled_out() -> bool:
        deployment = kube.must("deployment", AI, NAME)
        status = deployment["status"]
        assert status.get("observedGeneration") == deployment["metadata"]["generation"]
        made = deployment["spec"]["template"]["metadata"]["annotations"]
        assert made["litclaw.dev/migrated"] != old
        return bool(status.get("updatedReplicas") == status.get("replicas") == status.get("readyReplicas") == 1)

    eventually(rolled_out, timeout=LONG_SECONDS)
    kube.wait_ready("litellmroute", AI, "mover")
    [job] = [body for body in jobs(kube) if body["metadata"]["name"] not in before]
    assert job["status"]["succeeded"] == 1
    [pod] = pods(kube)
    assert job["status"]["completionTime"] <= pod["metadata"]["creationTimestamp"]
    key = kube.secret(TEAM, "early-litellm")["LITELLM_API_KEY"]
    assert mover.chat(key).status_code == 200, "the database is the one from before"
    kube.delete("openclawagent", TEAM, "early")
