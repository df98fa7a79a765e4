"""The way to the cluster: the options that say which, and what to tell a user where it can't be asked."""

import asyncio
import logging
import os
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeVar

import typer
import yaml

from litclaw.cli.output import Exit, Fault
from litclaw.kube.client import Kube, own_namespace
from litclaw.kube.errors import KubeError, UnavailableError

T = TypeVar("T")
_AWAY_SECONDS = 60.0
_AGAIN_SECONDS = 1.0

KubeconfigOption = Annotated[
    str | None, typer.Option("--kubeconfig", help="Kubeconfig to use; left out: $KUBECONFIG or ~/.kube/config.")
]
ContextOption = Annotated[
    str | None, typer.Option("--context", help="Context of the kubeconfig; left out: its current one.")
]


@dataclass(frozen=True, slots=True)
class Target:
    """Which cluster is meant.

    Args:
        kubeconfig: a file; None: kubectl's own default, or in a pod its service account.
        context: one of its contexts; None: the current one.
    """

    kubeconfig: str | None = None
    context: str | None = None

    @property
    def named(self) -> str:
        """For a message."""
        context = f"context {self.context!r} of " if self.context else ""
        return f"{context}{self.kubeconfig or os.environ.get('KUBECONFIG') or '~/.kube/config'}"


def ask(target: Target, work: Callable[[Kube], Awaitable[T]]) -> T:
    """Do something with the cluster.

    Raises:
        Fault: the cluster can't be asked.
    """

    return hold(target, lambda line: work(line.kube))


class Line:
    """A connection for a long wait: an API server that is away for a moment is waited for, and credentials that have run
    out, as those of cloud providers do after minutes, are asked for anew.
    """

    def __init__(self, target: Target, kube: Kube, connect: Callable[[Target], Awaitable[Kube]]) -> None:
        self._target = target
        self._connect = connect
        self.kube = kube
        self._answered = False

    async def read(self, work: Callable[[Kube], Awaitable[T]]) -> T:
        """Do something that may be done twice.

        Raises:
            KubeError: it can't be done.
        """
        clock = asyncio.get_running_loop().time
        started, renewed = clock(), False
        while True:
            try:
                found = await work(self.kube)
            except UnavailableError:
                if not self._answered or clock() - started > _AWAY_SECONDS:
                    raise
                await asyncio.sleep(_AGAIN_SECONDS)
            except KubeError as error:
                if error.status != 401 or renewed:
                    raise
                renewed = True
                await self.close()
                self.kube = await self._connect(self._target)
            else:
                self._answered = True
                return found

    async def close(self) -> None:
        """Close the connection."""
        await self.kube.__aexit__(None, None, None)


def hold(target: Target, work: Callable[[Line], Awaitable[T]]) -> T:
    """Do something with the cluster that takes long.

    Raises:
        Fault: the cluster can't be asked.
    """

    async def run() -> T:
        line = Line(target, await connect(target), connect)
        try:
            return await work(line)
        except KubeError as error:
            raise fault_of(error, line.kube.host, target) from None
        finally:
            await line.close()

    return asyncio.run(run())


async def connect(target: Target) -> Kube:
    """Connect without asking anything.

    Raises:
        Fault: there is no kubeconfig, or it can't be used.
    """
    _quiet()
    remedy = "Name a kubeconfig with --kubeconfig or $KUBECONFIG, and one of its contexts with --context."
    return await _connect(target, target.named, remedy)


async def check_way() -> None:
    """Whether the operator has a way to a cluster; nothing is asked.

    Raises:
        Fault: there is neither a service account nor a kubeconfig, or it can't be used.
    """
    in_pod = bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
    remedy = "Run it in a pod with a service account, or name a kubeconfig with $KUBECONFIG."
    kube = await _connect(Target(), "the pod's service account" if in_pod else Target().named, remedy)
    async with kube:
        pass


async def _connect(target: Target, named: str, remedy: str) -> Kube:
    # It takes half of the time that a command takes to start.
    from kubernetes.aio.config import ConfigException

    try:
        return await Kube.connect(target.kubeconfig, target.context)
    except (ConfigException, OSError, yaml.YAMLError, AttributeError, TypeError, ValueError) as error:
        # The library stumbles over a file that isn't there or isn't a kubeconfig.
        why = str(error) if isinstance(error, (ConfigException, OSError)) else "it isn't there, or isn't a kubeconfig"
        raise Fault(f"{named} can't be used: {why}", remedy, Exit.CLUSTER) from None


def _quiet() -> None:
    logging.getLogger("kubernetes").setLevel(logging.CRITICAL)  # what it would say is told here


def fault_of(error: KubeError, host: str, target: Target) -> Fault:
    """What to tell of an API server that doesn't do as asked."""
    if isinstance(error, UnavailableError) and error.status == 0:
        remedy = f"Does the cluster run, and is it the one that is meant? It is named in {target.named}."
        return Fault(f"the API server {host} can't be reached: {error.message}", remedy, Exit.CLUSTER)
    if error.status == 401:
        return Fault(f"the API server {host} doesn't know you", f"Log in anew: see {target.named}.", Exit.CLUSTER)
    if error.status == 403:
        remedy = "Ask the cluster's administrator for that right, or look at one namespace only with -n."
        return Fault(f"you aren't allowed to: {error.message}", remedy, Exit.CLUSTER)
    if error.status == 404 and not error.reason:
        remedy = "Install Litclaw, or its CRDs alone: `litclaw crds | kubectl apply --server-side -f -`."
        return Fault(f"the cluster {host} doesn't know Litclaw's resources", remedy, Exit.CLUSTER)
    return Fault(f"the API server {host} refuses it: {error.message or error.reason}", "", Exit.CLUSTER)


def current_namespace(target: Target) -> str:
    """The namespace that is meant where none is named, as for kubectl: the context's, or the pod's own.

    Raises:
        Fault: the kubeconfig can't be used.
    """
    from kubernetes.aio.config import ConfigException, list_kube_config_contexts

    if os.environ.get("KUBERNETES_SERVICE_HOST") and not (target.kubeconfig or target.context):
        return own_namespace() or "default"
    _quiet()
    try:
        contexts, current = list_kube_config_contexts(target.kubeconfig)
    except (ConfigException, OSError, yaml.YAMLError, AttributeError, TypeError, ValueError):
        return "default"  # connecting says what is wrong
    wanted = target.context or current["name"]
    chosen: Mapping[str, Any] = next((each for each in contexts if each["name"] == wanted), {})
    return str((chosen.get("context") or {}).get("namespace") or "default")
