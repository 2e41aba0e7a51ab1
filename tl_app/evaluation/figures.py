"""Losses as text."""

from __future__ import annotations

import math

MOST_DIGITS = 8


def loss_text(value: float, digits: int = 3) -> str:
    """0.183 as "0.183", 0.00012 as "0.000120", 2.5 as "2.500": at least `digits` decimals, and
    as many more as a small loss needs to show `digits` significant digits; 0 as "0.000".
    """
    if not math.isfinite(value):
        return f"{value}"
    if 0 < abs(value) < 1e-6:
        return f"{value:.{digits - 1}e}"
    decimals = digits
    if value:
        decimals = max(digits, digits - 1 - math.floor(math.log10(abs(value))))
    return f"{value:.{decimals}f}"


def loss_pair(first: float, second: float) -> tuple[str, str]:
    """Both as text, with as many digits as it takes to tell two different losses apart."""
    for digits in range(3, MOST_DIGITS):
        texts = loss_text(first, digits), loss_text(second, digits)
        if first == second or texts[0] != texts[1]:
            return texts
    return loss_text(first, MOST_DIGITS), loss_text(second, MOST_DIGITS)
