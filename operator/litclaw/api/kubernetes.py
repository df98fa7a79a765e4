"""Kubernetes' own value types: quantities, labels, annotations, selectors."""

from typing import Annotated, Final

from pydantic import Field, WithJsonSchema

from litclaw.api import names
from litclaw.api.base import Model
from litclaw.api.cel import CelRule, Matches, rules

Quantity = Annotated[
    int | str,
    WithJsonSchema(
        {
            "x-kubernetes-int-or-string": True,
            "pattern": r"^([0-9]+([.][0-9]*)?|[.][0-9]+)([KMGTPE]i|[numkMGTPE]|[eE][+-]?[0-9]{1,2})?$",
            "maxLength": 32,
        }
    ),
]
"""A quantity, such as 500m or 1Gi.

No real quantity needs an exponent of more than two digits. For 1e999999999999, the API server (1.36.3) computes for
minutes and allocates gigabytes, both in a CEL rule and in every object that contains it.
"""

StorageSize = Annotated[
    str,
    Field(max_length=20),
    Matches(
        r"^([1-9][0-9]*([.][0-9]+)?|0[.]0*[1-9][0-9]*)(Ki|Mi|Gi|Ti|Pi|k|M|G|T|P)?$",
        "must be a size of more than zero, such as 10Gi",
    ),
]

LabelValue = Annotated[str, Field(pattern=r"^([A-Za-z0-9]([-A-Za-z0-9_.]*[A-Za-z0-9])?)?$", max_length=63)]
Labels = Annotated[dict[str, LabelValue], Field(max_length=50)]
Annotations = Annotated[dict[str, Annotated[str, Field(max_length=65536)]], Field(max_length=50)]

_KEY: Final = r"^([a-z0-9]([-a-z0-9.]*[a-z0-9])?/)?[A-Za-z0-9]([-A-Za-z0-9_.]{0,61}[A-Za-z0-9])?$"
_KEYS_RULE: Final = CelRule(
    f"self.all(k, size(k) <= 317 && k.matches(r'{_KEY}'))",
    "each key must be a label key, such as team or example.com/team, of at most 63 characters after the /",
)
_HAS_RESERVED: Final = " || ".join(f"'{label}' in self" for label in names.RESERVED_POD_LABELS)
LABELS_RULES: Final = rules(_KEYS_RULE)
OWN_LABELS_RULES: Final = rules(
    _KEYS_RULE,
    CelRule(
        f"!({_HAS_RESERVED})",
        f"{', '.join(names.RESERVED_POD_LABELS)} are reserved, because they say who a pod is: remove them",
    ),
)
"""For labels of an object that has the operator's labels too."""
ANNOTATIONS_RULES: Final = rules(
    _KEYS_RULE,
    CelRule(
        f"self.all(k, !k.startsWith('{names.GROUP}/'))",
        f"annotations below {names.GROUP}/ are set by the operator: remove them",
    ),
)


class LabelSelector(Model):
    """Selects objects by their labels."""

    match_labels: Labels = Field(
        default_factory=dict, description="Labels that an object must have.", json_schema_extra=LABELS_RULES
    )
