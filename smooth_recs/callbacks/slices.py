"""PD within slices of the data: by country, by device, by whatever a function of x tells."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import tensorflow as tf

from smooth_recs import prediction_difference
from smooth_recs.measures.slices import value_name
from smooth_recs.statistics import arrays

MOST = 10

SliceFunctions = Mapping[str, Callable[[Any], Any]]


def functions(slices: SliceFunctions | Sequence[str] | None) -> SliceFunctions:
    """Functions of x by name; a name alone takes that entry of x."""
    if slices is None:
        return {}
    if isinstance(slices, str) or not all(isinstance(name, str) for name in slices):
        raise ValueError(f"slices must map names to functions of x, or be a sequence of names of x, got {slices!r}")
    if isinstance(slices, Mapping):
        return dict(slices)
    return {name: _entry(name) for name in slices}


def _entry(name: str) -> Callable[[Any], Any]:
    def entry(x: Any) -> Any:
        if not isinstance(x, Mapping) or name not in x:
            known = ", ".join(x) if isinstance(x, Mapping) else f"x is a {type(x).__name__}"
            raise ValueError(f"slices must name entries of x, got {name!r}: {known}")
        return x[name]

    return entry


def column(name: str, values: Any) -> tf.Tensor:
    """One value a row, [batch]."""
    values = tf.convert_to_tensor(values)
    if not (values.shape.rank == 1 or values.shape[1:] == [1]):
        raise ValueError(f"slices must have one value a row, [batch] or [batch, 1], got {values.shape} for {name!r}")
    return tf.reshape(values, [-1])


class SlicedDifference:
    """The relative PD, mean over the pairs of models, of the rows that share a value, for the most frequent values.

    The values of the first call stay: at most 10 a name, by number of rows.
    """

    def __init__(self) -> None:
        self._values: dict[str, list[str]] = {}

    def measure(
        self,
        columns: Mapping[str, npt.NDArray[Any]],
        predictions: npt.NDArray[np.float64],
        weight: npt.NDArray[Any] | None,
    ) -> dict[str, float]:
        """`pd/NAME=VALUE` of columns [n] by name, and predictions [n, R]; NaN where no row has the value."""
        pairs = itertools.combinations(predictions.T, 2)
        difference = np.mean([prediction_difference.per_example(a, b) for a, b in pairs], axis=0)
        weight = arrays.weights(weight, len(predictions))
        measured: dict[str, float] = {}
        for name, values in columns.items():
            found, group, rows = np.unique(values, return_inverse=True, return_counts=True)
            total, sums = np.bincount(group, weight), np.bincount(group, weight * difference)
            with np.errstate(invalid="ignore"):  # a value all of whose rows weigh 0
                by_value = dict(zip(map(value_name, found), sums / total, strict=True))
            if name not in self._values:
                order = np.argsort(-rows, kind="stable")[:MOST]
                self._values[name] = [value_name(found[k]) for k in order]
            for value in self._values[name]:
                measured[f"pd/{name}={value}"] = float(by_value.get(value, np.nan))
        return measured
