"""How much of a proxy's keys is kept in memory. A proxy may list as many as it likes, with the marks that it has seen on ours."""

from collections import Counter
from collections.abc import Collection

from litclaw.kube.size import characters
from litclaw.litellm.keys import KeyRow

OF_AN_AGENT = 256 * 1024
"""Characters of the keys of one agent of the proxy's routes: its key and the old ones, each with the largest fields that the
API allows."""
OF_OTHERS = 32 * 2**20
"""Characters of all other keys at all proxies, which share it equally: of agents that have moved, and of deleted ones. About
25,000 keys. Those that are left out come into view when others have ended."""
LEAST_OF_OTHERS = 2**20
"""Of one proxy, however many there are."""
_OF_A_ROW = 1_000
_OF_AN_ENTRY = 100


class Room:
    """The room for the keys of one read.

    Args:
        own: the uids of the agents whose route is at the proxy.
        proxies: how many proxies there are.

    Attributes:
        left_out: how many keys had no room.
    """

    def __init__(self, own: Collection[str], proxies: int = 1) -> None:
        self.left_out = 0
        self._own = own
        self._of_agents: Counter[str] = Counter()
        self._of_others = max(LEAST_OF_OTHERS, OF_OTHERS // max(1, proxies))

    def takes(self, row: KeyRow) -> bool:
        """True if there is room for a key of this cluster."""
        agent = row.mark.agent if row.mark else ""
        if agent in self._own:
            self._of_agents[agent] += size_of(row)
            fits = self._of_agents[agent] <= OF_AN_AGENT
        else:
            self._of_others -= size_of(row)
            fits = self._of_others >= 0
        self.left_out += not fits
        return fits


def size_of(row: KeyRow) -> int:
    """About how many characters a key takes."""
    names = (*row.limits.models, *row.limits.tags)
    size = _OF_A_ROW + len(row.alias) + sum(map(len, names)) + _OF_AN_ENTRY * len(names)
    if row.mark:
        size += _OF_AN_ENTRY * len(row.mark.carried)
    return size + (characters(row.metadata, OF_OTHERS) if row.metadata else 0)
