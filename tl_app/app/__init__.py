"""The only sequencing of stages: one function a verb.

The command line and the public Python API call these same functions. Their modules are
loaded when first asked for: listing backbones needs no TensorFlow.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tl_app.app.auditing import AuditResult, audit
    from tl_app.app.caching import CacheInfo, cache_info, cache_prune
    from tl_app.app.comparing import compare
    from tl_app.app.listing import backbones, get_backbone
    from tl_app.app.mending import audit_apply, audit_undo
    from tl_app.app.serving import serve
    from tl_app.app.training import TrainedRun, resume, train
    from tl_app.app.verbs import evaluate, export, predict, report
    from tl_app.export.publish import ExportResult

_HOMES = {
    "AuditResult": "tl_app.app.auditing",
    "CacheInfo": "tl_app.app.caching",
    "ExportResult": "tl_app.export.publish",
    "TrainedRun": "tl_app.app.training",
    "audit": "tl_app.app.auditing",
    "audit_apply": "tl_app.app.mending",
    "audit_undo": "tl_app.app.mending",
    "backbones": "tl_app.app.listing",
    "get_backbone": "tl_app.app.listing",
    "cache_info": "tl_app.app.caching",
    "cache_prune": "tl_app.app.caching",
    "compare": "tl_app.app.comparing",
    "evaluate": "tl_app.app.verbs",
    "export": "tl_app.app.verbs",
    "predict": "tl_app.app.verbs",
    "report": "tl_app.app.verbs",
    "resume": "tl_app.app.training",
    "serve": "tl_app.app.serving",
    "train": "tl_app.app.training",
}

__all__ = [
    "AuditResult",
    "CacheInfo",
    "ExportResult",
    "TrainedRun",
    "audit",
    "audit_apply",
    "audit_undo",
    "backbones",
    "cache_info",
    "cache_prune",
    "compare",
    "evaluate",
    "export",
    "get_backbone",
    "predict",
    "report",
    "resume",
    "serve",
    "train",
]


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'tl_app.app' has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)
