"""Durations and sizes for people."""

from __future__ import annotations


def duration_text(seconds: float) -> str:
    """Such as "0.4 s", "2 min 5 s", "3 h 12 min"."""
    if seconds < 9.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    if minutes < 60:
        return f"{minutes} min {rest} s" if rest else f"{minutes} min"
    return f"{minutes // 60} h {minutes % 60} min"


def bytes_text(n_bytes: float | None) -> str:
    """Such as "17 MB" (powers of 1,000), or "?"."""
    if n_bytes is None:
        return "?"
    for unit in ("B", "kB", "MB", "GB"):
        if n_bytes < 999.5:
            digits = 0 if n_bytes >= 10 or unit == "B" else 1
            return f"{n_bytes:.{digits}f} {unit}"
        n_bytes /= 1000
    return f"{n_bytes:,.1f} TB"
