"""Virtual keys as LiteLLM keeps them: limits, our mark in their metadata, and rows as the proxy lists them.

Facts, measured on LiteLLM 1.106.2: a key's token is the hex SHA-256 of its value, and every admin call takes it in
place of the key; a caller may supply the value (at least 16 characters, ``sk-…``) and the spend that it starts with.
"""

import math
import secrets
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from pydantic import SecretStr

from litclaw.api.free_form import limit_depth
from litclaw.litellm import bounds

_METADATA = "litclaw"
_TAGS = "tags"  # where LiteLLM keeps a key's tags
_OWNERS_METADATA = "litclaw_metadata"
_SHORT = 16

Carried = tuple[float, int]
"""An amount in US dollars, and the end of its budget period in seconds since 1970; 0: the budget has no period."""


MODEL_ROUTES = ("llm_api_routes",)
"""The API routes that an agent's key may call: what calls models, and lists them. LiteLLM's ``key_type: llm_api`` stands for
the same, but ``/key/update`` doesn't take that (1.106.2, its source)."""


def owners_metadata(given: Mapping[str, Any]) -> dict[str, Any]:
    """The metadata of ``spec.key.metadata`` as it is stored: below one name that LiteLLM doesn't read.

    LiteLLM reads dozens of names at the top level of a key's metadata, with each release others, and obeys them: guardrails,
    prices, limits. It looks into none but those (1.106.2, its source). An agent's owner isn't its administrator.
    """
    return {_OWNERS_METADATA: dict(given)} if given else {}


def utc(text: str) -> datetime:
    """A time as LiteLLM writes it: ISO 8601, in UTC if it has no offset."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _spelled_alike(text: str | None) -> str | None:
    """A time as ``/key/list`` writes it, ending in Z. ``/key/info`` ends it in +00:00 (1.106.2, measured): a key that is
    read with the one and then with the other would seem to have changed."""
    try:
        return utc(text).astimezone(UTC).isoformat().replace("+00:00", "Z") if text else None
    except (ValueError, OverflowError):
        return text


def new_key() -> SecretStr:
    """A fresh virtual key with 256 bits of randomness."""
    return SecretStr(f"sk-{secrets.token_urlsafe(32)}")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a key may do. None: no limit.

    Attributes:
        models: names of models; empty: all.
        max_budget: US dollars.
        tpm_limit: tokens a minute.
        rpm_limit: requests a minute.
        max_parallel_requests: requests at the same time.
        team_id: a LiteLLM team whose limits hold too.
        tags: for LiteLLM's reports; its free edition refuses them (1.106.2).
        routes: the API routes that it may call, or LiteLLM's names of groups of them; empty: all.
    """

    models: tuple[str, ...] = ()
    max_budget: float | None = None
    budget_duration: str | None = None
    tpm_limit: int | None = None
    rpm_limit: int | None = None
    max_parallel_requests: int | None = None
    team_id: str | None = None
    tags: tuple[str, ...] = ()
    routes: tuple[str, ...] = MODEL_ROUTES

    def payload(self) -> dict[str, Any]:
        """The fields as ``/key/generate`` and ``/key/update`` take them; None lifts a limit."""
        return {
            "models": list(self.models),
            "max_budget": self.max_budget,
            "budget_duration": self.budget_duration,
            "tpm_limit": self.tpm_limit,
            "rpm_limit": self.rpm_limit,
            "max_parallel_requests": self.max_parallel_requests,
            "team_id": self.team_id,
            "tags": list(self.tags),
            "allowed_routes": list(self.routes),
        }


@dataclass(frozen=True, slots=True)
class Mark:
    """Marks a key as ours in LiteLLM's metadata: the cluster, the agent, the number of the key, and why it was made.

    Attributes:
        cluster: uid of the namespace kube-system.
        agent: uid of the OpenClawAgent.
        generation: 1 for the agent's first key.
        namespace: the agent's. One cluster may have several operators, each for some namespaces.
        created_at: when, by the operator's clock, in ISO 8601.
        block_reason: why we blocked it, or are about to (`BlockReason`); empty: we didn't.
        retained_for: ``<namespace>/<name>`` of the agent that the key outlives and that may take it back; empty: the key
            ends with its agent.
        rotate_digest: digest of the rotate annotation's value that the key was made for; empty: there was none.
        replaces: `short` token of the key that stays valid beside it for the grace period; empty: none does.
        grace: that period, in seconds.
        carried: of each older key, by `short` token, the part of its spend that this key's spend includes.
        route: ``<namespace>/<name>`` of the LiteLLMRoute that the agent has got it by; empty: it is older than this field.
        budget_resets_at: when we reset its budget, in ISO 8601, because LiteLLM counts from the key's creation and would do
            it later; empty: LiteLLM does it.
        namespace_uid: of a key that may outlive its agent, the uid of the agent's namespace: another of that name may be
            somebody else's; empty: the key ends with its agent, is older than this field, or the operator can't read it.
    """

    cluster: str
    agent: str
    generation: int
    namespace: str = ""
    created_at: str = ""
    block_reason: str = ""
    retained_for: str = ""
    rotate_digest: str = ""
    replaces: str = ""
    grace: int = 0
    carried: Mapping[str, Carried] = field(default_factory=dict)
    budget_resets_at: str = ""
    route: str = ""
    namespace_uid: str = ""

    def is_of(self, cluster: str, agent: str) -> bool:
        """True if the key is an agent's of that cluster. A copy of the cluster has an agent with the same uid."""
        return (self.cluster, self.agent) == (cluster, agent)

    def metadata(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """The key's metadata in LiteLLM: the mark, and what else there is.

        The stored names are those of the first release, so that keys made then stay ours.
        """
        optional = {
            "namespace": self.namespace,
            "made": self.created_at,
            "held": self.block_reason,
            "retained": self.retained_for,
            "asked": self.rotate_digest,
            "replaces": self.replaces,
            "grace": self.grace,
            "taken": self.carried,
            "anew_at": self.budget_resets_at,
            "route": self.route,
            "namespace_uid": self.namespace_uid,
        }
        mark = {"cluster": self.cluster, "agent": self.agent, "generation": self.generation}
        return {**more, _METADATA: {**mark, **{name: value for name, value in optional.items() if value}}}


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A virtual key as the proxy lists it, without its value.

    Attributes:
        spend: US dollars.
        used: whether a call with it has been booked, which LiteLLM does 10 to 15 s late.
        expires: when the proxy itself refuses it, in ISO 8601; None: never.
        metadata: what LiteLLM stores beside the mark and the tags. It should be `owners_metadata`.
    """

    token: str
    alias: str
    limits: Limits
    spend: float
    mark: Mark | None
    blocked: bool = False
    used: bool = False
    expires: str | None = None
    budget_resets_at: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

    @property
    def short(self) -> str:
        """The first characters of its token, as marks name a key."""
        return self.token[:_SHORT]

    def marked(self, mark: Mark, metadata: Mapping[str, Any] | None = None) -> dict[str, Any]:
        """The key's metadata with another mark, for an update, which replaces all of it.

        Args:
            metadata: what to store beside the mark and the tags; None: as it is.
        """
        tags = {_TAGS: list(self.limits.tags)} if self.limits.tags else {}
        return {**mark.metadata(self.metadata if metadata is None else metadata), **tags}


def _mark(metadata: Mapping[str, Any]) -> Mark | None:
    mark = metadata.get(_METADATA)
    if not isinstance(mark, Mapping):
        return None
    try:
        taken: Mapping[str, Any] = mark.get("taken") or {}
        if not 0 <= int(mark["generation"]) <= bounds.MOST_GENERATIONS or len(taken) > bounds.MOST_CARRIED:
            return None
        return Mark(
            cluster=bounds.text(mark["cluster"]),
            agent=bounds.text(mark["agent"]),
            generation=int(mark["generation"]),
            namespace=bounds.namespace(mark.get("namespace", "")),
            created_at=bounds.text(mark.get("made", "")),
            block_reason=bounds.text(mark.get("held", "")),
            retained_for=bounds.full_name(mark.get("retained", "")),
            rotate_digest=bounds.text(mark.get("asked", "")),
            replaces=bounds.text(mark.get("replaces", "")),
            grace=min(max(int(mark.get("grace", 0)), 0), bounds.LONGEST_GRACE),
            carried={bounds.text(token): _carried(*given) for token, given in taken.items()},
            budget_resets_at=bounds.text(bounds.time(mark.get("anew_at", ""))),
            route=bounds.full_name(mark.get("route", "")),
            namespace_uid=bounds.text(mark.get("namespace_uid", "")),
        )
    except (AttributeError, KeyError, OverflowError, TypeError, ValueError):
        return None


def _carried(spend: Any, end: Any) -> Carried:
    return (bounds.amount(float(spend)) or 0.0, bounds.amount(int(end)) or 0)


def _checked(row: KeyRow) -> KeyRow:
    """A key of ours, if its fields are of the types and sizes that they should have. Other keys are nobody's business.

    Raises:
        AttributeError, OverflowError, TypeError, ValueError: they aren't.
    """
    if not row.token:
        raise ValueError("a key without a token")
    limits = row.limits
    maybe = (limits.budget_duration or "", limits.team_id or "")
    for text in (row.token, row.alias, *maybe, *limits.models, *limits.tags, *limits.routes):
        bounds.text(text)
    for number in (row.spend, limits.max_budget, limits.tpm_limit, limits.rpm_limit, limits.max_parallel_requests):
        bounds.amount(number)
    for time in (row.expires, row.budget_resets_at):
        bounds.time(time)
    limit_depth(dict(row.metadata))
    return row


def _routes(raw: Mapping[str, Any]) -> tuple[str, ...]:
    """The routes of a row. A release that doesn't know the field ignores it and shows none, so there is nothing to correct."""
    routes = tuple(raw.get("allowed_routes", MODEL_ROUTES) or ())
    return MODEL_ROUTES if routes == MODEL_ROUTES else routes  # one tuple for thousands of keys


def row_from(raw: Mapping[str, Any]) -> KeyRow:
    """A row of ``/key/list`` or the ``info`` of ``/key/info``.

    Raises:
        AttributeError, OverflowError, TypeError, ValueError: LiteLLM's rows aren't of that form.
    """
    metadata = raw.get("metadata") or {}
    spend = float(raw.get("spend") or 0.0)
    if not math.isfinite(spend):
        raise ValueError("the spend isn't a finite number")
    row = KeyRow(
        token=str(raw.get("token") or ""),
        alias=raw.get("key_alias") or "",
        limits=Limits(
            models=tuple(raw.get("models") or ()),
            max_budget=raw.get("max_budget"),
            budget_duration=raw.get("budget_duration"),
            tpm_limit=raw.get("tpm_limit"),
            rpm_limit=raw.get("rpm_limit"),
            max_parallel_requests=raw.get("max_parallel_requests"),
            team_id=raw.get("team_id"),
            tags=tuple(metadata.get(_TAGS) or ()),
            routes=_routes(raw),
        ),
        spend=spend,
        mark=_mark(metadata),
        blocked=bool(raw.get("blocked")),
        used=raw.get("last_active") is not None,
        expires=_spelled_alike(raw.get("expires")),
        budget_resets_at=_spelled_alike(raw.get("budget_reset_at")),
        metadata={k: v for k, v in metadata.items() if k not in (_METADATA, _TAGS)},
    )
    return _checked(row) if row.mark else row
