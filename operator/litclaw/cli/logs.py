"""Logging: lines for people at a terminal, JSON for machines. What is about a resource says about which."""

import logging
import sys
from typing import Literal

from pythonjsonlogger.json import JsonFormatter

from litclaw.reconcile.core.log_context import subject

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
"""Libraries whose lines at INFO are about every single request."""


def _name_subject(record: logging.LogRecord) -> bool:
    found = subject()
    record.about = ""
    if found:
        record.resource_kind, record.resource_namespace, record.resource_name = found
        record.about = f"{found[0]} {found[1]}/{found[2]}: "
    return True


class _Json(JsonFormatter):
    """JSON without what is made up for the text lines."""

    def process_log_record(self, log_data: dict[str, object]) -> dict[str, object]:
        log_data.pop("about", None)
        return log_data


def set_up(form: Format, level: str) -> None:
    """Send every log record to standard error in one form."""
    handler = logging.StreamHandler()
    handler.addFilter(_name_subject)
    if form == "json" or (form == "auto" and not sys.stderr.isatty()):
        handler.setFormatter(_Json(_FIELDS, rename_fields=_RENAMED))
    else:
        handler.setFormatter(logging.Formatter(_TEXT))
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _QUIET:
        logging.getLogger(name).setLevel(logging.WARNING)
