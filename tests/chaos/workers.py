"""Two workers of one LiteLLM that answer differently: the faulty world plays them in front of a real one.

In LiteLLM 1.106.2 each worker expands wildcards in an order of its own (it has them in sets of strings), and of several
deployments of one name each may show another one last. A worker, or the database replica that it reads, may list keys in
another order than before, and not know a new key yet. So a read by pages may show one key twice and another one not at all.
"""

import json
import math
import random
from typing import Any, Final

END: Final = "-w-b"
"""The end of the names of tenants with two workers. They have the LiteLLM for ``-b``."""
LATE_SECONDS: Final = 5.0
"""How long one of the workers doesn't know a new key."""
_PAGE: Final = 1
"""Keys on a page: a case has few, and they have to be on several pages."""
_WILDCARD: Final = ("wild/c", "wild/a", "wild/b")

Row = dict[str, Any]


class Workers:
    """The workers of one tenant.

    Args:
        tenant: draws which of them answers.
    """

    def __init__(self, tenant: str) -> None:
        self._drawn = random.Random(tenant)
        self._created: dict[str, float] = {}

    def next(self) -> int:
        """The worker that answers the next request: 0 or 1.

        They aren't taken in turn: by that, one key of two could be on no page of any read.
        """
        return self._drawn.randrange(2)

    def create(self, key: str, now: float) -> None:
        """A key is created at a time, in seconds."""
        self._created.setdefault(key, now)

    def knows(self, worker: int, key: str, now: float) -> bool:
        """Whether a worker knows a key at a time, in seconds."""
        return worker == 0 or now >= self._created.get(key, float("-inf")) + LATE_SECONDS

    def lists(self, worker: int, rows: list[Row], page: int) -> Row:
        """A page of keys as a worker lists them.

        Args:
            rows: all.
            page: from 1.
        """
        found = sorted(rows, key=lambda row: str(row["token"]), reverse=bool(worker))
        at = (page - 1) * _PAGE
        pages = math.ceil(len(found) / _PAGE)
        shown = found[at : at + _PAGE]
        return {"keys": shown, "total_count": len(found), "current_page": page, "total_pages": pages}


def models_of(worker: int, content: bytes) -> bytes:
    """LiteLLM's ``/model/info`` as a worker answers it: with a wildcard's models, and two deployments of the first model."""
    body = json.loads(content)
    found: list[Row] = body["data"]
    second = {**found[0], "model_info": {**(found[0].get("model_info") or {}), "max_input_tokens": 1_000}}
    expanded = [{"model_name": name, "model_info": {"mode": "chat"}} for name in _WILDCARD]
    models = [*found, second, *expanded]
    return json.dumps({**body, "data": models[::-1] if worker else models}).encode()
