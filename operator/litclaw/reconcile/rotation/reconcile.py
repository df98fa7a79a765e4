"""One reconcile of a LiteLLMKeyRotation: who is still to be rotated, who is done, whose turn it is.

It touches no key. An agent's keys are its own reconcile's, and a master key is its route's; both look at the runs that
cover them.
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
from litclaw.kube.cache import Key
from litclaw.kube.resources import AGENT, NAMESPACE, ROTATION, ROUTE, SECRET
from litclaw.litellm.keys import KeyRow
from litclaw.reconcile.context import Context, RouteState
from litclaw.reconcile.core import report
from litclaw.reconcile.core.conditions import READY, Blocked, Conditions, listed, timestamp
from litclaw.reconcile.core.last_resort import guarded, say
from litclaw.reconcile.keys.due import is_older, made_at
from litclaw.reconcile.keys.retire import UPTAKE_SECONDS, ends_at
from litclaw.reconcile.rotation.run import RotationRun
from litclaw.reconcile.route.master_key import is_master_key_older

_LOOK_AGAIN_SECONDS = 1.0
_ROUGHLY = timedelta(seconds=30)
_SLOW_SECONDS = 5.0
_SHARE = 20.0  # a pass that takes a second is made every twenty


@dataclass(slots=True)
class _Count:
    """Where the keys stand.

    Attributes:
        waiting: who can be rotated now, by uid.
        unreachable: who can't be, because the proxy isn't there.
        done: whose new key is accepted and whose old ones have their end.
        retiring: how many have an old key that isn't gone.
        until: when the last of those that are known ends.
    """

    waiting: dict[str, Key] = field(default_factory=dict)
    unreachable: dict[str, Key] = field(default_factory=dict)
    done: set[str] = field(default_factory=set)
    retiring: int = 0
    until: datetime | None = None

    @property
    def total(self) -> int:
        """How many keys there are to rotate."""
        return len(self.waiting) + len(self.unreachable) + len(self.done)


async def reconcile_rotation(context: Context, name: str) -> float | None:
    """Compare what is with what should be, once.

    Returns:
        After how many seconds to look requeue_after, or None.
    """
    body = context.cache.get(ROTATION.kind, "", name)
    if body is None or "deletionTimestamp" in body["metadata"]:
        context.runs.pop(name, None)
        return None
    return await guarded(context, body, (), lambda: _pass(context, name, body))


async def _pass(context: Context, name: str, body: Mapping[str, Any]) -> float | None:
    try:
        rotation = LiteLLMKeyRotation.model_validate(body)
    except ValidationError as error:
        await say(context, body, (), report.unreadable(error))
        return None
    if rotation.status.phase in FINISHED:
        context.runs.pop(name, None)
        return None
    if rotation.status.started_at is None:
        await _start(context, body, rotation)
        return 0.0
    clock = asyncio.get_running_loop().time
    begun = clock()
    started = datetime.fromisoformat(rotation.status.started_at)
    run = context.runs.get(name)
    if run and run.looked_at == rotation.metadata.generation and run.look_at > begun:
        return run.look_at - begun
    if run is None:
        run = context.runs[name] = RotationRun(
            (ROTATION.kind, "", name),
            not_before=started,
            grace=seconds(rotation.spec.grace_period),
            limit=rotation.spec.max_concurrent,
            stop=rotation.spec.stop_after_failures,
            wake=context.wake,
            now=context.now,
        )
    count = _look(context, rotation, started)
    looked = clock()
    run.plan(count.waiting, count.unreachable, resting=rotation.spec.suspend)
    phase = _phase(rotation, count, run)
    await report.write_status(context, body, _status(context, rotation, count, run, phase))
    if phase in FINISHED:
        context.runs.pop(name, None)
        return None
    pause = _SLOW_SECONDS if phase in ("Retiring", "Suspended") else _LOOK_AGAIN_SECONDS
    pause = max(pause, _SHARE * (looked - begun))
    run.looked_at, run.look_at = rotation.metadata.generation, begun + pause
    return pause


async def _start(context: Context, body: Mapping[str, Any], rotation: LiteLLMKeyRotation) -> None:
    """Note when it began, before anything else: what is done since then is known by that."""
    conditions = Conditions(())
    conditions.blocked(Blocked(READY, "Starting", "The rotation begins.", stalled=False))
    generation = rotation.metadata.generation
    # With its fraction: a key that was made in the same second, but before, is to be rotated.
    started = context.now().isoformat(timespec="microseconds").replace("+00:00", "Z")
    status = RotationStatus(observed_generation=generation, phase="Running", started_at=started)
    await report.write_status(
        context, body, report.dump(status, conditions.render((), generation=generation, now=context.now()))
    )


def _phase(rotation: LiteLLMKeyRotation, count: _Count, run: RotationRun) -> Phase:
    left = (count.waiting.keys() | count.unreachable.keys()) - run.failures.keys()
    if run.stopped and not run.at_work:
        return "Stopped"
    if rotation.spec.suspend and not run.at_work:
        return "Suspended"
    if left:
        return "Running"
    if count.retiring:
        return "Retiring"
    return "Failed" if run.failures else "Completed"


def _status(
    context: Context, rotation: LiteLLMKeyRotation, count: _Count, run: RotationRun, phase: Phase
) -> dict[str, Any]:
    failures = [_failure(key, why) for key, why in sorted(run.failures.values())]
    conditions = Conditions(())
    said = f"{len(count.done)} of {count.total} keys are rotated"
    failed = f"{len(failures)} could not be: {listed(each.agent or each.route or '' for each in failures)}"
    if phase == "Completed":
        conditions.ready(f"{said}, and the old ones are refused.", phase)
    elif phase in FINISHED:
        why = "TooManyFailures" if phase == "Stopped" else "KeysFailed"
        message = f"{said}; {failed}. Mend what status.failures says, and make another rotation."
        conditions.blocked(Blocked(READY, why, message, stalled=True))
    else:
        until = f" The last of the old ones ends at {timestamp(count.until)}." if count.until else ""
        routes = sorted({"/".join(key[1:]) for key in count.unreachable.values()})
        waits = f" These wait for their proxy: {listed(routes)}." if routes else ""
        late = sorted("/".join(key[1:]) for key in run.late.values())
        waits += f" These take long, and their conditions say why: {listed(late)}." if late else ""
        message = f"{said}{'; ' + failed if failures else ''}.{waits}{until}"
        conditions.blocked(Blocked(READY, phase, message, stalled=False))
    now, generation = context.now(), rotation.metadata.generation
    status = RotationStatus(
        observed_generation=generation,
        phase=phase,
        total=count.total,
        rotated=len(count.done),
        failed=len(failures),
        retiring=count.retiring,
        started_at=rotation.status.started_at,
        retiring_until=timestamp(count.until) if count.until else None,
        completed_at=timestamp(now) if phase in FINISHED else None,
        failures=failures[:MOST_FAILURES],
    )
    return report.dump(status, conditions.render(rotation.status.conditions, generation=generation, now=now))


def _failure(key: Key, why: str) -> RotationFailure:
    kind, namespace, name = key
    where = f"{namespace}/{name}"
    return RotationFailure(agent=where, reason=why) if kind == AGENT.kind else RotationFailure(route=where, reason=why)


def _look(context: Context, rotation: LiteLLMKeyRotation, started: datetime) -> _Count:
    count = _Count()
    if "MasterKeys" in rotation.spec.what:
        for body in _routes(context, rotation):
            uid, key = body["metadata"]["uid"], (ROUTE.kind, body["metadata"]["namespace"], body["metadata"]["name"])
            if is_master_key_older(context, body, started):
                count.waiting[uid] = key
            else:
                count.done.add(uid)
    if "VirtualKeys" in rotation.spec.what:
        latest = context.now() + timedelta(seconds=seconds(rotation.spec.grace_period) + UPTAKE_SECONDS) + _ROUGHLY
        for body in _agents(context, rotation):
            _look_at_agent(context, body, started, latest, count)
    return count


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
        # An external proxy's master key isn't ours: where the route is named, that is said; else it isn't meant.
        meant = named or (ref is None and "managed" in body["spec"])
        if meant and "deletionTimestamp" not in meta and _in_namespaces(context, rotation, meta["namespace"]):
            yield body


def _agents(context: Context, rotation: LiteLLMKeyRotation) -> Iterator[Mapping[str, Any]]:
    ref = rotation.spec.route_ref
    for body in sorted(context.cache.all(AGENT.kind), key=_name):
        meta = body["metadata"]
        if ref is not None and _route_of(body) != (ref.namespace, ref.name):
            continue
        meant = _matches(rotation.spec.selector, body) and _in_namespaces(context, rotation, meta["namespace"])
        if meant and "deletionTimestamp" not in meta:
            yield body


def _name(body: Mapping[str, Any]) -> tuple[str, str]:
    return (body["metadata"]["namespace"], body["metadata"]["name"])


def _route_of(body: Mapping[str, Any]) -> tuple[str, str]:
    ref = body["spec"]["routeRef"]
    return (ref.get("namespace") or body["metadata"]["namespace"], ref["name"])


def _look_at_agent(
    context: Context, body: Mapping[str, Any], started: datetime, latest: datetime, count: _Count
) -> None:
    """See where an agent's key stands.

    Args:
        latest: old keys that live longer than that, because of a longer grace period, are to end sooner.
    """
    meta = body["metadata"]
    uid, key = meta["uid"], (AGENT.kind, meta["namespace"], meta["name"])
    state = context.routes.get(_route_of(body))
    rows = state.table.of(uid) if state and state.seen else []
    had_key = bool(((body.get("status") or {}).get("key") or {}).get("hash"))
    if not rows and not had_key:
        return  # whatever key it gets is a new one
    old = [row for row in rows if is_older(context, row, started)]
    delivered = _delivered(context, body)
    live = state.table.get(delivered) if state and delivered else None
    if live is None or is_older(context, live, started) or any(_lives_on(state, row, latest) for row in old):
        there = state is not None and state.usable
        waits = not there and context.cache.get(ROUTE.kind, *_route_of(body)) is not None
        (count.unreachable if waits else count.waiting)[uid] = key
        return
    old += [row for other in context.routes.values() if other is not state for row in _left(other, uid, old, started)]
    if not old and live.mark and live.mark.generation == 1:
        return  # its first key, made since: there was none to rotate
    count.done.add(uid)
    if old:
        count.retiring += 1
        ends = [end for row in old if (end := ends_at(row))]
        count.until = max([*ends, *([count.until] if count.until else [])], default=None)


def _lives_on(state: RouteState | None, row: KeyRow, latest: datetime) -> bool:
    """Whether an old key has no end yet, or one that can be moved up."""
    end = ends_at(row)
    if end is None:
        return True
    return end > latest and not row.blocked and state is not None and row.token not in state.moved_up


def _left(state: RouteState, uid: str, known: Sequence[KeyRow], started: datetime) -> Iterator[KeyRow]:
    """An agent's old keys at a proxy that it has left."""
    tokens = {row.token for row in known}
    for row in state.table.of(uid):
        if row.token not in tokens and made_at(row) < started:
            yield row


def _delivered(context: Context, body: Mapping[str, Any]) -> str | None:
    name = (body["spec"].get("key") or {}).get("secretName") or names.agent_secret(body["metadata"]["name"])
    secret = context.cache.get(SECRET.kind, body["metadata"]["namespace"], name)
    return ((secret or {}).get("data") or {}).get(names.API_KEY)
