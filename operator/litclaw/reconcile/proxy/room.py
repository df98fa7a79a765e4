"""How much of a proxy's keys is kept in memory. A proxy may list as many as it likes, with the marks that it has seen on ours.

Tenants of one proxy share the room for keys of agents that aren't there any more, and a tenant may retain any number. So
that room is divided by namespace: what one needs less than its part, the others have. Where a namespace needs more, its own
keys are left out, and first those about which nothing can be left to do.
"""

from collections import Counter
from collections.abc import Collection, Iterable
from operator import attrgetter
from typing import NamedTuple

from litclaw.kube.size import characters
from litclaw.litellm.keys import KeyRow

OF_AN_AGENT = 256 * 1024
"""Characters of the keys of one agent of the proxy's routes: its key and the old ones, each with the largest fields that the
API allows."""
OF_OTHERS = 32 * 2**20
"""Characters of all other keys at all proxies, which share it equally: of agents that have moved, and of deleted ones. About
25,000 keys. Those that are left out come into view when others have ended or are blocked."""
LEAST_OF_OTHERS = 2**20
"""Of one proxy, however many there are."""
_SLACK = 8
"""Making room leaves that part of it free: it takes time for each key that is held."""
_OF_A_ROW = 1_000
_OF_AN_ENTRY = 100


class _Entry(NamedTuple):
    row: KeyRow
    size: int
    namespace: str
    rank: int


_RANK = attrgetter("rank")


class Room:
    """The keys of one read that are kept.

    Args:
        own: the uids of the agents whose route is at the proxy.
        proxies: how many proxies there are.
        living: the uids of all agents.
    """

    def __init__(self, own: Collection[str], proxies: int = 1, living: Collection[str] = ()) -> None:
        self._own = own
        self._living = living
        self._kept: dict[str, KeyRow] = {}
        self._of_agents: Counter[str] = Counter()
        self._others: dict[str, _Entry] = {}
        self._room = max(LEAST_OF_OTHERS, OF_OTHERS // max(1, proxies))
        self._used = 0
        self._offered = 0

    @property
    def left_out(self) -> int:
        """How many keys had no room."""
        return self._offered - len(self._kept) - len(self._others)

    def rows(self) -> dict[str, KeyRow]:
        """The keys that are kept, by token."""
        return self._kept | {token: entry.row for token, entry in self._others.items()}

    def offer(self, row: KeyRow) -> None:
        """Keep a key of this cluster, if there is room. A page may list a key once more: the first time counts."""
        if row.token in self._kept or row.token in self._others:
            return
        self._offered += 1
        agent, size = row.mark.agent if row.mark else "", size_of(row)
        if agent in self._own:
            self._of_agents[agent] += size
            if self._of_agents[agent] <= OF_AN_AGENT:
                self._kept[row.token] = row
            return
        namespace = row.mark.namespace if row.mark else ""
        self._others[row.token] = _Entry(row, size, namespace, self._rank(row))
        self._used += size
        if self._used > self._room:
            self._make_room(self._room - self._room // _SLACK)

    def _make_room(self, room: int) -> None:
        by_namespace: dict[str, list[_Entry]] = {}
        for entry in self._others.values():
            by_namespace.setdefault(entry.namespace, []).append(entry)
        most = part_of_each((sum(entry.size for entry in entries) for entries in by_namespace.values()), room)
        kept: list[_Entry] = []
        left: list[_Entry] = []
        for entries in by_namespace.values():
            part = most
            for entry in sorted(entries, key=_RANK):
                if entry.size <= part:
                    kept.append(entry)
                    part -= entry.size
                else:
                    left.append(entry)
        room -= sum(entry.size for entry in kept)
        for entry in left:  # the part of each may be less than a key
            if entry.size <= room:
                kept.append(entry)
                room -= entry.size
        self._others = {entry.row.token: entry for entry in kept}
        self._used = sum(entry.size for entry in kept)

    def _rank(self, row: KeyRow) -> int:
        """Of one namespace, keys come first that aren't blocked and have no end, and among them those of agents that exist."""
        is_gone = row.mark is None or row.mark.agent not in self._living
        return 4 * row.blocked + 2 * (row.expires is not None) + is_gone


def part_of_each(needs: Iterable[int], room: int) -> int:
    """How much of a room each may have, where those who need more than that share what those who need less leave."""
    rest = sorted(needs)
    for place, need in enumerate(rest):
        part = room // (len(rest) - place)
        if need > part:
            return part
        room -= need
    return room + max(rest, default=0)


def size_of(row: KeyRow) -> int:
    """About how many characters a key takes."""
    names = (*row.limits.models, *row.limits.tags)
    size = _OF_A_ROW + len(row.alias) + sum(map(len, names)) + _OF_AN_ENTRY * len(names)
    if row.mark:
        size += _OF_AN_ENTRY * len(row.mark.carried)
    return size + (characters(row.metadata, OF_OTHERS) if row.metadata else 0)
