"""Logging: lines for people on a terminal, JSON for machines. Each line about a resource names it."""

import logging
import sys
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

from litclaw.reconcile.core.log_context import logged_request

Format = Literal["auto", "text", "json"]

_TEXT = "%(asctime)s %(levelname)-7s %(name)s: %(about)s%(message)s"
_FIELDS = ["asctime", "levelname", "name", "message"]
_RENAMED = {
    "asctime": "time",
    "levelname": "level",
    "name": "logger",
    "resource_kind": "kind",
    "resource_namespace": "namespace",
    "resource_name": "name",
}
_QUIET = ("asyncio", "kopf", "kubernetes", "aiohttp")
"""Libraries that log every request at INFO."""


def _add_resource(record: logging.LogRecord) -> bool:
    request = logged_request()
    record.about = ""
    if request:
        record.resource_kind, record.resource_namespace, record.resource_name = request
        record.about = f"{request[0]} {request[1]}/{request[2]}: "
    return True


class _Json(JsonFormatter):
    """JSON without the prefix of the text lines."""

    def process_log_record(self, log_data: dict[str, object]) -> dict[str, object]:
        log_data.pop("about", None)
        return log_data


def set_up(log_format: Format, level: str) -> None:
    """Send every log record to standard error in one format."""
    handler = logging.StreamHandler()
    handler.addFilter(_add_resource)
    if log_format == "json" or (log_format == "auto" and not sys.stderr.isatty()):
        handler.setFormatter(_Json(_FIELDS, rename_fields=_RENAMED))
    else:
        handler.setFormatter(logging.Formatter(_TEXT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
