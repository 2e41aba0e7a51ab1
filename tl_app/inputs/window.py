"""The window of 16-bit pictures: which levels become black and white. No TensorFlow."""

from __future__ import annotations

from collections.abc import Iterable
from statistics import median_low
from typing import Literal

from tl_app.errors import ConfigError
from tl_app.records import Example

FULL_RANGE = (0, 65535)


def resolve_window(
    setting: Literal["auto"] | tuple[int, int], examples: Iterable[Example]
) -> tuple[int, int]:
    """Make the setting definite.

    Args:
        setting: two levels, kept as they are; or "auto": 0 to the smallest full bit depth
            (255, 511, ... 65535) that holds every level of the 16-bit pictures. Scanners
            and cameras write 10, 12 or 14 bits into 16.
        examples: all pictures of the data; 8-bit ones have no say.

    Returns:
        (low, high) with 0 <= low < high <= 65535; (0, 65535) without 16-bit pictures.

    Raises:
        ConfigError: the two levels are not in this order and range.
    """
    if setting != "auto":
        low, high = setting
        if not 0 <= low < high <= FULL_RANGE[1]:
            raise ConfigError(
                "The window of 16-bit pictures needs a low and a higher level.",
                received=f"data.window = {list(setting)}",
                allowed="two levels with 0 <= low < high <= 65535, or auto",
                next_step="--set data.window=auto",
            )
        return low, high
    deepest = max((e.max_level for e in examples if e.bits == 16), default=None)
    if deepest is None:
        return FULL_RANGE
    return 0, _full_depth(deepest)


def describe_window(window: tuple[int, int], examples: Iterable[Example]) -> tuple[str, bool]:
    """What is to be said of the window of 16-bit pictures, and whether it is a warning.

    Returns:
        An empty text where there are none.
    """
    deep = [example for example in examples if example.bits == 16]
    if not deep:
        return "", False
    text = f"16-bit pictures ({len(deep):,}): levels {window[0]:,} to {window[1]:,} are shown "
    text += "from black to white"
    usual = _full_depth(median_low(example.max_level for example in deep))
    if window[0] == 0 and usual * 4 <= window[1]:
        brightest = max(deep, key=lambda example: example.max_level)
        return (
            f"{text}, though most of them end at {usual:,} and come out dark; "
            f"{brightest.path} goes up to {brightest.max_level:,}. "
            f"Leave it out, or: --set data.window=[0,{usual}]",
            True,
        )
    return f"{text} (data.window)", False


def _full_depth(level: int) -> int:
    """The smallest of 255, 511, ... 65535 that holds a level."""
    return next(2**k - 1 for k in range(8, 17) if level <= 2**k - 1)
