"""What LiteLLM tells about a model that has several deployments: what a caller can rely on, whichever of them answers.

``/model/info`` has an entry for each deployment, in an order that differs from one process of the proxy to the next: it
expands wildcards from Python sets, and a model that is edited in the database moves to the end (1.106.2, its source).
"""

import math
from collections.abc import Mapping, Sequence
from typing import Any

_ABILITY = "supports_"
_LENGTH = "max_"
_PRICE = "cost"


def models_of(body: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """The ``model_info`` of each model in a response of ``/model/info``, by name. What isn't LiteLLM's is left out."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    entries = body.get("data")
    for entry in entries if isinstance(entries, list) else []:
        if isinstance(entry, Mapping) and isinstance(name := entry.get("model_name"), str) and name:
            info = entry.get("model_info")
            found.setdefault(name, []).append(info if isinstance(info, Mapping) else {})
    return {name: common_info(infos) for name, infos in found.items()}


def common_info(infos: Sequence[Mapping[str, Any]]) -> Mapping[str, Any]:
    """The ``model_info`` of a model, the same whatever the order of its deployments.

    Lengths are the smallest, prices the highest, and an ability is one that each deployment has. Of anything else, such as
    the mode, it has the value on which the deployments agree.

    Args:
        infos: LiteLLM's ``model_info`` of each deployment, at least one.
    """
    if len(infos) == 1:
        return infos[0]
    found: dict[str, Any] = {}
    for name in sorted({name for info in infos for name in info}):
        stated = [info[name] for info in infos if info.get(name) is not None]
        if name.startswith(_ABILITY):
            found[name] = len(stated) == len(infos) and all(stated)
        elif name.startswith(_LENGTH) or _PRICE in name:
            if numbers := [value for value in stated if _is_number(value)]:
                found[name] = min(numbers) if name.startswith(_LENGTH) else max(numbers)
        elif stated and all(value == stated[0] for value in stated):
            found[name] = stated[0]
    return found


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) < math.inf
