"""The feature cache: what is in it, and making it smaller. Loads no TensorFlow."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tl_app.config import Config
from tl_app.features.store import GB, FeatureStore, TableInfo, default_root


@dataclass(frozen=True, slots=True)
class CacheInfo:
    """What the feature cache holds.

    Attributes:
        root: its folder.
        tables: the longest unused first.
        limit_gb: what a run brings it back to when nothing else is asked for.
    """

    root: Path
    tables: tuple[TableInfo, ...]
    limit_gb: float

    @property
    def n_bytes(self) -> int:
        """On disk, all tables together."""
        return sum(table.n_bytes for table in self.tables)

    def to_dict(self) -> dict[str, Any]:
        return {
            "folder": str(self.root),
            "n_bytes": self.n_bytes,
            "limit_gb": self.limit_gb,
            "tables": [table.to_dict() for table in self.tables],
        }


def cache_info() -> CacheInfo:
    """What this user's cache holds."""
    root = default_root()
    return CacheInfo(root, tuple(FeatureStore(root).tables()), Config().cache_limit_gb)


def cache_prune(limit_gb: float | None = None) -> tuple[TableInfo, ...]:
    """Take tables away, the longest unused first; those in use stay.

    Args:
        limit_gb: size to come down to, in 10^9 bytes; None takes the default limit, 0 empties
            the cache.

    Returns:
        The tables that are gone.
    """
    limit = Config().cache_limit_gb if limit_gb is None else limit_gb
    return tuple(FeatureStore(default_root()).prune(limit * GB))
