"""The connection to the cluster, and what a user reads if it fails."""

import asyncio
import importlib
import importlib.util
import logging
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from types import ModuleType
from typing import Any, TypeVar

import yaml

from litclaw.api import names
from litclaw.cli.errors import CommandError, Exit
from litclaw.kube.client import Kube, own_namespace
from litclaw.kube.errors import KubeError, UnavailableError

T = TypeVar("T")

FIELD_MANAGER = f"{names.FIELD_MANAGER}-cli"
"""Of everything that a command writes."""
_OUTAGE_SECONDS = 60.0
_RETRY_SECONDS = 1.0
_BAD_KUBECONFIG = (OSError, yaml.YAMLError, AttributeError, TypeError, ValueError)
"""What the library raises, beside ConfigException, for a file that is missing or isn't a kubeconfig."""


@dataclass(frozen=True, slots=True)
class Target:
    """The cluster of a command.

    Args:
        kubeconfig: a file; None: kubectl's default, or in a pod its service account.
        context: one of its contexts; None: the current one.
    """

    kubeconfig: str | None = None
    context: str | None = None

    def __str__(self) -> str:
        context = f"context {self.context!r} of " if self.context else ""
        return f"{context}{self.kubeconfig or os.environ.get('KUBECONFIG') or '~/.kube/config'}"


class LongConnection:
    """A connection for a long wait.

    It tolerates an outage of the API server, and renews credentials that have expired, as a cloud provider's do after
    minutes.
    """

    def __init__(self, target: Target, kube: Kube, connect: Callable[[Target], Awaitable[Kube]]) -> None:
        self._target = target
        self._connect = connect
        self.kube = kube
        self._answered = False

    async def read(self, work: Callable[[Kube], Awaitable[T]]) -> T:
        """Do something that may be repeated.

        Raises:
            KubeError: the API server refuses it, was never reached, or is unavailable for more than a minute.
        """
        clock = asyncio.get_running_loop().time
        started, renewed = clock(), False
        while True:
            try:
                found = await work(self.kube)
            except UnavailableError:
                if not self._answered or clock() - started > _OUTAGE_SECONDS:
                    raise
                await asyncio.sleep(_RETRY_SECONDS)
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


def with_cluster(target: Target, work: Callable[[Kube], Awaitable[T]]) -> T:
    """Do something with the cluster.

    Raises:
        CommandError: the cluster can't be reached or refuses the request.
    """
    return with_long_connection(target, lambda connection: work(connection.kube))


def with_long_connection(target: Target, work: Callable[[LongConnection], Awaitable[T]]) -> T:
    """Do something with the cluster that takes long.

    Raises:
        CommandError: the cluster can't be reached or refuses the request.
    """

    async def run() -> T:
        connection = LongConnection(target, await connect(target), connect)
        try:
            return await work(connection)
        except KubeError as error:
            raise error_for(error, connection.kube.host, target) from None
        finally:
            await connection.close()

    return asyncio.run(run())


async def connect(target: Target) -> Kube:
    """A connection; no request is sent yet.

    Raises:
        CommandError: there is no usable kubeconfig.
    """
    _prepare_library()
    remedy = "Name a kubeconfig with --kubeconfig or $KUBECONFIG, and one of its contexts with --context."
    return await _connect(target, str(target), remedy)


async def check_connection() -> None:
    """Check that the operator has credentials for a cluster; no request is sent.

    Raises:
        CommandError: there is neither a service account nor a usable kubeconfig.
    """
    in_pod = bool(os.environ.get("KUBERNETES_SERVICE_HOST"))
    remedy = "Run it in a pod with a service account, or name a kubeconfig with $KUBECONFIG."
    kube = await _connect(Target(), "the pod's service account" if in_pod else str(Target()), remedy)
    async with kube:
        pass


async def _connect(target: Target, source: str, remedy: str) -> Kube:
    from kubernetes.aio.config import ConfigException

    try:
        return await Kube.connect(target.kubeconfig, target.context)
    except (ConfigException, *_BAD_KUBECONFIG) as error:
        why = str(error) if isinstance(error, (ConfigException, OSError)) else "it doesn't exist, or isn't a kubeconfig"
        raise CommandError(f"{source} can't be used: {why}", remedy, Exit.CLUSTER) from None


def _prepare_library() -> None:
    """Silence the log of ``kubernetes.aio``, whose errors are reported here, and shorten its import.

    The packages ``kubernetes`` and ``kubernetes.aio`` import the synchronous client, requests, OAuth and more, which
    take as much CPU as the modules that are used here. Those can be imported without running their packages.
    """
    logging.getLogger("kubernetes").setLevel(logging.CRITICAL)
    if "kubernetes" in sys.modules:
        return
    library, asynchronous = _not_run("kubernetes"), _not_run("kubernetes.aio")
    vars(library)["aio"] = asynchronous
    # The kubeconfig loader imports it, and with it pydantic, for functions that aren't used here either.
    vars(importlib.import_module("kubernetes.aio.client")).setdefault("ApiClient", None)


def _not_run(package: str) -> ModuleType:
    """A package whose submodules can be imported, without running the package itself.

    Raises:
        ModuleNotFoundError: it isn't installed.
    """
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ModuleNotFoundError(package)
    sys.modules[package] = importlib.util.module_from_spec(spec)
    return sys.modules[package]


def error_for(error: KubeError, host: str, target: Target) -> CommandError:
    """The message and remedy for a request that failed."""
    if isinstance(error, UnavailableError) and error.status == 0:
        remedy = f"Check that the cluster runs, and that it is the right one: {target} names it."
        return CommandError(f"the API server {host} can't be reached: {error.message}", remedy, Exit.CLUSTER)
    if error.status == 401:
        message = f"the API server {host} rejects the credentials"
        return CommandError(message, f"Log in again: {target} has the credentials.", Exit.CLUSTER)
    if error.status == 403:
        remedy = "Ask the cluster's administrator for the permission, or choose one namespace with -n."
        return CommandError(f"you aren't allowed to: {error.message}", remedy, Exit.CLUSTER)
    if error.status == 404 and not error.reason:
        remedy = "Install Litclaw, or its CRDs alone: `litclaw crds | kubectl apply --server-side -f -`."
        return CommandError(f"the cluster {host} doesn't have Litclaw's CRDs", remedy, Exit.CLUSTER)
    return CommandError(f"the API server {host} refuses the request: {error.message or error.reason}", "", Exit.CLUSTER)


def current_namespace(target: Target) -> str:
    """The default namespace, as for kubectl: the context's, or the pod's own."""
    if os.environ.get("KUBERNETES_SERVICE_HOST") and not (target.kubeconfig or target.context):
        return own_namespace() or "default"
    _prepare_library()
    from kubernetes.aio.config import ConfigException, list_kube_config_contexts

    try:
        contexts, current = list_kube_config_contexts(target.kubeconfig)
    except (ConfigException, *_BAD_KUBECONFIG):
        return "default"  # connecting reports the problem
    wanted = target.context or current["name"]
    chosen: Mapping[str, Any] = next((each for each in contexts if each["name"] == wanted), {})
    return str((chosen.get("context") or {}).get("namespace") or "default")
