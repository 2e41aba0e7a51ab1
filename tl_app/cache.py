"""Where this user's caches are: weights, features and what was measured of the machine."""

from __future__ import annotations

import os
from pathlib import Path


def cache_root() -> Path:
    """`$TL_APP_CACHE`, else `$XDG_CACHE_HOME/tl_app`, else `~/.cache/tl_app`; absolute."""
    own = os.environ.get("TL_APP_CACHE")
    if own:
        return Path(own).expanduser().absolute()
    general = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(general).expanduser().absolute() / "tl_app"
