"""Virtual keys as LiteLLM keeps them, and what we want of them.

Facts, measured on LiteLLM 1.106.2: a key's token is the hex SHA-256 of its value, and every admin call takes it in
place of the key; a caller may supply the value (at least 16 characters, ``sk-…``) and the spend that it starts with.
"""

import secrets
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from decimal import Decimal
from typing import Any

from pydantic import SecretStr

_METADATA = "litclaw"
_TAGS = "tags"  # where LiteLLM keeps a key's tags


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
    """By what a key is known to be ours: the cluster, the agent, which key of the agent's, and what it was born with.

    Attributes:
        cluster: uid of the namespace kube-system.
        agent: uid of the OpenClawAgent.
        generation: 1 for the agent's first key.
        carried: spend in US dollars that it took over from the keys before it.
        held: why we have blocked it, or are about to: ``Suspended`` or ``NotAllowed``; empty: we haven't.
        retained: ``<namespace>/<name>`` of the agent that it outlives and that may take it back; empty: it ends with it.
    """

    cluster: str
    agent: str
    generation: int
    carried: float = 0.0
    held: str = ""
    retained: str = ""

    def metadata(self, more: Mapping[str, Any]) -> dict[str, Any]:
        """The key's metadata in LiteLLM: the user's, and the mark."""
        mark = {
            "cluster": self.cluster,
            "agent": self.agent,
            "generation": self.generation,
            "carried": self.carried,
            **({"held": self.held} if self.held else {}),
            **({"retained": self.retained} if self.retained else {}),
        }
        return {**more, _METADATA: mark}


@dataclass(frozen=True, slots=True)
class KeyRow:
    """A virtual key as the proxy lists it, without its value."""

    token: str
    alias: str
    limits: Limits
    spend: float
    mark: Mark | None
    blocked: bool = False
    expires: str | None = None
    budget_resets_at: str | None = None
    metadata: Mapping[str, Any] = field(default_factory=dict)

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
            carried=float(mark.get("carried", 0.0)),
            held=str(mark.get("held", "")),
            retained=str(mark.get("retained", "")),
        )
    except (KeyError, TypeError, ValueError):
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
        expires=raw.get("expires"),
        budget_resets_at=raw.get("budget_reset_at"),
        metadata={k: v for k, v in metadata.items() if k not in (_METADATA, _TAGS)},
    )


def carried_spend(rows: Iterable[KeyRow]) -> float:
    """What an agent's next key must start with, in US dollars, so that no budget is handed out twice.

    A key's own spend is its spend less what it was born with. A key that was minted and never delivered (the operator
    died in between) has none of its own, so it counts for nothing, however often that happens.
    """
    marked = [row for row in rows if row.mark]
    if not marked:
        return 0.0
    base = min(Decimal(str(row.mark.carried)) for row in marked if row.mark)
    own = (Decimal(str(row.spend)) - Decimal(str(row.mark.carried)) for row in marked if row.mark)
    return float(base + sum((max(amount, Decimal(0)) for amount in own), Decimal(0)))
