"""Durations and budget periods, as LiteLLM 1.106.2 reads and counts them (its ``duration_parser.py``)."""

import re
from datetime import datetime, timedelta

_WORDS = {"hourly": "1h", "daily": "24h", "weekly": "7d", "monthly": "30d"}
_SECONDS = {"s": 1, "m": 60, "h": 3600, "d": 86400, "w": 604800}


def next_reset(duration: str, now: datetime) -> datetime:
    """When LiteLLM resets a budget next: by the calendar for a day, a week or a month, and within a day by the clock.

    Raises:
        ValueError: it isn't a duration.
    """
    number, unit = _parsed(duration)
    midnight = now.replace(hour=0, minute=0, second=0, microsecond=0)
    tomorrow = midnight + timedelta(days=1)
    if (number, unit) in ((30, "d"), (1, "mo")):
        return (midnight.replace(day=1) + timedelta(days=32)).replace(day=1)
    if (number, unit) in ((7, "d"), (1, "w")):
        return midnight + timedelta(days=7 - midnight.weekday())
    if unit == "mo":
        raise ValueError("LiteLLM knows no budget period of several months")
    if unit in ("d", "w"):
        return midnight + timedelta(days=number * (7 if unit == "w" else 1))
    hour = now.replace(minute=0, second=0, microsecond=0)
    minute = now.replace(second=0, microsecond=0)
    start, passed = {"h": (midnight, now.hour), "m": (hour, now.minute), "s": (minute, now.second)}[unit]
    reset = start + timedelta(seconds=(passed // number + 1) * number * _SECONDS[unit])
    return reset if reset < tomorrow else tomorrow + (reset - midnight) % timedelta(days=1)


def _parsed(duration: str) -> tuple[int, str]:
    match = re.fullmatch(r"(\d+)(mo|[smhdw])", _WORDS.get(duration, duration))
    if not match or int(match[1]) < 1:
        raise ValueError(duration)
    return int(match[1]), match[2]


def in_seconds(duration: str) -> int:
    """The length of a duration.

    Raises:
        ValueError: it isn't one.
    """
    number, unit = _parsed(duration)
    return number * _SECONDS.get(unit, 30 * 86400)
