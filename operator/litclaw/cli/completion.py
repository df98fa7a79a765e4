"""Names of the cluster's resources for the shell's completion, and how they are written on the command line.

If the cluster doesn't answer in time, there are no names. Nothing but names is ever printed.
"""

from collections.abc import Iterable
from typing import Any

import typer

from litclaw.api import names
from litclaw.cli.errors import CommandError, Exit

_SECONDS = 3.0


def split_name(text: str, namespace: str) -> tuple[str, str]:
    """Namespace and name from ``[namespace/]name``.

    Args:
        namespace: the default.

    Raises:
        CommandError: the text has another form.
    """
    parts = text.split("/")
    if len(parts) > 2 or not all(parts):
        raise CommandError(f"{text!r} isn't [namespace/]name", "Write it like team-a/scout.", Exit.USAGE)
    return (parts[0], parts[1]) if len(parts) == 2 else (namespace, parts[0])


def namespaces(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of namespaces."""
    return _matching((meta["name"] for meta in _metadata(ctx, "Namespace")), incomplete)


def routes(ctx: typer.Context, incomplete: str) -> list[str]:
    """Routes as namespace/name."""
    return _matching((f"{meta['namespace']}/{meta['name']}" for meta in _metadata(ctx, names.ROUTE_KIND)), incomplete)


def agents(ctx: typer.Context, incomplete: str) -> list[str]:
    """Agents as namespace/name, or as name if -n sets the namespace."""
    if namespace := ctx.params.get("namespace"):
        return _matching((meta["name"] for meta in _metadata(ctx, names.AGENT_KIND, namespace)), incomplete)
    return _matching((f"{meta['namespace']}/{meta['name']}" for meta in _metadata(ctx, names.AGENT_KIND)), incomplete)


def rotations(ctx: typer.Context, incomplete: str) -> list[str]:
    """Names of rotations."""
    return _matching((meta["name"] for meta in _metadata(ctx, names.ROTATION_KIND)), incomplete)


def _metadata(ctx: typer.Context, kind: str, namespace: str | None = None) -> list[dict[str, Any]]:
    """Metadata of all objects of a kind; empty if they can't be listed."""
    import asyncio
    import logging

    from litclaw.cli.cluster import Target, connect
    from litclaw.kube.resources import BY_KIND

    async def read() -> list[dict[str, Any]]:
        async with await connect(Target(ctx.params.get("kubeconfig"), ctx.params.get("context"))) as kube:
            return await kube.metadata(BY_KIND[kind], namespace)

    async def read_in_time() -> list[dict[str, Any]]:
        return await asyncio.wait_for(read(), _SECONDS)

    logging.disable(logging.CRITICAL)
    try:
        return [body["metadata"] for body in asyncio.run(read_in_time())]
    except Exception:  # noqa: BLE001 - while the shell completes a word, there is no place for an error
        return []


def _matching(candidates: Iterable[str], incomplete: str) -> list[str]:
    return sorted(name for name in candidates if name.startswith(incomplete))
