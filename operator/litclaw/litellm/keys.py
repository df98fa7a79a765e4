"""Virtual keys as LiteLLM keeps them, and what we want of them.

Facts, measured on LiteLLM 1.106.2: a key's token is the hex SHA-256 of its value, and every admin call takes it in
place of the key; a caller may supply the value (at least 16 characters, ``sk-…``) and the spend that it starts with.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, fields
from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

_METADATA = "litclaw"
_TAGS = "tags"  # where LiteLLM keeps a key's tags
_SHORT = 16

Taken = tuple[float, int]
"""An amount in US dollars, and the end of the period that it was spent in, in seconds since 1970; 0: there is none."""


def utc(text: str) -> datetime:
    """A time as LiteLLM writes it: ISO 8601, in UTC where it doesn't say."""
    moment = datetime.fromisoformat(text)
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


def _spelled_alike(text: str | None) -> str | None:
    """A time as ``/key/list`` writes it, ending in Z. ``/key/info`` ends it in +00:00 (1.106.2, measured): the same key,
    read by the one and then the other, would seem to have changed."""
    try:
        return utc(text).astimezone(UTC).isoformat().replace("+00:00", "Z") if text else None
    except ValueError:
        return text


CONTROLS = frozenset(
    {
        *("allowed_passthrough_routes", "allowed_vector_store_indexes", "cache", "callback_settings"),
        *("default_estimated_output_tokens", "default_estimated_output_tokens_per_model", "denied_passthrough_routes"),
        *("disable_fallbacks", "disable_global_guardrails", "enable_prompt_caching", "end_user_budget_id"),
        *("enforced_batch_output_expires_after", "enforced_file_expires_after", "enforced_params", "guardrails"),
        *("litellm_disabled_callbacks", "logging", "mcp_rpm_limit", "model_itpm_limit", "model_otpm_limit"),
        *("model_rpm_limit", "model_tpm_limit", "password_reset_required", "policies", "prompts", "rpm_limit_type"),
        *("secret_manager_settings", "service_account_id", "tag_rpm_limit", "team_member_key_duration"),
        *("temp_budget_expiry", "temp_budget_increase", "throttle_on_budget_exceeded", "tpm_limit_type"),
    }
)
"""Names in a key's metadata by which LiteLLM 1.106.2 is controlled (its ``proxy/_types.py`` and what reads a key's
metadata at a request). An agent's owner isn't LiteLLM's administrator, so none of them may be set from an agent."""


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
    """

    models: tuple[str, ...] = ()
    max_budget: float | None = None
    budget_duration: str | None = None
    tpm_limit: int | None = None
    rpm_limit: int | None = None
    max_parallel_requests: int | None = None
    team_id: str | None = None
    tags: tuple[str, ...] = ()

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
        }


@dataclass(frozen=True, slots=True)
class Mark:
    """By what a key is known to be ours: the cluster, the agent, which key of the agent's; and what it was made for.

    Attributes:
        cluster: uid of the namespace kube-system.
        agent: uid of the OpenClawAgent.
        generation: 1 for the agent's first key.
        namespace: the agent's. One cluster may have several operators, each for some namespaces.
        made: when, by the operator's clock, in ISO 8601.
        held: why we have blocked it, or are about to: ``Suspended`` or ``NotAllowed``; empty: we haven't.
        retained: ``<namespace>/<name>`` of the agent that it outlives and that may take it back; empty: it ends with it.
        asked: digest of the annotation's value that it was made for; empty: there was none.
        replaces: `short` token of the key that lives on beside it for the grace period; empty: none does.
        grace: that period, in seconds.
        taken: of each older key, by `short` token, how much of its spend this key has taken over.
        anew_at: when its budget starts anew, where LiteLLM would do it later, because it counts from the key's birth.
    """

    cluster: str
    agent: str
    generation: int
    namespace: str = ""
    made: str = ""
    held: str = ""
    retained: str = ""
    asked: str = ""
    replaces: str = ""
    grace: int = 0
    taken: Mapping[str, Taken] = field(default_factory=dict)
    anew_at: str = ""

    def metadata(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """The key's metadata in LiteLLM: the user's, and the mark."""
        always = ("cluster", "agent", "generation")
        mark = {each.name: getattr(self, each.name) for each in fields(self)}
        return {**more, _METADATA: {name: value for name, value in mark.items() if value or name in always}}


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A virtual key as the proxy lists it, without its value.

    Attributes:
        spend: US dollars.
        used: whether a call with it has been booked, which LiteLLM does 10 to 15 s late.
        expires: when the proxy itself refuses it, in ISO 8601; None: never.
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
            metadata: the user's part; None: as it is.
        """
        tags = {_TAGS: list(self.limits.tags)} if self.limits.tags else {}
        return {**mark.metadata(self.metadata if metadata is None else metadata), **tags}


def _mark(metadata: Mapping[str, Any]) -> Mark | None:
    mark = metadata.get(_METADATA)
    if not isinstance(mark, Mapping):
        return None
    try:
        return Mark(
            cluster=str(mark["cluster"]),
            agent=str(mark["agent"]),
            generation=int(mark["generation"]),
            namespace=str(mark.get("namespace", "")),
            made=str(mark.get("made", "")),
            held=str(mark.get("held", "")),
            retained=str(mark.get("retained", "")),
            asked=str(mark.get("asked", "")),
            replaces=str(mark.get("replaces", "")),
            grace=int(mark.get("grace", 0)),
            taken={str(token): (float(spend), int(end)) for token, (spend, end) in (mark.get("taken") or {}).items()},
            anew_at=str(mark.get("anew_at", "")),
        )
    except (AttributeError, KeyError, TypeError, ValueError):
        return None


def row_from(raw: Mapping[str, Any]) -> KeyRow:
    """A row of ``/key/list`` or the ``info`` of ``/key/info``."""
    metadata = raw.get("metadata") or {}
    return KeyRow(
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
        ),
        spend=float(raw.get("spend") or 0.0),
        mark=_mark(metadata),
        blocked=bool(raw.get("blocked")),
        used=raw.get("last_active") is not None,
        expires=_spelled_alike(raw.get("expires")),
        budget_resets_at=_spelled_alike(raw.get("budget_reset_at")),
        metadata={k: v for k, v in metadata.items() if k not in (_METADATA, _TAGS)},
    )


def not_yet_carried(row: KeyRow, mark: Mark) -> Decimal:
    """What an older key has spent that a newer one, by its mark, hasn't taken over yet, in US dollars."""
    spend, (taken, end) = Decimal(str(row.spend)), mark.taken.get(row.short, (0.0, 0))
    if end != _period_end(row) or spend < Decimal(str(taken)):
        return spend  # its period has ended since, and it began at nothing
    return spend - Decimal(str(taken))


def _period_end(row: KeyRow) -> int:
    """When the period of a key's budget ends, in seconds since 1970; 0: never."""
    return int(utc(row.budget_resets_at).timestamp()) if row.budget_resets_at else 0


def agent_spend(rows: Sequence[KeyRow]) -> float:
    """What an agent's keys have spent together in this period, in US dollars, so that no budget is handed out twice.

    The newest knows of every older one what it was born with. One that was made and never delivered (the operator died in
    between) has spent nothing of its own, so it counts for nothing, however often that happens. Two of one generation were
    made for one another, by somebody who didn't know yet that the first is there: all were born with the same, and one
    at most was delivered.
    """
    if not rows:
        return 0.0
    newest = max(rows, key=lambda row: (row.mark.generation if row.mark else 0, row.spend))
    mark = newest.mark
    if mark is None:
        return newest.spend
    older = sum((not_yet_carried(row, mark) for row in rows if is_before(row, mark)), Decimal(0))
    return float(Decimal(str(newest.spend)) + older)


def is_before(row: KeyRow, mark: Mark) -> bool:
    """Whether a key is of an earlier generation than the one with that mark, and so may have spent something beside it."""
    return row.mark is not None and row.mark.generation < mark.generation


def carried_from(rows: Iterable[KeyRow]) -> dict[str, Taken]:
    """For the mark of a key that takes over all that some keys have spent."""
    return {row.short: (row.spend, _period_end(row)) for row in rows}
