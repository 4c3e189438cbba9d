"""Slices of the examples by value, score, position or frequency, and the PD and accuracy within each slice.

Groups are a dictionary from the name of a slice to its rows: their numbers, or a mask. Slices may overlap. Wrong input
raises InputError, a ValueError, with one line that names the argument, the rule and the value.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from smooth_recs import prediction_difference
from smooth_recs.errors import InputError
from smooth_recs.measures import catalogue
from smooth_recs.measures.measure import Rows
from smooth_recs.prediction_difference import terms
from smooth_recs.statistics import arrays
from smooth_recs.statistics.arrays import Array, Integers

Groups = dict[str, Integers]

OTHER, MISSING = "other", "missing"
# The fewest rows of a slice that is not flagged as small: with fewer, its numbers are mostly chance.
SMALL = 100
_POSITIONS = 20


def by_value(values: Any, *, most: int = 20) -> Groups:
    """One slice for each value of a feature.

    Args:
      values: [n], or [n, m] padded with missing values: a row then belongs to each of its values. Texts and integers
        are categories, where "" and -1 are missing; floats are numbers, where NaN is missing.
      most: how many slices at most. The most frequent categories have slices of their own and the rest are `other`;
        where there are more distinct numbers, they become quintiles, each named by its range.

    Returns:
      Slices, the most frequent category or the lowest numbers first, then `other` and `missing`; none is empty. A
      category whose own name is "other" or "missing" stands in quotes.

    ```python
    by_value(["at", "de", "de", ""])  # {"de": [1, 2], "at": [0], "missing": [3]}
    ```
    """
    array = np.asarray(values)
    if array.ndim not in (1, 2):
        raise InputError(f"values must have shape [n] or [n, m], got {list(array.shape)}")
    # NumPy cannot infer the -1 of an array without rows.
    table = array.reshape(len(array), -1) if array.size else array.reshape(len(array), 1 if array.ndim == 1 else -1)
    present = ~_is_missing(table)
    row, value = np.nonzero(present)[0], table[present]
    if table.dtype.kind == "f" and len(np.unique(value)) > most:
        code, names, _ = _by_quantile(value, np.ones(len(value)), parts=5)
    else:
        categories, code = _categories(value)
        # A row that has a value twice belongs to its slice once.
        row, code = np.divmod(np.unique(row * len(categories) + code), max(len(categories), 1))
        order = np.argsort(-np.bincount(code, minlength=len(categories)), kind="stable")
        place = np.full(len(categories), most)
        place[order[:most]] = np.arange(min(most, len(categories)))
        code, names = place[code], [*(categories[each] for each in order[:most]), OTHER]
    missing = np.flatnonzero(~present.any(axis=1))
    return _groups(row, code, names) | ({MISSING: missing} if len(missing) else {})


def by_decile(prediction: Any, sample_weight: Any = None) -> Groups:
    """Ten slices of equal weight by prediction, the lowest first; equal predictions stay together.

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
    names = [f"decile {decile + 1} ({name})" for decile, name in zip(deciles, ranges, strict=True)]
    return _groups(np.arange(len(values)), code, names)


def by_position(query_id: Any) -> Groups:
    """One slice for each position in the request, in row order: 1 to 20, and one for the later positions.

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
    """Slices by how often a row's value occurs in the training rows: `0`, `1-9`, `10-99` and so on.

    Args:
      counts: [n], the number of training rows that have the row's value.

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
    groups: Mapping[str, Any],
    predictions: Any,
    label: Any,
    sample_weight: Any = None,
    *,
    query_id: Any = None,
    against_first: bool = False,
) -> list[dict[str, Any]]:
    """PD and accuracy within each slice, the slice with the highest PD first.

    Args:
      groups: row numbers, or a mask [n], by name of the slice.
      predictions: [n, R] probabilities of R >= 2 models.
      label: [n], 0 or 1; None: accuracies are None.
      sample_weight: [n], at or above 0; None: equal weights.
      query_id: [n], for the intervals (see `prediction_difference.interval`).
      against_first: PD is over the pairs of the first model, such as the live one, with each of the others, whose
        accuracies alone are measured.

    Returns:
      For each slice its name (`slice`), `rows`, `weight_share`, mean `pd` over pairs, its 95% `interval`, `pd_share`
      (its share of the sum over all rows of weight times PD), mean `auc_loss` and `log_loss` of the models (None where
      they are not defined), `label_mean`, and `small`: whether it has fewer than 100 rows.

    Raises:
      InputError: invalid predictions, labels or weights; a slice has no rows, or none of positive weight.

    ```python
    measure({"all": [0, 1]}, [[0.125, 0.375], [0.2, 0.2]], [1, 0])[0]["pd"]  # 0.5
    ```
    """
    matrix = arrays.prediction_matrix(predictions)
    weight = arrays.weights(sample_weight, len(matrix))
    label = None if label is None else arrays.scores("label", label, len(matrix))
    query = None if query_id is None else arrays.identifiers("query_id", query_id, len(matrix))
    weighted_difference = weight * terms.mean_over_pairs(terms.relative, matrix.T, against_first)
    measured = []
    for name, group in groups.items():
        rows = _row_numbers(name, group, weight)
        within, of_slice = weight[rows], weighted_difference[rows].sum()
        requests = None if query is None else query[rows]
        labels = None if label is None else label[rows]
        models = [Rows(labels, prediction, within) for prediction in matrix[rows, int(against_first) :].T]
        accuracies: dict[str, float | None] = {}
        for accuracy in catalogue.leading():
            values = [value for model in models if (value := accuracy.of(model)) is not None]
            accuracies[accuracy.name] = float(np.mean(values)) if values else None
        ends = prediction_difference.interval(matrix[rows], within, query_id=requests, against_first=against_first)
        measured.append(
            {
                "slice": name,
                "rows": len(rows),
                "weight_share": float(within.sum() / weight.sum()),
                "pd": float(of_slice / within.sum()),
                "interval": ends and list(ends),
                # Where all models agree on all rows, there is no difference to share.
                "pd_share": float(of_slice / weighted_difference.sum()) if weighted_difference.any() else 0.0,
                **accuracies,
                "label_mean": None if labels is None else float(np.average(labels, weights=within)),
                "small": len(rows) < SMALL,
            }
        )
    return sorted(measured, key=lambda each: -each["pd"])


def _row_numbers(name: str, group: Any, weight: Array) -> Integers:
    """Row numbers of a slice, each once; refuses a slice that is no set of rows, or has no weight."""
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
    """The rows of each code, under the code's name; names without rows are left out."""
    groups = {name: np.unique(row[code == number]) for number, name in enumerate(names)}
    return {name: rows for name, rows in groups.items() if len(rows)}


def _is_missing(table: npt.NDArray[Any]) -> npt.NDArray[np.bool_]:
    """Whether each value is missing: NaN of floats, -1 of signed integers, and "", None, -1 or NaN of objects."""
    if table.dtype.kind == "f":
        return np.isnan(table)
    if table.dtype.kind in "iu":
        return table == -1 if table.dtype.kind == "i" else np.zeros(table.shape, bool)
    # pandas marks a missing text as NaN, which is the only value that differs from itself.
    missing = [value is None or value in ("", b"", -1) or value != value for value in table.ravel().tolist()]
    return np.array(missing, bool).reshape(table.shape)


def _categories(value: npt.NDArray[Any]) -> tuple[list[str], Integers]:
    """Names of the distinct values, sorted, and each value's number among them."""
    if value.dtype.kind in "iufb":
        distinct, code = np.unique(value, return_inverse=True)
        text = np.format_float_positional
        return [text(each, trim="-") if value.dtype.kind == "f" else str(each) for each in distinct], code
    # Objects of different kinds cannot be sorted by NumPy, and a text and its bytes are one category.
    seen: dict[str, int] = {}
    code = np.array([seen.setdefault(value_name(each), len(seen)) for each in value.tolist()], np.int64)
    names = sorted(seen)
    place = np.empty(len(names), np.int64)
    place[[seen[name] for name in names]] = np.arange(len(names))
    return names, place[code]


def value_name(value: Any) -> str:
    """The name of a value as a slice; in quotes where it could be mistaken for `other` or `missing`."""
    text = value.decode("utf-8", "backslashreplace") if isinstance(value, bytes) else str(value)
    return repr(text) if text in (OTHER, MISSING) or text[:1] in ("'", '"') else text


def _by_quantile(values: Array, weight: Array, parts: int) -> tuple[Integers, list[str], Integers]:
    """Splits values into `parts` of equal weight, and names each part that is not empty by its range.

    Part k, from 0, ends with the lowest value at which the cumulated share of the weight reaches (k + 1) / `parts`.

    Returns:
      For each value, the place of its part among those that are not empty; their names; their k.
    """
    distinct, inverse = np.unique(values, return_inverse=True)
    reached = np.cumsum(np.bincount(inverse, weight))
    before = np.append(0.0, reached[:-1])
    # The rounding of the sums must not put a value that starts a part into the part before.
    part = np.minimum(np.floor(parts * before / reached[-1] + 1e-9), parts - 1).astype(np.int64)
    used, place = np.unique(part, return_inverse=True)
    ranges = [distinct[part == number][[0, -1]].tolist() for number in used]
    # Three digits, or as many as it takes to tell the ranges apart.
    for digits in range(3, 18):
        ends = [(f"{low:.{digits}g}", f"{high:.{digits}g}") for low, high in ranges]
        names = [low if low == high else f"{low} to {high}" for low, high in ends]
        if len(set(names)) == len(names):
            break
    return place[inverse], names, used
