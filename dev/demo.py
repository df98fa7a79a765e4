"""The main job from scratch: a cluster, the operator, a LiteLLM, an agent, and a turn of OpenClaw with the agent's key.

Usage: python -m dev.demo    (CLUSTER as in dev/cluster.py)
"""

import json
import re
import sys
import time
from collections.abc import Callable

from rich.console import Console
from rich.table import Table

from .cluster import KUBECONFIG, ROOT, Cluster, sayer, up

_READY_SECONDS = 900.0
_SPEND_SECONDS = 180.0
_HEARTBEAT_SECONDS = 20.0


def _get(cluster: Cluster, namespace: str, kind: str, name: str) -> dict[str, object]:
    found: dict[str, object] = json.loads(cluster.run("-n", namespace, "get", kind, name, "-o", "json").stdout)
    return found


def _ready_message(body: dict[str, object]) -> tuple[bool, str]:
    status = body.get("status") or {}
    for condition in status.get("conditions", []):  # type: ignore[attr-defined]
        if condition["type"] == "Ready":
            return condition["status"] == "True", condition["message"]
    return False, "the operator hasn't reconciled it yet"


def wait_until(check: Callable[[], tuple[bool, str]], *, seconds: float, what: str) -> None:
    """Wait until a check succeeds; prints its message every 20 s.

    Args:
        check: returns whether it succeeds, and a message that says what is missing.
        what: the awaited thing, for the error message.

    Raises:
        RuntimeError: it took longer than ``seconds``; the message contains the last one of the check.
    """
    started = printed = time.monotonic()
    while True:
        done, message = check()
        now = time.monotonic()
        if done:
            return
        if now - started > seconds:
            raise RuntimeError(f"timed out after {seconds:.0f} s waiting for {what}: {message}")
        if now - printed > _HEARTBEAT_SECONDS:
            print(f"   {now - started:.0f} s: {message}", file=sys.stderr, flush=True)
            printed = now
        time.sleep(1)


def _wait_ready(cluster: Cluster, namespace: str, kind: str, name: str) -> None:
    def check() -> tuple[bool, str]:
        return _ready_message(_get(cluster, namespace, kind, name))

    wait_until(check, seconds=_READY_SECONDS, what=f"{kind} {namespace}/{name}")


def turn(cluster: Cluster) -> str:
    """One turn of OpenClaw in a pod with the agent's ConfigMap and Secret.

    Returns:
        The model's answer.

    Raises:
        RuntimeError: the turn failed; the message is the pod's log.
    """
    cluster.run("-n", "team-a", "delete", "job", "scout-turn", "--ignore-not-found")
    cluster.run("apply", "--server-side", "-f", str(ROOT / "examples" / "turn" / "job.yaml"))

    def check() -> tuple[bool, str]:
        status: dict[str, object] = _get(cluster, "team-a", "job", "scout-turn").get("status") or {}  # type: ignore[assignment]
        return bool(status.get("succeeded") or status.get("failed")), "the Job scout-turn is running"

    wait_until(check, seconds=_READY_SECONDS, what="the turn")
    return answer_in(cluster.run("-n", "team-a", "logs", "job/scout-turn").stdout)


def answer_in(log: str) -> str:
    """The answer in the output of ``openclaw agent --json``: a JSON object between log lines.

    Raises:
        RuntimeError: there is no answer; the message is the log.
    """
    for start in re.finditer(r"^\{", log, re.MULTILINE):
        try:
            found, _ = json.JSONDecoder().raw_decode(log, start.start())
            return str((found.get("result") or found)["payloads"][0]["text"])
        except (ValueError, LookupError, TypeError):
            continue
    raise RuntimeError(f"the turn failed:\n{log}")


def _spend(cluster: Cluster) -> float:
    status: dict[str, str] = _get(cluster, "team-a", "openclawagent", "scout")["status"]  # type: ignore[assignment]
    return float(status.get("spend") or 0)


def main() -> int:
    """Run the demo; returns the exit status."""
    log = sayer()
    cluster = up(log)
    log("a LiteLLM with PostgreSQL, two models and two agents (examples/quickstart)")
    cluster.run("apply", "--server-side", "-k", str(ROOT / "examples" / "quickstart"))
    _wait_ready(cluster, "ai", "litellmroute", "main")
    for name in ("scout", "keeper"):
        _wait_ready(cluster, "team-a", "openclawagent", name)
    before = _spend(cluster)
    log("a turn of OpenClaw in the cluster with the agent's key (examples/turn/job.yaml)")
    answer = turn(cluster)
    log("the spend of the turn (LiteLLM books it in the background)")
    wait_until(lambda: (_spend(cluster) > before, "not booked yet"), seconds=_SPEND_SECONDS, what="the spend")
    log("done")
    _show(cluster, answer, _spend(cluster) - before)
    return 0


def _show(cluster: Cluster, answer: str, cost: float) -> None:
    console = Console()
    console.print("\n[bold]Objects made by the operator[/bold]")
    table = Table("Kind", "Namespace", "Name")
    kinds = "deployments,statefulsets,services,configmaps,secrets,persistentvolumeclaims,networkpolicies"
    selector = "app.kubernetes.io/managed-by=litclaw"
    for body in json.loads(cluster.run("get", kinds, "-A", "-l", selector, "-o", "json").stdout)["items"]:
        table.add_row(body["kind"], body["metadata"]["namespace"], body["metadata"]["name"])
    console.print(table)
    console.print(cluster.run("get", "litellmroutes,openclawagents", "-A").stdout, markup=False, soft_wrap=True)
    console.print(f"[bold]Answer[/bold] {answer}")
    console.print(f"[bold]Cost[/bold] {cost:.6f} USD of the agent's budget.\n")
    console.print("[bold]What to try next[/bold]")
    console.print(
        f"  export KUBECONFIG={KUBECONFIG}\n"
        "  kubectl get llr,oca -A\n"
        "  kubectl explain oca.spec.key\n"
        "  kubectl -n team-a delete secret scout-litellm   # the operator makes it again, with a new key\n"
        "  kubectl -n team-a get configmap scout-openclaw -o jsonpath='{.data.openclaw\\.json}'\n"
        "  make cluster-down",
        markup=False,
        soft_wrap=True,
    )


if __name__ == "__main__":
    sys.exit(main())
