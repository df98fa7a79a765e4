"""What one proxy holds of this cluster's keys, read a hundred a call and kept true by our own calls in between."""

from collections import defaultdict
from collections.abc import Iterable

from ..litellm.client import LiteLLM
from ..litellm.keys import KeyRow


class KeyTable:
    """This cluster's keys at one proxy, by token and by agent.

    A row that is missing may only not have been seen yet: whoever acts on that asks the proxy for the one key first.
    """

    def __init__(self, cluster: str) -> None:
        self._cluster = cluster
        self._rows: dict[str, KeyRow] = {}
        self._by_agent: dict[str, set[str]] = defaultdict(set)
        self._touched: dict[str, KeyRow | None] | None = None

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, token: str) -> KeyRow | None:
        """The key with that token."""
        return self._rows.get(token)

    def of(self, agent_uid: str) -> list[KeyRow]:
        """An agent's keys, oldest generation first."""
        rows = [self._rows[token] for token in self._by_agent.get(agent_uid, ())]
        return sorted(rows, key=lambda row: (row.mark.generation if row.mark else 0, row.token))

    def agents(self) -> set[str]:
        """The uids of the agents that have keys."""
        return set(self._by_agent)

    @property
    def spend(self) -> float:
        """What the keys have spent together, in US dollars."""
        return sum(row.spend for row in self._rows.values())

    def put(self, row: KeyRow) -> None:
        """Take in a key that the proxy has just shown or made; one that isn't this cluster's is left out."""
        if row.mark is None or row.mark.cluster != self._cluster:
            return
        if self._touched is not None:
            self._touched[row.token] = row
        self._rows[row.token] = row
        self._by_agent[row.mark.agent].add(row.token)

    def drop(self, tokens: Iterable[str]) -> None:
        """Leave out keys that the proxy has just deleted."""
        for token in tokens:
            if self._touched is not None:
                self._touched[token] = None
            row = self._rows.pop(token, None)
            if row and row.mark:
                held = self._by_agent[row.mark.agent]
                held.discard(token)
                if not held:
                    del self._by_agent[row.mark.agent]

    async def refresh(self, client: LiteLLM) -> set[str]:
        """Read every key of the proxy. What we did meanwhile counts more than what the pages said.

        Returns:
            The uids of the agents whose keys are not what they were.

        Raises:
            LiteLLMError: the table stays as it was.
        """
        touched: dict[str, KeyRow | None] = {}
        self._touched = touched
        try:
            seen = {
                row.token: row async for row in client.list_keys() if row.mark and row.mark.cluster == self._cluster
            }
        finally:
            self._touched = None
        for token, row in touched.items():
            if row is None:
                seen.pop(token, None)
            else:
                seen[token] = row
        before = self._rows
        changed = {token for token in before.keys() | seen.keys() if before.get(token) != seen.get(token)}
        agents = {
            row.mark.agent for token in changed for row in (before.get(token), seen.get(token)) if row and row.mark
        }
        self._rows = seen
        self._by_agent = defaultdict(set)
        for row in seen.values():
            if row.mark:
                self._by_agent[row.mark.agent].add(row.token)
        return agents
