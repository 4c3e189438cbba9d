"""One width a layer: wide near the inputs, narrow near the output (section 5.1)."""

from __future__ import annotations

from smooth_recs.activations import checks
from smooth_recs.errors import InputError


def width_schedule(first: float, last: float, layers: int, kind: str = "geometric") -> tuple[float, ...]:
    """beta of every hidden layer, from the one next to the inputs to the one next to the output.

    geometric: first * (last / first)^(i / (layers - 1)),  linear: first + (last - first) * i / (layers - 1).

    >>> width_schedule(1.0, 0.25, 3)
    (1.0, 0.5, 0.25)

    Args:
      first, last: half-widths of the first and the last layer; above 0 for a geometric schedule.
      layers: how many; of one layer the width is `first`.
      kind: "geometric" or "linear".

    Raises:
      TypeError: an argument is not a number.
      InputError: a width or the number of layers is out of bounds, or the kind is unknown.
    """
    if kind not in ("geometric", "linear"):
        raise InputError(f"kind must be 'geometric' or 'linear', got {kind!r}")
    for name, width in (("first", first), ("last", last)):
        checks.number(name, width, **({"above": 0} if kind == "geometric" else {"at_least": 0}))
    checks.number("layers", layers, at_least=1)
    shares = [i / (layers - 1) if layers > 1 else 0.0 for i in range(layers)]
    if kind == "linear":
        return tuple(first * (1 - share) + last * share for share in shares)
    return tuple(first ** (1 - share) * last**share for share in shares)
