"""Names of the cluster's resources for the shell's completion, and how they are written on the command line.

A completion that can't be had in time is none: nothing is ever printed but names.
"""

import asyncio
import logging
from collections.abc import Iterable
from typing import Any

import typer

from litclaw.cli.output import Exit, Fault
from litclaw.kube.client import Kube
from litclaw.kube.resources import AGENT, NAMESPACE, ROTATION, ROUTE, Resource

_SECONDS = 3.0


def split(text: str, namespace: str) -> tuple[str, str]:
    """Namespace and name of ``[namespace/]name``.

    Raises:
        Fault: it is neither.
    """
    parts = text.split("/")
    if len(parts) > 2 or not all(parts):
        raise Fault(f"{text!r} isn't [namespace/]name", "Write it like team-a/scout.", Exit.USAGE)
    return (parts[0], parts[1]) if len(parts) == 2 else (namespace, parts[0])


def _listed(ctx: typer.Context, resource: Resource, namespace: str | None = None) -> list[dict[str, Any]]:
    async def run() -> list[dict[str, Any]]:
        kube = await Kube.connect(ctx.params.get("kubeconfig"), ctx.params.get("context"))
        async with kube:
            return await kube.metadata(resource, namespace)

    async def bounded() -> list[dict[str, Any]]:
        return await asyncio.wait_for(run(), _SECONDS)

    logging.disable(logging.CRITICAL)
    try:
        return [body["metadata"] for body in asyncio.run(bounded())]
    except Exception:  # noqa: BLE001 - a shell that is completing a word has no place for an error
        return []


def _matching(names: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in names if name.startswith(incomplete))


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of namespaces."""
    return _matching((meta["name"] for meta in _listed(ctx, NAMESPACE)), incomplete)


def routes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Routes as namespace/name."""
    return _matching((f"{meta['namespace']}/{meta['name']}" for meta in _listed(ctx, ROUTE)), incomplete)


def agents(ctx: typer.Context, incomplete: str) -> list[str]:
    """Agents as namespace/name, or by name where -n says which namespace."""
    if namespace := ctx.params.get("namespace"):
        return _matching((meta["name"] for meta in _listed(ctx, AGENT, namespace)), incomplete)
    return _matching((f"{meta['namespace']}/{meta['name']}" for meta in _listed(ctx, AGENT)), incomplete)


def rotations(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of rotations."""
    return _matching((meta["name"] for meta in _listed(ctx, ROTATION)), incomplete)
