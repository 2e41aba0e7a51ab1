"""Figures and names as text for people."""

from __future__ import annotations

import unicodedata

TIMES = "\N{MULTIPLICATION SIGN}"
DASH = "\N{EN DASH}"
NO_BREAK = "\N{NO-BREAK SPACE}"

_JOINERS = "\u200c\u200d"
"""Needed inside words of Persian, Hindi and others, and harmless on their own."""


def visible(name: object) -> str:
    """`name` with everything that cannot be seen written as an escape.

    Newlines, bidirectional overrides, other control characters and bytes of file names that
    are no UTF-8 (lone surrogates) become `\\n`, `\\u202e`, ... so that two names that differ
    also look different, and none can rearrange the text around it. Not yet safe for HTML:
    the templates escape.
    """
    return "".join(
        repr(character)[1:-1] if _is_hidden(character) else character for character in str(name)
    )


def _is_hidden(character: str) -> bool:
    if character in _JOINERS:
        return False
    return unicodedata.category(character) in {"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"}


def shorten(name: object, limit: int) -> str:
    """`visible(name)`, with its middle left out where it is longer than `limit` characters."""
    text = visible(name)
    if len(text) <= limit:
        return text
    tail = (limit - 1) // 2
    return text[: limit - 1 - tail] + "…" + (text[-tail:] if tail else "")


def percent(share: float | None, decimals: int = 1) -> str:
    """0.943 as "94.3 %", 0.9999 as "> 99.9 %" (only 1 reads "100.0 %"); None as a dash."""
    if share is None:
        return DASH
    shown = f"{100 * share:.{decimals}f}"
    if share < 1 and float(shown) >= 100:
        shown = f"> {100 - 10**-decimals:.{decimals}f}"
    return unbroken(f"{shown} %")


def unbroken(text: str) -> str:
    """The percent sign stays on the line of its number."""
    return text.replace(" %", NO_BREAK + "%")


def probability(share: float) -> str:
    """Two decimals in percent would claim too much, and so would 100 %: "99.7 %", "> 99.9 %"."""
    if share > 0.9995:
        return "> 99.9 %"
    if share < 0.0005:
        return "< 0.1 %"
    return f"{100 * share:.1f} %"


def byte_size(n_bytes: float | None) -> str:
    """17,400,000 as "17 MB" (powers of 1,000)."""
    if n_bytes is None:
        return "not measured"
    value = float(n_bytes)
    for unit in ("B", "kB", "MB"):
        if value < 999.5:
            return f"{value:.0f} {unit}" if value >= 9.95 or unit == "B" else f"{value:.1f} {unit}"
        value /= 1000
    return f"{value:,.1f} GB"


def duration(seconds: float | None) -> str:
    """75.2 as "1 min 15 s"; under a minute "12.4 s"."""
    if seconds is None:
        return "not measured"
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours} h {minutes} min" if hours else f"{minutes} min {rest} s"


def milliseconds(value: float | None) -> str:
    """11.234 as "11.2 ms"."""
    return (
        "not measured"
        if value is None
        else f"{value:.1f} ms"
        if value < 99.95
        else f"{value:,.0f} ms"
    )


def integer(value: float | None) -> str:
    """With thousands separators; None as "not measured"."""
    return "not measured" if value is None else f"{round(value):,}"


def plural(count: int, noun: str, plural_noun: str | None = None) -> str:
    """ "1 picture", "1,399 pictures"."""
    return f"{count:,} {noun if count == 1 else plural_noun or noun + 's'}"
