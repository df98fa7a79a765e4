"""The migration of a managed route's database, before its pods change."""

from datetime import UTC, datetime
from typing import Any

from litclaw.api.names import route_migration
from litclaw.api.route import LONGEST_NAME
from litclaw.reconcile.route.migration import is_migrated, is_stuck, migration_digest
from litclaw.reconcile.route.secrets import RouteSecrets
from litclaw.render.route.deployment import route_deployment
from litclaw.render.route.migration_job import route_migration_job
from pydantic import SecretStr

from .routes import managed_route


def secrets_of(url: str = "postgresql://u:p@db/litellm", salt: str = "s" * 16) -> RouteSecrets:
    return RouteSecrets(SecretStr("sk-"), None, SecretStr(salt), SecretStr(url), "fingerprint", "digest")


def variables(pod: dict[str, Any]) -> dict[str, Any]:
    [container] = pod["containers"]
    return {entry["name"]: entry.get("value") for entry in container["env"]}


def test_the_job_migrates_and_ends_and_the_pods_never_migrate() -> None:
    route, managed = managed_route({"image": "example.com/litellm:2", "nodeSelector": {"disk": "fast"}})
    job = route_migration_job(route, managed, "0123456789abcdef")
    assert job["metadata"]["name"] == "main-migrate-01234567"
    pod = job["spec"]["template"]["spec"]
    [container] = pod["containers"]
    assert container["image"] == "example.com/litellm:2"
    assert container["args"] == ["--config", "/etc/litellm/config.yaml", "--skip_server_startup"]
    assert variables(pod)["DISABLE_SCHEMA_UPDATE"] == "false"
    assert pod["restartPolicy"] == "Never" and pod["nodeSelector"] == {"disk": "fast"}
    given = {"config_digest": "c", "secrets_digest": "s", "migration": "0123", "salt": "f"}
    deployment = route_deployment(route, managed, **given)
    assert variables(deployment["spec"]["template"]["spec"])["DISABLE_SCHEMA_UPDATE"] == "true"
    assert is_migrated(deployment, "0123") and not is_migrated(deployment, "4567") and not is_migrated(None, "0123")


def test_the_jobs_pods_are_not_those_of_the_service() -> None:
    job = route_migration_job(*managed_route(), "0" * 16)
    assert job["spec"]["template"]["metadata"]["labels"]["app.kubernetes.io/component"] == "migration"


def test_the_longest_route_has_a_job_of_a_valid_name() -> None:
    assert len(route_migration("x" * LONGEST_NAME, "0" * 16)) <= 63


def test_a_new_image_database_or_way_to_it_is_migrated_and_nothing_else() -> None:
    def of(managed: dict[str, Any] | None = None, secrets: RouteSecrets | None = None, **spec: Any) -> str:
        return migration_digest(*managed_route(managed, **spec), secrets or secrets_of())

    before = of()
    assert of({"replicas": 3, "monitoring": {"enabled": True}}, routerSettings={"num_retries": 2}) == before
    assert of({"image": "example.com/litellm:2"}) != before
    assert of(secrets=secrets_of("postgresql://u:p@db/other")) != before
    assert of(generalSettings={"database_extra_connection_params": {"schema": "other"}}) != before


def test_a_migration_that_does_not_start_is_not_one_that_takes_long() -> None:
    started = {"startTime": "2026-11-24T08:00:00Z", "active": 1}
    soon, late = (datetime(2026, 11, 24, 8, minute, tzinfo=UTC) for minute in (4, 6))
    assert is_stuck({"status": {**started, "ready": 0}}, late)
    assert not is_stuck({"status": {**started, "ready": 0}}, soon)
    assert not is_stuck({"status": {**started, "ready": 1}}, late)
    assert not is_stuck({}, late)
