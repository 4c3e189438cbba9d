"""The activation family: functions of tensors, layers, and strings that Keras knows once this is imported.

`registry.TABLE` has a row for each activation, with its function and its layer; they are offered here by their names.
"""

from typing import Any

from smooth_recs.activations import registry
from smooth_recs.activations.functions import DEFAULT_BETA, join
from smooth_recs.activations.layers import Activation, find, frozen
from smooth_recs.activations.probe import PreActivation, probe
from smooth_recs.activations.registry import get, register, serialize, spelled, takes_beta, width_schedule, with_beta

__all__ = [
    "DEFAULT_BETA",
    "Activation",
    "PreActivation",
    "find",
    "frozen",
    "get",
    "join",
    "probe",
    "serialize",
    "spelled",
    "takes_beta",
    "width_schedule",
    "with_beta",
    *registry.OFFERED,
]


def __getattr__(name: str) -> Any:
    """The functions and layers of the table."""
    if name in registry.OFFERED:
        return registry.OFFERED[name]
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


register()
