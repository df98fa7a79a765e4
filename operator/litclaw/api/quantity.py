"""Amounts as text: US dollars, and Kubernetes quantities.

LiteLLM reports spend as a float; statuses show exact text. ``kubernetes.utils`` parses quantities too, but importing it
loads the whole synchronous client, which takes as much memory as the rest of the operator.
"""

import re
from decimal import ROUND_HALF_EVEN, Decimal, InvalidOperation

_MICRO = Decimal("0.000001")


def usd(text: str) -> str:
    """Check a decimal string in US dollars and return it unchanged.

    Raises:
        ValueError: it isn't a decimal number of zero or more.
    """
    try:
        value = Decimal(text)
    except InvalidOperation:
        raise ValueError("must be a decimal number of US dollars, such as 50 or 0.25") from None
    if not value.is_finite() or value < 0:
        raise ValueError("must be zero or more US dollars")
    return text


def format_usd(amount: float | Decimal) -> str:
    """US dollars as a plain decimal string with two to six decimal places: ``12.30``, ``0.000123``."""
    value = Decimal(str(amount)).quantize(_MICRO, rounding=ROUND_HALF_EVEN)
    text = f"{value:f}"
    whole, _, fraction = text.partition(".")
    return f"{whole}.{fraction.rstrip('0').ljust(2, '0')}"


_QUANTITY = re.compile(r"([+-]?[0-9]*\.?[0-9]+(?:[eE][+-]?[0-9]+)?)([numkMGTPE]|[KMGTPE]i)?")
_LONGEST_QUANTITY = 64  # characters; the pattern's time grows with their square, and anybody may edit an object of ours
_FACTORS = {
    "": Decimal(1),
    **{
        suffix: Decimal(1000) ** power
        for suffix, power in zip("numkMGTPE", (-3, -2, -1, 1, 2, 3, 4, 5, 6), strict=True)
    },
    **{f"{suffix}i": Decimal(1024) ** power for power, suffix in enumerate("KMGTPE", 1)},
}


def parse_quantity(value: object) -> Decimal | None:
    """A Kubernetes quantity as a number (``500m`` is 0.5, ``1Ki`` is 1024), or None if the value isn't one."""
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        return None
    text = str(value)
    match = _QUANTITY.fullmatch(text) if len(text) <= _LONGEST_QUANTITY else None
    if not match:
        return None
    try:
        return Decimal(match[1]) * _FACTORS[match[2] or ""]
    except ArithmeticError:
        return None  # 1e999999999999 has the form of a quantity, but exceeds Decimal's range


def larger_size(wanted: str, present: str | None) -> str:
    """The larger of two quantities; ``wanted`` where the other is unknown, unreadable or the same."""
    sizes = parse_quantity(wanted), parse_quantity(present)
    return present if present is not None and None not in sizes and sizes[1] > sizes[0] else wanted  # type: ignore[operator]
