"""The operator as a separate process, behind a door of the faulty world."""

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
    """One operator process, which can be started again after its end.

    Args:
        name: its name in the faulty world.
        door: URL of its door to the API server.
        litellm: URL of the door to in-cluster proxies.
        folder: for its kubeconfig, its clock and its log.
        options: for `litclaw run`.
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
        """Set the process's clock some seconds ahead of the machine's."""
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
        """Whether it runs."""
        return self._process is not None and self._process.returncode is None

    def tell(self, number: signal.Signals) -> None:
        """Send a signal, if the process still runs."""
        if self._process:
            with contextlib.suppress(ProcessLookupError):
                self._process.send_signal(number)

    async def end(self, number: signal.Signals = signal.SIGKILL) -> int:
        """End the process and wait for it; returns its exit status."""
        assert self._process
        self.tell(number)
        return await self._process.wait()

    async def wait(self, seconds: float) -> int:
        """Wait until the process ends by itself; returns its exit status.

        Raises:
            TimeoutError: it doesn't end in time.
        """
        assert self._process
        return await asyncio.wait_for(self._process.wait(), seconds)

    def trouble(self) -> list[str]:
        """Lines of the log that report an unexpected error."""
        return [line[:2000] for line in self.log.read_text().splitlines() if _is_trouble(line)]

    def leaks(self, secrets: Iterable[str]) -> list[str]:
        """The first characters of each secret that is in the log, plain or in base64."""
        text = self.log.read_text()
        long = [secret for secret in secrets if len(secret) > 8]
        return [f"{each[:5]}…" for each in long if each in text or base64.b64encode(each.encode()).decode() in text]


def _is_trouble(line: str) -> bool:
    try:
        entry = json.loads(line)
    except ValueError:
        return bool(line.strip())
    # An operator that has lost its lease ends itself, and kopf logs each attempt that fails.
    expected = entry["logger"].startswith(
        ("litclaw.kube.fence", "kopf._cogs.clients", "kopf._core.reactor.observation")
    )
    return entry["level"] in ("ERROR", "CRITICAL") and not expected or "exc_info" in entry
