"""Hooks shared by both HTTP clients: a request observer and the leadership fence."""

from collections.abc import Callable

import aiohttp

Observer = Callable[[str, str, int, float], None]
"""Called after each request: method, URL path, HTTP status (0: no response), seconds."""
Fence = Callable[[], None]
"""Called before each mutating request; ends the process if it no longer leads."""


def fenced(fence: Fence, exempt: Callable[[str, str], bool] = lambda method, path: False) -> aiohttp.TraceConfig:
    """Calls the fence at the last moment: the connection is open, and the next step is to write to it.

    Args:
        exempt: True for a request, by its method and URL path, that needs no leadership.
    """

    async def headers(_: object, __: object, sent: aiohttp.TraceRequestHeadersSentParams) -> None:
        if not exempt(sent.method, sent.url.path):
            fence()

    async def body(_: object, __: object, sent: aiohttp.TraceRequestChunkSentParams) -> None:
        if not exempt(sent.method, sent.url.path):
            fence()

    config = aiohttp.TraceConfig()
    config.on_request_headers_sent.append(headers)
    config.on_request_chunk_sent.append(body)
    return config
