"""A virtual key's limits, and ``OpenClawAgent.spec.key``."""

import json
from typing import Annotated, Any, Final, Literal

from pydantic import BeforeValidator, Field, WithJsonSchema

from litclaw.api.base import LIST_SET, Model, ObjectName, Usd
from litclaw.api.cel import CelRule, Matches, rules
from litclaw.api.free_form import free_form, limit_depth
from litclaw.api.rotation import Rotation

BudgetDuration = Annotated[
    str,
    Field(max_length=16),
    Matches(
        r"^(daily|weekly|monthly|[1-9][0-9]{0,4}(s|m|h|d|w|mo))$",
        "must be daily, weekly, monthly, or a number with s, m, h, d, w or mo, such as 24h or 30d",
    ),
]
"""A budget's period as LiteLLM accepts it. It answers 400 to anything else (measured on 1.106.2)."""

Limit = Annotated[int, Field(ge=0, le=1_000_000_000)]

_LONGEST_METADATA: Final = 4_096
_RESERVED: Final = {
    "type": "object",
    "description": "Reserved for the operator.",
    "x-kubernetes-preserve-unknown-fields": True,
}
_TAGS: Final = {
    "type": "array",
    "description": "Reserved: LiteLLM stores a key's tags here. Use spec.key.tags.",
    "maxItems": 0,
    "items": {"type": "string", "maxLength": 1},
}


def _storable(value: Any) -> Any:
    """Refuse what LiteLLM can't store or list, in a value that `limit_depth` has accepted.

    PostgreSQL stores no NUL character; LiteLLM 1.106.2 answers 500 to them, as it does to temporary failures (measured). And
    LiteLLM lists a hundred keys a response, whoever's they are: if those are too large, no agent of the route gets a key.
    """
    text = json.dumps(value)
    if r"\u0000" in text.replace(r"\\", ""):
        raise ValueError("has a NUL character, which PostgreSQL can't store")
    if len(text) > _LONGEST_METADATA:
        raise ValueError(f"has more than {_LONGEST_METADATA} characters as JSON")
    return value


KeyMetadata = Annotated[
    dict[str, Any],
    BeforeValidator(_storable),
    BeforeValidator(limit_depth),
    WithJsonSchema(free_form(litclaw=_RESERVED, tags=_TAGS)),
]


_NO_NUL: Final = r"^[^\x00]*$"
_STORABLE: Final = Matches(_NO_NUL, "must have no NUL character, which PostgreSQL can't store")


class KeyLimits(Model):
    """How much a key may spend, and how fast."""

    max_budget: Usd | None = Field(None, description="Budget in US dollars, as a decimal string such as '50'.")
    budget_duration: BudgetDuration | None = Field(
        None,
        description="Period after which the budget is reset: daily, weekly, monthly, or a duration such as 24h or "
        "30d. If unset, it is never reset.",
    )
    tpm_limit: Limit | None = Field(None, description="Most tokens per minute; 0: no limit.")
    rpm_limit: Limit | None = Field(None, description="Most requests per minute; 0: no limit.")


class Key(KeyLimits):
    """The agent's virtual key: what it may spend, and how fast."""

    alias: Annotated[str, Field(min_length=1, max_length=255), _STORABLE] | None = Field(
        None, description="Name of the key in LiteLLM. Defaults to <namespace>/<name>."
    )
    max_parallel_requests: Limit | None = Field(None, description="Most requests at the same time; 0: no limit.")
    team: Annotated[str, Field(min_length=1, max_length=255), _STORABLE] | None = Field(
        None, description="Id of a LiteLLM team. Its budget and its models limit the key too."
    )
    tags: list[Annotated[str, Field(pattern=_NO_NUL, min_length=1, max_length=128)]] = Field(
        default_factory=list,
        description="Tags for LiteLLM's spend reports. LiteLLM refuses them without its enterprise licence.",
        max_length=32,
        json_schema_extra=LIST_SET,
    )
    metadata: KeyMetadata = Field(
        default_factory=dict,
        description="More metadata for the key in LiteLLM, stored there below the name litclaw_metadata, where LiteLLM obeys "
        f"none of it. At most {_LONGEST_METADATA} characters as JSON.",
        json_schema_extra=rules(
            CelRule("!has(self.litclaw)", "the name litclaw is that of the operator's own metadata: choose another"),
            CelRule("!has(self.tags)", "LiteLLM keeps tags under that name: use spec.key.tags"),
        ),
    )
    secret_name: ObjectName | None = Field(
        None,
        description="Name of the Secret with LITELLM_API_KEY and LITELLM_BASE_URL. Defaults to <name>-litellm. Under another "
        "name the Secret has the same key, and the former Secret is deleted.",
    )
    rotation: Rotation = Field(
        default_factory=Rotation,
        description="When the key is rotated automatically. Unset fields come from the route's keyDefaults.",
    )
    deletion_policy: Literal["Delete", "Retain"] = Field(
        "Delete",
        description="What happens to the key when the agent is deleted. Delete: the key is deleted in LiteLLM. "
        "Retain: the key and its Secret stay, and a new agent of the same namespace and name takes them over.",
    )
