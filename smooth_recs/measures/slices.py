"""Slices of the examples (by value, by score, by position in the request, by frequency), and PD and accuracy in each.

A dictionary of groups maps the name of a slice to its rows: their numbers, or a mask. Slices may overlap. Wrong input
raises InputError, a ValueError, in one line.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs import prediction_difference
from smooth_recs.errors import InputError
from smooth_recs.measures import catalogue
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array, Integers

Groups = dict[str, Integers]

OTHER, MISSING = "other", "missing"
SMALL = 100  # rows, below which a slice is flagged: its numbers are mostly chance
_POSITIONS = 20


def by_value(values: Any, *, most: int = 20) -> Groups:
    """The rows of each value.

    Args:
      values: [n], or [n, m] padded with missing: a row then belongs to each of its values. Texts and integers are
        categories, of which "" and -1 are missing; floats are numbers, of which NaN is missing.
      most: of more categories than this, the most frequent have slices of their own and the rest are `other`; more
        distinct numbers than this become quintiles, each named by its range.

    Returns:
      Slices, the most frequent category or the lowest numbers first, then `other` and `missing`; none is empty. A
      category that is itself called so stands in quotes.

    ```python
    by_value(["at", "de", "de", ""])  # {"de": [1, 2], "at": [0], "missing": [3]}
    ```
    """
    array = np.asarray(values)
    if array.ndim not in (1, 2):
        raise InputError(f"values must have shape [n] or [n, m], got {list(array.shape)}")
    table = array.reshape(len(array), -1) if array.size else array.reshape(len(array), 1 if array.ndim == 1 else -1)
    present = ~_is_missing(table)
    row, value = np.nonzero(present)[0], table[present]
    if table.dtype.kind == "f" and len(np.unique(value)) > most:
        code, ranges, _ = _by_quantile(value, np.ones(len(value)), parts=5)
        names = _named(ranges)
    else:
        row, code, names = _by_frequency_of_value(row, value, most)
    missing = np.flatnonzero(~present.any(axis=1))
    return _groups(row, code, names) | ({MISSING: missing} if len(missing) else {})


def by_decile(prediction: Any, sample_weight: Any = None) -> Groups:
    """Ten slices of equal weight, from the lowest predictions to the highest; equal predictions stay together.

    Args:
      prediction: [n], any finite scores.
      sample_weight: [n], at or above 0, not all 0; None: equal weights.

    ```python
    by_decile([0.1, 0.2, 0.3])  # {"decile 1 (0.1)": [0], "decile 4 (0.2)": [1], "decile 7 (0.3)": [2]}
    ```
    """
    values = arrays.scores("prediction", prediction)
    weight = arrays.weights(sample_weight, len(values))
    arrays.refuse_weightless("a split into deciles", weight)
    code, ranges, deciles = _by_quantile(values, weight, parts=10)
    names = [f"decile {decile + 1} ({name})" for decile, name in zip(deciles, _named(ranges), strict=True)]
    return _groups(np.arange(len(values)), code, names)


def by_position(query_id: Any) -> Groups:
    """The first rows of all requests, the second ones, and so on up to the 20th, in row order; the rest together.

    Args:
      query_id: [n] integers or strings: which request a row belongs to.

    ```python
    by_position([7, 7, 8])  # {"1": [0, 2], "2": [1]}
    ```
    """
    _, request = arrays.numbered("query_id", query_id)
    order = np.argsort(request, kind="stable")
    starts = np.cumsum(np.bincount(request)) - np.bincount(request)
    position = np.empty(len(order), np.int64)
    position[order] = np.arange(len(order)) - starts[request[order]]
    names = [*map(str, range(1, _POSITIONS + 1)), f"{_POSITIONS + 1} and later"]
    return _groups(np.arange(len(order)), np.minimum(position, _POSITIONS), names)


def by_frequency(counts: Any) -> Groups:
    """Rows whose value is in no training row (`0`), in `1-9`, `10-99` and so on; `counts` is [n], of each row's value.

    ```python
    by_frequency([0, 3, 12, 9])  # {"0": [0], "1-9": [1, 3], "10-99": [2]}
    ```
    """
    number = arrays.scores("counts", counts).astype(np.int64)
    if (number < 0).any():
        raise InputError(f"counts must be at or above 0, got {number.min()}")
    digits = np.searchsorted(10 ** np.arange(19), number, side="right")
    names = ["0", *(f"{10**power}-{10 ** (power + 1) - 1}" for power in range(19))]
    return _groups(np.arange(len(number)), digits, names)


def measure(
    groups: Mapping[str, Any], predictions: Any, label: Any, sample_weight: Any = None, *, query_id: Any = None
) -> list[dict[str, Any]]:
    """PD and accuracy within each slice, the slice of the highest PD first.

    Args:
      groups: name: row numbers or mask [n].
      predictions: [n, R] probabilities of R >= 2 models.
      label: [n], 0 or 1; None: accuracies are None.
      sample_weight: [n], at or above 0.
      query_id: [n], for the intervals (see `prediction_difference.interval`).

    Returns:
      For each slice its name (`slice`), `rows`, `weight_share`, mean `pd` over pairs, its 95% `interval`, `pd_share`
      (the share of the sum of weight times PD that it carries), mean `auc_loss` and `log_loss` of the models,
      `label_mean`, and `small`: fewer than 100 rows.

    Raises:
      InputError: as `prediction_difference`; a slice has no rows, or none of positive weight.

    ```python
    measure({"all": [0, 1]}, [[0.125, 0.375], [0.2, 0.2]], [1, 0])[0]["pd"]  # 0.5
    ```
    """
    matrix = arrays.prediction_matrix(predictions)
    weight = arrays.weights(sample_weight, len(matrix))
    label = None if label is None else arrays.scores("label", label, len(matrix))
    query = None if query_id is None else arrays.identifiers("query_id", query_id, len(matrix))
    pairs = itertools.combinations(matrix.T, 2)
    carried = weight * np.mean([prediction_difference.per_example(a, b) for a, b in pairs], axis=0)
    measured = []
    for name, group in groups.items():
        rows = _rows(name, group, weight)
        part = matrix[rows], weight[rows]
        measured.append(
            {
                "slice": name,
                "rows": len(rows),
                "weight_share": float(weight[rows].sum() / weight.sum()),
                "pd": float(carried[rows].sum() / weight[rows].sum()),
                "interval": list(
                    prediction_difference.interval(*part, query_id=None if query is None else query[rows])
                ),
                "pd_share": float(carried[rows].sum() / carried.sum()) if carried.any() else 0.0,
                **_accuracy(*part, None if label is None else label[rows]),
                "small": len(rows) < SMALL,
            }
        )
    return sorted(measured, key=lambda each: -each["pd"])


def _accuracy(predictions: Array, weight: Array, label: Array | None) -> dict[str, float | None]:
    """Means over the models; None without labels, the AUC loss also where the labels are all alike."""
    models = [catalogue.Rows(label, prediction, weight) for prediction in predictions.T]
    found: dict[str, float | None] = {}
    for measure in catalogue.leading():
        defined = [value for rows in models if (value := measure.of(rows)) is not None]
        found[measure.name] = float(np.mean(defined)) if defined else None
    return found | {"label_mean": None if label is None else float(np.average(label, weights=weight))}


def _rows(name: str, group: Any, weight: Array) -> Integers:
    """Numbers of the rows of a group, each once."""
    array = np.asarray(group)
    if array.dtype == bool and array.shape != weight.shape:
        raise InputError(f"slice {name!r} must be a mask of {weight.size} rows, got shape {list(array.shape)}")
    if array.size and array.dtype.kind not in "biu":
        raise InputError(f"slice {name!r} must hold whole row numbers or be a mask, got {array.dtype}")
    rows = np.flatnonzero(array) if array.dtype == bool else np.unique(array).astype(np.int64)
    if len(rows) and not 0 <= rows[0] <= rows[-1] < weight.size:
        raise InputError(f"slice {name!r} must hold rows from 0 to {weight.size - 1}, got {rows[[0, -1]].tolist()}")
    arrays.refuse_weightless(f"slice {name!r}", weight[rows])
    return rows


def _groups(row: Integers, code: Integers, names: Sequence[str]) -> Groups:
    groups = {name: np.unique(row[code == number]) for number, name in enumerate(names)}
    return {name: rows for name, rows in groups.items() if len(rows)}


def _is_missing(table: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    if table.dtype.kind == "f":
        return np.isnan(table)
    if table.dtype.kind in "iu":
        return table == -1 if table.dtype.kind == "i" else np.zeros(table.shape, bool)
    # NaN, which is not itself, is how pandas marks a missing text.
    missing = [value is None or value in ("", b"", -1) or value != value for value in table.ravel().tolist()]
    return np.array(missing, bool).reshape(table.shape)


def _by_frequency_of_value(row: Integers, value: npt.NDArray[Any], most: int) -> tuple[Integers, Integers, list[str]]:
    """Row and slice of every cell, each combination once, and the names of the slices."""
    names, code = _categories(value)
    cells = np.unique(row * len(names) + code)
    row, code = np.divmod(cells, max(len(names), 1))
    order = np.argsort(-np.bincount(code, minlength=len(names)), kind="stable")
    place = np.full(len(names), most)
    place[order[:most]] = np.arange(min(most, len(names)))
    return row, place[code], [*(names[each] for each in order[:most]), OTHER]


def _categories(value: npt.NDArray[Any]) -> tuple[list[str], Integers]:
    """Names of the distinct values, in order, and the number of each value's name."""
    if value.dtype.kind in "iufb":
        distinct, code = np.unique(value, return_inverse=True)
        text = np.format_float_positional
        return [text(each, trim="-") if value.dtype.kind == "f" else str(each) for each in distinct], code
    seen: dict[str, int] = {}
    code = np.array([seen.setdefault(value_name(each), len(seen)) for each in value.tolist()], np.int64)
    names = sorted(seen)
    place = np.empty(len(names), np.int64)
    place[[seen[name] for name in names]] = np.arange(len(names))
    return names, place[code]


def value_name(value: Any) -> str:
    """What a value is called; in quotes where it could be mistaken for a slice that is none of the values."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return repr(text) if text in (OTHER, MISSING) or text[:1] in ("'", '"') else text


def _by_quantile(values: Array, weight: Array, parts: int) -> tuple[Integers, list[tuple[float, float]], Integers]:
    """Splits values into `parts` of equal weight, of which only those with any value count.

    Part k, from 0, ends with the least value at which the cumulated share of the weight reaches (k + 1) / `parts`.

    Returns:
      For each value the place of its part among those that have any; their lowest and highest values; their k.
    """
    distinct, inverse = np.unique(values, return_inverse=True)
    reached = np.cumsum(np.bincount(inverse, weight))
    before = np.append(0.0, reached[:-1])
    part = np.minimum(np.floor(parts * before / reached[-1] + 1e-9), parts - 1).astype(np.int64)
    used, place = np.unique(part, return_inverse=True)
    ends = [distinct[part == number][[0, -1]].tolist() for number in used]
    return place[inverse], [(low, high) for low, high in ends], used


def _named(ranges: Sequence[tuple[float, float]]) -> list[str]:
    """Three digits, or as many as it takes to tell the ranges apart."""
    for digits in range(3, 18):
        ends = [(f"{low:.{digits}g}", f"{high:.{digits}g}") for low, high in ranges]
        names = [low if low == high else f"{low} to {high}" for low, high in ends]
        if len(set(names)) == len(names):
            break
    return names
