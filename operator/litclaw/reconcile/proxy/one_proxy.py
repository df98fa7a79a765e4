"""Whether two sessions are of one proxy, which may have several URLs.

What a proxy lists doesn't show that. One that belongs to somebody else may list a key of another proxy as its own, so that the
key seems to be looked after there.
"""

from litclaw.reconcile.proxy.session import Credentials, ProxySession


def is_one_proxy(one: ProxySession, other: ProxySession) -> bool:
    """True if two sessions have the same URL or the same master key; False: they may have two master keys of one proxy.

    Two proxies may have the same master key by mistake: a key is at both only if both list it.
    """
    mine, theirs = one.credentials, other.credentials
    return mine.url == theirs.url or not _master_keys(mine).isdisjoint(_master_keys(theirs))


def _master_keys(credentials: Credentials) -> set[str]:
    """The master key, and that of before while it is being rotated."""
    known = (credentials.master_key, credentials.master_key_before)
    return {key.get_secret_value() for key in known if key is not None}
