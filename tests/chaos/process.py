"""The operator as a process of its own, behind a door of the faulty world."""

import asyncio
import base64
import contextlib
import json
import os
import signal
import sys
from collections.abc import Iterable
from pathlib import Path

from dev.cluster import ROOT

from .detour import DOOR, NAME


class OperatorProcess:
    """One operator process; it may be started again and again.

    Args:
        name: by which the world knows it.
        door: URL of the API server as it sees it.
        litellm: URL of the door to in-cluster proxies.
        folder: for its kubeconfig, its clock and its log.
        options: of `litclaw run`.
    """

    def __init__(self, name: str, door: str, litellm: str, folder: Path, options: Iterable[str]) -> None:
        self.name = name
        self._options = tuple(options)
        self._kubeconfig = folder / f"{name}.kubeconfig"
        self._clock = folder / f"{name}.clock"
        self.log = folder / f"{name}.log"
        self._litellm = litellm
        cluster, user, context = {"server": door}, {"token": "none"}, {"cluster": "world", "user": "operator"}
        self._kubeconfig.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "clusters": [{"name": "world", "cluster": cluster}],
                    "users": [{"name": "operator", "user": user}],
                    "contexts": [{"name": "world", "context": context}],
                    "current-context": "world",
                }
            )
        )
        self.set_clock(0)
        self.log.write_text("")
        self._process: asyncio.subprocess.Process | None = None

    def set_clock(self, ahead: float) -> None:
        """Set the process's clock ahead of the machine's, by some seconds."""
        part = self._clock.with_suffix(".new")
        part.write_text(str(ahead))
        part.rename(self._clock)

    async def start(self) -> None:
        """Start the process."""
        env = {**os.environ, "KUBECONFIG": str(self._kubeconfig), DOOR: self._litellm, NAME: self.name}
        for name in ("KUBERNETES_SERVICE_HOST", "HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy"):
            env.pop(name, None)
        command = [sys.executable, "-m", "tests.chaos.under_test", str(self._clock), "run", "--log-format=json"]
        with self.log.open("a") as log:
            self._process = await asyncio.create_subprocess_exec(
                *command, *self._options, env=env, cwd=ROOT, stdout=log, stderr=log
            )

    @property
    def runs(self) -> bool:
        """Whether it was started and hasn't ended."""
        return self._process is not None and self._process.returncode is None

    def tell(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End it, and wait for that; returns its exit status."""
        assert self._process
        self.tell(number)
        return await self._process.wait()

    async def wait(self, seconds: float) -> int:
        """Wait until it ends by itself; returns its exit status.

        Raises:
            TimeoutError: it doesn't.
        """
        assert self._process
        return await asyncio.wait_for(self._process.wait(), seconds)

    def trouble(self) -> list[str]:
        """Lines of the log that say that something went wrong which nobody thought of."""
        return [line[:2000] for line in self.log.read_text().splitlines() if _is_trouble(line)]

    def leaks(self, secrets: Iterable[str]) -> list[str]:
        """The first characters of secrets that are in the log, plain or in base64."""
        text = self.log.read_text()
        long = [secret for secret in secrets if len(secret) > 8]
        return [f"{each[:5]}…" for each in long if each in text or base64.b64encode(each.encode()).decode() in text]


def _is_trouble(line: str) -> bool:
    try:
        said = json.loads(line)
    except ValueError:
        return bool(line.strip())
    # One that has lost its lease ends itself, and kopf says of each try that it has failed.
    expected = said["logger"].startswith(("litclaw.kube.fence", "kopf._cogs.clients", "kopf._core.reactor.observation"))
    return said["level"] in ("ERROR", "CRITICAL") and not expected or "exc_info" in said
