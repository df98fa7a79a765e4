"""What a proxy's session has observed, as conditions of one route: an answer, the master key, a release, the models."""

import asyncio
import re
from collections.abc import Collection

from litclaw.api.models import OpenClawModel
from litclaw.api.route import LiteLLMRoute
from litclaw.litellm.errors import (
    LiteLLMError,
    NoDatabaseError,
    NotLiteLLMError,
    RefusedAddressError,
    RejectedError,
    UnauthorizedError,
    UntrustedError,
)
from litclaw.reconcile.core import intervals
from litclaw.reconcile.core.conditions import Blocked, Conditions, ConditionType, listed
from litclaw.reconcile.proxy.connection import Connection
from litclaw.reconcile.proxy.offer import MOST_MODELS, offered_names
from litclaw.reconcile.proxy.session import Observation
from litclaw.render.openclaw.config import ModelFacts, model_facts

OLDEST_RELEASE = (1, 60, 0)
"""The first LiteLLM whose /key/list knows ``return_full_object`` (its source; 1.57.0 doesn't)."""


class NotObservedYet(Exception):
    """The session hasn't observed the proxy, or read its keys, since the route needs it. It enqueues the route."""


def latest_observation(connection: Connection, *, fresh: bool) -> Observation:
    """What the proxy answered last.

    Args:
        fresh: True if something has changed, so that an observation from before the first such pass doesn't count.

    Raises:
        NotObservedYet: there is none that counts.
    """
    session = connection.session
    if not fresh:
        connection.fresh_after = None
    elif connection.fresh_after is None:
        connection.fresh_after = asyncio.get_running_loop().time()
    found = session.observed_since(connection.fresh_after if connection.fresh_after is not None else float("-inf"))
    if found is None or (found.error is None and not session.keys_read and session.read_error is None):
        raise NotObservedYet
    connection.fresh_after = None
    return found


def require_usable(route: LiteLLMRoute, connection: Connection, found: Observation, conditions: Conditions) -> None:
    """Check that agents can get keys at the proxy.

    Raises:
        Blocked: they can't.
    """
    session = connection.session
    if found.database:
        conditions.set_true(ConditionType.DATABASE_READY, "Connected")
        _check_release(session.url, found.release)
    if error := found.error or session.read_error:
        raise blocked_by(error, route) from None
    conditions.set_true(ConditionType.PROXY_READY, "Answers")


def offered_models(
    route: LiteLLMRoute, url: str, found: Observation, before: tuple[ModelFacts, ...]
) -> tuple[tuple[ModelFacts, ...], Blocked | None]:
    """The models that the route offers, and the problem if one is missing at the proxy.

    Args:
        before: the models that it offered until now; they stay while a managed proxy's pods are replaced.
    """
    given = {model.name: model for model in route.spec.models}
    missing = [name for name in given if name not in found.models]
    models = tuple(
        model_facts(name, given[name].openclaw if name in given else OpenClawModel(), found.models[name])
        for name in given or offered_names(found.models)
        if name in found.models
    )
    if not models and not given:
        message = f"The proxy at {url} has no models: add some there; they are found automatically."
        message += models_left_out(route, found, models)
        return before, Blocked(
            ConditionType.MODELS_READY, "NoModels", message, stalled=True, retry=intervals.ROUTE_RESYNC
        )
    if missing and route.spec.external:
        has = listed(sorted(offered_names(found.models)))
        message = f"The proxy at {url} has no model {missing[0]!r}, named in spec.models: it has {has}."
        return models, Blocked(
            ConditionType.MODELS_READY, "ModelNotFound", message, stalled=True, retry=intervals.ROUTE_RESYNC
        )
    if missing:
        message = f"Waits for the proxy's pods with the model {missing[0]!r}."
        return before, Blocked(ConditionType.MODELS_READY, "RollingOut", message, stalled=False, retry=intervals.HURRY)
    return models, None


def models_left_out(route: LiteLLMRoute, found: Observation, offered: Collection[ModelFacts]) -> str:
    """A sentence about models of the proxy that aren't offered although the route names none; empty: there are none.

    The names themselves aren't shown, because anything may be in them.
    """
    count = 0 if route.spec.models else found.left_out + len(found.models) - len(offered)
    if count <= 0:
        return ""
    return (
        f" Of the proxy's models, {count} {'is' if count == 1 else 'are'} left out: a name has up to 128 printable ASCII characters without ${{, and "
        f"at most {MOST_MODELS} models are offered. Name those that are wanted in spec.models."
    )


def blocked_by(error: LiteLLMError, route: LiteLLMRoute) -> Blocked:
    """The condition for a proxy that doesn't do what is asked of it."""
    external = bool(route.spec.external)
    where = "spec.external.url" if external else "the proxy's pods"
    proxy_ready = ConditionType.PROXY_READY
    if isinstance(error, UnauthorizedError):
        message = f"{error}: put the proxy's master key into the Secret that the route names."
        return Blocked(proxy_ready, "MasterKeyRefused", message, stalled=True)
    if isinstance(error, NoDatabaseError):
        return Blocked(proxy_ready, "NoDatabase", f"{error}: give LiteLLM a database_url.", stalled=True)
    if isinstance(error, RefusedAddressError):
        message = f"{error}: correct the URL."
        return Blocked(proxy_ready, "LinkLocalAddress", message, stalled=True, retry=intervals.REFUSED)
    if isinstance(error, NotLiteLLMError | RejectedError):
        # A managed proxy has no URL to correct, and a rotation of its master key doesn't fail for one odd answer.
        return Blocked(proxy_ready, "NotLiteLLM", f"{error}.", stalled=external)
    if isinstance(error, UntrustedError):
        message = (
            f"{error}. Name the proxy's authority in spec.external.caBundleSecretRef, or correct the name in the URL."
        )
        return Blocked(proxy_ready, "CertificateNotTrusted", message, stalled=True)
    message = f"{error}: check {where}; it is tried again by itself."
    return Blocked(proxy_ready, "Unreachable", message, stalled=external)


def _check_release(url: str, release: str) -> None:
    numbers = tuple(int(number) for number in re.findall(r"\d+", release)[:3])
    if numbers and numbers < OLDEST_RELEASE:
        oldest = ".".join(str(number) for number in OLDEST_RELEASE)
        message = f"{url} runs LiteLLM {release}, which can't list its keys in full: upgrade it to {oldest} or later."
        raise Blocked(ConditionType.PROXY_READY, "TooOld", message, stalled=True, retry=intervals.REFUSED)
