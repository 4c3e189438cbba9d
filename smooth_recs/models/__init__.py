"""Models: ranking, ensembles, siblings."""

from __future__ import annotations

import importlib
from typing import Any

_HOME = {
    "EnsembleModel": "smooth_recs.models.ensemble",
    "RankingModel": "smooth_recs.models.ranking",
    "SiblingModel": "smooth_recs.models.siblings",
}


def __getattr__(name: str) -> Any:
    if name in _HOME:
        return getattr(importlib.import_module(_HOME[name]), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *_HOME])
