"""One reconcile of a LiteLLMKeyRotation: which keys are still to be rotated, which are done, which are next.

It touches no key. An agent's reconcile rotates the agent's key, and a route's reconcile a master key; both read the rotation
runs that cover them.
"""

import asyncio
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Any

from pydantic import ValidationError

from litclaw.api import names
from litclaw.api.duration import seconds
from litclaw.api.kubernetes import LabelSelector
from litclaw.api.rotation import FINISHED, MOST_FAILURES, LiteLLMKeyRotation, Phase, RotationFailure, RotationStatus
from litclaw.kube.objects import agent_secret_name_of, is_deleting, route_key_of
from litclaw.kube.resources import AGENT, NAMESPACE, ROTATION, ROUTE, SECRET
from litclaw.litellm.keys import KeyRow
from litclaw.reconcile.context import Context
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, Conditions, ConditionType, listed, timestamp
from litclaw.reconcile.core.last_resort import guarded, set_blocked
from litclaw.reconcile.core.queue import Request
from litclaw.reconcile.core.status import dump, invalid_spec, write_status
from litclaw.reconcile.keys.due import created_at, is_older
from litclaw.reconcile.keys.retire import ends_at, ends_later
from litclaw.reconcile.proxy.connection import Connection
from litclaw.reconcile.proxy.session import ProxySession, RouteKey
from litclaw.reconcile.rotation.run import RotationRun
from litclaw.reconcile.route.claims import is_looked_after, names_route_of, route_of
from litclaw.reconcile.route.master_key import is_master_key_older
from litclaw.reconcile.route.sweep import sweeper
from litclaw.reconcile.route.unattended import Unattended, unattended_keys

_ROUGHLY = timedelta(seconds=30)


@dataclass(slots=True)
class _Progress:
    """The keys of a rotation by what is to be done with them.

    Attributes:
        waiting: keys that can be rotated now, by uid of their resource.
        unreachable: keys that can't, because their proxy isn't available.
        answering: those of unreachable whose proxy answers, although no key can be created there.
        done: resources whose new key is accepted and whose old ones have their end.
        retiring: how many resources have an old key that isn't deleted.
        until: when the last known old key ends.
        elsewhere: those of waiting and unreachable that are former keys of an agent, at a proxy that it doesn't name. The agent
            itself counts.
    """

    waiting: dict[str, Request] = field(default_factory=dict)
    unreachable: dict[str, Request] = field(default_factory=dict)
    answering: set[str] = field(default_factory=set)
    done: set[str] = field(default_factory=set)
    retiring: int = 0
    until: datetime | None = None
    elsewhere: set[str] = field(default_factory=set)

    @property
    def total(self) -> int:
        """How many keys the rotation covers."""
        return len(self.waiting) + len(self.unreachable) + len(self.done) - len(self.elsewhere)


async def reconcile_rotation(context: Context, name: str) -> float | None:
    """Bring one rotation closer to its end.

    Returns:
        Seconds after which to reconcile again, or None.
    """
    body = context.cache.get(ROTATION.kind, "", name)
    if body is None or is_deleting(body):
        context.runs.pop(name, None)
        return None
    requeue_after, _ = await guarded(context, body, (), lambda: _reconcile(context, name, body))
    return requeue_after


async def _reconcile(context: Context, name: str, body: Mapping[str, Any]) -> float | None:
    try:
        rotation = LiteLLMKeyRotation.model_validate(body)
    except ValidationError as error:
        await set_blocked(context, body, (), invalid_spec(error))
        return None
    started = _started(body, rotation, context.now())
    if started is None:
        context.runs.pop(name, None)
        await _start(context, body, rotation)
        return 0.0
    if rotation.status.phase in FINISHED and rotation.status.completed_at:
        context.runs.pop(name, None)
        return None
    clock = asyncio.get_running_loop().time
    begun = clock()
    run = context.runs.get(name)
    if run and run.generation == rotation.metadata.generation and run.next_pass > begun:
        return run.next_pass - begun
    if run is None:
        grace = seconds(rotation.spec.grace_period)
        run = context.runs[name] = RotationRun(
            (ROTATION.kind, "", name),
            not_before=started,
            grace=grace,
            limit=rotation.spec.max_concurrent,
            # After a leak, a few agents with errors must not save the keys of all others.
            stop=rotation.spec.stop_after_failures if grace or "MasterKeys" in rotation.spec.what else 0,
            enqueue=context.enqueue,
            monotonic=context.monotonic,
        )
    progress = _progress(context, rotation, started)
    counted = clock()
    run.plan(progress.waiting, progress.unreachable, suspended=rotation.spec.suspend, answering=progress.answering)
    phase = _phase(rotation, progress, run)
    await write_status(context, body, _status(context, rotation, progress, run, phase))
    if phase in FINISHED:
        context.runs.pop(name, None)
        return None
    pause = intervals.RUN_RESYNC_SLOW if phase in ("Retiring", "Suspended") else intervals.RUN_RESYNC
    pause = max(pause, intervals.RUN_SHARE * (counted - begun))
    run.generation, run.next_pass = rotation.metadata.generation, begun + pause
    return pause


def _started(body: Mapping[str, Any], rotation: LiteLLMKeyRotation, now: datetime) -> datetime | None:
    """When the rotation began; None: it has not begun, whatever its phase says.

    Who may write a status but no rotation must not be able to cancel one: it can't have begun before it was created. Nor can it
    begin in the future, or each key would be rotated again and again.
    """
    try:
        started = datetime.fromisoformat(rotation.status.started_at or "")
        created = datetime.fromisoformat(body["metadata"].get("creationTimestamp") or "1970-01-01T00:00:00Z")
        over = rotation.status.phase in FINISHED and rotation.status.completed_at  # by a clock that was ahead, perhaps
        return started if created <= started and (over or started <= now + _ROUGHLY) else None
    except (TypeError, ValueError):
        return None


async def _start(context: Context, body: Mapping[str, Any], rotation: LiteLLMKeyRotation) -> None:
    """Record the start before anything else: keys that are created afterwards are the rotated ones."""
    conditions = Conditions(())
    conditions.set_blocked(Blocked(ConditionType.READY, "Starting", "The rotation begins.", stalled=False))
    generation = rotation.metadata.generation
    # With its fraction: a key that was created in the same second, but before, is to be rotated.
    started = context.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
    status = RotationStatus(observed_generation=generation, phase="Running", started_at=started)
    await write_status(context, body, dump(status, conditions.render((), generation=generation, now=context.now())))


def _phase(rotation: LiteLLMKeyRotation, progress: _Progress, run: RotationRun) -> Phase:
    left = (progress.waiting.keys() | progress.unreachable.keys()) - run.failures.keys()
    if run.stopped and not run.in_progress:
        return "Stopped"
    if rotation.spec.suspend and not run.in_progress:
        return "Suspended"
    if left:
        return "Running"
    if progress.retiring:
        return "Retiring"
    return "Failed" if run.failures else "Completed"


def _status(
    context: Context, rotation: LiteLLMKeyRotation, progress: _Progress, run: RotationRun, phase: Phase
) -> dict[str, Any]:
    failures = [_failure(request, why) for request, why in sorted(run.failures.values())]
    conditions = Conditions(())
    done = f"{len(progress.done)} of {progress.total} keys are rotated"
    failed = f"{len(failures)} could not be: {listed(each.agent or each.route or '' for each in failures)}"
    if phase == "Completed":
        conditions.set_ready(f"{done}, and the old ones are refused.", phase)
    elif phase in FINISHED:
        why = "TooManyFailures" if phase == "Stopped" else "KeysFailed"
        message = f"{done}; {failed}. Fix the causes in status.failures, and create another rotation."
        conditions.set_blocked(Blocked(ConditionType.READY, why, message, stalled=True))
    else:
        until = f" The last of the old ones ends at {timestamp(progress.until)}." if progress.until else ""
        routes = sorted({"/".join(request[1:]) for request in progress.unreachable.values()})
        waits = f" These wait for their proxy: {listed(routes)}." if routes else ""
        late = sorted("/".join(request[1:]) for request in run.late.values())
        ended = " and lose their old keys" if run.grace == 0 else ""
        waits += f" These take long{ended}, and their conditions tell why: {listed(late)}." if late else ""
        message = f"{done}{'; ' + failed if failures else ''}.{waits}{until}"
        conditions.set_blocked(Blocked(ConditionType.READY, phase, message, stalled=False))
    now, generation = context.now(), rotation.metadata.generation
    status = RotationStatus(
        observed_generation=generation,
        phase=phase,
        total=progress.total,
        rotated=len(progress.done),
        failed=len(failures),
        retiring=progress.retiring,
        started_at=rotation.status.started_at,
        retiring_until=timestamp(progress.until) if progress.until else None,
        completed_at=timestamp(now) if phase in FINISHED else None,
        failures=failures[:MOST_FAILURES],
    )
    return dump(status, conditions.render(rotation.status.conditions, generation=generation, now=now))


def _failure(request: Request, why: str) -> RotationFailure:
    kind, namespace, name = request
    where = f"{namespace}/{name}"
    return RotationFailure(agent=where, reason=why) if kind == AGENT.kind else RotationFailure(route=where, reason=why)


def _progress(context: Context, rotation: LiteLLMKeyRotation, started: datetime) -> _Progress:
    progress = _Progress()
    if "MasterKeys" in rotation.spec.what:
        for body in _routes(context, rotation):
            uid, request = body["metadata"]["uid"], (ROUTE.kind, *_name(body))
            if is_master_key_older(context, body, started):
                progress.waiting[uid] = request
            else:
                progress.done.add(uid)
    if "VirtualKeys" in rotation.spec.what:
        latest = context.now() + timedelta(seconds=seconds(rotation.spec.grace_period) + intervals.UPTAKE) + _ROUGHLY
        for body in _agents(context, rotation):
            _count_agent(context, body, started, latest, progress)
        for session in context.sessions():
            _count_unattended(context, rotation, session, started, progress)
    return progress


def _matches(selector: LabelSelector, body: Mapping[str, Any] | None) -> bool:
    labels = ((body or {}).get("metadata") or {}).get("labels") or {}
    return all(labels.get(key) == value for key, value in selector.match_labels.items())


def _in_namespaces(context: Context, rotation: LiteLLMKeyRotation, namespace: str) -> bool:
    selector = rotation.spec.namespace_selector
    return not selector.match_labels or _matches(selector, context.cache.get(NAMESPACE.kind, "", namespace))


def _routes(context: Context, rotation: LiteLLMKeyRotation) -> Iterator[Mapping[str, Any]]:
    ref = rotation.spec.route_ref
    for body in sorted(context.cache.all(ROUTE.kind), key=_name):
        meta = body["metadata"]
        named = ref is not None and (ref.namespace, ref.name) == (meta["namespace"], meta["name"])
        # An external proxy's master key isn't ours. A rotation that names the route fails with that; others leave the route out.
        covered = named or (ref is None and "managed" in body["spec"])
        if covered and not is_deleting(body) and _in_namespaces(context, rotation, meta["namespace"]):
            yield body


def _agents(context: Context, rotation: LiteLLMKeyRotation) -> Iterator[Mapping[str, Any]]:
    ref = (rotation.spec.route_ref.namespace, rotation.spec.route_ref.name) if rotation.spec.route_ref else None
    connection = context.routes.get(ref) if ref else None
    for body in sorted(context.cache.all(AGENT.kind), key=_name):
        meta = body["metadata"]
        if ref and route_key_of(body) != ref and not (connection and _has_key_of(context, body, ref, connection)):
            continue
        covered = _matches(rotation.spec.selector, body) and _in_namespaces(context, rotation, meta["namespace"])
        if covered and not is_deleting(body):
            yield body


def _has_key_of(context: Context, agent: Mapping[str, Any], route: RouteKey, connection: Connection) -> bool:
    """True if an agent that names another route to the proxy has a key by this one, such as while the other doesn't accept it."""
    session = connection.session
    own = (row for row in session.table.of(agent["metadata"]["uid"]) if route_of(row) == route)
    return any(is_looked_after(context, agent, session, row) for row in own)


def _name(body: Mapping[str, Any]) -> tuple[str, str]:
    return (body["metadata"]["namespace"], body["metadata"]["name"])


def _count_agent(
    context: Context, body: Mapping[str, Any], started: datetime, latest: datetime, progress: _Progress
) -> None:
    """Add an agent's key to the progress.

    Args:
        latest: old keys that stay valid longer, because of a longer grace period, are to end sooner.
    """
    uid, request = body["metadata"]["uid"], (AGENT.kind, *_name(body))
    connection = context.routes.get(route_key_of(body))
    session = connection.session if connection and connection.session.keys_read else None
    rows = session.table.of(uid) if session else []
    had_key = bool(((body.get("status") or {}).get("key") or {}).get("hash"))
    if not rows and not had_key:
        return  # any key that it gets is a new one
    old = [row for row in rows if is_older(context, row, started)]
    live = _delivered(context, body, rows)
    if live is None or is_older(context, live, started) or any(_stays_valid(session, row, latest) for row in old):
        usable = connection is not None and connection.usable
        waits = not usable and context.cache.get(ROUTE.kind, *route_key_of(body)) is not None
        (progress.unreachable if waits else progress.waiting)[uid] = request
        if waits and session is not None and session.up_to_date:
            progress.answering.add(uid)
        return
    others = [other for other in context.sessions() if other is not session]
    old += [row for other in others for row in _left(context, other, uid, old, started)]
    if not old and live.mark and live.mark.generation == 1:
        return  # its first key, created since the start: there was none to rotate
    progress.done.add(uid)
    if old:
        progress.retiring += 1
        ends = [end for row in old if (end := ends_at(row))]
        progress.until = max([*ends, *([progress.until] if progress.until else [])], default=None)


def _count_unattended(
    context: Context, rotation: LiteLLMKeyRotation, session: ProxySession, started: datetime, progress: _Progress
) -> None:
    """Add the keys at a proxy that no agent there can replace: the sweep of the proxy ends them.

    Retained keys get an end like any old key. The key of an agent that names another route is replaced there, if it can be;
    only a rotation without a grace period ends it wherever it is.
    """
    grace, route = seconds(rotation.spec.grace_period), sweeper(context, session)
    for key in unattended_keys(context, session):
        row = key.row
        if route is None or not is_older(context, row, started) or not _covers(context, rotation, session, key):
            continue
        if key.agent is not None and (grace > 0 or not names_route_of(context, session, row)):
            continue
        if ends_later(session, row, grace):
            (progress.waiting if session.up_to_date else progress.unreachable)[row.token] = (ROUTE.kind, *route)
            if key.agent is not None:
                progress.elsewhere.add(row.token)
            continue
        if key.agent is None:
            progress.done.add(row.token)
        if (end := ends_at(row)) and end > session.now():
            progress.retiring += 1
            progress.until = max(end, progress.until or end)


def _covers(context: Context, rotation: LiteLLMKeyRotation, session: ProxySession, key: Unattended) -> bool:
    """True if a rotation selects a key without an agent that looks after it there."""
    mark, selector, ref = key.row.mark, rotation.spec.selector, rotation.spec.route_ref
    if mark is None or (key.agent is None and (not mark.retained_for or selector.match_labels)):
        return False
    if key.agent is not None and not _matches(selector, key.agent):
        return False
    if ref is not None:
        own = route_of(key.row)
        if (ref.namespace, ref.name) not in ([own] if own else context.routes_at(session)):
            return False
    return _in_namespaces(context, rotation, mark.namespace)


def _stays_valid(session: ProxySession | None, row: KeyRow, latest: datetime) -> bool:
    """True if an old key has no end yet, or one that can be moved up."""
    end = ends_at(row)
    if end is None:
        return True
    return end > latest and not row.blocked and session is not None and row.token not in session.ends_moved_up


def _left(
    context: Context, session: ProxySession, uid: str, known: Sequence[KeyRow], started: datetime
) -> Iterator[KeyRow]:
    """An agent's old keys at a proxy that it no longer uses."""
    tokens = {row.token for row in known}
    for row in session.table.of(uid):
        if row.token not in tokens and created_at(row) < started and names_route_of(context, session, row):
            yield row


def _delivered(context: Context, body: Mapping[str, Any], rows: Sequence[KeyRow]) -> KeyRow | None:
    """The key that an agent's Secret has or, where the cache doesn't keep that Secret, the one that its status shows."""
    secret = context.cache.get(SECRET.kind, body["metadata"]["namespace"], agent_secret_name_of(body))
    if secret is not None:
        token = (secret.get("data") or {}).get(names.API_KEY)
        return next((row for row in rows if row.token == token), None)
    shown = ((body.get("status") or {}).get("key") or {}).get("hash")
    return next((row for row in rows if shown and row.token.startswith(shown)), None)
