"""Logging: lines for people at a terminal, JSON for machines."""

import logging
import sys
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

Format = Literal["auto", "text", "json"]

_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(message)s"
_FIELDS = ["asctime", "levelname", "name", "message"]
_QUIET = ("httpx", "httpcore", "asyncio", "kopf", "aiohttp")
"""Libraries whose lines at INFO are about every single request."""


def set_up(form: Format, level: str) -> None:
    """Send every log record to standard error in one form."""
    handler = logging.StreamHandler()
    if form == "json" or (form == "auto" and not sys.stderr.isatty()):
        renamed = {"asctime": "time", "levelname": "level", "name": "logger"}
        handler.setFormatter(JsonFormatter(_FIELDS, rename_fields=renamed))
    else:
        handler.setFormatter(logging.Formatter(_TEXT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
