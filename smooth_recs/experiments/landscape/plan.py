"""What is measured around trained networks. The texts are those of the flags."""

from __future__ import annotations

import dataclasses
from typing import Any

from smooth_recs.errors import InputError


def _field(default: Any, text: str) -> Any:
    return dataclasses.field(default=default, metadata={"help": f"landscape: {text}"})


@dataclasses.dataclass(frozen=True)
class Plan:
    """The flags of bin/figures for a landscape.

    Raises:
      InputError: one breaks its rule.
    """

    rows: int = _field(20_000, "held-out rows, at most")
    line_steps: int = _field(
        100, "from one sibling to the other, even; the line goes on for half as many beyond either"
    )
    dense_only: bool = _field(False, "between siblings the embeddings stay those of the first")
    directions: int = _field(3, "random ones")
    direction_steps: int = _field(50, "from the trained weights to either end of a random direction")
    surface_steps: int = _field(10, "the same on the plane of two random directions; 0 = no such plane")
    directions_seed: int = _field(1, "of the random directions")

    def __post_init__(self) -> None:
        least = {"rows": 1, "line_steps": 2, "directions": 0, "direction_steps": 1, "surface_steps": 0}
        for name, bound in {**least, "directions_seed": 0}.items():
            if getattr(self, name) < bound:
                raise InputError(f"--{name} must be at least {bound}, got {getattr(self, name)}")
        if self.line_steps % 2:
            raise InputError(f"--line_steps must be even, got {self.line_steps}")

    def evaluations(self, pairs: int) -> int:
        """How often all rows are predicted, for so many pairs of siblings."""
        line, direction, side = 2 * self.line_steps + 1, 2 * self.direction_steps + 1, 2 * self.surface_steps + 1
        return pairs * line + self.directions * direction + (side**2 if self.surface_steps else 0)
