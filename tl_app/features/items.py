"""What is classified, as the frozen part takes it: pictures of one size, or texts of any length."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Protocol

import numpy as np

from tl_app.progress import Reporter


class Items(Protocol):
    """Pictures or texts by position.

    Attributes:
        keys: 32 bytes each, of the content; items of one key are the same to every network.
        key: what decides an item besides its content, as plain JSON values.
        shape: of one item; None where items differ.
        dtype: "float32" for pixels, "int32" for tokens, "string" for texts as they are.
        lengths: int64, shape (n,), along the axis in which items differ; None where they do not.
        kept_bytes: on disk, that `keep` takes for an item; 0 where it keeps none.
        unit: what progress counts, "images" or "texts".
    """

    @property
    def keys(self) -> Sequence[bytes]: ...

    @property
    def key(self) -> Mapping[str, Any]: ...

    @property
    def shape(self) -> tuple[int | None, ...]: ...

    @property
    def dtype(self) -> str: ...

    @property
    def lengths(self) -> np.ndarray | None: ...

    @property
    def kept_bytes(self) -> int: ...

    @property
    def unit(self) -> str: ...

    def load(self, position: int) -> np.ndarray:
        """One item, of `shape` and `dtype`. Thread-safe."""

    def keep(self, positions: Sequence[int], reporter: Reporter) -> None:
        """Make later calls of `load` cheap, for who looks at the items every epoch."""


def collate(items: Sequence[np.ndarray]) -> np.ndarray:
    """Items as one batch, shape (n, ...); shorter ones are filled up with zeros at their end."""
    if items[0].ndim == 0:
        return np.stack(items)
    longest = max(len(item) for item in items)
    if all(len(item) == longest for item in items):
        return np.stack(items)
    batch = np.zeros((len(items), longest, *items[0].shape[1:]), items[0].dtype)
    for row, item in zip(batch, items, strict=True):
        row[: len(item)] = item
    return batch


def by_shape(items: Sequence[np.ndarray]) -> list[np.ndarray]:
    """Items of one shape each, as batches: what is alike is computed together."""
    groups: dict[tuple[int, ...], list[np.ndarray]] = {}
    for item in items:
        groups.setdefault(item.shape, []).append(item)
    return [np.stack(group) for group in groups.values()]
