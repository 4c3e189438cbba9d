"""What the backends' `differentiable` share: hyperparameters of which some are tensors and the others constants."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from smooth_recs.errors import InputError

Partials = Sequence[Callable[[], Any]]


def checked(name: str, given: Any, largest: float, dtype: str) -> Any:
    """The number or array `given`; raises InputError where the type that it is computed in cannot hold it."""
    # Not by NumPy where it can be avoided: torch.compile would make operations of it.
    beyond = (
        abs(given) > largest
        if isinstance(given, (int, float))
        else np.any(np.abs(np.asarray(given, np.float64)) > largest)
    )
    if beyond:
        raise InputError(f"{name} must be at most {largest:g} in {dtype}, got {given}")
    return given


class Formula:
    """An activation with hyperparameters: `value` and `partials` as functions of x and of those that are tensors.

    Args:
      value, partials: see `backends`.
      named: all hyperparameters by name, in the type that is computed in.
      tensors: the names of those that are tensors, and get gradients.
      cast: brings a tensor into the type that is computed in.
    """

    def __init__(
        self,
        value: Callable[..., Any],
        partials: Callable[..., Partials],
        named: Mapping[str, Any],
        tensors: Sequence[str],
        cast: Callable[[Any], Any],
    ) -> None:
        self._value, self._partials = value, partials
        self._named, self._tensors = dict(named), tuple(tensors)
        self.cast = cast

    def value(self, x: Any, *args: Any) -> Any:
        """The value, in the type that is computed in."""
        return self._value(self.cast(x), *self._arguments(args))

    def partials(self, x: Any, *args: Any) -> list[Callable[[], Any]]:
        """A function for the derivative by x, then one for that by each tensor."""
        of_x, *others = self._partials(self.cast(x), *self._arguments(args))
        of = dict(zip(self._named, others, strict=False))  # some have none for what is never a tensor
        return [of_x, *(of[name] for name in self._tensors if name in of)]

    def _arguments(self, args: Sequence[Any]) -> list[Any]:
        return list((self._named | dict(zip(self._tensors, args, strict=True))).values())
