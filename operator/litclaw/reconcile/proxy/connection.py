"""A route's connection to its proxy: the session that it shares, and what it offers of it."""

from dataclasses import dataclass

from litclaw.litellm.keys import Limits
from litclaw.reconcile.proxy.offer import Offer
from litclaw.reconcile.proxy.session import ProxySession
from litclaw.render.openclaw.config import ModelFacts


@dataclass(slots=True)
class Connection:
    """A route whose proxy is known.

    Attributes:
        offer: what the route offers; None: nothing yet.
        keys_in_creation: how many keys the route's agents are getting just now.
        fresh_after: the moment, by the event loop's clock, after which the route wants to have been observed; None: the
            session's last observation is recent enough.
    """

    session: ProxySession
    offer: Offer | None = None
    keys_in_creation: int = 0
    fresh_after: float | None = None

    @property
    def usable(self) -> bool:
        """True if keys can be created now."""
        return self.offer is not None and self.offer.usable


@dataclass(frozen=True, slots=True)
class Access:
    """What an accepted agent gets of its route.

    Attributes:
        connection: the route's.
        offer: what the route offers.
        models: the models that the agent may use, in its own order.
        limits: the limits of its key.
    """

    connection: Connection
    offer: Offer
    models: tuple[ModelFacts, ...]
    limits: Limits

    @property
    def session(self) -> ProxySession:
        """The proxy's."""
        return self.connection.session
