"""The operator's pods: whether one has crashed, the memory that each has taken, and the failures in their logs."""

import re
import time

from litclaw.api.quantity import parse_quantity
from litclaw.kube.fence import EXIT_STATUS

from .api import Object
from .kube import Kube

SYSTEM = "litclaw-system"
PYTHON = "/opt/litclaw/bin/python"
_FAILURE = re.compile(r'Traceback|InternalError|File \\?"[^"]*\.py')
"""A line of a traceback, also one in JSON."""


def now() -> str:
    """The time, for `failures`."""
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def operators(kube: Kube) -> list[Object]:
    """The operator's pods."""
    return kube.list("pods", "-l", "app.kubernetes.io/name=litclaw")


def crashes(kube: Kube) -> dict[str, list[Object]]:
    """By the uids of the operator's pods, how their containers last ended; without a leader that ended because it couldn't
    renew its Lease, which on a busy machine is the API server's fault."""
    found: dict[str, list[Object]] = {}
    for pod in operators(kube):
        states = [each.get("lastState", {}) for each in pod["status"].get("containerStatuses", [])]
        ends = [state["terminated"] for state in states if "terminated" in state]
        found[pod["metadata"]["uid"]] = [end for end in ends if end["exitCode"] != EXIT_STATUS]
    return found


def peaks(kube: Kube) -> dict[str, float]:
    """The most memory that each pod has taken so far, as a share of its limit."""
    found = {}
    for pod in operators(kube):
        [container] = pod["spec"]["containers"]
        limit = parse_quantity(container["resources"]["limits"]["memory"])
        assert limit
        name, code = pod["metadata"]["name"], "print(open('/proc/1/status').read())"
        status = kube.run("-n", SYSTEM, "exec", name, "--", PYTHON, "-c", code).stdout
        [kibibytes] = re.findall(r"VmHWM:\s+(\d+) kB", status)
        found[name] = round(int(kibibytes) * 1024 / float(limit), 2)
    return found


def failures(kube: Kube, since: str) -> list[str]:
    """Lines of the operators' logs that no input should cause."""
    found = []
    for pod in operators(kube):
        log = kube.run("-n", SYSTEM, "logs", pod["metadata"]["name"], f"--since-time={since}").stdout
        found += [line for line in log.splitlines() if _FAILURE.search(line)]
    return found
