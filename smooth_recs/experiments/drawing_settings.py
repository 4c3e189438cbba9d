"""What bin/figures can be asked for: of the paper's figures (`Settings`), and of the landscape of a network (`Plan`).

The texts are those of the flags, so that this loads nothing that draws or computes.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable, Sequence
from typing import Any

from smooth_recs.errors import InputError

NAMES = ("activations", "curves", "surfaces", "minima")


def _flag(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": text})


@dataclasses.dataclass(frozen=True)
class Settings:
    """The flags of bin/figures, with their texts.

    Raises:
      InputError: one breaks its rule.
    """

    curves_seed: int = _flag(5, "of the random weights of figure 2")
    surfaces_seed: int = _flag(17258, "of the random weights of figure 3")
    minima_seed: int = _flag(1, "of the first network whose minima are counted; the others follow")
    norm_value: float = _flag(1.0, "v of weight normalisation in figures 2 and 3")
    norm_values: tuple[float, ...] = _flag((1.0, 1.4, 2.0), "v for which minima are counted")
    normalize_output: bool = _flag(False, "hold the weights of the output layer at the norm too")
    input_range: float = _flag(3.0, "inputs go from minus this to this")
    points: int = _flag(8001, "along a single input")
    surface_points: int = _flag(121, "along each of two inputs")
    p1: tuple[float, ...] = _flag((0.1, 0.5, 0.9), "probabilities of a positive label in figure 2 and the minima")
    networks: int = _flag(100, "random networks of each kind whose minima are counted")
    betas: tuple[float, ...] = _flag((0.05, 0.1, 0.2, 0.5, 1.0, 2.0), "of SmeLU, for which minima are counted")
    minima_clip: float = _flag(6.0, "limit of the activations where minima are counted")

    def __post_init__(self) -> None:
        def check(names: Sequence[str], rule: str, holds: Callable[[Any], bool]) -> None:
            for name in names:
                value = getattr(self, name)
                if not holds(value):
                    typed = ",".join(map(str, value)) if isinstance(value, tuple) else value
                    raise InputError(f"--{name} must be {rule}, got {typed}")

        def is_positive(value: float) -> bool:
            return math.isfinite(value) and value > 0

        def all_differ(values: tuple[float, ...]) -> bool:
            return bool(values) and len(set(values)) == len(values)

        check(("curves_seed", "surfaces_seed", "minima_seed"), "at least 0", lambda seed: seed >= 0)
        check(("norm_value", "input_range", "minima_clip"), "finite and above 0", is_positive)
        rule = "one or more that differ, finite and above 0"
        check(("norm_values", "betas"), rule, lambda values: all_differ(values) and all(map(is_positive, values)))
        check(("points", "surface_points"), "at least 3", lambda points: points >= 3)
        rule = "one or more that differ, between 0 and 1"
        check(("p1",), rule, lambda values: all_differ(values) and all(0 < p < 1 for p in values))
        check(("networks",), "at least 2, for intervals over them", lambda networks: networks >= 2)


@dataclasses.dataclass(frozen=True)
class Plan:
    """What is measured around trained networks: the flags of bin/figures for a landscape.

    Raises:
      InputError: one breaks its rule.
    """

    rows: int = _flag(20_000, "landscape: held-out rows, at most")
    line_steps: int = _flag(100, "landscape: from one sibling to the other, even; half as many beyond either")
    dense_only: bool = _flag(False, "landscape: between siblings the embeddings stay those of the first")
    directions: int = _flag(3, "landscape: random ones")
    direction_steps: int = _flag(50, "landscape: from the trained weights to either end of a random direction")
    surface_steps: int = _flag(10, "landscape: the same on the plane of two random directions; 0 = no such plane")
    directions_seed: int = _flag(1, "landscape: of the random directions")

    def __post_init__(self) -> None:
        least = {"rows": 1, "line_steps": 2, "directions": 0, "direction_steps": 1, "surface_steps": 0}
        for name, bound in {**least, "directions_seed": 0}.items():
            if getattr(self, name) < bound:
                raise InputError(f"--{name} must be at least {bound}, got {getattr(self, name)}")
        # Half of them must be whole, so that the point halfway and both ends are on the line exactly.
        if self.line_steps % 2:
            raise InputError(f"--line_steps must be even, got {self.line_steps}")

    def evaluations(self, pairs: int) -> int:
        """The number of times that all rows are predicted, for so many pairs of siblings."""
        line, direction, side = 2 * self.line_steps + 1, 2 * self.direction_steps + 1, 2 * self.surface_steps + 1
        return pairs * line + self.directions * direction + (side**2 if self.surface_steps else 0)
