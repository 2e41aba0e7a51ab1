"""From a folder of images to a fine-tuned, evaluated, exported classifier.

    import tl_app

    run = tl_app.train("photos/", backbone="efficientnet_lite0")
    print(run.evaluation.headline["accuracy"], run.report)
    predictions, set_aside = run.predict(["new.jpg"])

Nothing heavy is imported before a function is used.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

__version__ = "0.1.0"

if TYPE_CHECKING:
    from tl_app.api import (
        apply_fixes,
        audit_data,
        cache_info,
        cache_prune,
        compare,
        evaluate,
        export_model,
        list_backbones,
        predict,
        resume,
        serve,
        train,
        undo_fixes,
        write_report,
    )
    from tl_app.config import Config
    from tl_app.config_loading import load_config
    from tl_app.environment import doctor
    from tl_app.errors import (
        ConfigError,
        DataError,
        ExportError,
        Interrupted,
        RunError,
        StorageError,
        TlAppError,
        WeightsError,
    )

_HOMES = {
    "train": "tl_app.api",
    "audit_data": "tl_app.api",
    "apply_fixes": "tl_app.api",
    "undo_fixes": "tl_app.api",
    "resume": "tl_app.api",
    "predict": "tl_app.api",
    "compare": "tl_app.api",
    "evaluate": "tl_app.api",
    "write_report": "tl_app.api",
    "export_model": "tl_app.api",
    "serve": "tl_app.api",
    "list_backbones": "tl_app.api",
    "cache_info": "tl_app.api",
    "cache_prune": "tl_app.api",
    "doctor": "tl_app.environment",
    "Config": "tl_app.config",
    "load_config": "tl_app.config_loading",
    "TlAppError": "tl_app.errors",
    "ConfigError": "tl_app.errors",
    "DataError": "tl_app.errors",
    "WeightsError": "tl_app.errors",
    "RunError": "tl_app.errors",
    "StorageError": "tl_app.errors",
    "ExportError": "tl_app.errors",
    "Interrupted": "tl_app.errors",
}

__all__ = [
    "Config",
    "ConfigError",
    "DataError",
    "ExportError",
    "Interrupted",
    "RunError",
    "StorageError",
    "TlAppError",
    "WeightsError",
    "__version__",
    "apply_fixes",
    "audit_data",
    "cache_info",
    "cache_prune",
    "compare",
    "doctor",
    "evaluate",
    "export_model",
    "list_backbones",
    "load_config",
    "predict",
    "resume",
    "serve",
    "train",
    "undo_fixes",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tl_app' has no attribute {name!r}")
    value = getattr(importlib.import_module(_HOMES[name]), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted(__all__)
