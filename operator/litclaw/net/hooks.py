"""What a client lets others see of its requests, and by whom it lets itself be stopped."""

from collections.abc import Callable

import aiohttp

Observer = Callable[[str, str, int, float], None]
"""Is told of each request: method, URL path, HTTP status (0: no answer), seconds."""
Fence = Callable[[], None]
"""Is called before anything is sent that changes something; doesn't return where that isn't ours to do."""


def fenced(fence: Fence, lets: Callable[[str, str], bool] = lambda method, path: False) -> aiohttp.TraceConfig:
    """Has the fence asked at the last moment, when a connection is there and the next step is to write to it.

    Args:
        lets: whether a request, by its method and URL path, is sent without asking.
    """

    async def headers(_: object, __: object, sent: aiohttp.TraceRequestHeadersSentParams) -> None:
        if not lets(sent.method, sent.url.path):
            fence()

    async def body(_: object, __: object, sent: aiohttp.TraceRequestChunkSentParams) -> None:
        if not lets(sent.method, sent.url.path):
            fence()

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(headers)
    config.on_request_chunk_sent.append(body)
    return config
