"""How many pixels may be in decoding at a time, over all threads.

A thread may be given a picture of the largest size, which takes some GB while it is decoded.
Eight of them at once take all memory; eight photographs do not.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Iterator
from contextlib import contextmanager

from tl_app.config import DataSettings


class DecodeBudget:
    """Pixels that threads share. First come, first served, so that a large picture gets in."""

    def __init__(self, total_pixels: int) -> None:
        self._total = total_pixels
        self._free = total_pixels
        self._waiting: deque[object] = deque()
        self._changed = threading.Condition()

    @contextmanager
    def reserve(self, n_pixels: int) -> Iterator[None]:
        """Wait until there is room for a picture, and hold it for as long as the block lasts.

        A picture larger than the whole budget waits until it is alone. Blocks do not nest:
        one that waits within another may wait for itself.

        Args:
            n_pixels: of the picture, by its header.
        """
        share = min(n_pixels, self._total)
        turn = object()
        with self._changed:
            self._waiting.append(turn)
            try:
                self._changed.wait_for(lambda: self._waiting[0] is turn and share <= self._free)
                self._free -= share
            finally:
                self._waiting.remove(turn)
                self._changed.notify_all()
        try:
            yield
        finally:
            with self._changed:
                self._free += share
                self._changed.notify_all()


DECODING = DecodeBudget(DataSettings().max_pixels)
"""Of this process: one picture of the usual limit, or eight photographs of 12 megapixels."""
