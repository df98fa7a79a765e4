"""The CPU time of a command, from the start of its process to its end: loading the program is most of it."""

import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from .figures import Figure, at_most, at_most_times

SECTION = "command line"
_BIN = Path(sys.executable).parent
_PROGRAM = str(_BIN / "litclaw")
_FOR_KUBECTL = str(_BIN / "kubectl_complete-litclaw")
_RUNS = 10
_TIMES = 2.5
_MOST_SECONDS = 1.0
_AGENTS_PER_ROUTE = 100
_NOW = "2026-11-24T11:00:00Z"


def command_line(*, agents: int = 1000, runs: int = _RUNS) -> list[Figure]:
    """`litclaw version` and the shell's completion beside ``import typer``, and `litclaw status -A` over many agents.

    Needs no cluster: the API server is one of this process, which answers with pages of prepared resources.

    Args:
        runs: of each command; the median counts.
    """
    typer = cpu_ms([sys.executable, "-c", "import typer"], runs=runs)
    commands = {
        "version": cpu_ms([_PROGRAM, "version"], runs=runs),
        "completion of a command": cpu_ms([_PROGRAM], _completion("litclaw ro"), runs=runs),
        "completion of an option": cpu_ms([_PROGRAM], _completion("litclaw rotate --"), runs=runs),
        "completion for kubectl": cpu_ms([_FOR_KUBECTL, "ro"], runs=runs),
    }
    found = [at_most_times(SECTION, f"{name}, CPU", ms, "ms", typer, _TIMES) for name, ms in commands.items()]
    with _api_server(agents) as kubeconfig:
        seconds = cpu_ms([_PROGRAM, "status", "-A"], {"KUBECONFIG": kubeconfig}, runs=runs) / 1000
    return [*found, at_most(SECTION, f"status of {agents:,} agents, CPU", seconds, "s", _MOST_SECONDS)]


def cpu_ms(command: Sequence[str], env: Mapping[str, str] | None = None, *, runs: int = _RUNS) -> float:
    """The median of the CPU time of some runs, user and system, in milliseconds.

    Raises:
        subprocess.CalledProcessError: the command fails.
    """
    used = []
    for _ in range(runs):
        before = _children_seconds()
        subprocess.run(command, env={**os.environ, **(env or {})}, stdout=subprocess.DEVNULL, check=True)
        used.append(_children_seconds() - before)
    return statistics.median(used) * 1000


def _children_seconds() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _completion(line: str) -> dict[str, str]:
    """The environment in which bash asks for the completion of the last word of a line."""
    return {"_LITCLAW_COMPLETE": "complete_bash", "COMP_WORDS": line, "COMP_CWORD": str(len(line.split()) - 1)}


@contextmanager
def _api_server(agents: int) -> Iterator[str]:
    """An API server with some agents and their routes; yields a kubeconfig."""
    lists = {
        "openclawagents": [_agent(number) for number in range(agents)],
        "litellmroutes": [_route(number) for number in range(max(1, agents // _AGENTS_PER_ROUTE))],
    }

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            content = json.dumps(_page(lists[url.path.rpartition("/")[2]], parse_qs(url.query))).encode()
            self.send_response(200)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, format: str, *args: Any) -> None:
            """No line per request."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        with tempfile.TemporaryDirectory() as folder:
            yield _kubeconfig(Path(folder), server.server_port)
    finally:
        server.shutdown()
        server.server_close()


def _page(items: Sequence[Any], query: Mapping[str, Sequence[str]]) -> dict[str, Any]:
    """A part of a list, as ``limit`` and ``continue`` ask for it."""
    start, limit = int(query.get("continue", ["0"])[0]), int(query["limit"][0])
    end = start + limit
    meta = {"resourceVersion": "1"} | ({"continue": str(end)} if end < len(items) else {})
    return {"kind": "List", "apiVersion": "v1", "metadata": meta, "items": items[start:end]}


def _kubeconfig(folder: Path, port: int) -> str:
    path = folder / "kubeconfig"
    config = {
        "apiVersion": "v1",
        "kind": "Config",
        "current-context": "bench",
        "clusters": [{"name": "bench", "cluster": {"server": f"http://127.0.0.1:{port}"}}],
        "contexts": [{"name": "bench", "context": {"cluster": "bench", "user": "bench"}}],
        "users": [{"name": "bench", "user": {"token": "bench"}}],
    }
    path.write_text(json.dumps(config))
    return str(path)


def _resource(
    kind: str, namespace: str, name: str, spec: Any, status: Any, conditions: Sequence[str]
) -> dict[str, Any]:
    """A resource that is ready, as an API server has it."""
    fields = {f"f:{field}": {} for field in (*spec, *status, "conditions")}
    managers = [
        {
            "manager": manager,
            "operation": "Apply",
            "apiVersion": "litclaw.dev/v1alpha1",
            "fieldsV1": {"f:status": fields},
        }
        for manager in ("kubectl", "litclaw")
    ]
    return {
        "apiVersion": "litclaw.dev/v1alpha1",
        "kind": kind,
        "metadata": {
            "name": name,
            "namespace": namespace,
            "uid": f"00000000-0000-0000-0000-{name:0>12}",
            "generation": 1,
            "creationTimestamp": _NOW,
            "finalizers": ["litclaw.dev/finalizer"],
            "managedFields": managers,
        },
        "spec": spec,
        "status": {
            "observedGeneration": 1,
            "conditions": [
                {
                    "type": condition,
                    "status": "False" if condition in ("Stalled", "Reconciling") else "True",
                    "reason": "Ready",
                    "message": "Everything that the resource needs is in place.",
                    "observedGeneration": 1,
                    "lastTransitionTime": _NOW,
                }
                for condition in conditions
            ],
            **status,
        },
    }


def _agent(number: int) -> dict[str, Any]:
    key = {"generation": 1, "hash": "0123456789abcdef", "rotatedAt": _NOW, "nextRotation": "2027-11-24T11:00:00Z"}
    return _resource(
        "OpenClawAgent",
        f"team-{number % 20}",
        f"agent-{number}",
        {"routeRef": {"name": f"main-{number // _AGENTS_PER_ROUTE}", "namespace": "ai"}, "models": ["gpt-4o"]},
        {"defaultModel": "gpt-4o", "spend": f"{number / 100:.2f}", "budget": "50.00", "key": key},
        ("Ready", "Reconciling", "Stalled", "RouteReady", "KeyReady", "ConfigReady", "WithinBudget"),
    )


def _route(number: int) -> dict[str, Any]:
    name = f"main-{number}"
    return _resource(
        "LiteLLMRoute",
        "ai",
        name,
        {"managed": {"database": {"embedded": {}}}},
        {
            "url": f"http://{name}-litellm.ai.svc.cluster.local:4000",
            "version": "1.106.2",
            "models": 4,
            "agents": _AGENTS_PER_ROUTE,
            "keys": {"live": _AGENTS_PER_ROUTE, "retiring": 0},
            "spend": "500.00",
        },
        ("Ready", "Reconciling", "Stalled", "SecretsReady", "DatabaseReady", "ProxyReady", "ModelsReady"),
    )
