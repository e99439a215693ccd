"""What the numbers in a data set's configuration may be."""

from __future__ import annotations


def whole_number(name: str, value: object, least: int) -> int:
    """Return ``value`` where it is a whole number of at least ``least``.

    Args:
        name: the key below ``data``, for the message.
        value: what the configuration says.
        least: the smallest allowed value.

    Raises:
        ValueError: anything else, ``True`` and ``2.0`` included.
    """
    if not isinstance(value, int) or isinstance(value, bool) or value < least:
        raise ValueError(f"data.{name}={value!r}: give a whole number from {least} up")
    return value


def scale(name: str, value: float) -> float:
    """Return ``value`` where it can be a standard deviation.

    Raises:
        ValueError: a negative or non-finite number, or none at all.
    """
    if not isinstance(value, (int, float)) or not 0 <= value < float("inf"):
        raise ValueError(f"data.{name}={value!r}: give a finite number from 0 up")
    return float(value)
