"""This cluster's keys at one proxy, read a hundred a call, and updated by our own calls in between."""

import math
import time
from collections.abc import Callable, Collection, Iterable
from collections.abc import Set as AbstractSet

from litclaw.litellm.client import LiteLLM
from litclaw.litellm.keys import KeyRow
from litclaw.litellm.spend import agent_spend
from litclaw.reconcile.proxy.room import Room


class KeyTable:
    """This cluster's keys at one proxy, by token and by agent.

    A row that is missing may only not have been read yet: ask the proxy for the one key before acting on that.

    Args:
        cluster: uid of the namespace kube-system.
        monotonic: seconds since some moment, by a clock that nobody sets.

    Attributes:
        complete: True if all keys have been read at least once.
        read_began: when the last complete read began, by `monotonic`; None: there was none.
        last_shown: when the proxy showed a key in a read of all, by the event loop's clock, `time.monotonic`.
    """

    def __init__(self, cluster: str, monotonic: Callable[[], float] = time.monotonic) -> None:
        self._cluster = cluster
        self._monotonic = monotonic
        self._rows: dict[str, KeyRow] = {}
        self._by_agent: dict[str, set[str]] = {}
        self._by_retained: dict[str, set[str]] = {}
        self.complete = False
        self.read_began: float | None = None
        self.last_shown = 0.0
        self._first_read = math.inf
        self._first_known: dict[str, float] = {}
        """Of the keys that the first read didn't show: when they were learnt of."""
        self._touched: list[dict[str, KeyRow | None]] = []  # of each read that runs: what we changed meanwhile

    def __len__(self) -> int:
        return len(self._rows)

    def get(self, token: str) -> KeyRow | None:
        """The key with that token."""
        return self._rows.get(token)

    def was_known(self, token: str, moment: float) -> bool:
        """True if a key existed at a moment of `monotonic`, as far as this process knows."""
        return token in self._rows and self._first_known.get(token, self._first_read) <= moment

    def of(self, agent_uid: str) -> list[KeyRow]:
        """An agent's keys, oldest generation first."""
        return self._sorted(self._by_agent.get(agent_uid, ()))

    def retained_for(self, agent: str) -> list[KeyRow]:
        """The keys that an agent, named ``<namespace>/<name>``, retains or has retained; oldest generation first."""
        return self._sorted(self._by_retained.get(agent, ()))

    def _sorted(self, tokens: Iterable[str]) -> list[KeyRow]:
        rows = [self._rows[token] for token in tokens]
        return sorted(rows, key=lambda row: (row.mark.generation if row.mark else 0, row.token))

    def agents(self) -> set[str]:
        """The uids of the agents that have keys."""
        return set(self._by_agent)

    def orphaned(self, living: Collection[str]) -> list[KeyRow]:
        """The keys without an agent, except those that are retained or have an end already.

        Args:
            living: the uids of the existing agents.
        """
        return [
            row
            for uid in self._by_agent
            if uid not in living
            for row in self.of(uid)
            if row.mark and not row.mark.retained_for and row.expires is None
        ]

    def retained(self, living: Collection[str]) -> list[KeyRow]:
        """The keys that have outlived their agent, except those that have an end.

        Args:
            living: the uids of the existing agents.
        """
        rows = [self._rows[token] for tokens in self._by_retained.values() for token in tokens]
        return [row for row in rows if row.mark and row.mark.agent not in living and row.expires is None]

    def spend(self, agents: Iterable[str]) -> float:
        """What the keys of some agents have spent together, in US dollars. Spend that a new key carries counts once."""
        return sum(agent_spend(self._sorted(tokens)) for uid in agents if (tokens := self._by_agent.get(uid)))

    def count(self, agents: Iterable[str]) -> tuple[int, int]:
        """How many keys some agents have: those without an end, and those with one."""
        rows = [self._rows[token] for uid in agents for token in self._by_agent.get(uid, ())]
        retiring = sum(1 for row in rows if row.expires is not None)
        return len(rows) - retiring, retiring

    def put(self, row: KeyRow) -> None:
        """Store a key that the proxy has just shown or created, unless it is another cluster's."""
        if row.mark is None or row.mark.cluster != self._cluster:
            return
        for touched in self._touched:
            touched[row.token] = row
        if row.token not in self._rows:
            self._first_known[row.token] = self._monotonic()
        self._unlink(row.token)
        self._link(row)

    def drop(self, tokens: Iterable[str]) -> None:
        """Remove keys that the proxy has just deleted."""
        for token in tokens:
            for touched in self._touched:
                touched[token] = None
            self._unlink(token)
            self._first_known.pop(token, None)

    def _link(self, row: KeyRow) -> None:
        self._rows[row.token] = row
        if row.mark:
            self._by_agent.setdefault(row.mark.agent, set()).add(row.token)
            if row.mark.retained_for:
                self._by_retained.setdefault(row.mark.retained_for, set()).add(row.token)

    def _unlink(self, token: str) -> None:
        row = self._rows.pop(token, None)
        if row and row.mark:
            for index, key in ((self._by_agent, row.mark.agent), (self._by_retained, row.mark.retained_for)):
                tokens = index.get(key, set())
                tokens.discard(token)
                if not tokens:
                    index.pop(key, None)

    async def refresh(self, client: LiteLLM, room: Room | None = None) -> set[str]:
        """Read every key of the proxy. A key that we changed meanwhile stays as we know it: a page may be older.

        Args:
            room: keeps those that have room; None: all are kept.

        Returns:
            The uids of the agents whose keys have changed.

        Raises:
            LiteLLMError: the table stays as it was.
        """
        began = self._monotonic()
        touched: dict[str, KeyRow | None] = {}
        self._touched.append(touched)
        seen: dict[str, KeyRow] = {}
        keep = room.offer if room else lambda row: seen.update({row.token: row})
        listed: set[str] = set()  # of those that are known
        try:
            async for row in client.list_keys():
                self.last_shown = time.monotonic()
                if row.mark and row.mark.cluster == self._cluster:
                    if row.token in self._rows:
                        listed.add(row.token)
                    keep(row)
            # Pages shift while keys are deleted, and a row may be on none of them: each missing one is asked for.
            for token in self._rows.keys() - listed - touched.keys():
                if found := await client.key(token):
                    keep(found)
                self.last_shown = time.monotonic()
        finally:
            self._touched = [each for each in self._touched if each is not touched]
        if room:
            seen = room.rows()
        for token, change in touched.items():
            if change is None:
                seen.pop(token, None)
            else:
                seen[token] = change
        before = self._rows
        changed = {token for token in before.keys() | seen.keys() if before.get(token) != seen.get(token)}
        agents = {
            row.mark.agent for token in changed for row in (before.get(token), seen.get(token)) if row and row.mark
        }
        self._rows, self._by_agent, self._by_retained = {}, {}, {}
        for row in seen.values():
            self._link(row)
        self._note_known(before.keys())
        self.read_began = began
        self.complete = True
        return agents

    def _note_known(self, before: AbstractSet[str]) -> None:
        now = self._monotonic()
        if not self.complete:
            self._first_read = now
            return
        found = dict.fromkeys(self._rows.keys() - before, now)
        self._first_known = {token: at for token, at in self._first_known.items() if token in self._rows} | found

    async def refresh_agent(self, client: LiteLLM, uid: str) -> list[KeyRow]:
        """Read an agent's known keys one by one: their spend in the table is up to a minute old.

        Returns:
            Those that the proxy still has, oldest generation first.

        Raises:
            LiteLLMError: not every key was read.
        """
        for row in self.of(uid):
            if fresh := await client.key(row.token):
                self.put(fresh)
            else:
                self.drop([row.token])
        return self.of(uid)
