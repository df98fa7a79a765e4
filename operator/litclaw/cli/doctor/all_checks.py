"""All checks, in their order."""

from litclaw.cli.doctor import cluster, leftovers, operator, proxies, resources
from litclaw.cli.doctor.check import Check
from litclaw.kube.client import Kube


async def run(kube: Kube, operator_namespace: str | None, *, ask_proxies: bool) -> list[Check]:
    """Run every check. A check comes after those that it depends on.

    Args:
        operator_namespace: None: all namespaces are searched.
    """
    checks = [await cluster.check_version(kube), *await cluster.check_definitions(kube)]
    found, problems = await operator.find_operator(kube, operator_namespace)
    checks += problems
    if found:
        checks += operator.check_operator(found)
        checks += await operator.check_lease(kube, found)
        checks.append(await operator.check_permissions(kube, found))
    checks += await resources.check_routes(kube)
    if ask_proxies:
        checks += await proxies.check_proxies(kube, found.option("--cluster-id") if found else "")
    checks += await resources.check_agents(kube)
    checks += await resources.check_rotations(kube)
    checks += await leftovers.check_orphans(kube)
    checks += await leftovers.check_admission(kube)
    return checks
