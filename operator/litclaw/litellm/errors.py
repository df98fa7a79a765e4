"""What can go wrong with a proxy, by what the caller should do about it."""


class LiteLLMError(Exception):
    """A proxy didn't do what was asked. The message never holds a key: it is made here, not by the proxy."""


class UnreachableError(LiteLLMError):
    """No answer: no such host, connection refused, time-out. Passes by itself or by mending the URL."""


class RefusedAddressError(LiteLLMError):
    """The proxy's name leads to a link-local or metadata address: no key was sent there, and none will be."""


class UntrustedError(LiteLLMError):
    """The proxy's certificate isn't signed by an authority that is trusted, or isn't for its name."""


class UnavailableError(LiteLLMError):
    """The proxy answers that it can't right now: 429, 5xx. Passes by itself."""


class NoDatabaseError(LiteLLMError):
    """The proxy runs without a database, or can't reach it: no keys."""


class UnauthorizedError(LiteLLMError):
    """The proxy doesn't take the master key."""


class AliasTakenError(LiteLLMError):
    """Another key has that alias."""


class RejectedError(LiteLLMError):
    """The proxy refuses what was asked, and will again: a bad value. The message says what it says."""


class LicenceError(RejectedError):
    """What was asked is part of LiteLLM's enterprise edition, and the proxy has no licence."""


class NotLiteLLMError(LiteLLMError):
    """Something answers, but it isn't a LiteLLM proxy."""
