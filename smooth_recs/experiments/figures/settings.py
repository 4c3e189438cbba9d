"""What the figures can be asked for: what the paper states is in them, what it leaves out is here."""

from __future__ import annotations

import dataclasses
import math
from typing import Any

from smooth_recs.errors import InputError

NAMES = ("activations", "curves", "surfaces", "minima")


def _setting(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Settings:
    """The flags of bin/figures, with their texts.

    Raises:
      InputError: one breaks its rule.
    """

    curves_seed: int = _setting(5, "of the random weights of figure 2")
    surfaces_seed: int = _setting(17258, "of the random weights of figure 3")
    minima_seed: int = _setting(1, "of the first network whose minima are counted; the others follow")
    norm_value: float = _setting(1.0, "v of weight normalisation in figures 2 and 3")
    norm_values: tuple[float, ...] = _setting((1.0, 1.4, 2.0), "v for which minima are counted")
    normalize_output: bool = _setting(False, "hold the weights of the output layer at the norm too")
    input_range: float = _setting(3.0, "inputs go from minus this to this")
    points: int = _setting(8001, "along a single input")
    surface_points: int = _setting(121, "along each of two inputs")
    p1: tuple[float, ...] = _setting((0.1, 0.5, 0.9), "probabilities of a positive label in figure 2 and the minima")
    networks: int = _setting(100, "random networks of each kind whose minima are counted")
    betas: tuple[float, ...] = _setting((0.05, 0.1, 0.2, 0.5, 1.0, 2.0), "of SmeLU, for which minima are counted")
    minima_clip: float = _setting(6.0, "limit of the activations where minima are counted")

    def __post_init__(self) -> None:
        for name in ("curves_seed", "surfaces_seed", "minima_seed"):
            self._check(name, "at least 0", getattr(self, name) >= 0)
        for name in ("norm_value", "input_range", "minima_clip"):
            self._check(name, "finite and above 0", _is_positive(getattr(self, name)))
        for name in ("norm_values", "betas"):
            values = getattr(self, name)
            rule = "one or more that differ, finite and above 0"
            self._check(name, rule, _differ(values) and all(map(_is_positive, values)))
        for name in ("points", "surface_points"):
            self._check(name, "at least 3", getattr(self, name) >= 3)
        inside = all(0 < p < 1 for p in self.p1)
        self._check("p1", "one or more that differ, between 0 and 1", _differ(self.p1) and inside)
        self._check("networks", "at least 2, for intervals over them", self.networks >= 2)

    def _check(self, name: str, rule: str, holds: bool) -> None:
        if not holds:
            raise InputError(f"--{name} must be {rule}, got {_typed(getattr(self, name))}")


def _is_positive(value: float) -> bool:
    return math.isfinite(value) and value > 0


def _differ(values: tuple[float, ...]) -> bool:
    return bool(values) and len(set(values)) == len(values)


def _typed(value: object) -> str:
    """As one types it after a flag."""
    return ",".join(map(str, value)) if isinstance(value, tuple) else str(value)
