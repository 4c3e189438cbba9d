"""Processes that train one run together: who is who, who is alive, and how they share the training."""

import importlib
from typing import Any

from smooth_recs.cluster.task import Task

# Loaded when first used, because they need TensorFlow: a cluster on this machine is started without it.
_OFFERED = {
    "data_service": "servers",
    "dismiss": "liveness",
    "resolve": "strategies",
    "serve": "servers",
    "strategy": "strategies",
}

__all__ = ["Task", *_OFFERED]


def __getattr__(name: str) -> Any:
    if name in _OFFERED:
        return getattr(importlib.import_module(f"{__name__}.{_OFFERED[name]}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
